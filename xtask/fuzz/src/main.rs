//! The program that `cargo xtask fuzz` builds and runs: one of the crates' targets, which the
//! variable `FUZZ_TARGET` names, under libFuzzer. What a target does with its bytes is in the
//! module `fuzzing` of its crate.

#![cfg_attr(fuzz, no_main)]

#[cfg(fuzz)]
mod feed {
    //! Between libFuzzer and the target.

    use std::sync::OnceLock;

    type Target = fn(&[u8]);

    static TARGET: OnceLock<Target> = OnceLock::new();

    fn targets() -> impl Iterator<Item = (&'static str, Target)> {
        let all = [pool::fuzzing::TARGETS, tls::fuzzing::TARGETS, uring_loop::fuzzing::TARGETS];
        all.into_iter().flatten().copied()
    }

    fn named() -> Target {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        match targets().find(|(target, _)| *target == name) {
            Some((_, target)) => target,
            None => {
                let names: Vec<_> = targets().map(|(name, _)| name).collect();
                eprintln!("FUZZ_TARGET={name:?} is no target: there are {}", names.join(", "));
                std::process::exit(2);
            }
        }
    }

    libfuzzer_sys::fuzz_target!(init: { TARGET.get_or_init(named) }, |bytes: &[u8]| {
        TARGET.get_or_init(named)(bytes);
    });
}

#[cfg(not(fuzz))]
fn main() -> std::process::ExitCode {
    eprintln!("built without libFuzzer: it is `cargo xtask fuzz` that builds and runs this");
    std::process::ExitCode::from(2)
}
