//! The states of a shard, by type or by number, lent to closures one at a time.

use std::any::{Any, TypeId, type_name};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// By what a state is found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Name {
    Type(TypeId),
    /// One of a `Sharded`, or of a server.
    Number(u64),
}

impl Name {
    /// That of the state of a type.
    pub(crate) fn of<T: 'static>() -> Name {
        Name::Type(TypeId::of::<T>())
    }

    /// One that nothing else in this process has.
    pub(crate) fn fresh() -> Name {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Name::Number(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// `None` stands for one that is lent.
#[derive(Default)]
pub(crate) struct States(RefCell<HashMap<Name, Option<Box<dyn Any>>>>);

/// Why there is no state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Missing {
    Absent,
    Lent,
}

impl States {
    pub(crate) fn put<T: 'static>(&self, state: T) -> Option<T> {
        self.put_as(Name::of::<T>(), state)
    }

    #[track_caller]
    pub(crate) fn with<T: 'static, R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let name = type_name::<T>();
        match self.lend(Name::of::<T>(), f) {
            Ok(value) => value,
            Err(Missing::Absent) => {
                panic!("Shard::with: this shard has no state of type {name}: put one first")
            }
            Err(Missing::Lent) => panic!(
                "Shard::with: the state of type {name} is in use by a closure further out; use \
                 the reference that this one has"
            ),
        }
    }

    /// Puts a state there, for the one that was. (One that is lent comes back into its place.)
    pub(crate) fn put_as<T: 'static>(&self, name: Name, state: T) -> Option<T> {
        let old = self.0.borrow_mut().insert(name, Some(Box::new(state)))??;
        old.downcast().ok().map(|old| *old)
    }

    pub(crate) fn has(&self, name: Name) -> bool {
        self.0.borrow().contains_key(&name)
    }

    /// Takes a state away.
    pub(crate) fn take(&self, name: Name) -> Option<Box<dyn Any>> {
        self.0.borrow_mut().remove(&name)?
    }

    /// Drops them all: the loop that they were used on is about to go.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut *self.0.borrow_mut());
        drop(all);
    }

    /// Lends a state to a closure.
    pub(crate) fn lend<T: 'static, R>(
        &self,
        name: Name,
        f: impl FnOnce(&mut T) -> R,
    ) -> Result<R, Missing> {
        /// Brings it back on every way out, also by a panic.
        struct Lent<'a> {
            states: &'a States,
            name: Name,
            state: Option<Box<dyn Any>>,
        }
        impl Drop for Lent<'_> {
            fn drop(&mut self) {
                let mut states = self.states.0.borrow_mut();
                // Unless another was put there meanwhile, or it was taken away.
                if let Some(place @ None) = states.get_mut(&self.name) {
                    *place = self.state.take();
                }
                drop(states);
                drop(self.state.take());
            }
        }
        let state = match self.0.borrow_mut().get_mut(&name) {
            None => return Err(Missing::Absent),
            Some(place) => place.take().ok_or(Missing::Lent)?,
        };
        let mut lent = Lent { states: self, name, state: Some(state) };
        let state = lent.state.as_mut().and_then(|state| state.downcast_mut());
        Ok(f(state.expect("a name stands for one type")))
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    const ONE: Name = Name::Number(1);

    #[test]
    fn a_state_is_lent_and_comes_back_also_after_a_panic() {
        let states = States::default();
        assert_eq!(states.put(1_u32), None);
        states.with(|number: &mut u32| *number += 1);
        let panicked = catch_unwind(AssertUnwindSafe(|| states.with(|_: &mut u32| panic!())));
        assert!(panicked.is_err());
        assert_eq!(states.put(7_u32), Some(2));
    }

    #[test]
    fn a_state_in_use_or_absent_is_not_lent() {
        let states = States::default();
        assert_eq!(states.lend(ONE, |_: &mut u32| ()), Err(Missing::Absent));
        states.put_as(ONE, 5_u32);
        let inner = states.lend(ONE, |_: &mut u32| states.lend(ONE, |_: &mut u32| ()));
        assert_eq!(inner, Ok(Err(Missing::Lent)));
    }

    #[test]
    fn one_that_was_replaced_while_lent_does_not_come_back() {
        let states = States::default();
        states.put(String::from("old"));
        states.with(|_: &mut String| states.put(String::from("new")));
        states.with(|now: &mut String| assert_eq!(now, "new"));
        states.put_as(ONE, 5_u32);
        let taken = states.lend(ONE, |_: &mut u32| states.take(ONE).is_none());
        assert_eq!(taken, Ok(true));
        assert_eq!(states.lend(ONE, |_: &mut u32| ()), Err(Missing::Absent));
    }
}
