//! What kernel a program runs on, and how its loop ends.

use super::super::bytes::Bytes;
use crate::testing::{Faults, SimConfig};
use crate::{Builder, EventLoop};

/// What becomes of the loop when the program is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ending {
    /// What was begun comes to its end.
    Rest,
    /// The loop is dropped with all that is under way.
    Drop,
    /// All tasks are cancelled first, as `run` does it.
    Finish,
}

pub(super) fn choose(input: &mut Bytes<'_>) -> (Builder, SimConfig, Ending) {
    let builder = EventLoop::builder()
        .buffers(input.pick(&[2, 8, 64]), input.pick(&[64, 256, 4096]))
        .eager_tasks(input.flag());
    let config = SimConfig {
        seed: input.byte().into(),
        submissions: input.pick(&[256, 4, 16]),
        completions: input.pick(&[1024, 8, 64]),
        work_per_pass: input.pick(&[20, 1, 5]),
        send_buffer: input.pick(&[4096, 64 << 10]),
        file_turns: input.below(6) as u32,
        connect_turns: input.below(4) as u32,
        zero_copy: input.flag(),
        ..SimConfig::default()
    };
    (builder, config, input.pick(&[Ending::Rest, Ending::Drop, Ending::Rest, Ending::Finish]))
}

/// How often things go wrong by themselves.
pub(super) fn faults(input: &mut Bytes<'_>) -> Faults {
    match input.below(4) {
        0 => Faults::none(),
        1 => Faults::chaos().accept_no_descriptor(0.0).accept_aborted(0.0),
        2 => Faults::none().lose_cancel(0.5).delay(0.3, 4).reorder(0.5).latency(0, 50_000),
        _ => {
            let often = |byte: u8| f64::from(byte) / 1024.0;
            Faults::none()
                .short(often(input.byte()))
                .again(often(input.byte()))
                .no_buffers(often(input.byte()))
                .end_multishot(often(input.byte()))
                .enter_again(often(input.byte()))
                .enter_busy(often(input.byte()))
                .partial_submit(often(input.byte()))
                .scribble(often(input.byte()))
        }
    }
}
