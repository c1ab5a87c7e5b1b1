//! A watch on a backend that is not there.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use openshell_driver_api::SandboxStatus;
use tokio::sync::Semaphore;

use super::*;

fn id(text: &str) -> SandboxId {
    SandboxId::new(text).expect("an id")
}

fn sandbox(text: &str, instance: usize) -> ObservedSandbox {
    ObservedSandbox {
        id: id(text),
        name: text.into(),
        namespace: String::new(),
        workspace: String::new(),
        status: SandboxStatus { instance_id: instance.to_string(), ..SandboxStatus::default() },
    }
}

fn ended(text: &str, instance: usize) -> ObservedSandbox {
    let mut ended = sandbox(text, instance);
    ended.status.deleting = true;
    ended
}

/// A backend in memory, whose looks at some sandboxes wait until they are let go.
struct Fake {
    there: Mutex<BTreeMap<SandboxId, ObservedSandbox>>,
    stuck: Mutex<HashSet<String>>,
    release: Semaphore,
    /// What was looked at, in the order in which the looks began.
    looks: Mutex<Vec<String>>,
}

impl Fake {
    fn new(all: usize) -> Arc<Self> {
        let all = (0..all).map(|n| (id(&n.to_string()), sandbox(&n.to_string(), 0)));
        Arc::new(Self {
            there: Mutex::new(all.collect()),
            stuck: Mutex::default(),
            release: Semaphore::new(0),
            looks: Mutex::default(),
        })
    }

    fn set(&self, sandbox: ObservedSandbox) {
        self.there.lock().expect("a lock").insert(sandbox.id.clone(), sandbox);
    }

    fn remove(&self, text: &str) {
        self.there.lock().expect("a lock").remove(&id(text));
    }

    fn stick(&self, text: &str) {
        self.stuck.lock().expect("a lock").insert(text.to_owned());
    }

    fn looks(&self) -> Vec<String> {
        std::mem::take(&mut self.looks.lock().expect("a lock"))
    }
}

#[async_trait]
impl Observer for Fake {
    async fn observe_all(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        Ok(self.there.lock().expect("a lock").values().cloned().collect())
    }
    async fn observe(&self, id: &SandboxId) -> Result<Option<ObservedSandbox>, DriverError> {
        self.looks.lock().expect("a lock").push(id.to_string());
        // What is found is what was there when the look began.
        let found = self.there.lock().expect("a lock").get(id).cloned();
        let stuck = self.stuck.lock().expect("a lock").contains(id.as_str());
        if stuck {
            self.release.acquire().await.expect("a permit").forget();
        }
        Ok(found)
    }
    async fn look(&self, resource: &str) -> Result<Option<ObservedSandbox>, DriverError> {
        self.observe(&id(resource)).await
    }
}

/// A watch, and where its signals are put in.
struct Bench {
    fake: Arc<Fake>,
    events: EventStream,
    signals: mpsc::UnboundedSender<Signal>,
    news: broadcast::Sender<News>,
}

impl Bench {
    /// The snapshot is read already.
    async fn new(all: usize) -> Self {
        let fake = Fake::new(all);
        let (signals, receiver) = mpsc::unbounded_channel();
        let (news, heard) = broadcast::channel(NEWS);
        let signal = |mut receiver: mpsc::UnboundedReceiver<Signal>| async move {
            receiver.recv().await.map(|signal| (Ok(vec![signal]), receiver))
        };
        let events = watch(Arc::clone(&fake), heard, stream::unfold(receiver, signal));
        let mut bench = Self { fake, events, signals, news };
        for _ in 0..all {
            assert!(matches!(bench.next().await, WatchEvent::Sandbox(_)));
        }
        bench
    }

    fn send(&self, signal: Signal) {
        self.signals.send(signal).expect("a watch");
    }

    async fn next(&mut self) -> WatchEvent {
        let next = tokio::time::timeout(Duration::from_secs(60), self.events.next());
        next.await.expect("in time").expect("an item").expect("an event")
    }

    async fn nothing(&mut self) {
        let next = tokio::time::timeout(Duration::from_millis(20), self.events.next()).await;
        assert!(next.is_err(), "{next:?}");
    }
}

fn look(text: &str) -> Signal {
    Signal::Look { id: id(text), resource: text.into() }
}

fn touched(text: &str) -> Signal {
    Signal::News(News::Touched(id(text)))
}

fn said(text: &str) -> News {
    News::Said { id: id(text), event: PlatformEvent::default() }
}

#[tokio::test]
async fn a_snapshot_then_changes_and_only_those() {
    let mut bench = Bench::new(1).await;
    // As the backend's event tells it: of a resource that was told of.
    bench.send(Signal::Seen(Box::new(ended("0", 1))));
    bench.send(look("0"));
    bench.nothing().await;
    bench.fake.set(sandbox("0", 1));
    bench.send(look("0"));
    assert_eq!(bench.next().await, WatchEvent::Sandbox(sandbox("0", 1)));
    bench.send(Signal::Seen(Box::new(ended("0", 1))));
    assert_eq!(bench.next().await, WatchEvent::Sandbox(ended("0", 1)));
    // A resource that is gone has its own event to come, which may be of an earlier one.
    bench.fake.remove("0");
    bench.send(look("0"));
    bench.nothing().await;
    bench.fake.set(sandbox("0", 2));
    bench.send(Signal::Gone(id("0")));
    assert_eq!(bench.next().await, WatchEvent::Sandbox(sandbox("0", 2)));
    bench.fake.remove("0");
    bench.send(touched("0"));
    assert_eq!(bench.next().await, WatchEvent::Deleted(id("0")));
    // What was told to be gone is not there again by an event of its end, and not gone twice.
    bench.send(Signal::Seen(Box::new(ended("0", 2))));
    bench.send(touched("0"));
    bench.nothing().await;
    // Said by an event, also where nothing was told.
    bench.send(Signal::Gone(id("1")));
    assert_eq!(bench.next().await, WatchEvent::Deleted(id("1")));
    bench.news.send(said("0")).expect("a receiver");
    assert_eq!(bench.next().await, WatchEvent::Platform { id: id("0"), event: PlatformEvent::default() });
    drop(bench.news);
    let end = bench.events.next().await.expect("an end").expect_err("an error");
    assert_eq!((end.kind(), end.message()), (ErrorKind::Unavailable, "the driver ended"));
    assert!(bench.events.next().await.is_none());
}

#[tokio::test]
async fn looks_that_hang_hold_up_nobody_else() {
    let mut bench = Bench::new(20).await;
    for number in 0..7 {
        bench.fake.stick(&number.to_string());
        bench.send(look(&number.to_string()));
    }
    for number in 7..20 {
        let text = number.to_string();
        bench.fake.set(sandbox(&text, 1));
        bench.send(look(&text));
        assert_eq!(bench.next().await, WatchEvent::Sandbox(sandbox(&text, 1)));
    }
    // What takes no look never waits, also when as many hang as may be under way.
    for number in 7..20 {
        bench.fake.stick(&number.to_string());
        bench.send(look(&number.to_string()));
    }
    bench.send(Signal::Seen(Box::new(ended("19", 1))));
    assert_eq!(bench.next().await, WatchEvent::Sandbox(ended("19", 1)));
    // And whoever waited is looked at once there is room.
    assert_eq!(bench.fake.looks().len(), 7 + 13 + 1);
    bench.fake.release.add_permits(20);
    assert_eq!(bench.next().await, WatchEvent::Sandbox(sandbox("19", 1)));
    assert_eq!(bench.fake.looks().len(), 12);
}

#[tokio::test]
async fn one_sandbox_is_told_of_in_order_and_looked_at_once_for_many_reasons() {
    let mut bench = Bench::new(1).await;
    bench.fake.stick("0");
    bench.send(look("0"));
    bench.nothing().await;
    assert_eq!(bench.fake.looks(), ["0"]);
    // While that look, which has found the sandbox as it was told, is under way: its end, and a hundred reasons to look.
    bench.send(Signal::Seen(Box::new(ended("0", 0))));
    for _ in 0..50 {
        bench.send(look("0"));
        bench.send(touched("0"));
    }
    bench.fake.set(sandbox("0", 5));
    bench.nothing().await;
    bench.fake.release.add_permits(1);
    assert_eq!(bench.next().await, WatchEvent::Sandbox(ended("0", 0)), "after the look that had begun");
    bench.nothing().await;
    bench.fake.release.add_permits(100);
    assert_eq!(
        bench.next().await,
        WatchEvent::Sandbox(sandbox("0", 5)),
        "a look that began after the reasons"
    );
    bench.nothing().await;
    assert_eq!(bench.fake.looks(), ["0"], "one for all of them");
}

#[tokio::test]
async fn what_waits_is_the_stronger_question() {
    for (signals, expected) in [
        (vec![look("1"), Signal::Gone(id("1")), look("1")], Some(WatchEvent::Deleted(id("1")))),
        (vec![touched("1"), look("1")], None),
    ] {
        let mut bench = Bench::new(0).await;
        bench.fake.stick("1");
        bench.send(look("1"));
        bench.nothing().await;
        signals.into_iter().for_each(|signal| bench.send(signal));
        bench.nothing().await;
        bench.fake.release.add_permits(2);
        match expected {
            Some(expected) => assert_eq!(bench.next().await, expected),
            None => bench.nothing().await,
        }
        assert_eq!(bench.fake.looks(), ["1", "1"]);
    }
}

#[tokio::test]
async fn what_was_taken_in_before_the_end_is_told() {
    let mut bench = Bench::new(1).await;
    bench.fake.stick("0");
    bench.fake.set(sandbox("0", 1));
    bench.send(look("0"));
    bench.nothing().await;
    let Bench { fake, mut events, signals, news: _news } = bench;
    drop(signals);
    assert!(tokio::time::timeout(Duration::from_millis(20), events.next()).await.is_err());
    fake.release.add_permits(1);
    assert_eq!(events.next().await.expect("one").expect("good"), WatchEvent::Sandbox(sandbox("0", 1)));
    let end = events.next().await.expect("an end").expect_err("an error");
    assert_eq!(end.message(), "the backend ended its events");
}

#[tokio::test]
async fn a_snapshot_larger_than_any_buffer_is_whole_and_what_came_meanwhile_is_not_lost() {
    let (news, receiver) = broadcast::channel(NEWS);
    let all = 3 * BUFFER;
    let watch = watch(Fake::new(all), receiver, stream::pending());
    tokio::task::yield_now().await;
    news.send(said("x")).expect("a receiver");
    let told: Vec<_> = watch.take(all + 1).map(|event| event.expect("good")).collect().await;
    assert!(matches!(told.last(), Some(WatchEvent::Platform { .. })), "{:?}", told.last());
    assert!(told[..all].iter().all(|event| matches!(event, WatchEvent::Sandbox(_))));
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_told_so_last() {
    let (news, receiver) = broadcast::channel(4 * BUFFER);
    let mut watch = watch(Fake::new(0), receiver, stream::pending());
    for _ in 0..3 * BUFFER {
        news.send(said("x")).expect("a receiver");
    }
    // Time for the tasks, in which the reader reads nothing.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut told = 0;
    let end = loop {
        match watch.next().await.expect("an item") {
            Ok(_) => told += 1,
            Err(end) => break end,
        }
    };
    assert_eq!(end.kind(), ErrorKind::ResourceExhausted);
    assert!(told < 3 * BUFFER, "{told}");
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_backend_that_goes_away_is_the_end() {
    let (_news, receiver) = broadcast::channel(NEWS);
    let broken = || DriverError::new(ErrorKind::Unavailable, "watch", "broken");
    let mut ended = watch(Fake::new(0), receiver.resubscribe(), stream::iter([Err(broken())]));
    assert_eq!(ended.next().await.expect("an end").expect_err("an error").message(), "broken");
    let mut ended = watch(Fake::new(0), receiver, stream::empty());
    let end = ended.next().await.expect("an end").expect_err("an error");
    assert_eq!(end.message(), "the backend ended its events");
}
