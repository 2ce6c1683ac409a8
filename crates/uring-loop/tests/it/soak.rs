//! A short run of the example `soak`, which is there to run for long: what it asserts is in
//! `examples/soak/rounds.rs`.

use std::time::Duration;

use crate::soak_rounds::soak;
use crate::support::in_child;

#[test]
fn on_this_kernel_nothing_is_left() {
    in_child("soak::on_this_kernel_nothing_is_left", || {
        // AddressSanitizer keeps what is freed for a while.
        let level = std::env::var_os("ASAN_OPTIONS").is_none();
        let soaked = soak(1, Duration::from_secs(3), level);
        println!("{} rounds: {}", soaked.rounds, soaked.statistics);
        println!("{} KiB when warm, {} at the end", soaked.warm >> 10, soaked.end >> 10);
    });
}
