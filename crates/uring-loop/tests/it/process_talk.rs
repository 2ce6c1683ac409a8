//! Talking with children, by chance: sizes, chunks, faults.

use std::time::Duration;

use proptest::prelude::*;
use uring_loop::op::opcode;
use uring_loop::process::{Command, Stdio};
use uring_loop::run;
use uring_loop::testing::{Faults, SimConfig};
use uring_loop::time::timeout;

use crate::support::{on_sim_with, small};

/// A child that copies what it reads in pieces of `piece` bytes, up to `most` bytes, to stdout, and
/// to stderr too if `twice`.
fn copier(piece: usize, most: Option<usize>, twice: bool) -> Command {
    let count = most.map_or(String::new(), |most| format!("| head -c {most}"));
    let tail = if twice { "| tee /dev/stderr" } else { "" };
    let mut command = Command::shell(format!("dd bs={piece} status=none {count} {tail}"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn input(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 13 + at / 997) as u8).collect()
}

/// What a child like that has to say.
fn check(output: &std::process::Output, input: &[u8], most: Option<usize>, twice: bool) {
    let expected = &input[..most.unwrap_or(input.len()).min(input.len())];
    assert!(output.stdout == expected, "{} of {} bytes", output.stdout.len(), expected.len());
    // The shell may complain about a broken pipe of its own.
    if most.is_none() {
        assert!(output.stderr == if twice { expected } else { b"" });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_goes_in_comes_out(
        length in 0usize..400_000,
        piece in prop_oneof![64usize..600, 4000usize..70_000],
        most in prop::option::weighted(0.3, 1usize..100_000),
        twice in any::<bool>(),
        old in any::<bool>(),
    ) {
        let lacks: &[u8] = if old { &[opcode::READ_MULTISHOT, opcode::WAITID] } else { &[] };
        let mut event_loop = small().without(lacks).build().expect("a ring");
        let input = input(length);
        let output = event_loop.run_until_complete(async {
            let mut child = copier(piece, most, twice).spawn().expect("a shell");
            let talk = child.communicate(input.clone());
            timeout(Duration::from_secs(60), talk).await.expect("no deadlock")
        });
        let output = output.expect("not cancelled").expect("it copies");
        check(&output, &input, most, twice);
    }

    /// Its pipes are real, the ring is not, and nothing in it goes as it should.
    #[test]
    fn whatever_goes_wrong_on_the_way(
        seed in any::<u64>(),
        length in 0usize..30_000,
        piece in 64usize..9000,
        twice in any::<bool>(),
        old in any::<bool>(),
    ) {
        let lacks: &[u8] = if old { &[opcode::READ_MULTISHOT, opcode::WAITID] } else { &[] };
        let config = SimConfig { faults: Faults::chaos(), ..SimConfig::seeded(seed) };
        let input = input(length);
        let sent = input.clone();
        let (output, _) = on_sim_with(small().without(lacks), config, |_| async move {
            let mut child = copier(piece, None, twice).spawn().expect("a shell");
            child.communicate(sent).await.expect("it copies")
        });
        check(&output, &input, None, twice);
    }
}

#[test]
fn output_is_complete_when_the_child_ends_before_it_is_read() {
    run(async {
        for _ in 0..50 {
            let mut child =
                Command::new("seq").arg("500").stdout(Stdio::piped()).spawn().expect("is there");
            assert!(child.wait().await.expect("our child").success());
            let output = child.communicate("").await.expect("its pipe is still there");
            assert_eq!(output.stdout.split(|byte| *byte == b'\n').count(), 501);
        }
    })
    .expect("a ring");
}
