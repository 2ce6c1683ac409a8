//! Runs a scenario on one of the two rings, and looks for what it has left: operations, orphans,
//! tasks, timers, buffers, descriptors, panics nobody heard of.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use uring_loop::testing::{Faults, SimConfig, SimHandle};
use uring_loop::time::sleep;
use uring_loop::{Builder, Dump, EventLoop, Statistics, fs, join, race};

use super::chance::Chance;
use super::place::Place;
use super::{Ending, Scenario, everything};

/// No scenario takes as long, on either clock.
const LIMIT: Duration = Duration::from_secs(300);

/// Where the files of the simulated kernel are.
const FOLDER: &str = "/scenario";

/// Runs a scenario on a simulated kernel. Its sizes and its faults follow from the seed, too.
///
/// # Panics
///
/// If the scenario fails, and if it leaves anything.
pub(crate) fn on_sim(scenario: &Scenario, seed: u64) {
    let chance = Chance::new(seed);
    let (config, faults) = kernel(seed, &chance);
    let faulty = config.faults != Faults::none();
    let place = Place::new(chance, PathBuf::from(FOLDER), faulty);
    let built = builder(&place.chance).build_simulated(config);
    let (event_loop, sim) = built.expect("a simulated ring");
    let _log = LogOfFailure(sim.clone());
    let mut ran = Ran::new(event_loop);
    let main = {
        let (sim, place) = (sim.clone(), place.clone());
        async move {
            fs::create_dir(&place.folder).await.expect("its parent exists");
            sim.set_faults(faults);
            (scenario.run)(place).await;
        }
    };
    ran.main(main);
    if scenario.ending == Ending::Rest {
        sim.set_faults(Faults::none());
        ran.rest_for(Duration::from_secs(1));
        ran.check_rest();
        if let Some((_, all)) = ran.event_loop.statistics().buffers {
            assert_eq!(sim.provided_buffers_free(0), Some(all), "the kernel has too few buffers");
        }
    }
    ran.end(scenario.ending);
    check_sim(&sim);
    drop(sim);
    place.check();
}

/// Writes what the kernel did into the file that `SIM_LOG` names, if the scenario fails.
struct LogOfFailure(SimHandle);

impl Drop for LogOfFailure {
    fn drop(&mut self) {
        let path = std::env::var_os("SIM_LOG").filter(|_| std::thread::panicking());
        if let Some(path) = path {
            let events: Vec<String> =
                self.0.log().iter().map(|event| format!("{event:?}\n")).collect();
            std::fs::write(&path, events.concat()).expect("SIM_LOG names a file one can write");
        }
    }
}

fn check_sim(sim: &SimHandle) {
    assert_eq!(sim.in_flight(), 0, "{}", sim.describe());
    assert_eq!(sim.open_descriptors(), [], "descriptors were left open");
}

/// Runs a scenario on the machine's kernel.
///
/// # Panics
///
/// As [`on_sim`].
pub(crate) fn on_kernel(scenario: &Scenario, seed: u64) {
    let folder = tempfile::tempdir().expect("a place for temporary files");
    let place = Place::new(Chance::new(seed), folder.path().join("scenario"), false);
    std::fs::create_dir(&place.folder).expect("its parent exists");
    let event_loop = builder(&place.chance).build().expect("a ring");
    let mut ran = Ran::new(event_loop);
    ran.main((scenario.run)(place.clone()));
    if scenario.ending == Ending::Rest {
        ran.come_to_rest();
        ran.check_rest();
    }
    ran.end(scenario.ending);
    place.check();
}

/// Everything at once, again and again on one loop of the machine's kernel.
pub(crate) struct Rounds {
    ran: Ran,
    chance: Chance,
    folder: PathBuf,
}

impl Rounds {
    pub(crate) fn new(seed: u64, folder: &Path) -> Self {
        let chance = Chance::new(seed);
        let event_loop = builder(&chance).build().expect("a ring");
        Rounds { ran: Ran::new(event_loop), chance, folder: folder.to_owned() }
    }

    /// One round of everything, and of one thing more, of which nothing may be left.
    ///
    /// # Panics
    ///
    /// As [`on_sim`].
    pub(crate) fn next<F: Future>(&mut self, more: impl FnOnce(Place) -> F) {
        let place = Place::new(self.chance.clone(), self.folder.join("round"), false);
        let (all, more) = (everything::all_at_once(place.clone()), more(place.clone()));
        self.ran.main(async { drop(join((all, more)).await) });
        self.ran.come_to_rest();
        self.ran.check_rest();
        place.check();
        // A round may have made no files at all.
        let _ = std::fs::remove_dir_all(self.folder.join("round"));
    }

    /// Lets the loop run for a moment.
    pub(crate) fn rest(&mut self) {
        self.ran.rest_for(Duration::from_millis(2));
    }

    /// Ends the loop, and tells what it has counted.
    pub(crate) fn end(self) -> Statistics {
        let statistics = self.ran.event_loop.statistics();
        self.ran.end(Ending::Rest);
        statistics
    }
}

/// A loop that runs a scenario.
struct Ran {
    event_loop: EventLoop,
    panics: Rc<RefCell<String>>,
}

impl Ran {
    fn new(mut event_loop: EventLoop) -> Self {
        let panics = Rc::<RefCell<String>>::default();
        let heard = panics.clone();
        event_loop.set_exception_handler(move |report| {
            if report.panic.is_some() {
                writeln!(heard.borrow_mut(), "{report}").expect("a String takes everything");
            }
        });
        Ran { event_loop, panics }
    }

    fn main(&mut self, scenario: impl Future<Output = ()>) {
        let limited = async {
            let late = async {
                sleep(LIMIT).await;
                panic!("it waits for ever: {}", Dump::current());
            };
            race((scenario, late)).await;
        };
        self.event_loop.run_until_complete(limited).expect("not stopped");
    }

    fn rest_for(&mut self, pause: Duration) {
        let pause = async { sleep(pause).await };
        self.event_loop.run_until_complete(pause).expect("not stopped");
    }

    /// Lets what was dropped end, which takes a machine under load a while.
    fn come_to_rest(&mut self) {
        let start = Instant::now();
        while !at_rest(&self.event_loop.statistics()) && start.elapsed() < Duration::from_secs(20) {
            self.rest_for(Duration::from_millis(2));
        }
    }

    fn check_rest(&self) {
        let (event_loop, left) = (&self.event_loop, self.event_loop.statistics());
        assert_eq!(left.in_flight, 0, "left in flight: {:?}", event_loop.in_flight());
        assert_eq!((left.orphans, left.tasks), (0, 0), "{}", event_loop.dump());
        assert_eq!((left.timers, left.callbacks), (0, 0), "{left}");
        assert!(left.enters <= left.turns, "more than one enter per turn: {left}");
        assert_eq!(left.buffers.map(|(free, _)| free), left.buffers.map(|(_, all)| all), "{left}");
    }

    fn end(mut self, ending: Ending) {
        if ending == Ending::Finish {
            assert_eq!(self.event_loop.finish(), 0, "tasks that do not end when asked to");
        }
        drop(self.event_loop);
        assert_eq!(*self.panics.borrow(), "", "nobody has heard of this panic");
    }
}

fn at_rest(now: &Statistics) -> bool {
    let lent = now.buffers.is_some_and(|(free, all)| free < all);
    (now.in_flight, now.tasks, now.timers, now.callbacks, lent) == (0, 0, 0, 0, false)
}

/// The sizes of a kernel and what goes wrong on it, from the first moment on and later.
fn kernel(seed: u64, chance: &Chance) -> (SimConfig, Faults) {
    if chance.one_in(8) {
        return (SimConfig::seeded(seed), Faults::none());
    }
    let pick = |choices: &[usize]| choices[chance.below(choices.len())];
    let mut config = SimConfig::chaos(seed);
    config.submissions = pick(&[4, 16, 256]);
    config.completions = pick(&[8, 64, 1024]);
    config.work_per_pass = pick(&[1, 5, 20]);
    config.send_buffer = pick(&[4096, 10_000, 64 << 10]);
    config.zero_copy = chance.one_in(2);
    config.file_turns = chance.below(6) as u32;
    config.connect_turns = chance.below(4) as u32;
    let mut later = config.faults.clone();
    if chance.one_in(3) {
        later = later.latency(0, 2_000_000);
    }
    if chance.one_in(2) {
        later = later.file_error(0.02);
    }
    if chance.one_in(3) {
        later = later.no_memory(0.01);
    }
    if chance.one_in(3) {
        later = later.reset(0.005);
    }
    (config, later)
}

/// Few and small buffers, or many; and a resolver that needs no network.
fn builder(chance: &Chance) -> Builder {
    let counts = [2, 8, 64];
    let sizes = [256, 1000, 4096];
    EventLoop::builder()
        .buffers(counts[chance.below(3)], sizes[chance.below(3)])
        .eager_tasks(chance.one_in(2))
        .resolve_with(super::connect::addresses_in)
}
