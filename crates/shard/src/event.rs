//! What happens to shards that somebody should hear of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Something that happened to a shard; for [`Builder::observe`](crate::Builder::observe).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It panicked, and is started again after a pause.
    Restarting {
        /// Its index.
        shard: usize,
        /// What the panic said.
        message: String,
        /// The pause.
        pause: Duration,
    },
    /// Its process has died, and another is started after a pause.
    Died {
        /// Its index.
        shard: usize,
        /// What happened to it.
        how: String,
        /// The pause.
        pause: Duration,
    },
    /// Its process was replaced by one of the program as it is now.
    Reloaded {
        /// Its index.
        shard: usize,
    },
    /// The process that was to replace it did not come to serve. The old one serves on, and the
    /// reload is over.
    ReloadFailed {
        /// Its index.
        shard: usize,
        /// What happened to the new process.
        how: String,
    },
    /// Its loop has not had a turn for so long.
    Stuck {
        /// Its index.
        shard: usize,
        /// How long.
        silence: Duration,
    },
    /// It was stuck, and goes on.
    Unstuck {
        /// Its index.
        shard: usize,
        /// How long it stood.
        silence: Duration,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Restarting { shard, message, pause } => {
                write!(f, "shard {shard} panicked and starts again in {pause:?}: {message}")
            }
            Event::Died { shard, how, pause } => {
                write!(f, "the process of shard {shard} {how}; another starts in {pause:?}")
            }
            Event::Reloaded { shard } => write!(f, "shard {shard} is a new process"),
            Event::ReloadFailed { shard, how } => write!(
                f,
                "the new process of shard {shard} {how}; the old one serves on, and the reload is \
                 over"
            ),
            Event::Stuck { shard, silence } => write!(
                f,
                "shard {shard} is stuck: its loop has had no turn for {silence:.1?}; move what \
                 blocks there to uring_loop::unblock or a pool"
            ),
            Event::Unstuck { shard, silence } => {
                write!(f, "shard {shard} goes on, after {silence:.1?} without a turn")
            }
        }
    }
}

/// Hears of events, on any thread.
#[derive(Clone)]
pub(crate) struct Observer(pub(crate) Arc<dyn Fn(&Event) + Send + Sync>);

impl Observer {
    pub(crate) fn tell(&self, event: &Event) {
        (self.0)(event);
    }
}

impl Default for Observer {
    /// Tells the log.
    fn default() -> Self {
        Observer(Arc::new(|event| tracing::warn!(target: "shard", "{event}")))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
