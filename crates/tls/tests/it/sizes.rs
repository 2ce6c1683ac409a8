//! Random sizes, pieces and room, in both directions at once, against a model that is two vectors.

use std::rc::Rc;

use proptest::prelude::*;
use uring_loop::io::{ByteStream, ByteStreamExt as _, duplex};
use uring_loop::{join, yield_now};

use crate::support::{ends, pattern, read_to_end, run, shaken};

/// What one side does in a row.
#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Flush,
    Yield,
    UpdateKeys,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![0..40_usize, 0..3000_usize, 16_300..16_500_usize, 0..70_000_usize]
            .prop_map(Step::Send),
        1 => Just(Step::Flush),
        2 => Just(Step::Yield),
        1 => Just(Step::UpdateKeys),
    ]
}

async fn play(stream: &tls::TlsStream<impl ByteStream + 'static>, steps: &[Step]) -> Vec<u8> {
    let mut sent = Vec::new();
    for (round, step) in steps.iter().enumerate() {
        match step {
            Step::Send(length) => {
                let bytes = pattern(*length, round);
                sent.extend_from_slice(&bytes);
                stream.send(bytes).await.expect("open");
            }
            Step::Flush => stream.flush().await.expect("open"),
            Step::Yield => yield_now().await,
            Step::UpdateKeys => stream.update_keys().expect("TLS 1.3"),
        }
    }
    stream.write_eof().await.expect("open");
    sent
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_arrives(
        there in prop::collection::vec(step(), 0..12),
        back in prop::collection::vec(step(), 0..12),
        room in prop_oneof![1..100_usize, 1..100_000_usize],
    ) {
        run(async {
            let (client, server) = shaken(&ends(), duplex(room)).await;
            let (client, server) = (Rc::new(client), Rc::new(server));
            let (sent, answered, at_server, at_client) = join((
                play(&client, &there),
                play(&server, &back),
                read_to_end(&server),
                read_to_end(&client),
            ))
            .await;
            assert!(at_server.expect("an orderly end") == sent, "mangled on the way there");
            assert!(at_client.expect("an orderly end") == answered, "mangled on the way back");
        });
    }
}
