//! What happens, one thing after another, and where it waits for the supervisor to read it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::process::ExitStatus;
use uring_loop::signal::SignalKind;
use uring_loop::sync::Event as Flag;
use uring_loop::time::sleep;

use super::State;

/// Something happened.
pub(super) enum News {
    Signal(SignalKind),
    /// A worker serves.
    Ready(u64),
    /// A worker's loop is a new one.
    Again(u64),
    /// A worker is gone.
    Gone(u64, io::Result<ExitStatus>),
    /// A worker has taken too long.
    TooLong(u64, State),
    /// It is time to look for signs of life.
    Look,
    /// The pause before a slot gets another worker is over.
    Start(usize),
}

/// Where news wait for the one who reads them.
#[derive(Clone, Default)]
pub(super) struct Letterbox(Rc<(RefCell<VecDeque<News>>, Flag)>);

impl Letterbox {
    pub(super) fn post(&self, news: News) {
        self.0.0.borrow_mut().push_back(news);
        self.0.1.set();
    }

    pub(super) async fn next(&self) -> News {
        loop {
            self.0.1.wait().await;
            if let Some(news) = self.0.0.borrow_mut().pop_front() {
                return news;
            }
            self.0.1.clear();
        }
    }

    /// News that come later.
    pub(super) fn post_after(&self, pause: Duration, news: News) {
        let letterbox = self.clone();
        drop(uring_loop::spawn(async move {
            sleep(pause).await;
            letterbox.post(news);
        }));
    }
}

/// Reminds the supervisor to look, again and again.
pub(super) async fn look_every(pause: Duration, news: Letterbox) {
    loop {
        sleep(pause).await;
        news.post(News::Look);
    }
}
