//! What went wrong in a group of tasks.

use std::fmt;
use std::io;

/// The errors of a [`TaskGroup`](crate::TaskGroup), in the order in which they happened.
///
/// None at all means that the group was ended by [`TaskGroup::cancel`](crate::TaskGroup::cancel)
/// before its body had a value. A group within a group that fails is one member of the outer one's
/// errors, with its own inside, if their type has room for it.
///
/// Its `Display` lists them:
///
/// ```
/// # use uring_loop::{TaskGroup, TaskErrors};
/// # uring_loop::testing::run(async {
/// let group = TaskGroup::scope(async |group| {
///     group.spawn(async { Err::<(), _>("no route to host") });
///     Err::<(), _>("out of cheese")
/// });
/// let errors: TaskErrors<_> = group.await.unwrap_err();
/// assert_eq!(errors.to_string(), "1 of the group's tasks failed: out of cheese");
/// # })
/// ```
#[derive(Clone, PartialEq, Eq)]
#[doc(alias = "ExceptionGroup")]
pub struct TaskErrors<E>(Vec<E>);

impl<E> TaskErrors<E> {
    pub(super) fn new(errors: Vec<E>) -> Self {
        TaskErrors(errors)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none: the group was cancelled by [`cancel`](crate::TaskGroup::cancel).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first of them: the one that ended the group.
    pub fn first(&self) -> Option<&E> {
        self.0.first()
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, E> {
        self.0.iter()
    }
}

impl<E> IntoIterator for TaskErrors<E> {
    type Item = E;
    type IntoIter = std::vec::IntoIter<E>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a TaskErrors<E> {
    type Item = &'a E;
    type IntoIter = std::slice::Iter<'a, E>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E: fmt::Debug> fmt::Debug for TaskErrors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskErrors")?;
        f.debug_list().entries(&self.0).finish()
    }
}

impl<E: fmt::Display> fmt::Display for TaskErrors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [] => f.write_str("the group was cancelled"),
            [error] => write!(f, "1 of the group's tasks failed: {error}"),
            errors => {
                write!(f, "{} of the group's tasks failed:", errors.len())?;
                for (index, error) in errors.iter().enumerate() {
                    // A group's errors have lines of their own, which belong under their number.
                    let text = error.to_string().replace('\n', "\n   ");
                    write!(f, "\n{}. {text}", index + 1)?;
                }
                Ok(())
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for TaskErrors<E> {}

impl From<TaskErrors<io::Error>> for io::Error {
    /// An error of the first one's kind; `Interrupted` if there is none.
    fn from(errors: TaskErrors<io::Error>) -> Self {
        let kind = errors.first().map_or(io::ErrorKind::Interrupted, io::Error::kind);
        io::Error::new(kind, errors)
    }
}
