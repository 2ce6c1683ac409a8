//! Who collects results: waiting threads themselves, the collector thread, or an event loop.
//!
//! # Contract
//!
//! Results lie in the workers' sockets until somebody reaps them. At most one thread *leads*: it
//! sleeps on the sockets, reaps what comes, for itself and for all others, and wakes them.
//!
//! * A thread in `Job::wait` leads if nobody does, else it *follows*: it sleeps until its own job
//!   has ended, or until the leader leaves and *promotes* it. A program that only uses `wait` has
//!   no further thread and no hop between threads on the way of a result.
//! * Somebody who awaits a job sleeps elsewhere, so the *collector* thread is started (once) and
//!   leads whenever nobody else does. It makes way for a waiting thread at its next wake-up.
//! * An *attached* event loop (`Doorbell`) keeps the collector away: the loop polls the doorbell
//!   and reaps itself. Waiting threads lead beside it as ever, for reaping takes a lock and the
//!   doorbell stays readable as long as there is something to reap.
//! * Results nobody waits for are collected too, somewhat later: the supervisor looks every few
//!   milliseconds and calls the collector in when work is out and nobody leads.
//!
//! Everything here is under one mutex and off the hot path, except `enter` and `leave`: a lock
//! each.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

#[cfg(loom)]
use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Condvar, Mutex, MutexGuard};

/// One thread's wait for one event: the end of a job, or of the pool's work.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    flags: Mutex<Flags>,
    change: Condvar,
}

#[derive(Debug, Default)]
struct Flags {
    done: bool,
    leads: bool,
}

/// How a follower's sleep ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    Done,
    Promoted,
    TimedOut,
}

impl Waiter {
    fn flags(&self) -> MutexGuard<'_, Flags> {
        self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event has come. Returns whether the waiter leads: then it sleeps on the sockets, and
    /// must be kicked.
    pub(crate) fn finish(&self) -> bool {
        let mut flags = self.flags();
        flags.done = true;
        let leads = flags.leads;
        drop(flags);
        if !leads {
            self.change.notify_one();
        }
        leads
    }

    pub(crate) fn is_done(&self) -> bool {
        self.flags().done
    }

    fn set_leads(&self, leads: bool) {
        self.flags().leads = leads;
        if leads {
            self.change.notify_one();
        }
    }

    /// Follower: sleeps until the event, promotion or the deadline.
    pub(crate) fn sleep(&self, deadline: Option<Instant>) -> Woken {
        let mut flags = self.flags();
        loop {
            if flags.leads {
                return Woken::Promoted;
            }
            if flags.done {
                return Woken::Done;
            }
            flags = match deadline {
                None => self.change.wait(flags).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Woken::TimedOut;
                    }
                    let woken = self.change.wait_timeout(flags, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    Vacant,
    Waiter,
    Collector,
}

#[derive(Debug)]
struct Roles {
    lead: Lead,
    followers: VecDeque<Arc<Waiter>>,
    /// Event loops that reap.
    attached: usize,
    /// The collector is to lead when nobody else does.
    wanted: bool,
    /// Jobs that somebody awaits: as long as there are, the collector stays wanted.
    awaited: usize,
    closed: bool,
}

/// The roles of one pool.
#[derive(Debug)]
pub(crate) struct Reapers {
    roles: Mutex<Roles>,
    /// The collector sleeps here when it is not to lead.
    call: Condvar,
}

impl Reapers {
    pub(crate) fn new() -> Reapers {
        let roles = Roles {
            lead: Lead::Vacant,
            followers: VecDeque::new(),
            attached: 0,
            wanted: false,
            awaited: 0,
            closed: false,
        };
        Reapers { roles: Mutex::new(roles), call: Condvar::new() }
    }

    fn roles(&self) -> MutexGuard<'_, Roles> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread comes to wait. `true`: it leads; `false`: it follows.
    pub(crate) fn enter(&self, waiter: &Arc<Waiter>) -> bool {
        let mut roles = self.roles();
        let leads = roles.lead == Lead::Vacant;
        if leads {
            roles.lead = Lead::Waiter;
            waiter.set_leads(true);
        } else {
            roles.followers.push_back(Arc::clone(waiter));
        }
        leads
    }

    /// A thread has waited enough. If it led (perhaps promoted this very moment), somebody else
    /// is to lead now.
    pub(crate) fn leave(&self, waiter: &Arc<Waiter>) {
        let mut roles = self.roles();
        if waiter.flags().leads {
            waiter.set_leads(false);
            self.pass_on(&mut roles);
        } else {
            roles.followers.retain(|other| !Arc::ptr_eq(other, waiter));
        }
    }

    /// The one who led stops: a follower takes over, else the collector if it has to.
    fn pass_on(&self, roles: &mut Roles) {
        match roles.followers.pop_front() {
            Some(next) => {
                roles.lead = Lead::Waiter;
                next.set_leads(true);
            }
            None => {
                roles.lead = Lead::Vacant;
                roles.wanted = roles.awaited > 0;
                self.call_collector(roles);
            }
        }
    }

    fn call_collector(&self, roles: &Roles) {
        if roles.wanted && roles.lead == Lead::Vacant && roles.attached == 0 {
            self.call.notify_one();
        }
    }

    /// Somebody awaits one more job. Returns whether the collector must be there.
    pub(crate) fn awaited(&self) -> bool {
        let mut roles = self.roles();
        roles.awaited += 1;
        roles.wanted = true;
        self.call_collector(&roles);
        roles.attached == 0
    }

    /// A job that was awaited has ended, or its handle is gone.
    pub(crate) fn no_longer_awaited(&self) {
        self.roles().awaited -= 1;
    }

    /// Whether nobody collects, neither a leader nor an event loop.
    pub(crate) fn nobody(&self) -> bool {
        let roles = self.roles();
        roles.lead == Lead::Vacant && roles.attached == 0
    }

    /// Calls the collector in, for results nobody waits for.
    pub(crate) fn call_in(&self) {
        let mut roles = self.roles();
        roles.wanted = true;
        self.call_collector(&roles);
    }

    /// An event loop takes over from the collector. Returns whether the collector leads and must
    /// be kicked to notice.
    pub(crate) fn attach(&self) -> bool {
        let mut roles = self.roles();
        roles.attached += 1;
        roles.lead == Lead::Collector
    }

    /// An event loop leaves. Returns whether the collector must be there.
    pub(crate) fn detach(&self) -> bool {
        let mut roles = self.roles();
        roles.attached -= 1;
        roles.wanted |= roles.awaited > 0;
        self.call_collector(&roles);
        roles.attached == 0 && roles.wanted
    }

    /// Collector: sleeps until it is to lead. `false`: the pool has ended.
    pub(crate) fn collector_enters(&self) -> bool {
        let mut roles = self.roles();
        loop {
            if roles.closed {
                return false;
            }
            if roles.wanted && roles.lead == Lead::Vacant && roles.attached == 0 {
                roles.lead = Lead::Collector;
                return true;
            }
            roles = self.call.wait(roles).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Collector, after each wake-up: whether it goes on leading. It gives way to waiting threads
    /// and to event loops.
    pub(crate) fn collector_stays(&self) -> bool {
        let mut roles = self.roles();
        if roles.followers.is_empty() && roles.attached == 0 && !roles.closed {
            return true;
        }
        self.pass_on(&mut roles);
        false
    }

    /// The pool has ended: the collector is to go. It may have to be kicked.
    pub(crate) fn close(&self) {
        self.roles().closed = true;
        self.call.notify_one();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn waiter() -> Arc<Waiter> {
        Arc::default()
    }

    #[test]
    fn the_first_leads_the_next_follows_and_is_promoted() {
        let reapers = Reapers::new();
        let (first, second) = (waiter(), waiter());
        assert!(reapers.enter(&first));
        assert!(!reapers.enter(&second));
        assert_eq!(second.sleep(Some(Instant::now())), Woken::TimedOut);
        reapers.leave(&first);
        assert_eq!(second.sleep(None), Woken::Promoted);
        reapers.leave(&second);
        assert!(reapers.nobody());
    }

    #[test]
    fn a_follower_that_leaves_is_not_promoted() {
        let reapers = Reapers::new();
        let (first, second) = (waiter(), waiter());
        assert!(reapers.enter(&first));
        assert!(!reapers.enter(&second));
        assert!(!second.finish());
        assert_eq!(second.sleep(None), Woken::Done);
        reapers.leave(&second);
        reapers.leave(&first);
        assert!(reapers.nobody());
    }

    #[test]
    fn a_follower_promoted_as_it_leaves_passes_the_lead_on() {
        let reapers = Reapers::new();
        let (first, second, third) = (waiter(), waiter(), waiter());
        assert!(reapers.enter(&first));
        assert!(!reapers.enter(&second) && !reapers.enter(&third));
        reapers.leave(&first);
        second.finish();
        reapers.leave(&second);
        assert_eq!(third.sleep(None), Woken::Promoted);
    }

    #[test]
    fn the_collector_gives_way_to_a_waiter_and_to_a_loop() {
        let reapers = Reapers::new();
        assert!(reapers.awaited());
        assert!(reapers.collector_enters());
        assert!(reapers.collector_stays());
        let first = waiter();
        assert!(!reapers.enter(&first));
        assert!(!reapers.collector_stays());
        assert_eq!(first.sleep(None), Woken::Promoted);
        reapers.leave(&first);
        assert!(reapers.collector_enters(), "a job is still awaited");
        assert!(reapers.attach(), "the collector leads, it must be kicked");
        assert!(!reapers.collector_stays());
        assert!(!reapers.attach());
        assert!(!reapers.detach());
        assert!(reapers.detach(), "the last loop left while a job is awaited");
        reapers.no_longer_awaited();
        reapers.close();
        assert!(!reapers.collector_enters());
    }

    #[test]
    fn a_leader_is_to_be_kicked_when_its_job_ends_elsewhere() {
        let reapers = Reapers::new();
        let first = waiter();
        assert!(reapers.enter(&first));
        assert!(first.finish());
        assert!(first.is_done());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::atomic::{AtomicBool, Ordering};
    use loom::thread;

    /// What `Hub::wait` does; reaping ends all waits that are known.
    fn wait(reapers: &Reapers, own: &Arc<Waiter>, all: &[Arc<Waiter>], led: &AtomicBool) {
        if !reapers.enter(own) && own.sleep(None) != Woken::Promoted {
            reapers.leave(own);
            return;
        }
        assert!(!led.swap(true, Ordering::SeqCst), "two lead at once");
        while !own.is_done() {
            for waiter in all {
                waiter.finish();
            }
        }
        led.store(false, Ordering::SeqCst);
        reapers.leave(own);
    }

    fn waits_end(threads: usize) {
        loom::model(move || {
            let reapers = Arc::new(Reapers::new());
            let all: Vec<Arc<Waiter>> = (0..threads).map(|_| Arc::default()).collect();
            let led = Arc::new(AtomicBool::new(false));
            let waiting: Vec<_> = (1..threads)
                .map(|n| {
                    let (reapers, all, led) = (Arc::clone(&reapers), all.clone(), Arc::clone(&led));
                    thread::spawn(move || wait(&reapers, &all[n], &all, &led))
                })
                .collect();
            wait(&reapers, &all[0], &all, &led);
            for thread in waiting {
                thread.join().unwrap();
            }
            assert!(reapers.nobody(), "the lead was left to nobody");
        });
    }

    #[test]
    fn loom_two_waits_end_and_one_leads_at_a_time() {
        waits_end(2);
    }

    /// Nobody ends the second wait: the first, when it leaves, must promote it.
    #[test]
    fn loom_a_follower_is_promoted_however_it_comes() {
        loom::model(|| {
            let reapers = Arc::new(Reapers::new());
            let (first, second) = (Arc::<Waiter>::default(), Arc::<Waiter>::default());
            let led = Arc::new(AtomicBool::new(false));
            let other = {
                let (reapers, second, led) =
                    (Arc::clone(&reapers), Arc::clone(&second), Arc::clone(&led));
                thread::spawn(move || {
                    wait(&reapers, &second, std::slice::from_ref(&second), &led);
                })
            };
            wait(&reapers, &first, std::slice::from_ref(&first), &led);
            other.join().unwrap();
            assert!(reapers.nobody());
        });
    }

    /// The collector sleeps until somebody awaits, whichever comes first.
    #[test]
    fn loom_the_collector_hears_that_a_job_is_awaited_and_that_the_pool_ends() {
        loom::model(|| {
            let reapers = Arc::new(Reapers::new());
            let collector = {
                let reapers = Arc::clone(&reapers);
                thread::spawn(move || {
                    let mut entered = 0;
                    while reapers.collector_enters() {
                        entered += 1;
                        // It ends the one job there is.
                        reapers.no_longer_awaited();
                        reapers.close();
                        assert!(!reapers.collector_stays());
                    }
                    entered
                })
            };
            assert!(reapers.awaited());
            assert_eq!(collector.join().unwrap(), 1);
        });
    }
}
