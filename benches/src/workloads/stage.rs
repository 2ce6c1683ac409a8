//! The frame of a run in the measured process: where it may run, what it costs, when it ends.

use std::time::{Duration, Instant};

use super::meter::{self, Watch};
use super::report::{Cost, Finding, Order, Times};

/// A run under way.
#[derive(Debug)]
pub struct Stage<'run> {
    /// What is to be done.
    pub order: &'run Order,
    /// Looks at this process, and at its children where the model has some.
    pub watch: Watch,
    before: Cost,
    start: Instant,
    wall: Duration,
}

impl<'run> Stage<'run> {
    /// The clock starts. This thread, and what it starts, is confined to the cores of the model.
    ///
    /// # Errors
    ///
    /// When it can't be confined, or its cost not be read.
    pub fn begin(order: &'run Order) -> anyhow::Result<Self> {
        crate::pin::raise_file_limit()?;
        meter::confine(if order.model.is_parallel() { &order.cores } else { &order.cores[..1] })?;
        meter::note("main thread");
        let watch = Watch::new(std::process::id(), order.model.has_processes());
        let before = meter::cost()?;
        Ok(Self { order, watch, before, start: Instant::now(), wall: Duration::ZERO })
    }

    /// The last job is done: the clock stops, and the process looks at itself before threads and
    /// processes go.
    pub fn last(&mut self) {
        self.wall = self.start.elapsed();
        self.watch.look();
    }

    /// What was found, once threads and processes have gone; `took` are the times of the jobs.
    ///
    /// # Errors
    ///
    /// When the cost can't be read.
    pub fn end(self, done: usize, took: Vec<Duration>) -> anyhow::Result<Finding> {
        Ok(Finding {
            done,
            wall: self.wall,
            cost: meter::difference(meter::cost()?, self.before),
            times: Times::of(took),
            pins: meter::notes(),
            seen: self.watch.seen(),
            ..Finding::default()
        })
    }
}
