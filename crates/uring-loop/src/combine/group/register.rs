//! The groups of a loop, kept in mind for the dump: it shows children below whoever waits for them.

use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};

use super::state::State;
use crate::context;

/// A group, as the dump sees it.
pub(super) trait Family {
    /// The number of the task that waits for the group, if it waits.
    fn parent(&self) -> Option<u32>;

    /// The numbers of the children that are alive.
    fn children(&self) -> Vec<u32>;
}

/// The groups of a loop, in places that are used again.
#[derive(Default)]
pub(crate) struct Groups(RefCell<Places>);

#[derive(Default)]
struct Places {
    groups: Vec<Option<Weak<dyn Family>>>,
    free: Vec<usize>,
}

impl Groups {
    fn enter(&self, group: Weak<dyn Family>) -> usize {
        let mut places = self.0.borrow_mut();
        match places.free.pop() {
            Some(index) => {
                places.groups[index] = Some(group);
                index
            }
            None => {
                places.groups.push(Some(group));
                places.groups.len() - 1
            }
        }
    }

    fn leave(&self, index: usize) {
        let mut places = self.0.borrow_mut();
        // A weak reference: nothing of a user is dropped with it.
        places.groups[index] = None;
        places.free.push(index);
    }

    /// Calls `f` with each child that is alive and the task that waits for it.
    pub(crate) fn for_each(&self, mut f: impl FnMut(u32, u32)) {
        for group in self.0.borrow().groups.iter().flatten() {
            let Some(group) = group.upgrade() else { continue };
            if let Some(parent) = group.parent() {
                group.children().into_iter().for_each(|child| f(child, parent));
            }
        }
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.0.borrow();
        write!(f, "Groups({})", places.groups.len() - places.free.len())
    }
}

/// A group's place among those of its loop. Given up on drop.
pub(super) struct Registered {
    loop_id: u32,
    index: usize,
}

impl Registered {
    /// With the running loop, if one runs.
    pub(super) fn new<E: 'static>(group: &Rc<State<E>>) -> Option<Self> {
        let group: Rc<dyn Family> = group.clone();
        context::with_core(|core| Registered {
            loop_id: core.id,
            index: core.groups.enter(Rc::downgrade(&group)),
        })
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        context::with_loop(self.loop_id, |core| core.groups.leave(self.index));
    }
}
