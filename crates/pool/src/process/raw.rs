//! Calls whose arguments come as bytes, for executors of other crates.

use std::any::type_name;
use std::fmt;

use super::call::{Answer, Call};
use super::{ProcessPool, send, ship};
use crate::error::JobError;
use crate::executor::{Task, Wire};
use crate::job::Job;
use crate::options::JobOptions;

/// A function by which a process pool can be given calls as bytes. Good in this process only.
#[derive(Clone, Copy)]
pub struct Function {
    task: &'static str,
    single: u64,
    items: u64,
}

impl Function {
    /// A `fn` item, or a closure that captures nothing.
    ///
    /// # Errors
    ///
    /// [`JobError::Encode`] if its code lies in a shared library.
    pub fn of<F, A, R>(f: F) -> Result<Function, JobError>
    where
        F: Task<A, Output = R>,
        A: Wire,
        R: Wire,
    {
        let single = ship::single::<F, A, R>(f)?;
        Ok(Function { task: type_name::<F>(), single, items: ship::chunked::<F, A, R>(f)? })
    }

    /// Its name, as [`std::any::type_name`] gives it.
    pub fn task(&self) -> &'static str {
        self.task
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Function").field(&self.task).finish()
    }
}

/// What a function is to be called with.
#[derive(Clone, Debug)]
pub enum Arguments {
    /// Once, with these, see [`encode`](crate::foreign::encode).
    One(Vec<u8>),
    /// For each of these items, see [`encode_items`](crate::foreign::encode_items). Options hold
    /// for each item by itself, and so does the death of a worker.
    Items(Vec<u8>),
}

impl ProcessPool {
    /// See [`foreign::submit`](crate::foreign::submit).
    pub(crate) fn submit_bytes(
        &self,
        options: JobOptions,
        function: Function,
        arguments: Arguments,
    ) -> Job<Vec<u8>> {
        let (entry, arguments, chunk) = match arguments {
            Arguments::One(bytes) => (function.single, bytes, false),
            Arguments::Items(bytes) => (function.items, bytes, true),
        };
        let timed = chunk && options.timeout.is_some();
        let before = Answer::default();
        let call = Call { entry, arguments, memory: Vec::new(), chunk, timed, before };
        send(&self.hub, function.task, options, Ok(call), |_, bytes| Ok(bytes.to_vec()))
    }
}
