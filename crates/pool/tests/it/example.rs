//! The example `primes`: its golden output, with every flag, and numbers that are hard to check.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

crate::tests![
    primes_prints_the_golden_lines,
    primes_knows_large_primes_and_semiprimes,
    primes_refuses_unknown_flags,
];

const GOLDEN: &str = include_str!("../data/s000_primes.txt");

/// The program, built by cargo beside this one: built again now, for cargo does so by itself only
/// when all targets are tested.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let exe = std::env::current_exe().unwrap();
        let profile = exe.parent().unwrap().parent().unwrap();
        if let Some(cargo) = std::env::var_os("CARGO") {
            let mut cargo = Command::new(cargo);
            cargo.args(["build", "--quiet", "--package", "pool", "--example", "primes"]);
            cargo.arg("--target-dir").arg(profile.parent().unwrap());
            if profile.ends_with("release") {
                cargo.arg("--release");
            }
            assert!(cargo.status().unwrap().success());
        }
        profile.join("examples/primes")
    })
}

fn primes(args: &[&str]) -> Output {
    Command::new(program()).args(args).output().unwrap()
}

fn lines(args: &[&str]) -> String {
    let output = primes(args);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn primes_prints_the_golden_lines() {
    assert_eq!(GOLDEN.lines().count(), 5);
    assert_eq!(lines(&[]), GOLDEN);
    assert_eq!(lines(&["--threads"]), GOLDEN);
    assert_eq!(lines(&["--processes", "1"]), GOLDEN);
    assert_eq!(lines(&["--processes", "3"]), GOLDEN);
}

fn primes_knows_large_primes_and_semiprimes() {
    // The first and last primes of 14 and of 15 digits, and four from between.
    let primes: [u64; 8] = [
        10_000_000_000_037,
        99_999_999_999_973,
        100_000_000_000_031,
        999_999_999_999_989,
        112_272_535_095_293,
        112_582_705_942_171,
        115_280_095_190_773,
        115_797_848_077_099,
    ];
    // Products of two large primes, the square of one among them: no small divisor gives them away.
    let semiprimes: [u64; 3] =
        [9_999_991 * 9_999_973, 9_999_991 * 9_999_991, 99_999_989 * 9_999_991];
    let mut expected = String::new();
    let mut numbers = Vec::new();
    for (list, answer) in [(&primes[..], "True"), (&semiprimes[..], "False"), (&[2, 3], "True")] {
        for number in list {
            numbers.push(number.to_string());
            expected.push_str(&format!("{number} is prime: {answer}\n"));
        }
    }
    expected.push_str("0 is prime: False\n1 is prime: False\n9 is prime: False\n");
    numbers.extend(["0", "1", "9"].map(str::to_owned));
    for flag in ["--threads", "--processes=2"] {
        let mut args: Vec<&str> = flag.split('=').collect();
        args.extend(numbers.iter().map(String::as_str));
        assert_eq!(lines(&args), expected);
    }
}

fn primes_refuses_unknown_flags() {
    let output = primes(&["--fibers"]);
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("usage: primes"));
}
