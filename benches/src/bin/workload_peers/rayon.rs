//! rayon: a parallel iterator over the jobs, on a pool with a thread per core.

use benches::workloads::batch;
use benches::workloads::job::Job;
use benches::workloads::meter;
use benches::workloads::report::{Finding, Order};
use rayon::prelude::*;

pub(crate) fn jobs(order: &Order) -> anyhow::Result<Finding> {
    batch::measure(order, |stage, jobs| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(order.cores.len())
            .start_handler(|_| meter::note("pool thread"))
            .build()?;
        let done = pool.install(|| jobs.into_par_iter().map(Job::blocking).collect());
        stage.last();
        done
    })
}
