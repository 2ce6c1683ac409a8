//! `workload_peers`: models of `workload` by other people's runtimes. It is told the same as
//! `workload job` and `workload serve`, and asked the same; `workload run --model tokio` starts it.

mod compio;
mod glommio;
mod monoio;
mod rayon;
mod spawning;
mod tokio;

use anyhow::bail;
use benches::foreign::peer::{self, Runtime};
use benches::foreign::{Foreign, costs, versions};
use benches::workloads::report::{Finding, Order};
use benches::workloads::{Model, orchestra};
use clap::Parser;

/// A model by another runtime, measured. Reads what to do from stdin.
#[derive(Debug, Parser)]
enum Role {
    /// The measured process, for jobs
    Job,
    /// The measured process, for servers
    Serve,
}

fn main() -> anyhow::Result<()> {
    let role = Role::parse();
    let order: Order = orchestra::told()?;
    benches::serve::end_after(order.life);
    orchestra::tell(run(&role, &order))
}

fn run(role: &Role, order: &Order) -> anyhow::Result<Finding> {
    let Model::Foreign(model) = order.model else { bail!("{} is ours", order.model) };
    let finding = match model {
        Foreign::Tokio => on::<tokio::OneThread>(role, order),
        Foreign::TokioMulti => on::<tokio::Threads>(role, order),
        Foreign::Monoio => on::<monoio::Monoio>(role, order),
        Foreign::Glommio => on::<glommio::Glommio>(role, order),
        Foreign::Compio => on::<compio::Compio>(role, order),
        Foreign::Rayon => rayon::run(order),
        other => bail!("{other} is no runtime of this program"),
    }?;
    let name = model.name().split('-').next().unwrap_or_default();
    let version = versions::of(name).map(|version| format!("{name} {version}"));
    Ok(Finding { remarks: version.into_iter().chain(finding.remarks).collect(), ..finding })
}

fn on<R: Runtime>(role: &Role, order: &Order) -> anyhow::Result<Finding> {
    match role {
        Role::Job if order.workload.has_jobs() => peer::jobs::<R>(order),
        Role::Job => costs::run::<R>(order),
        Role::Serve => peer::serve::<R>(order),
    }
}
