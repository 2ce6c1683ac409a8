//! Functions that have names, so that another process, and another build, can call them; and values
//! as bytes (postcard).

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::MOST_BYTES;
use crate::error::panic_message;
use crate::route::hash;

/// Bytes in, bytes out, or why not.
type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>>>>;
type Function = dyn Fn(&[u8]) -> Answer + Send + Sync;

/// Those of a program.
#[derive(Clone, Default)]
pub(crate) struct Functions {
    functions: Arc<HashMap<u64, (String, Arc<Function>)>>,
    /// A name that was given twice.
    twice: Option<String>,
}

impl Functions {
    pub(crate) fn add<Q, R, C, F>(&mut self, name: String, function: C)
    where
        Q: DeserializeOwned + 'static,
        R: Serialize + 'static,
        C: Fn(Q) -> F + Send + Sync + 'static,
        F: Future<Output = R> + 'static,
    {
        let function = Arc::new(function);
        let run = move |bytes: &[u8]| -> Answer {
            let request = decode::<Q>(bytes);
            let function = function.clone();
            Box::pin(async move {
                let request = request.map_err(|error| format!("reading the request: {error}"))?;
                let result = function(request).await;
                encode(&result).map_err(|error| format!("writing the result: {error}"))
            })
        };
        // Two names of one number are as bad as one name twice.
        let functions = Arc::make_mut(&mut self.functions);
        if functions.insert(number(&name), (name.clone(), Arc::new(run))).is_some() {
            self.twice = Some(name);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    pub(crate) fn twice(&self) -> Option<&str> {
        self.twice.as_deref()
    }

    /// Begins a call. What goes wrong is told by what it gives.
    pub(crate) fn run(
        &self,
        function: u64,
        request: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, String>> + use<> {
        let run = self.functions.get(&function).map(|(_, run)| run(request));
        async move {
            match run {
                Some(answer) => answer.await,
                None => Err("there is no function of this name: is it another build?".into()),
            }
        }
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.functions.values().map(|(name, _)| name)).finish()
    }
}

/// What stands for a name on the way.
pub(crate) fn number(name: &str) -> u64 {
    hash(name.as_bytes())
}

/// A value as bytes; or a sentence that says why not.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, String> {
    let encoded = catch_unwind(AssertUnwindSafe(|| postcard::to_stdvec(value)));
    let bytes = match encoded {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(panic) => return Err(format!("its Serialize panicked: {}", panic_message(&*panic))),
    };
    // A call has the number of its function too.
    match bytes.len() + 8 {
        ..=MOST_BYTES => Ok(bytes),
        _ => Err(format!("it takes {} bytes, more than {}", bytes.len(), MOST_BYTES - 8)),
    }
}

/// Reads a value; all bytes must be used.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(|| postcard::take_from_bytes::<T>(bytes))) {
        Ok(Ok((value, []))) => Ok(value),
        Ok(Ok((_, rest))) => Err(format!("{} bytes are left over", rest.len())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => Err(format!("its Deserialize panicked: {}", panic_message(&*panic))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(functions: &Functions, name: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        uring_loop::run(functions.run(number(name), request)).expect("it runs")
    }

    #[test]
    fn a_function_is_found_by_its_name_and_bad_bytes_are_refused() {
        let mut functions = Functions::default();
        functions.add("double".into(), |number: u32| async move { number * 2 });
        let answer = run(&functions, "double", &encode(&21_u32).expect("bytes")).expect("done");
        assert_eq!(decode::<u32>(&answer), Ok(42));
        let why = run(&functions, "double", &[0x80]).expect_err("bad");
        assert!(why.starts_with("reading the request"), "{why}");
        let why = run(&functions, "double", &[1, 2]).expect_err("bad");
        assert!(why.contains("1 bytes are left over"), "{why}");
        let why = run(&functions, "triple", &[1]).expect_err("unknown");
        assert!(why.contains("no function of this name"), "{why}");
    }

    #[test]
    fn values_that_are_too_long_are_not_sent() {
        assert!(encode(&vec![0_u8; MOST_BYTES - 20]).is_ok());
        let why = encode(&vec![0_u8; MOST_BYTES]).expect_err("too long");
        assert!(why.contains("more than"), "{why}");
    }

    #[test]
    fn a_name_that_is_given_twice_is_noted() {
        let mut functions = Functions::default();
        functions.add("a".into(), |(): ()| async {});
        functions.add("b".into(), |(): ()| async {});
        assert_eq!(functions.twice(), None);
        functions.add("a".into(), |(): ()| async {});
        assert_eq!(functions.twice(), Some("a"));
    }
}
