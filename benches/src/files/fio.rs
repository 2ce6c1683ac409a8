//! fio as a contender: the same reads of the same file, by a job of its own that ends by time.
//!
//! It measures itself; here its job is written down and its report read (fio(1), "JSON output").
//! That it looks at the clock for each read is turned off, since nobody else does.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{Options, What, prepare};
use crate::once::{self, PerUnit};
use crate::pin;
use crate::process::{NOT_INSTALLED, print_metrics};

/// The whole of a `file_fio*` program, which differ in what else fio is told.
///
/// # Errors
///
/// When the files cannot be made, pinning is refused, or fio fails.
pub fn main(more: &[&str]) -> anyhow::Result<()> {
    let options = <Options as clap::Parser>::parse();
    once::limit_life();
    pin::to_core(options.core)?;
    let (pattern, block, depth) = match options.what {
        What::Random { depth } => ("randread", super::BLOCK, depth),
        What::Sequential => ("read", super::LARGE, 1),
        What::Copy => {
            print_metrics([]);
            return Ok(());
        }
    };
    if !installed() {
        print_metrics([(NOT_INSTALLED, 1.0)]);
        return Ok(());
    }
    let file = prepare(&options.folder.unwrap_or_else(std::env::temp_dir))?;
    let runtime = format!("--runtime={}ms", options.length.milliseconds());
    let job = [format!("--rw={pattern}"), format!("--bs={block}"), format!("--iodepth={depth}")];
    let report = run(&file, job.into_iter().chain([runtime]), more)?;
    let per_read = per_read(&report)?;
    print_metrics([("ns", per_read.ns), ("cpu_ns", per_read.cpu_ns)]);
    Ok(())
}

fn installed() -> bool {
    let mut version = Command::new("fio");
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    !matches!(version.status(), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

fn run(file: &Path, job: impl Iterator<Item = String>, more: &[&str]) -> anyhow::Result<Value> {
    let mut fio = Command::new("fio");
    fio.args(["--name=reads", "--ioengine=io_uring", "--direct=1", "--readonly", "--thread"])
        .args(["--norandommap", "--time_based", "--gtod_reduce=1", "--output-format=json"])
        .args(["--filename".as_ref(), file.as_os_str()])
        .args(job)
        .args(more);
    let output = fio.output().context("starting fio")?;
    if !output.status.success() {
        bail!("fio: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("fio's report")
}

/// What one read took, from the report of a job.
fn per_read(report: &Value) -> anyhow::Result<PerUnit> {
    let job = &report["jobs"][0];
    let number = |value: &Value| value.as_f64().context("a number is missing in fio's report");
    let reads = number(&job["read"]["total_ios"])?;
    // In milliseconds, of the whole job.
    let time = number(&job["job_runtime"])? * 1e6;
    let share = (number(&job["usr_cpu"])? + number(&job["sys_cpu"])?) / 100.0;
    anyhow::ensure!(reads > 0.0 && time > 0.0, "fio has read nothing");
    let ns = 1e9 / number(&job["read"]["iops"])?;
    Ok(PerUnit { ns, cpu_ns: share * time / reads })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let report = serde_json::json!({"jobs": [{
            "job_runtime": 200, "usr_cpu": 10.0, "sys_cpu": 40.0,
            "read": {"total_ios": 20_000, "iops": 100_000.0},
        }]});
        assert_eq!(per_read(&report).unwrap(), PerUnit { ns: 10_000.0, cpu_ns: 5000.0 });
        assert!(per_read(&serde_json::json!({"jobs": []})).is_err());
    }
}
