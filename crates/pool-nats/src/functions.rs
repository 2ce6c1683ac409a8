//! `Functions`: what may be called by its name.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;

use pool::foreign::Function;
use pool::{JobError, Task, Wire};

use crate::shape;

/// Functions that agents run, each under a name of its own. Clients and agents are given the same
/// ones: usually both are one program.
///
/// What comes over the network is looked up here, and never jumped to. Along with the name a
/// client sends the shape of arguments and result, as serde sees them; an agent whose function of
/// that name has another refuses the job.
///
/// # Examples
///
/// ```
/// use pool_nats::Functions;
///
/// fn is_prime(n: u64) -> bool {
///     n > 1 && (2..=n.isqrt()).all(|divisor| n % divisor != 0)
/// }
///
/// fn send_mail(to: String) -> bool {
/// #   drop(to);
///     // ...
///     true
/// }
///
/// let functions = Functions::new()
///     .add_idempotent("is_prime", is_prime) // no harm if it runs twice: it survives its agent
///     .add("send_mail", send_mail); // runs once, or not at all
/// assert_eq!(functions.names().count(), 2);
/// ```
#[derive(Clone, Default)]
pub struct Functions {
    by_name: HashMap<String, Named>,
    by_type: HashMap<TypeId, String>,
}

/// One function.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) function: Result<Function, JobError>,
    pub(crate) signature: u64,
    pub(crate) idempotent: bool,
}

impl Functions {
    /// None.
    pub fn new() -> Functions {
        Functions::default()
    }

    /// Adds a function that may not run more often than it is asked for: a job of it is run once,
    /// or, if it is lost with its agent, not at all or not to its end. Then it ends as
    /// [`JobError::Lost`].
    ///
    /// # Panics
    ///
    /// If the name, or the function, was added before.
    pub fn add<F, A, R>(self, name: &str, f: F) -> Functions
    where
        F: Task<A, Output = R>,
        A: Wire,
        R: Wire,
    {
        self.insert(name, f, false)
    }

    /// Adds a function that does no harm by running more than once for one job: one that has no
    /// effects, or the same ones again. If its agent is lost, another runs the job; its caller gets
    /// one result. It also takes less time, for nobody has to be asked before it runs.
    ///
    /// # Panics
    ///
    /// If the name, or the function, was added before.
    #[doc(alias = "pure")]
    pub fn add_idempotent<F, A, R>(self, name: &str, f: F) -> Functions
    where
        F: Task<A, Output = R>,
        A: Wire,
        R: Wire,
    {
        self.insert(name, f, true)
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    fn insert<F, A, R>(mut self, name: &str, f: F, idempotent: bool) -> Functions
    where
        F: Task<A, Output = R>,
        A: Wire,
        R: Wire,
    {
        // Arguments and result by turns, or `fn(A) -> B` and `fn(B) -> A` would be alike.
        let signature = shape::of::<A>().rotate_left(1) ^ shape::of::<R>();
        let named = Named { function: Function::of(f), signature, idempotent };
        let new = self.by_name.insert(name.to_owned(), named).is_none();
        assert!(new, "there is a function named {name} already");
        let new = self.by_type.insert(TypeId::of::<F>(), name.to_owned()).is_none();
        assert!(new, "function {name} has another name already");
        self
    }

    /// What a client calls `F`.
    ///
    /// # Errors
    ///
    /// [`JobError::Encode`] if it is not among these.
    pub(crate) fn find<F: 'static>(&self) -> Result<(&str, &Named), JobError> {
        let name = self.by_type.get(&TypeId::of::<F>());
        let Some((name, named)) = name.and_then(|name| self.by_name.get_key_value(name)) else {
            let task = std::any::type_name::<F>();
            let why = "it is not among the functions this pool was made with: other machines know \
                       functions by their names; add it to pool_nats::Functions, here and for the \
                       agents";
            return Err(pool::foreign::unsendable(task, why));
        };
        Ok((name, named))
    }

    /// The function an order asks for.
    ///
    /// # Errors
    ///
    /// A sentence: there is none of that name, or it has another shape.
    pub(crate) fn get(&self, name: &str, signature: u64) -> Result<Function, String> {
        let Some(named) = self.by_name.get(name) else {
            let mut names: Vec<_> = self.names().collect();
            names.sort_unstable();
            let names = names.join(", ");
            return Err(format!("it has no function named {name}, only: {names}"));
        };
        if named.signature != signature && !mutant!("any-shape-will-do") {
            return Err(format!(
                "its function {name} takes or returns something else (the shape is {:016x} there \
                 and {signature:016x} here); build both from the same source",
                named.signature
            ));
        }
        named.function.clone().map_err(|error| error.to_string())
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(n: u64) -> u64 {
        2 * n
    }

    fn halve(n: u32) -> u32 {
        n / 2
    }

    #[test]
    fn a_function_is_found_by_its_type_and_by_its_name() {
        let functions = Functions::new().add("double", double).add_idempotent("halve", halve);
        let found = |name: &str, named: &Named| (name.to_owned(), named.signature);
        fn of<F: Task<(u64,)>>(functions: &Functions, _: F) -> Result<(&str, &Named), JobError> {
            functions.find::<F>()
        }
        let (name, named) = of(&functions, double).map(|(n, f)| (found(n, f), f)).unwrap();
        assert_eq!(name.0, "double");
        assert!(!named.idempotent && functions.get("double", named.signature).is_ok());
        let error = of(&functions, |n: u64| n).unwrap_err().to_string();
        assert!(error.contains("not among the functions"), "{error}");
    }

    #[test]
    fn another_shape_and_an_unknown_name_are_refused() {
        let here = Functions::new().add("double", double);
        let there = Functions::new().add("double", halve);
        let signature = here.by_name["double"].signature;
        let error = there.get("double", signature).unwrap_err();
        assert!(error.contains("takes or returns something else"), "{error}");
        let error = there.get("treble", signature).unwrap_err();
        assert!(error.contains("no function named treble, only: double"), "{error}");
    }

    #[test]
    #[should_panic(expected = "named double already")]
    fn a_name_is_given_once() {
        let _ = Functions::new().add("double", double).add("double", halve);
    }
}
