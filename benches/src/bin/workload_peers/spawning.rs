//! What runtimes spawn, once for all of them.
//!
//! [`Runtime`](benches::foreign::peer::Runtime) has a method for each future, for only in the
//! runtime's own type does the compiler know whether it can move to another thread, as tokio asks.
//! Each runtime hands all of them to the same two functions, which it names here.

/// The methods of a [`Runtime`](benches::foreign::peer::Runtime) that spawn. `$joined` gives what
/// waits for the end of the task; `$alone` leaves it alone.
macro_rules! spawns {
    (joined: $joined:path, alone: $alone:path) => {
        fn lane(
            queue: benches::foreign::peer::Queue,
        ) -> impl Future<Output = benches::foreign::peer::Results> {
            $joined(benches::foreign::peer::lane::<Self>(queue))
        }

        fn connection(
            stream: Self::Stream,
            service: benches::workloads::service::Service,
            keys: Self::Keys,
        ) -> impl Future<Output = anyhow::Result<()>> {
            $joined(benches::foreign::peer::connection::<Self>(stream, service, keys))
        }

        fn slices(
            share: Vec<benches::workloads::thrash::Slice>,
            ledger: benches::foreign::costs::Shared,
        ) -> impl Future<Output = anyhow::Result<Vec<std::time::Duration>>> {
            $joined(benches::foreign::costs::work_off(share, ledger))
        }

        fn turns(
            table: std::sync::Arc<benches::foreign::costs::Table>,
            side: usize,
            rounds: u32,
        ) -> impl Future<Output = anyhow::Result<Vec<benches::workloads::switches::Lap>>> {
            $joined(benches::foreign::costs::take_turns(table, side, rounds))
        }

        fn sleeper(
            moment: std::time::Instant,
            night: std::sync::Arc<benches::foreign::costs::Night>,
        ) {
            $alone(benches::foreign::costs::sleep_until::<Self>(moment, night));
        }

        fn idler() {
            $alone(benches::foreign::costs::sleep_long::<Self>());
        }
    };
}

pub(crate) use spawns;
