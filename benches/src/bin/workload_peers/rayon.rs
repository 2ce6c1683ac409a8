//! rayon: a parallel iterator over the jobs, on a pool with a thread per core.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use benches::workloads::job::Job;
use benches::workloads::report::{Finding, Order};
use benches::workloads::stage::Stage;
use benches::workloads::{Workload, batch, meter, thrash};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

pub(crate) fn run(order: &Order) -> anyhow::Result<Finding> {
    if order.workload == Workload::Thrash {
        return slices(order);
    }
    batch::measure(order, |stage, jobs| {
        let pool = pool(order)?;
        let done = pool.install(|| jobs.into_par_iter().map(Job::blocking).collect());
        stage.last();
        done
    })
}

fn pool(order: &Order) -> anyhow::Result<ThreadPool> {
    let builder = ThreadPoolBuilder::new().num_threads(order.cores.len());
    Ok(builder.start_handler(|_| meter::note("pool thread")).build()?)
}

/// A worker's slices are one job, as for a thread.
fn slices(order: &Order) -> anyhow::Result<Finding> {
    let (shares, ledger) = (thrash::shares(order), Mutex::default());
    let mut stage = Stage::begin(order)?;
    let pool = pool(order)?;
    let took: Vec<Vec<Duration>> = pool.install(|| {
        let work =
            |share: Vec<thrash::Slice>| share.iter().map(|slice| slice.run(&ledger)).collect();
        shares.into_par_iter().map(work).collect()
    });
    stage.last();
    let finding = stage.end(order.count(), took.concat())?;
    thrash::verify(order, &ledger.into_inner().unwrap_or_else(PoisonError::into_inner))?;
    Ok(finding)
}
