//! Work that is brought to its end whoever still waits for it.
//!
//! It runs where it is waited for, and becomes a task of its own only when nobody waits any more: a task for every request
//! would cost each of them a turn of the scheduler.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Work that was begun. Its value is the work's, or that it panicked.
pub(crate) struct Begun<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

/// The work panicked. What it said is where the process's panics go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

impl<T: Send + 'static> Begun<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for Begun<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = self.0.as_mut() else { return Poll::Ready(Err(Panicked)) };
        // Work that panicked is never polled again, so that nobody sees what it left half done.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => {
                self.0 = None;
                Poll::Ready(Ok(value))
            }
            Err(_) => {
                self.0 = None;
                Poll::Ready(Err(Panicked))
            }
        }
    }
}

impl<T: Send + 'static> Drop for Begun<T> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_without_anybody_and_a_panic_is_a_value() {
        assert_eq!(Begun::new(async { 1 }).await, Ok(1));
        let fails = Begun::<()>::new(async { panic!("told by the harness") });
        assert_eq!(fails.await, Err(Panicked));
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut begun = Box::pin(Begun::new(async move {
            gone.await.expect("it is told to go");
            tell.send("done").expect("somebody listens");
        }));
        tokio::select! {
            biased;
            _ = &mut begun => panic!("it waits"),
            () = std::future::ready(()) => {}
        }
        drop(begun);
        go.send(()).expect("it goes on");
        assert_eq!(told.await, Ok("done"));
    }
}
