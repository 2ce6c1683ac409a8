//! CPython: threads, processes, asyncio and gevent, as its users would write it, in scripts that
//! need nothing but Python 3.9 (and gevent). What the scripts compute and copy is checked here, by
//! the same code as ours, and their times are sorted here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::workloads::batch::{self, NAP, WAITING_THREADS};
use crate::workloads::downloads::{self, BODY};
use crate::workloads::files::PIECE;
use crate::workloads::job::{Done, Job};
use crate::workloads::report::{Cost, Finding, Order, Pin, Seen, Times};
use crate::workloads::service::BACKEND;
use crate::workloads::thrash::{self, Ledger};
use crate::workloads::{Workload, memory, million, primes, switches};

/// The variable that names the interpreter.
const VARIABLE: &str = "PYTHON";

const FILES: [(&str, &str); 12] = [
    ("main.py", include_str!("python/main.py")),
    ("handover.py", include_str!("python/handover.py")),
    ("measure.py", include_str!("python/measure.py")),
    ("on_asyncio.py", include_str!("python/on_asyncio.py")),
    ("on_gevent.py", include_str!("python/on_gevent.py")),
    ("on_processes.py", include_str!("python/on_processes.py")),
    ("on_threads.py", include_str!("python/on_threads.py")),
    ("schedule.py", include_str!("python/schedule.py")),
    ("slices.py", include_str!("python/slices.py")),
    ("sockets.py", include_str!("python/sockets.py")),
    ("web.py", include_str!("python/web.py")),
    ("work.py", include_str!("python/work.py")),
];

/// `$PYTHON`, or else `python3` wherever PATH has it; or why there is none.
///
/// # Errors
///
/// In the words of a refusal.
pub fn interpreter() -> Result<PathBuf, String> {
    let wanted = std::env::var_os(VARIABLE).filter(|name| !name.is_empty());
    let name = PathBuf::from(wanted.unwrap_or_else(|| "python3".into()));
    let is_path = name.components().count() > 1;
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = match is_path {
        true => Some(name.clone()).filter(|name| name.is_file()),
        false => std::env::split_paths(&paths).map(|dir| dir.join(&name)).find(|at| at.is_file()),
    };
    found.ok_or_else(|| {
        format!("there is no {} (the variable {VARIABLE} can name another)", name.display())
    })
}

/// The scripts in a folder, which is removed when dropped.
#[derive(Debug)]
pub struct Scripts(TempDir);

impl Scripts {
    /// Writes them below the folder for temporary files.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn write() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("workload-python-").tempdir();
        let folder = folder.context("making a folder for scripts")?;
        for (name, text) in FILES {
            let path = folder.path().join(name);
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(Self(folder))
    }

    /// The one that is run.
    #[must_use]
    pub fn main(&self) -> impl AsRef<Path> + AsRef<std::ffi::OsStr> {
        self.0.path().join(FILES[0].0)
    }
}

/// Seconds for each of a million sleepers, to fall asleep in.
const FOR_EACH: f64 = 15e-6;

/// An order in the scripts' words: seconds, and the numbers to check.
///
/// # Errors
///
/// When the workload has no jobs and is not served.
pub fn order(order: &Order) -> anyhow::Result<Value> {
    let numbers: Vec<u64> = match order.workload {
        Workload::Primes => jobs(order)?.iter().filter_map(number).collect(),
        _ => Vec::new(),
    };
    let (source, target) = order.folder.clone().unwrap_or_default();
    let (units, _) = memory::units(order);
    let one_core = !order.model.is_parallel() || order.workload == Workload::Switches;
    Ok(json!({
        "workload": order.workload,
        "model": order.model,
        "count": order.count(),
        "load": order.load,
        "cores": if one_core { &order.cores[..1] } else { &order.cores },
        "connections": order.connections(),
        "divisions": order.divisions,
        "life": order.life,
        "numbers": numbers,
        // As our ThreadPool has.
        "threads": if order.workload.waits() { WAITING_THREADS } else { order.cores.len() },
        "lanes": Job::at_a_time(order.workload).min(order.count()),
        "nap": NAP.as_secs_f64(),
        "backend": BACKEND.as_secs_f64(),
        "piece": PIECE,
        "servers": order.servers,
        "source": source,
        "target": target,
        "hard": primes::HARD,
        "slices": thrash::SLICES,
        "entries": thrash::ENTRIES,
        "rounds": switches::rounds(order)?,
        "units": [memory::first(units), units],
        "apart": million::APART.as_secs_f64(),
        "at_least": million::AT_LEAST.as_secs_f64(),
        "for_each": FOR_EACH,
    }))
}

fn jobs(order: &Order) -> anyhow::Result<Vec<Job>> {
    Ok(batch::jobs(order)?.0)
}

fn number(job: &Job) -> Option<u64> {
    match job {
        Job::Prime(n) => Some(*n),
        _ => None,
    }
}

/// What a script says at its end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
enum Told {
    #[serde(rename = "refused")]
    Refused(String),
    #[serde(rename = "found")]
    Found(Found),
}

#[derive(Debug, Deserialize)]
struct Found {
    wall_ns: u64,
    cpu_ns: u64,
    voluntary: u64,
    involuntary: u64,
    seen: Seen,
    pins: Vec<Pin>,
    remarks: Vec<String>,
    /// Nanoseconds and answer of each job, in the order of the jobs.
    #[serde(default)]
    results: Vec<(u64, u64)>,
    /// What the lock guarded.
    ledger: Option<Ledger>,
    /// So many rounds took so many nanoseconds.
    #[serde(default)]
    laps: Vec<(u32, u64)>,
    unit_bytes: Option<u64>,
}

/// Reads the last line of a script, and checks the results in it.
///
/// # Errors
///
/// When it isn't understood, or a result is missing or wrong.
pub fn finding(line: &str, order: &Order) -> anyhow::Result<Finding> {
    let found = match serde_json::from_str(line)? {
        Told::Refused(why) => return Ok(Finding { refused: Some(why), ..Finding::default() }),
        Told::Found(found) => found,
    };
    let (done, times, reduced) = done(order, &found)?;
    Ok(Finding {
        done,
        reduced,
        wall: Duration::from_nanos(found.wall_ns),
        cost: Cost {
            cpu: Duration::from_nanos(found.cpu_ns),
            voluntary: found.voluntary,
            involuntary: found.involuntary,
        },
        times: Times::of(times),
        unit_bytes: found.unit_bytes,
        pins: found.pins,
        seen: found.seen,
        remarks: found.remarks,
        ..Finding::default()
    })
}

/// How much was done, rightly; how long each took; why there was less than ordered if there was.
fn done(order: &Order, found: &Found) -> anyhow::Result<(usize, Vec<Duration>, Option<String>)> {
    let done: Vec<Done> = found
        .results
        .iter()
        .map(|&(took, answer)| Done { took: Duration::from_nanos(took), answer })
        .collect();
    match order.workload {
        workload if workload.is_served() => {}
        Workload::Memory => {
            let (units, reduced) = memory::units(order);
            return Ok((units, Vec::new(), reduced));
        }
        Workload::Switches => {
            let lap = |&(rounds, took): &(u32, u64)| (rounds, Duration::from_nanos(took));
            let each = switches::each(order.count(), found.laps.iter().map(lap).collect())?;
            return Ok((each.len(), each, None));
        }
        Workload::Thrash => {
            let ledger = found.ledger.as_ref().context("a ledger is missing")?;
            thrash::verify(order, ledger)?;
            ensure!(done.len() == ledger.slices, "{} slices, {ledger:?}", done.len());
        }
        Workload::Million => {
            let (all, woken) = (order.count(), done.len());
            ensure!(woken == all, "{all} slept, and {woken} were woken");
        }
        _ => verify(&jobs(order)?, &done)?,
    }
    Ok((done.len(), done.iter().map(|done| done.took).collect(), None))
}

fn verify(jobs: &[Job], done: &[Done]) -> anyhow::Result<()> {
    ensure!(done.len() == jobs.len(), "{} jobs gave {} results", jobs.len(), done.len());
    jobs.iter().zip(done).try_for_each(|(job, done)| match *job {
        Job::Download { number, .. } => {
            let mut body = Vec::with_capacity(BODY);
            downloads::body(number, &mut body);
            ensure!(
                done.answer == u64::from(crc32(&body)),
                "download {number} brought something else than it should"
            );
            Ok(())
        }
        _ => job.verify(done),
    })
}

/// The CRC-32 of zlib, which is what Python has at hand to look at every byte.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[cfg(test)]
mod tests {
    use super::super::Foreign;
    use super::*;
    use crate::workloads::Model;

    fn told(answers: &[u64]) -> String {
        let results: Vec<(u64, u64)> = answers.iter().map(|&answer| (1000, answer)).collect();
        json!({"found": {
            "wall_ns": 5000, "cpu_ns": 4000, "voluntary": 1, "involuntary": 2,
            "seen": Seen::default(), "pins": [], "remarks": ["CPython 3.9.0"], "results": results,
        }})
        .to_string()
    }

    fn primes(size: usize) -> Order {
        let model = Model::Foreign(Foreign::PythonThreads);
        Order { size, load: size, ..Order::new(Workload::Primes, model) }
    }

    #[test]
    fn a_wrong_or_a_missing_answer_of_a_script_is_found_out() {
        // Five easy numbers, then a prime.
        let right = finding(&told(&[0, 0, 0, 0, 0, 1]), &primes(6)).unwrap();
        assert_eq!((right.done, right.wall), (6, Duration::from_micros(5)));
        assert_eq!(right.times.latency.p50_ns, 1000);
        let wrong = finding(&told(&[0, 0, 0, 0, 1, 1]), &primes(6)).unwrap_err();
        assert!(wrong.to_string().contains("234645542424 was taken for a prime"), "{wrong}");
        let fewer = finding(&told(&[0; 5]), &primes(6)).unwrap_err();
        assert!(fewer.to_string().contains("6 jobs gave 5 results"), "{fewer}");
    }

    #[test]
    fn a_download_is_known_by_every_byte() {
        // The check value of the CRC's definition.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let model = Model::Foreign(Foreign::PythonAsyncio);
        let servers = vec!["127.0.0.1:1".parse().unwrap()];
        let order = Order { servers, ..Order::new(Workload::Downloads, model) };
        let mut body = Vec::new();
        downloads::body(0, &mut body);
        assert_eq!(finding(&told(&[crc32(&body).into()]), &order).unwrap().done, 1);
        body[BODY - 1] ^= 1;
        let wrong = finding(&told(&[crc32(&body).into()]), &order).unwrap_err();
        assert!(wrong.to_string().contains("download 0 brought something else"), "{wrong}");
    }

    #[test]
    fn a_script_that_can_not_says_why() {
        let refused = finding(r#"{"refused": "no gevent"}"#, &primes(1)).unwrap();
        assert_eq!(refused.refused.as_deref(), Some("no gevent"));
    }

    #[test]
    fn a_script_is_told_the_numbers_and_its_cores() {
        let mut told = primes(6);
        told.cores = vec![0, 1];
        let words = order(&told).unwrap();
        assert_eq!((words["cores"].clone(), words["threads"].clone()), (json!([0, 1]), json!(2)));
        assert_eq!(words["numbers"].as_array().map(Vec::len), Some(6));
        told.model = Model::Foreign(Foreign::PythonAsyncio);
        assert_eq!(order(&told).unwrap()["cores"], json!([0]));
    }
}
