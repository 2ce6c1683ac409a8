//! What differs between two runs beside the program: the machine, its load, how it was built.

use crate::bench::record::{Environment, Record};

/// Above this load for each core, a run had company.
const BUSY: f64 = 0.4;

/// Something that an environment says of itself.
type Fact = fn(&Environment) -> String;

/// All that makes the comparison worth less.
pub(super) fn differences(a: &Record, b: &Record) -> Vec<String> {
    let (of_a, of_b) = (&a.environment, &b.environment);
    let facts: [(&str, Fact); 5] = [
        ("processors", |of| of.processor.clone()),
        ("numbers of cores", |of| of.cores().to_string()),
        ("kernels", |of| of.kernel.clone()),
        ("frequency governors", |of| of.governor.clone()),
        ("compilers", |of| of.rustc.clone()),
    ];
    let mut differences = Vec::new();
    for (what, of) in facts {
        let (in_a, in_b) = (of(of_a), of(of_b));
        if in_a != in_b {
            differences.push(format!("the {what} differ: {in_a} in A, {in_b} in B"));
        }
    }
    if a.quick != b.quick {
        differences.push(format!(
            "{} was taken with --quick, the other without: most sizes differ",
            if a.quick { "A" } else { "B" }
        ));
    }
    for (name, record) in [("A", a), ("B", b)] {
        differences.extend(of_one(name, record));
    }
    differences
}

fn of_one(name: &str, record: &Record) -> Vec<String> {
    let environment = &record.environment;
    let mut differences = Vec::new();
    if environment.commit.ends_with("-dirty") {
        differences.push(format!("{name} was built with changes that no commit has"));
    }
    if environment.debug {
        differences.push(format!("{name} was built for debugging: its figures mean nothing"));
    }
    let (load, cores) = (environment.load_now(), environment.cores());
    if load.is_some_and(|load| load > BUSY * cores as f64) {
        let load = &environment.load;
        differences.push(format!("the machine was busy before {name} (load {load})"));
    }
    let others = record.warnings.iter().map(|warning| &warning.what);
    let others = others.filter(|what| what.contains("during the runs"));
    differences.extend(others.map(|what| format!("in {name} {what}")));
    differences
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;
    use crate::bench::warn::Warning;

    #[test]
    fn two_runs_of_one_place_do_not_differ() {
        let one = record(&[], 9);
        assert_eq!(differences(&one, &one.clone()), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_told() {
        let (a, mut b) = (record(&[], 9), record(&[], 9));
        b.quick = true;
        b.environment.kernel = "6.1".into();
        b.environment.allowed_cores = vec![0];
        b.environment.commit = "abc-dirty".into();
        b.environment.load = "3.00 1.00 1.00".into();
        b.warnings.push(Warning::new("other programs used 30 % during the runs: bad", "x"));
        let text = differences(&a, &b).join("\n");
        for words in [
            "kernels differ: 6.18 in A, 6.1 in B",
            "numbers of cores differ: 2 in A, 1 in B",
            "B was taken with --quick",
            "B was built with changes that no commit has",
            "busy before B (load 3.00",
            "in B other programs used 30 %",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
