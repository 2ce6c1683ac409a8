//! `catch_cancel`: to see a request, and to answer it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{Cancelled, LinkKind, Scope};

pin_project! {
    /// Future of [`catch_cancel`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct CatchCancel<F> {
        #[pin]
        inner: Option<F>,
        #[pin]
        scope: Scope,
    }
}

/// Runs `future`; a cancel request that arrives meanwhile drops it and is given to the caller.
///
/// Ready wins: if `future` completes in the very poll in which the request would be taken, its
/// value is returned, and the request waits for the next park of the task.
///
/// # Cancel safety
///
/// That of `future`: it is dropped where it waits.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uring_loop::{catch_cancel, spawn, time::sleep, yield_now};
///
/// uring_loop::run(async {
///     let task = spawn(async {
///         match catch_cancel(sleep(Duration::from_secs(3600))).await {
///             Ok(()) => "slept",
///             Err(_cancelled) => {
///                 sleep(Duration::from_millis(1)).await; // cleaning up may wait
///                 "cleaned up"
///             }
///         }
///     });
///     yield_now().await; // it sleeps now
///     task.cancel();
///     assert_eq!(task.await.unwrap(), "cleaned up");
/// })
/// # .unwrap();
/// ```
pub fn catch_cancel<F: Future>(future: F) -> CatchCancel<F> {
    CatchCancel { inner: Some(future), scope: Scope::new(LinkKind::Catcher) }
}

impl<F: Future> Future for CatchCancel<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let scope = this.scope.as_ref();
        let polled = {
            let _entered = scope.enter();
            let inner = this.inner.as_mut().as_pin_mut();
            inner.expect("a CatchCancel is not polled after it was ready").poll(cx)
        };
        if let Poll::Ready(value) = polled {
            scope.leave();
            this.inner.set(None);
            return Poll::Ready(Ok(value));
        }
        if let Some(mut cancelled) = scope.link.take_request() {
            scope.link.note_taken(cancelled.origin());
            scope.drop_inside(|| this.inner.set(None));
            if let Some(inside) = scope.link.take_request() {
                cancelled = scope.link.merge(Some(cancelled), inside);
            }
            scope.leave();
            return Poll::Ready(Err(cancelled));
        }
        scope.set_waker(cx.waker());
        Poll::Pending
    }
}
