//! Pulls of images: one for an image at a time, however many sandboxes wait for it, and none for nobody.
//!
//! ```text
//!   sandbox a ─ join ─┐               ┌─ watch channel: Running(progress) … Ended(result) ─▶ a, b
//!   sandbox b ─ join ─┴─▶ one task ───┘
//!                          └─ ends with its connection, and so the engine's pull, when the last one leaves
//! ```

mod cause;
mod fault;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openshell_driver_api::ErrorKind;
use tokio::sync::watch;

pub use self::cause::{Cause, classify};
pub use self::fault::{Fault, Program, Refusal};

/// How far apart two reports of progress to one sandbox are.
const PACE: Duration = Duration::from_millis(500);

/// How far a pull is, in an engine's own measure; the default is where it begins.
pub trait Progress: Clone + Default + PartialEq + Send + Sync + 'static {}
impl<P: Clone + Default + PartialEq + Send + Sync + 'static> Progress for P {}

/// The pulls that are under way, by the reference that is pulled.
#[derive(Debug, Default)]
pub struct Pulls<P> {
    running: Arc<Mutex<Running<P>>>,
}

type Running<P> = HashMap<String, watch::Sender<State<P>>>;

impl<P> Clone for Pulls<P> {
    fn clone(&self) -> Self {
        Self { running: Arc::clone(&self.running) }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum State<P> {
    Running(P),
    Ended(Result<(), Fault>),
}

/// Where a pull says how far it is.
#[derive(Debug, Clone)]
pub struct Tell<P>(watch::Sender<State<P>>);

impl<P: Progress> Tell<P> {
    /// Says how far it is.
    pub fn progress(&self, progress: P) {
        self.0.send_if_modified(|now| {
            let next = State::Running(progress);
            std::mem::replace(now, next.clone()) != next
        });
    }
}

impl<P: Progress> Pulls<P> {
    /// Pulls an image by `work`, or waits for whoever does already, and reports how far it is. Dropped, it no longer waits.
    ///
    /// # Errors
    /// The fault of the pull; `Internal` when that panicked.
    pub async fn pull<F>(
        &self,
        reference: &str,
        work: impl FnOnce(Tell<P>) -> F,
        report: impl Fn(P),
    ) -> Result<(), Fault>
    where
        F: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        follow(self.join(reference, work), report).await
    }

    /// Joins the pull of a reference; `work` is begun where there is none.
    fn join<F>(&self, reference: &str, work: impl FnOnce(Tell<P>) -> F) -> watch::Receiver<State<P>>
    where
        F: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        let mut running = self.running();
        if let Some(state) = running.get(reference) {
            return state.subscribe();
        }
        let (state, receiver) = watch::channel(State::Running(P::default()));
        running.insert(reference.to_owned(), state.clone());
        let entry = Entry { pulls: self.clone(), reference: reference.to_owned(), state: state.clone() };
        tokio::spawn(run(entry, work(Tell(state))));
        receiver
    }

    fn running(&self) -> MutexGuard<'_, Running<P>> {
        // Nothing that could panic runs under this lock, and the map is whole after every statement.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pull's place among those that can be joined; free when dropped.
struct Entry<P: Progress> {
    pulls: Pulls<P>,
    reference: String,
    state: watch::Sender<State<P>>,
}

impl<P: Progress> Entry<P> {
    /// Gives the place up when nobody waits for the pull any more. Under the lock: nobody joins meanwhile.
    fn abandoned(&self) -> bool {
        let mut running = self.pulls.running();
        let nobody = self.state.receiver_count() == 0;
        if nobody {
            running.remove(&self.reference);
        }
        nobody
    }
}

impl<P: Progress> Drop for Entry<P> {
    fn drop(&mut self) {
        let mut running = self.pulls.running();
        // One that was given up may be another pull's by now.
        if running.get(&self.reference).is_some_and(|state| state.same_channel(&self.state)) {
            running.remove(&self.reference);
        }
    }
}

async fn run<P: Progress>(entry: Entry<P>, work: impl Future<Output = Result<(), Fault>>) {
    let mut work = std::pin::pin!(work);
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            () = entry.state.closed() => {
                if entry.abandoned() {
                    return;
                }
            }
        }
    };
    let state = entry.state.clone();
    // First the place, then the news: whoever comes now begins anew, whoever came before is told.
    drop(entry);
    state.send_replace(State::Ended(ended));
}

/// Waits for the end of a pull and reports its progress, at most every [`PACE`].
async fn follow<P: Progress>(mut state: watch::Receiver<State<P>>, report: impl Fn(P)) -> Result<(), Fault> {
    let mut told = P::default();
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            State::Ended(result) => return result,
            State::Running(progress) if progress != told => {
                report(progress.clone());
                told = progress;
                let ended = state.wait_for(|state| matches!(state, State::Ended(_)));
                if let Ok(Err(_)) = tokio::time::timeout(PACE, ended).await {
                    return Err(cut());
                }
            }
            State::Running(_) => {
                if state.changed().await.is_err() {
                    return Err(cut());
                }
            }
        }
    }
}

fn cut() -> Fault {
    Fault::new(ErrorKind::Internal, "the pull did not come to its end")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn progress_is_told_at_a_pace_and_the_end_at_once() {
        let (state, receiver) = watch::channel(State::Running(0_u64));
        let told = RefCell::new(Vec::new());
        let begin = tokio::time::Instant::now();
        let feed = async {
            for bytes in 1..=100 {
                state.send_replace(State::Running(bytes));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            state.send_replace(State::Ended(Ok(())));
        };
        let (ended, ()) = tokio::join!(follow(receiver, |progress| told.borrow_mut().push(progress)), feed);
        assert_eq!(ended, Ok(()));
        assert_eq!(begin.elapsed(), Duration::from_secs(2));
        let told = told.into_inner();
        assert!((4..=5).contains(&told.len()) && told[0] == 1 && told.is_sorted(), "{told:?}");
    }

    #[tokio::test]
    async fn two_that_want_the_same_share_one() {
        let pulls = Pulls::<u64>::default();
        let (end, ended) = oneshot::channel::<()>();
        let first = pulls.join("a", |_| async move {
            let _ = ended.await;
            Err(Fault::new(ErrorKind::Unavailable, "away"))
        });
        let second = pulls.join("a", |_| async { panic!("a second pull") });
        let other = pulls.join("b", |_| async { Ok(()) });
        assert_eq!(follow(other, |_| {}).await, Ok(()));
        end.send(()).expect("a pull");
        for waiter in [first, second] {
            let fault = follow(waiter, |_| {}).await.expect_err("a fault");
            assert_eq!((fault.kind, fault.message.as_str()), (ErrorKind::Unavailable, "away"));
        }
        assert!(pulls.running().is_empty());
        assert_eq!(follow(pulls.join("a", |_| async { Ok(()) }), |_| {}).await, Ok(()), "it begins anew");
    }

    /// Counts what has been dropped.
    struct Held(Arc<AtomicU32>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pull_for_nobody_ends() {
        let pulls = Pulls::<u64>::default();
        let dropped = Arc::new(AtomicU32::new(0));
        let held = Held(Arc::clone(&dropped));
        let first = pulls.join("a", |_| async move {
            let _held = held;
            std::future::pending().await
        });
        let second = pulls.join("a", |_| async { panic!("a second pull") });
        drop(first);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(dropped.load(Ordering::SeqCst), 0, "somebody waits still");
        drop(second);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!((dropped.load(Ordering::SeqCst), pulls.running().len()), (1, 0));
    }

    #[tokio::test]
    async fn a_pull_that_panics_leaves_nobody_waiting() {
        let pulls = Pulls::<u64>::default();
        let state = pulls.join("a", |_| async { panic!("a fault of the test's own") });
        let fault = follow(state, |_| {}).await.expect_err("a fault");
        assert_eq!(fault.kind, ErrorKind::Internal);
        assert!(pulls.running().is_empty());
    }
}
