//! What the kernel grants a ring: the rung of the set-up ladder, and why each higher one was
//! refused. Found out by trying, in the library.

use std::io;

use uring_loop::{EventLoop, Examination, Refused, RingKind, Rung};

use super::report::{Group, Row};

pub(super) fn group() -> Group {
    let mut rows = match uring_loop::examine() {
        Ok(examination) => granted(&examination),
        Err(error) => vec![refused(&error)],
    };
    rows.push(used());
    Group { title: "ring", rows }
}

/// Which ring a loop gets, with everything that decides it here.
fn used() -> Row {
    let built = EventLoop::new();
    match built.map(|event_loop| event_loop.statistics().ring) {
        Ok(RingKind::Kernel) => Row::new("in use", "the kernel's io_uring"),
        Ok(RingKind::Soft) => Row::new("in use", "the soft ring: epoll and helper threads"),
        Ok(other) => Row::new("in use", format!("{other:?}")),
        Err(error) => Row::new("in use", "none").blocks(
            format!("no loop can run: {error}"),
            "see above; URING_LOOP_RING=kernel insists on io_uring, auto or soft does not",
        ),
    }
}

fn refused(error: &io::Error) -> Row {
    let refusal = error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>());
    let row = Row::new("set-up ladder", "refused");
    match refusal {
        Some(refusal) if refusal.leaves_soft_ring() => row.costs(
            format!(
                "loops run on the soft ring, at a system call per operation: {} refused, \
                 because {}",
                refusal.what, refusal.cause
            ),
            refusal.fix.clone(),
        ),
        Some(refusal) => row.blocks(
            format!("no loop can run: {} refused, because {}", refusal.what, refusal.cause),
            refusal.fix.clone(),
        ),
        None => row.blocks(format!("no loop can run: {error}"), "see io_uring_setup(2)"),
    }
}

fn granted(examination: &Examination) -> Vec<Row> {
    let setup = &examination.setup;
    let sizes = format!("{} submissions, {} completions", setup.submissions, setup.completions);
    vec![
        rung(setup.rung, &setup.refused),
        Row::new("queues", sizes),
        feature(
            "registered ring",
            setup.registered_descriptor,
            "a descriptor look-up per enter",
            "use Linux 5.18 or later",
        ),
        feature(
            "absolute deadlines",
            setup.absolute_deadlines,
            "a reading of the clock per wait",
            "use Linux 6.12 or later",
        ),
        feature(
            "bounded workers",
            setup.bounded_workers,
            "kernel threads of blocked operations may run on any core, in any number",
            "use Linux 5.15 or later",
        ),
        opcodes(&examination.missing),
    ]
}

fn rung(rung: Rung, refused: &[(Rung, String)]) -> Row {
    let row = Row::new("set-up ladder", rung.to_string());
    let Some((better, why)) = refused.first() else { return row };
    let costs = match rung {
        Rung::CoopTaskrun => "completions interrupt the tasks: up to a third of the throughput",
        _ => "an indirection per submission",
    };
    row.costs(format!("{costs}; {better} was refused: {why}"), "use Linux 6.6 or later")
}

fn feature(name: &'static str, there: bool, costs: &str, fix: &str) -> Row {
    match there {
        true => Row::new(name, "yes"),
        false => Row::new(name, "no").costs(costs, fix),
    }
}

fn opcodes(missing: &[&str]) -> Row {
    match missing {
        [] => Row::new("operations", "all there"),
        missing => Row::new("operations", format!("lacks {}", missing.join(", ")))
            .costs("what uses them answers EINVAL", "use Linux 6.1 or later"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_blocks_and_says_how_to_mend_it() {
        let refusal = io::Error::other("no reason given");
        let row = refused(&refusal);
        let finding = row.finding.expect("it is a finding");
        assert!(finding.costs.contains("no reason given"));
    }

    #[test]
    fn a_lower_rung_costs_and_names_the_higher() {
        let row = rung(Rung::CoopTaskrun, &[(Rung::NoSqarray, "Invalid argument".into())]);
        let finding = row.finding.expect("it is a finding");
        assert!(finding.costs.contains("NO_SQARRAY"));
        assert!(rung(Rung::NoSqarray, &[]).finding.is_none());
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(opcodes(&["SEND_ZC"]).value.contains("SEND_ZC"));
        assert!(opcodes(&[]).finding.is_none());
    }
}
