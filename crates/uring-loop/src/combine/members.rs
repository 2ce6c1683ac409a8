//! The tasks that are gathered: many of one type, or a few of different types.

use super::gather::GatherError;
use crate::task::collect::Member;
use crate::task::{JoinError, Task};

/// Tasks in a row.
pub(super) trait Members {
    /// Their values.
    type Values;
    /// What each came to.
    type Outcomes;

    fn len(&self) -> usize;

    fn member(&self, index: usize) -> &dyn Member;

    /// Whether a task that is ready has no value.
    fn is_err(&self, index: usize) -> bool;

    /// Takes the error of a task.
    fn error(&mut self, index: usize) -> JoinError;

    /// Takes the values. All tasks are ready and have one.
    fn values(self) -> Self::Values;

    /// Takes everything. All tasks are ready.
    fn outcomes(self) -> Self::Outcomes;
}

/// Tasks in a row whose outputs are results.
pub(super) trait TryMembers: Members {
    /// Their values.
    type Oks;
    /// The error of their results.
    type Error;

    /// Whether a task that is ready has no value, or has an error as its value.
    fn has_failed(&self, index: usize) -> bool;

    /// Takes the error of a task.
    fn failure(&mut self, index: usize) -> GatherError<Self::Error>;

    /// Takes the values. All tasks are ready, and none has failed.
    fn oks(self) -> Self::Oks;
}

/// The value of a task that is ready and has one.
pub(super) fn value<T>(task: &Task<T>) -> T {
    task.take_output().unwrap_or_else(|_| unreachable!("a task that failed ends the gathering"))
}

/// The error of a task that is ready and has one.
pub(super) fn error<T>(task: &Task<T>) -> JoinError {
    match task.take_output() {
        Err(error) => error,
        Ok(_) => unreachable!("only a task that failed is asked for its error"),
    }
}

pub(super) fn has_failed<T, E>(task: &Task<Result<T, E>>) -> bool {
    !matches!(task.peek(), Ok(Ok(_)))
}

/// The value in the result of a task that is ready and has one.
pub(super) fn ok<T, E>(task: &Task<Result<T, E>>) -> T {
    value(task).unwrap_or_else(|_| unreachable!("a task that failed ends the gathering"))
}

/// What made a task fail.
pub(super) fn failure<T, E>(task: &Task<Result<T, E>>) -> GatherError<E> {
    match task.take_output() {
        Ok(Err(error)) => GatherError::Failed(error),
        Err(error) => GatherError::Join(error),
        Ok(Ok(_)) => unreachable!("only a task that failed is asked for its error"),
    }
}

impl<T> Members for Vec<Task<T>> {
    type Values = Vec<T>;
    type Outcomes = Vec<Result<T, JoinError>>;

    fn len(&self) -> usize {
        self.len()
    }

    fn member(&self, index: usize) -> &dyn Member {
        &self[index]
    }

    fn is_err(&self, index: usize) -> bool {
        self[index].peek().is_err()
    }

    fn error(&mut self, index: usize) -> JoinError {
        error(&self[index])
    }

    fn values(self) -> Vec<T> {
        self.iter().map(value).collect()
    }

    fn outcomes(self) -> Self::Outcomes {
        self.iter().map(Task::take_output).collect()
    }
}

impl<T, E> TryMembers for Vec<Task<Result<T, E>>> {
    type Oks = Vec<T>;
    type Error = E;

    fn has_failed(&self, index: usize) -> bool {
        has_failed(&self[index])
    }

    fn failure(&mut self, index: usize) -> GatherError<E> {
        failure(&self[index])
    }

    fn oks(self) -> Vec<T> {
        self.iter().map(ok).collect()
    }
}
