//! What `cargo xtask fuzz` feeds with bytes: readers of what comes from outside, beside a model of
//! each, and programs of operations on a simulated kernel.
//!
//! A target takes any bytes and panics if something is wrong. Its seeds are the files of the
//! folder `fuzz/TARGET` of this crate; the tests here run them too, and random changes of them, so
//! that an input that has found a fault once is looked at for good. This module is not compiled
//! otherwise.

mod bytes;
mod lines;
mod operations;
mod parsers;
mod streams;

/// Something that can be fed, and its name.
pub type Target = (&'static str, fn(&[u8]));

/// What can be fed.
pub const TARGETS: &[Target] = &[
    ("addresses", parsers::addresses),
    ("control-data", parsers::control_data),
    ("datagrams", parsers::datagrams),
    ("lines", lines::run),
    ("operations", operations::run),
    ("streams", streams::run),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Runs every seed of a target, and this many changes of each.
    fn seeds(name: &str, changes: u64) {
        let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).expect("in the table");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name);
        let mut files: Vec<_> = fs::read_dir(&folder).expect("it has seeds").collect();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        files.sort_by_key(|file| file.as_ref().expect("readable").file_name());
        for file in files {
            let path = file.expect("readable").path();
            let seed = fs::read(&path).expect("readable");
            println!("{}", path.display());
            target(&seed);
            for number in 0..changes {
                let changed = changed(&seed, number);
                println!("changed: {changed:?}");
                target(&changed);
            }
        }
    }

    /// A few bytes set, left out or put in (splitmix64: Steele, Lea and Flood, 2014).
    fn changed(seed: &[u8], number: u64) -> Vec<u8> {
        let mut state = number.wrapping_add(seed.len() as u64) << 20;
        let mut draw = |end: usize| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
        };
        let mut bytes = seed.to_vec();
        for _ in 0..=draw(4) {
            let (at, byte) = (draw(bytes.len() + 1), draw(256) as u8);
            match draw(3) {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                _ if at < bytes.len() => bytes[at] = byte,
                _ => bytes.push(byte),
            }
        }
        bytes
    }

    #[test]
    fn seeds_of_addresses() {
        seeds("addresses", 200);
    }

    #[test]
    fn seeds_of_control_data() {
        seeds("control-data", 200);
    }

    #[test]
    fn seeds_of_datagrams() {
        seeds("datagrams", 200);
    }

    #[test]
    fn seeds_of_lines() {
        seeds("lines", 5);
    }

    #[test]
    fn seeds_of_operations() {
        seeds("operations", 5);
    }

    #[test]
    fn seeds_of_streams() {
        seeds("streams", 5);
    }

    #[test]
    fn every_target_has_seeds_and_every_seed_a_target() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let there = fs::read_dir(folder).expect("readable");
        let there: BTreeSet<_> =
            there.map(|entry| entry.expect("readable").file_name().into_string()).collect();
        let names = TARGETS.iter().map(|(name, _)| Ok((*name).to_owned())).collect();
        assert_eq!(there, names);
    }
}
