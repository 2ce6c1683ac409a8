//! Models of the ring between processes and of its bell. The kernel's futex is a lock and a
//! condition: it compares the word under the lock that a waker takes too.

use loom::sync::atomic::AtomicU64;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::wire::{AWAKE, BY_FUTEX, Bell, Ends, Words, ends, prepare, size};

#[derive(Clone)]
struct Memory(Arc<Vec<AtomicU64>>);

impl Words for Memory {
    fn words(&self) -> &[AtomicU64] {
        &self.0
    }
}

fn sides(ring: usize) -> (Ends<Memory>, Ends<Memory>) {
    let memory = Memory(Arc::new((0..size(ring)).map(|_| AtomicU64::new(0)).collect()));
    prepare(memory.words(), ring);
    (ends(&memory, 0).expect("ours"), ends(&memory, 1).expect("ours"))
}

#[derive(Clone)]
struct Futex(Arc<(Mutex<()>, Condvar)>);

impl Futex {
    fn new() -> Self {
        Futex(Arc::new((Mutex::new(()), Condvar::new())))
    }

    /// Sleeps if the word still says so.
    fn wait(&self, bell: &Bell<Memory>) {
        let guard = self.0.0.lock().expect("no panic");
        if bell.sleeps(BY_FUTEX) {
            drop(self.0.1.wait(guard).expect("no panic"));
        }
    }

    fn ring(&self, bell: &Bell<Memory>) {
        if bell.ring() != AWAKE {
            let _guard = self.0.0.lock().expect("no panic");
            self.0.1.notify_one();
        }
    }
}

/// Frames with a word of bytes each, which take 3 of the 4 words: the second waits for the first to
/// be taken. Either side sleeps when it cannot go on.
#[test]
fn loom_frames_arrive_once_and_in_order_and_no_side_sleeps_through_the_other() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (mut one, mut other) = sides(4);
        let (here, there) = (Futex::new(), Futex::new());
        let (to_here, to_there) = (here.clone(), there.clone());
        let thread = thread::spawn(move || {
            for number in 1..=2_u64 {
                while other.producer.room(3).expect("no lie") < 3 {
                    other.producer.want_room();
                    let look = || Ok(other.producer.room(3)? >= 3);
                    if other.bell.arm_unless(BY_FUTEX, look).expect("no lie") {
                        there.wait(&other.bell);
                        other.bell.disarm();
                    }
                }
                other.producer.write((7, number), &number.to_le_bytes());
                other.producer.publish();
                to_here.ring(&other.bell);
            }
        });
        for number in 1..=2_u64 {
            let mut bytes = Vec::new();
            loop {
                if let Some(meaning) = one.consumer.next(&mut bytes).expect("no lie") {
                    assert_eq!((meaning, &bytes[..]), ((7, number), &number.to_le_bytes()[..]));
                    break;
                }
                let look = || Ok(!one.consumer.is_empty()?);
                if one.bell.arm_unless(BY_FUTEX, look).expect("no lie") {
                    here.wait(&one.bell);
                    one.bell.disarm();
                }
            }
            if one.consumer.give_back() {
                to_there.ring(&one.bell);
            }
        }
        thread.join().expect("no panic");
    });
}

/// Both ask and answer: each sleeps while the other works.
#[test]
fn loom_two_sides_that_ask_each_other_both_wake() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (one, other) = sides(4);
        let futexes = [Futex::new(), Futex::new()];
        let theirs = futexes.clone();
        let play = |mut side: Ends<Memory>, own: usize, futexes: [Futex; 2], begins: bool| {
            let send = |side: &mut Ends<Memory>| {
                side.producer.write((1, 1), &[]);
                side.producer.publish();
                futexes[1 - own].ring(&side.bell);
            };
            if begins {
                send(&mut side);
            }
            while side.consumer.next(&mut Vec::new()).expect("no lie").is_none() {
                let look = || Ok(!side.consumer.is_empty()?);
                if side.bell.arm_unless(BY_FUTEX, look).expect("no lie") {
                    futexes[own].wait(&side.bell);
                    side.bell.disarm();
                }
            }
            side.consumer.give_back();
            if !begins {
                send(&mut side);
            }
        };
        let thread = thread::spawn(move || play(other, 1, theirs, false));
        play(one, 0, futexes, true);
        thread.join().expect("no panic");
    });
}
