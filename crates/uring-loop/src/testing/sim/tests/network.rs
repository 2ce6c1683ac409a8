//! The network by itself, under any order of calls: nothing is lost, doubled or mixed up.

use proptest::collection::vec;
use proptest::prelude::*;

use super::rig::local;
use crate::testing::sim::network::{Dial, Network};

#[derive(Clone, Debug)]
enum Step {
    Send(usize, Vec<u8>),
    Receive(usize, usize),
    Shutdown(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2usize, vec(any::<u8>(), 0..20)).prop_map(|(e, b)| Step::Send(e, b)),
        4 => (0..2usize, 1..20usize).prop_map(|(end, most)| Step::Receive(end, most)),
        1 => (0..2usize).prop_map(Step::Shutdown),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn every_byte_arrives_once_and_in_order(steps in steps(), room in 1..32usize) {
        let mut network = Network::new(room, 4);
        let listener = network.listen(local(80)).expect("a free port");
        let client = network.create();
        prop_assert_eq!(network.connect(client, local(80)), Dial::Established);
        let ends = [client, network.accept(listener).expect("it waits")];
        let (mut sent, mut received) = ([vec![], vec![]], [vec![], vec![]]);
        let mut shut = [false; 2];
        for step in steps {
            match step {
                Step::Send(end, bytes) => {
                    prop_assert!(network.writable(ends[end]) || !shut[end]);
                    match network.send(ends[end], &bytes, false) {
                        Ok(count) => sent[end].extend_from_slice(&bytes[..count]),
                        Err(libc::EPIPE) => prop_assert!(shut[end]),
                        Err(errno) => {
                            prop_assert_eq!(errno, libc::EAGAIN);
                            prop_assert!(!network.writable(ends[end]));
                        }
                    }
                }
                Step::Receive(end, most) => match network.receive(ends[end], most, false) {
                    Ok((bytes, _)) if bytes.is_empty() => prop_assert!(shut[1 - end]),
                    Ok((bytes, _)) => received[end].extend(bytes),
                    Err(errno) => {
                        prop_assert_eq!(errno, libc::EAGAIN);
                        prop_assert!(!network.readable(ends[end]));
                    }
                },
                Step::Shutdown(end) => {
                    network.shutdown(ends[end], libc::SHUT_WR).expect("it is connected");
                    shut[end] = true;
                }
            }
            for end in 0..2 {
                prop_assert!(sent[end].starts_with(&received[1 - end]));
                prop_assert!(sent[end].len() - received[1 - end].len() <= room);
            }
        }
    }
}
