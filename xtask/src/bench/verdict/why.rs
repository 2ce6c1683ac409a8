//! Why a model won, read off the figures, workload by workload.

use super::Entry;
use crate::bench::plan::SEQUENTIAL;
use crate::bench::summary::{Figures, Summary};
use crate::bench::text::{mib, seconds, three_digits};

/// The reason, as the end of a sentence.
pub(super) fn of(summary: &Summary, winner: Entry<'_>, cores: usize) -> String {
    let (model, figures) = winner;
    // It has no lock to wait for, however many want it elsewhere: that is told below.
    if model.name == SEQUENTIAL && summary.workload.name != "thrash" {
        return "the work is too short, or the machine too small or too busy, to pay for anything \
                more"
            .into();
    }
    match summary.workload.name {
        "primes" => primes(summary, figures, cores),
        "sleepers" => sleepers(summary, winner),
        "downloads" => downloads(summary, winner, cores),
        "echo" => echo(summary, winner),
        "kv" => kv(summary, winner),
        "copy" => copy(summary, figures, cores),
        "switches" => switches(summary, winner),
        "thrash" => thrash(summary, winner, cores),
        "mixed" => mixed(summary, figures, cores),
        _ => by_figures(figures, cores),
    }
}

/// What is true of any workload.
fn by_figures(winner: &Figures, cores: usize) -> String {
    let switches = winner.voluntary + winner.involuntary;
    format!("it did with {}, {} and {switches:.0} switches", threads(winner), busy(winner, cores))
}

fn busy(figures: &Figures, cores: usize) -> String {
    format!("{:.1} of {cores} cores busy", figures.cores_busy)
}

fn threads(figures: &Figures) -> String {
    match figures.threads.round() {
        1.0 => "one thread".to_owned(),
        count => format!("{count:.0} threads"),
    }
}

fn primes(summary: &Summary, winner: &Figures, cores: usize) -> String {
    let one = summary.figures("coroutines").and_then(|figures| figures.speed_up);
    let one = one.map_or_else(String::new, |gain| {
        format!("; one loop never waits here and gains nothing ({}x)", three_digits(gain.median))
    });
    if winner.cores_busy < 1.2 {
        let busy = busy(winner, cores);
        return format!(
            "the work is CPU alone, and it had no more than that to itself ({busy}){one}"
        );
    }
    format!("the work is CPU alone, and it kept {}{one}", busy(winner, cores))
}

/// What a model's places to wait cost.
fn held(figures: &Figures) -> String {
    format!(
        "{}, {} MiB and {} of CPU",
        threads(figures),
        mib(figures.peak_bytes),
        seconds(figures.cpu_s.median)
    )
}

/// What one of the jobs costs.
fn per(summary: &Summary, figures: &Figures) -> String {
    format!(
        "{} of CPU and {} switches",
        seconds(figures.cpu_s.median / summary.size as f64),
        three_digits(switches_each(summary, figures))
    )
}

fn switches_each(summary: &Summary, figures: &Figures) -> f64 {
    (figures.voluntary + figures.involuntary) / summary.size as f64
}

/// Another model beside the winner, unless it is the winner or was not measured.
fn beside(
    summary: &Summary,
    winner: Entry<'_>,
    other: &str,
    tell: impl Fn(&Figures) -> String,
) -> String {
    let figures = summary.figures(other).filter(|_| winner.0.name != other);
    figures.map_or_else(String::new, tell)
}

fn sleepers(summary: &Summary, winner: Entry<'_>) -> String {
    let other = beside(summary, winner, "thread-per-job", |other| {
        format!(", a thread per job {}", held(other))
    });
    format!(
        "a wait needs no core, only a place to wait, and its places cost {}{other}",
        held(winner.1)
    )
}

fn downloads(summary: &Summary, winner: Entry<'_>, cores: usize) -> String {
    let figures = winner.1;
    let other = beside(summary, winner, "thread-per-job", |other| {
        format!("; a thread per job took {}", held(other))
    });
    let each = seconds(figures.cpu_s.median / summary.size as f64);
    if figures.cores_busy > 0.8 * cores as f64 {
        return format!(
            "with so many waiting at once the server's time hides, and the CPU is what is left: \
             {each} a download, {}{other}",
            busy(figures, cores)
        );
    }
    format!(
        "a download is mostly waiting for its server, so what counts is how many wait at once, \
         and what that costs: {}{other}",
        held(figures)
    )
}

fn echo(summary: &Summary, winner: Entry<'_>) -> String {
    let other = beside(summary, winner, "thread-per-job", |other| {
        format!(", a thread per connection {}", per(summary, other))
    });
    let won = per(summary, winner.1);
    format!("a request is microseconds of kernel work: it spent {won} on one{other}")
}

fn kv(summary: &Summary, winner: Entry<'_>) -> String {
    let others = [
        ("coroutines", "; one loop, which has all keys and no lock, "),
        ("loop-per-core", "; a loop per core, which sends for the keys of others, "),
        ("thread-per-job", "; threads, which share the keys behind locks, "),
    ];
    let others = others.map(|(model, text)| {
        beside(summary, winner, model, |other| format!("{text}{}", per(summary, other)))
    });
    format!(
        "a look into a map is little beside the system calls round it: a request cost it {}{}",
        per(summary, winner.1),
        others.concat()
    )
}

/// One hand-over costs what all of them took, for nothing else is done.
fn switches(summary: &Summary, winner: Entry<'_>) -> String {
    let each = |figures: &Figures| {
        let took = figures.wall_s.median / summary.size as f64;
        let took = match took {
            took if took < 1e-6 => format!("{} ns", three_digits(took * 1e9)),
            took => seconds(took),
        };
        let kernel = switches_each(summary, figures);
        let kernel = match kernel {
            few if few < 0.05 => "without the kernel's scheduler".to_owned(),
            many => format!("with {} switches by the kernel", three_digits(many)),
        };
        format!("{took}, {kernel}")
    };
    let others = [
        ("coroutines", "; between tasks of one loop "),
        ("thread-per-job", "; between threads "),
        ("process-per-core", "; between processes "),
    ];
    let others = others.map(|(model, text)| {
        beside(summary, winner, model, |other| format!("{text}{}", each(other)))
    });
    format!("a hand-over took it {}{}", each(winner.1), others.concat())
}

fn thrash(summary: &Summary, winner: Entry<'_>, cores: usize) -> String {
    let figures = winner.1;
    let lock = match winner.0.name {
        SEQUENTIAL | "coroutines" | "tokio" | "monoio" | "glommio" | "compio" => {
            "nobody else runs while it does, so nobody waits for the lock"
        }
        _ => "slices run beside each other, and what the lock guards one after the other",
    };
    let other = beside(summary, winner, "thread-per-job", |other| {
        let more = other.cpu_s.median / figures.cpu_s.median;
        format!(
            "; a thread for each worker made {} switches a slice and took {} times the CPU",
            three_digits(switches_each(summary, other)),
            three_digits(more)
        )
    });
    format!(
        "{lock}: {}, {} switches a slice{other}",
        busy(figures, cores),
        three_digits(switches_each(summary, figures))
    )
}

fn copy(summary: &Summary, winner: &Figures, cores: usize) -> String {
    let one = summary.figures("coroutines");
    let one = one.map_or_else(String::new, |figures| {
        format!(
            "; through the ring on one loop a file costs {} of CPU, with {} at work, since the \
             kernel hands what may block to threads of its own",
            seconds(figures.cpu_s.median / summary.size as f64),
            threads(figures)
        )
    });
    format!(
        "the files are in the page cache, so a copy is system calls and memory: {}, {} a file{one}",
        busy(winner, cores),
        seconds(winner.cpu_s.median / summary.size as f64)
    )
}

fn mixed(summary: &Summary, winner: &Figures, cores: usize) -> String {
    let rate = |figures: &Figures| summary.size as f64 / figures.wall_s.median;
    let one = summary.figures("coroutines").map_or_else(String::new, |figures| {
        format!(
            "; the CPU part blocks a loop while it runs, so that one loop ends at {:.0} requests a \
             second",
            rate(figures)
        )
    });
    format!(
        "it waits for many requests at once and computes with {} ({:.0} requests a second){one}",
        busy(winner, cores),
        rate(winner)
    )
}

#[cfg(test)]
mod tests {
    use super::super::sentence;
    use crate::bench::fixture::{renamed, timed};
    use crate::bench::sample::Report;

    /// A workload in which a loop per core wins.
    fn runs() -> Vec<Report> {
        vec![
            timed("primes", "sequential", 2.0, 0.5),
            timed("primes", "thread-per-job", 1.5, 1.0),
            timed("primes", "coroutines", 1.4, 0.8),
            timed("primes", "loop-per-core", 1.0, 0.9),
        ]
    }

    #[test]
    fn every_workload_has_a_reason_of_its_own() {
        let workloads = [
            "primes",
            "sleepers",
            "downloads",
            "echo",
            "kv",
            "copy",
            "mixed",
            "switches",
            "thrash",
            "something",
        ];
        let mut reasons = Vec::new();
        for workload in workloads {
            let text = sentence(&renamed(workload, &runs(), 9), 2);
            assert!(text.starts_with("A loop per core won in"), "{text}");
            assert!(text.ends_with('.') && !text.contains("NaN"), "{text}");
            reasons.push(text.split_once("): ").expect("a reason").1.to_owned());
        }
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), workloads.len(), "{reasons:#?}");
    }

    #[test]
    fn a_hand_over_is_told_with_who_makes_it() {
        let mut tasks = timed("primes", "coroutines", 0.000_008, 0.000_008);
        (tasks.voluntary, tasks.involuntary) = (2, 0);
        let mut threads = timed("primes", "thread-per-job", 0.0004, 0.0003);
        (threads.voluntary, threads.involuntary) = (100, 1);
        let text = sentence(&renamed("switches", &[tasks, threads], 9), 2);
        assert!(text.contains("a hand-over took it 86.4 ns, without the kernel"), "{text}");
        assert!(text.contains("between threads 4.32 µs, with 1.01 switches by the"), "{text}");
    }

    #[test]
    fn downloads_that_fill_the_cores_are_told_apart_from_those_that_wait() {
        let busy =
            [timed("primes", "sequential", 2.0, 0.5), timed("primes", "loop-per-core", 1.0, 1.9)];
        let text = sentence(&renamed("downloads", &busy, 9), 2);
        assert!(text.contains("the server's time hides") && text.contains("1.8 of 2"), "{text}");
        let text = sentence(&renamed("downloads", &runs(), 9), 2);
        assert!(text.contains("mostly waiting for its server"), "{text}");
        assert!(text.contains("; a thread per job took one thread"), "{text}");
    }

    #[test]
    fn one_that_runs_alone_waits_for_no_lock() {
        let mut runs = runs();
        runs[0].wall_ns = 500_000_000;
        let text = sentence(&renamed("thrash", &runs, 9), 2);
        assert!(text.starts_with("One thread in sequence won"), "{text}");
        assert!(text.contains("nobody waits for the lock"), "{text}");
        assert!(text.contains("2.00 times the CPU"), "{text}");
        let text = sentence(&renamed("primes", &runs, 9), 2);
        assert!(text.contains("too short"), "elsewhere that needs another reason: {text}");
    }
}
