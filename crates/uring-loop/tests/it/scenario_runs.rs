//! The programs of `cargo xtask sim`, each on a few simulated kernels and once on this machine's.

use crate::scenarios::{ALL, rig};

fn on_both(name: &str) {
    let scenario = ALL.iter().find(|scenario| scenario.name == name).expect("in the list");
    println!("{name}: {}", scenario.about);
    for seed in 1..4 {
        println!("seed {seed}");
        rig::on_sim(scenario, seed);
    }
    println!("the kernel");
    rig::on_kernel(scenario, 1);
}

macro_rules! scenarios {
    ($($test:ident $name:literal)*) => {
        $(#[test]
        fn $test() {
            on_both($name);
        })*

        #[test]
        fn every_scenario_is_a_test() {
            let names: Vec<_> = ALL.iter().map(|scenario| scenario.name).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

scenarios! {
    many_clients_of_an_echo_server "echo"
    directions_that_end_by_themselves "half-close"
    files_on_a_bad_disk "files"
    descriptors_that_travel "unix"
    datagrams_and_receives_that_are_given_up "udp"
    names_with_dead_addresses "connect"
    pipes_of_which_either_end_goes_first "pipes"
    protocols_that_are_called_in_order "protocols"
    groups_that_fail_or_run_out_of_time "groups"
    everything_at_once "everything"
    a_loop_dropped_in_the_middle "drop"
    a_loop_ended_in_the_middle "finish"
}
