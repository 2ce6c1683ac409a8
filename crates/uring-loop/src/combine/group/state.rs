//! What a group and its children share: who is alive, and what went wrong.
//!
//! *Open*: children may come. *Ending*: all were asked to end, once; a child that comes now is
//! cancelled before its first step. *Closed*: the scope is over, or was dropped, and no child is
//! left but those that are being dropped.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use super::register::Family;
use crate::report::{Report, ReportKind};
use crate::task::{TaskRef, current_task};
use crate::wake::LocalWaker;

type Panic = Box<dyn Any + Send>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Open,
    Ending,
    Closed,
}

pub(super) struct State<E> {
    phase: Cell<Phase>,
    children: RefCell<Children>,
    errors: RefCell<Vec<E>>,
    panics: RefCell<Vec<Panic>>,
    /// Of the task that waits for the group.
    waker: Cell<Option<LocalWaker>>,
}

/// The children that are alive, in places that are used again.
#[derive(Default)]
struct Children {
    places: Vec<Option<TaskRef>>,
    free: Vec<usize>,
    alive: usize,
}

impl<E> State<E> {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(State {
            phase: Cell::new(Phase::Open),
            children: RefCell::default(),
            errors: RefCell::default(),
            panics: RefCell::default(),
            waker: Cell::new(None),
        })
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.phase() != Phase::Open
    }

    /// How many children have not ended.
    pub(super) fn alive(&self) -> usize {
        self.children.borrow().alive
    }

    /// A child comes. It leaves when the result is dropped.
    pub(super) fn enter(self: &Rc<Self>) -> Place<E> {
        let mut children = self.children.borrow_mut();
        children.alive += 1;
        let index = children.free.pop().unwrap_or_else(|| {
            children.places.push(None);
            children.places.len() - 1
        });
        Place { state: self.clone(), index }
    }

    /// The task of the child that came to this place, unless it is gone already, as one may be that
    /// was started eagerly.
    pub(super) fn seat(&self, index: usize, task: TaskRef) {
        if !task.is_done() {
            self.children.borrow_mut().places[index] = Some(task);
        }
    }

    fn leave(&self, index: usize) {
        let (left, alive) = {
            let mut children = self.children.borrow_mut();
            children.free.push(index);
            children.alive -= 1;
            (children.places[index].take(), children.alive)
        };
        drop(left);
        if alive == 0 {
            self.wake();
        }
    }

    /// Those that are alive. Cancelling one may run foreign wakers, which may spawn more.
    fn present(&self) -> Vec<TaskRef> {
        self.children.borrow().places.iter().flatten().cloned().collect()
    }

    /// Asks everybody to end, if that was not done yet.
    pub(super) fn end(&self) {
        if self.phase() == Phase::Open {
            self.phase.set(Phase::Ending);
            if !mutant!("siblings-of-a-failed-task-run-on") {
                self.cancel_children();
            }
            self.wake();
        }
    }

    /// Asks the children to end, whether or not they were asked before.
    pub(super) fn cancel_children(&self) {
        for child in self.present() {
            child.cancel();
        }
    }

    /// The scope is over. Children that are left are dropped.
    pub(super) fn close(&self) {
        self.phase.set(Phase::Closed);
        for child in self.present() {
            child.abort();
        }
    }

    /// Nobody awaits the scope any more: what has failed and was not told until now is reported.
    pub(super) fn report_untold(&self) {
        for panic in self.panics.take() {
            report_panic(&*panic);
        }
        let errors = self.errors.take();
        if !errors.is_empty() && !mutant!("errors-go-with-their-group") {
            report(&format!("{} of a group's tasks failed, and nobody was told", errors.len()))
                .send();
        }
    }

    pub(super) fn fail(&self, error: E) {
        if self.phase() == Phase::Closed {
            return report("a task failed after its group was dropped").send();
        }
        self.errors.borrow_mut().push(error);
        self.end();
    }

    pub(super) fn panicked(&self, panic: Panic) {
        if self.phase() == Phase::Closed {
            return report_panic(&*panic);
        }
        self.panics.borrow_mut().push(panic);
        self.end();
    }

    pub(super) fn take_errors(&self) -> Vec<E> {
        self.errors.take()
    }

    /// The first panic. Others, and errors, are left to be reported.
    pub(super) fn take_panic(&self) -> Option<Panic> {
        let mut panics = self.panics.borrow_mut();
        if panics.is_empty() { None } else { Some(panics.remove(0)) }
    }

    pub(super) fn set_waker(&self, waker: &Waker) {
        let old = self.waker.take();
        self.waker.set(Some(match old {
            Some(old) if old.will_wake(waker) => old,
            _ => LocalWaker::new(waker),
        }));
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Says whom the group waits for, long after they were asked to end.
    pub(super) fn report_stragglers(&self, seconds: u64) {
        let present = self.present();
        let names: Vec<_> = present.iter().take(5).map(describe).collect();
        tracing::warn!(
            tasks = present.len(),
            "a group still waits for tasks that were asked to end {seconds} s ago or more: {}",
            names.join(", "),
        );
    }
}

fn describe(task: &TaskRef) -> String {
    format!("{} at {}", task.name(), task.location())
}

/// What nobody is told who awaits the group, for the exception handler.
fn report<'a>(what: &str) -> Report<'a> {
    let report = Report::new(ReportKind::NeverRetrieved, what);
    match current_task() {
        Some(task) => report.named(task.name()).at(task.location()),
        None => report,
    }
}

fn report_panic(panic: &(dyn Any + Send)) {
    report("a task of a group panicked, and nobody was told").with_panic(panic).send();
}

impl<E> Family for State<E> {
    fn parent(&self) -> Option<u32> {
        let waker = self.waker.take();
        let parent = waker.as_ref().and_then(LocalWaker::task);
        self.waker.set(waker);
        parent
    }

    fn children(&self) -> Vec<u32> {
        self.children.borrow().places.iter().flatten().map(TaskRef::id).collect()
    }
}

/// The place of a child that is alive; it leaves the group by dropping it.
pub(super) struct Place<E> {
    pub(super) state: Rc<State<E>>,
    pub(super) index: usize,
}

impl<E> Drop for Place<E> {
    fn drop(&mut self) {
        self.state.leave(self.index);
    }
}
