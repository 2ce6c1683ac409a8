//! The examples: the golden output of `primes`, with every flag, and numbers that are hard to
//! check; what `misfits`, `checksums` and `gzip_folder` say and write.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

crate::tests![
    primes_prints_the_golden_lines,
    primes_knows_large_primes_and_semiprimes,
    primes_refuses_unknown_flags,
    primes_counts_with_progress,
    misfits_cost_themselves_only,
    checksums_are_those_of_gzip,
    compressed_files_are_good_for_gzip,
    what_cannot_be_compressed_is_named,
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
        args.extend(["--upto", "1000000"]);
        let output = primes(&args);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "78498 primes up to 1000000\n");
        let shown = String::from_utf8(output.stderr).unwrap();
        assert!(shown.contains("\r100 % of 1000000 numbers"), "{shown}");
        // In between, too.
        assert!(shown.matches('\r').count() > 20, "{shown}");
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

/// A folder with files of many kinds, and their names.
struct Folder {
    path: PathBuf,
    names: Vec<&'static str>,
}

impl Folder {
    fn with_files(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("pool-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        let lines: String = (0..150_000).map(|n| format!("line {n} of some text\n")).collect();
        let mut state = 1u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        });
        // Several blocks, nothing, a whole one, and what only grows when it is compressed.
        fs::write(path.join("text"), lines).unwrap();
        fs::write(path.join("empty"), "").unwrap();
        fs::write(path.join("block of zeros"), vec![0; 1 << 20]).unwrap();
        fs::write(path.join("noise"), noise.take(1_500_000).collect::<Vec<u8>>()).unwrap();
        fs::create_dir(path.join("not a file")).unwrap();
        Folder { path, names: vec!["block of zeros", "empty", "noise", "text"] }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn gzip(flag: &str, file: &Path) -> Vec<u8> {
    let output = Command::new("gzip").arg(flag).arg(file).output().unwrap();
    assert!(output.status.success(), "gzip {flag} {}: {output:?}", file.display());
    output.stdout
}

fn checksums_are_those_of_gzip() {
    let folder = Folder::with_files("checksums");
    // The check value of CRC-32.
    fs::write(folder.path.join("digits"), "123456789").unwrap();
    let output = Command::new(program("checksums")).arg(&folder.path).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&format!("cbf43926  {}/digits\n", folder.path.display())), "{said}");
    for name in &folder.names {
        let file = folder.path.join(name);
        // The last eight bytes of a gzip file are this sum and a length, least byte first.
        let packed = gzip("-c", &file);
        let sum: [u8; 4] = packed[packed.len() - 8..][..4].try_into().unwrap();
        let line = format!("{:08x}  {}\n", u32::from_le_bytes(sum), file.display());
        assert!(said.contains(&line), "{line} is not in {said}");
    }
    assert_eq!(said.lines().count(), folder.names.len() + 1);
}

fn compressed_files_are_good_for_gzip() {
    let folder = Folder::with_files("gzip");
    let packed = folder.path.join("deep/packed");
    let mut command = Command::new(program("gzip_folder"));
    let output = command.arg(&folder.path).arg(&packed).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    for name in &folder.names {
        let (plain, packed) = (folder.path.join(name), packed.join(format!("{name}.gz")));
        gzip("-t", &packed);
        assert!(gzip("-dc", &packed) == fs::read(&plain).unwrap(), "{name} is another");
    }
    let size = |path: PathBuf| fs::metadata(path).unwrap().len();
    assert!(size(packed.join("text.gz")) * 3 < size(folder.path.join("text")));
    assert_eq!(fs::read_dir(&packed).unwrap().count(), folder.names.len());
}

fn what_cannot_be_compressed_is_named() {
    let folder = Folder::with_files("refused");
    // It opens, and has nothing to read at its begin.
    std::os::unix::fs::symlink("/proc/self/mem", folder.path.join("memory")).unwrap();
    let packed = folder.path.join("packed");
    let cases = [
        (Path::new("/nowhere"), packed.as_path(), "gzip_folder: /nowhere: "),
        (&folder.path, Path::new("/proc/nowhere"), "gzip_folder: /proc/nowhere: "),
        (&folder.path, &packed, "/memory: Input/output error"),
    ];
    for (from, to, expected) in cases {
        let output = Command::new(program("gzip_folder")).args([from, to]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(expected), "{expected}: {said}");
    }
}
