//! The examples: the golden output of `primes`, with every flag, and numbers that are hard to
//! check; what `misfits` and `checksums` say.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

crate::tests![
    primes_prints_the_golden_lines,
    primes_knows_large_primes_and_semiprimes,
    primes_refuses_unknown_flags,
    primes_counts_with_progress,
    misfits_cost_themselves_only,
    checksums_are_those_of_gzip,
];

const GOLDEN: &str = include_str!("../data/s000_primes.txt");

/// The program, built by cargo beside this one: built again now, for cargo does so by itself only
/// when all targets are tested.
fn program(name: &str) -> PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    let folder = PROGRAMS.get_or_init(|| {
        let exe = std::env::current_exe().unwrap();
        let profile = exe.parent().unwrap().parent().unwrap();
        if let Some(cargo) = std::env::var_os("CARGO") {
            let mut cargo = Command::new(cargo);
            cargo.args(["build", "--quiet", "--package", "pool", "--examples"]);
            cargo.arg("--target-dir").arg(profile.parent().unwrap());
            if profile.ends_with("release") {
                cargo.arg("--release");
            }
            assert!(cargo.status().unwrap().success());
        }
        profile.join("examples")
    });
    folder.join(name)
}

fn primes(args: &[&str]) -> Output {
    Command::new(program("primes")).args(args).output().unwrap()
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

fn primes_counts_with_progress() {
    for flag in ["--threads", "--processes=2"] {
        let mut args: Vec<&str> = flag.split('=').collect();
        args.extend(["--upto", "100000"]);
        let output = primes(&args);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "9592 primes up to 100000\n");
        assert!(String::from_utf8(output.stderr).unwrap().contains("\r100 % of 100000 numbers"));
    }
}

fn misfits_cost_themselves_only() {
    let output = Command::new(program("misfits")).arg("3000").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    for line in [
        "was ended by signal 11 (SIGSEGV) while it ran segfaults",
        "was ended by signal 6 (SIGABRT) while it ran aborts",
        "while it ran leaks",
        "job never returns ran longer than",
        "panics: on purpose",
        "job is killed was killed",
        "3000 of 3000 other jobs finished with the right answer",
        "5 workers died",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
}

fn checksums_are_those_of_gzip() {
    let folder = std::env::temp_dir().join(format!("pool-checksums-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    // The check value of CRC-32, and nothing.
    std::fs::write(folder.join("digits"), "123456789").unwrap();
    std::fs::write(folder.join("empty"), "").unwrap();
    std::fs::create_dir(folder.join("not a file")).unwrap();
    let output = Command::new(program("checksums")).arg(&folder).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let path = folder.display();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(said, format!("cbf43926  {path}/digits\n00000000  {path}/empty\n"));
}
