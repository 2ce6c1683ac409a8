//! A made-up record for the tests of the report.

use serde_json::{Value, json};

use crate::bench::curve::Curve;
use crate::bench::record::Record;

/// A median of nine rounds.
pub(super) fn median(value: f64) -> Value {
    json!({
        "count": 9, "median": value, "min": value * 0.9, "max": value * 1.2,
        "low": value * 0.95, "high": value * 1.1, "confidence": 0.96,
    })
}

fn figures(wall: f64, mib: f64) -> Value {
    json!({
        "extrapolated_from": null, "sampled": null, "walls": [wall], "rounds": [0],
        "wall_s": median(wall), "cpu_s": median(wall * 0.8), "speed_up": median(1.5),
        "speed_up_extrapolated": false, "cores_busy": 0.8, "peak_bytes": mib * 1_048_576.0,
        "threads": 3.0, "processes": 1.0, "voluntary": 100.0, "involuntary": 5.0,
        "p50_s": wall / 1e3, "p99_s": wall / 1e2,
        "histogram": [[900_000, 40], [1_000_000, 50], [12_000_000, 10]], "unit_bytes": null,
        "pins": [{"who": "main thread", "cores": "0", "count": 1}],
        "remarks": ["load maker shares core 1 & <more>"],
    })
}

fn at(rate: f64) -> Value {
    json!({
        "wall_s": median(1e3 / rate), "rate": median(rate), "cpu_s": median(700.0 / rate),
        "p50_s": 1.0 / rate, "p99_s": 9.0 / rate, "peak_bytes": 4e6 + rate,
        "threads": 1.0, "processes": 1.0, "switches": 10.0,
    })
}

/// Five loads and three models, one of which is left out of the last, and one refused throughout.
pub(in crate::bench) fn curve() -> Curve {
    let points: Vec<Value> = (0..5)
        .map(|power: i32| {
            let load = 10f64.powi(power);
            let last = json!({"left_out": "about 9 s by what 1000 took"});
            json!({
                "load": load as usize, "size": 1000,
                "models": {
                    "sequential": at(900.0),
                    "thread-per-job": if power == 4 { last } else { at(3_000.0 / load.sqrt()) },
                    "loop-per-core": at(600.0 * load.powf(0.4)),
                    "processpool": {"refused": "descriptors stay"},
                },
            })
        })
        .collect();
    let curve = json!({"unit": "connections", "points": points});
    serde_json::from_value(curve).expect("a curve")
}

/// One workload of each kind: with everything, with less, and with nothing measured.
pub(super) fn record() -> Record {
    let mut slow = figures(200.0, 3.0);
    slow["extrapolated_from"] = json!(20);
    slow["sampled"] = json!("all <10 000> would take too long");
    let mut bare = figures(0.02, 5.0);
    let fields = bare.as_object_mut().expect("an object");
    fields.remove("histogram");
    fields.remove("unit_bytes");
    let value = json!({
        "format": 2, "kind": "bench", "quick": true, "rounds": 9, "seconds": 57.3,
        "environment": {
            "time": 1_795_264_173, "command": ["xtask", "bench", "--json", "a<b>.json"],
            "commit": "v0.1-3-gabc<script>alert(1)</script>-dirty", "rustc": "rustc 1.95.0",
            "kernel": "6.18 #1 SMP", "processor": "Made Up & Sons \"9000\"", "governor": "none",
            "load": "0.20 0.30 0.40", "allowed_cores": [0, 1], "debug": false,
        },
        "warnings": [{"what": "two cores & a half", "mend": "take <four>"}],
        "workloads": [
            {
                "workload": "echo", "about": "64 B there and back", "size": 15_000,
                "unit": "requests", "verdict": "A loop per core won in 1.00 s: it <did>.",
                "answer": {"winner": "loop-per-core", "level": ["fibres"], "why": "it <did>"},
                "models": {
                    "sequential": figures(2.0, 3.0), "thread-per-job": figures(1.5, 9.0),
                    "loop-per-core": figures(1.0, 5.0),
                    "processpool": {"refused": "descriptors <stay>"},
                    "threadpool": {"missing": true}, "fibres": figures(1.7, 1.0),
                },
                "curve": curve(),
            },
            {
                "workload": "sleepers", "about": "waits", "size": 10_000, "unit": "waits",
                "verdict": "Coroutines won.",
                "models": {"sequential": slow, "coroutines": bare},
            },
            {
                "workload": "copy", "about": "files", "size": 1_000, "unit": "files",
                "verdict": "No model was measured.",
                "models": {"sequential": {"missing": true}},
            },
        ],
        "failures": ["copy, one thread in sequence, round 1: exit status: 1 <stdin>"],
        "skipped": ["copy, ThreadPool"], "samples": [],
    });
    serde_json::from_value(value).expect("a record")
}
