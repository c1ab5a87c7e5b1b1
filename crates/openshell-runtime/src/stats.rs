//! What the runtime counts of itself: atomics on the way of requests, plain values for whoever shows them.
//!
//! Nothing here knows a format. The composition takes a [`Stats`] when somebody asks, and writes what it likes.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::lifecycle::Phase;
use crate::rpc::{Rpc, Support};
use crate::supervisor::SupervisorStats;

/// How many buckets have an upper bound; the one after them has none.
const BOUNDS: usize = 12;
/// For calls of the driver, which may pull an image.
const CALL_BOUNDS: [Duration; BOUNDS] = {
    let ms = Duration::from_millis;
    let s = Duration::from_secs;
    [ms(1), ms(5), ms(10), ms(50), ms(100), ms(500), s(1), s(5), s(10), s(30), s(60), s(300)]
};
/// For the store, where a write is a sync of a disk.
const STORE_BOUNDS: [Duration; BOUNDS] = {
    let us = Duration::from_micros;
    let ms = Duration::from_millis;
    [us(50), us(100), us(250), us(500), ms(1), us(2500), ms(5), ms(10), ms(25), ms(100), ms(500), ms(5000)]
};
/// How many codes gRPC has, `OK` among them.
const CODES: usize = 17;

/// The runtime in numbers, at one moment. Counters begin at zero when the runtime starts and never fall.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many sandboxes are in each phase, every phase once; those of another driver are in [`Phase::Unknown`].
    pub sandboxes: Vec<(Phase, u64)>,
    /// How many of them are another driver's.
    pub foreign: u64,
    /// The calls of the driver that have ended, every method once, in the contract's order.
    pub driver_calls: Vec<CallStats>,
    /// The last call that failed, or the last end of the watch, whichever came later.
    pub last_failure: Option<Failure>,
    /// How the gateway stands with its driver.
    pub link: LinkStats,
    /// How many events of the driver's watch have come.
    pub events: u64,
    /// How many watches of clients are open.
    pub watchers: u64,
    /// How many watches were cut because their readers were too slow.
    pub watchers_cut: u64,
    /// Transactions that read, from being asked for to their answer.
    pub store_reads: Histogram,
    /// Transactions that write, until they are on the disk.
    pub store_writes: Histogram,
    /// The supervisors; `None` where sandboxes have none.
    pub supervisors: Option<SupervisorStats>,
}

/// The calls of one method of the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallStats {
    /// The method, as `openshell.compute.v1.ComputeDriver` names it.
    pub rpc: &'static str,
    /// Whether the driver has it, as far as it was asked since it was connected to.
    pub support: Support,
    /// How many ended with which gRPC code, by number; only codes that occurred.
    pub codes: Vec<(i32, u64)>,
    /// How many of them were failures: that something is not there, or is no good, is an answer where that was the
    /// question.
    pub failures: u64,
    /// How long they took.
    pub took: Histogram,
}

/// Something of the driver's that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// When.
    pub at: SystemTime,
    /// The method, as `openshell.compute.v1.ComputeDriver` names it, or `watch` for the end of one that was open.
    pub method: &'static str,
    /// The gRPC code, by number; 0 for a watch that ended without one.
    pub code: i32,
    /// The driver's words, or the gateway's where the driver had none.
    pub message: String,
}

/// How the gateway stands with its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Whether the watch is up.
    pub up: bool,
    /// Since when it is up or down.
    pub since: SystemTime,
    /// How often it came up again after the first time.
    pub reconnects: u64,
    /// How long the last report took from its arrival to its being told to clients.
    pub watch_lag: Option<Duration>,
}

/// Durations, counted in buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Histogram {
    /// How many there were.
    pub count: u64,
    /// All of them together.
    pub sum: Duration,
    /// How many took at most so long, for each bound in order. What took longer is in `count` alone.
    pub buckets: Vec<(Duration, u64)>,
}

/// The counters behind a [`Stats`], but for those of the store and of the clients' watches, which keep their own.
pub(crate) struct Counters {
    calls: [CallCounter; Rpc::ALL.len()],
    sandboxes: [AtomicI64; Phase::ALL.len()],
    foreign: AtomicU64,
    events: AtomicU64,
    link: Mutex<LinkStats>,
    came_up: AtomicU64,
    last_failure: Mutex<Option<Failure>>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            calls: std::array::from_fn(|_| CallCounter::default()),
            sandboxes: Default::default(),
            foreign: AtomicU64::new(0),
            events: AtomicU64::new(0),
            link: Mutex::new(LinkStats {
                up: false,
                since: SystemTime::now(),
                reconnects: 0,
                watch_lag: None,
            }),
            came_up: AtomicU64::new(0),
            last_failure: Mutex::default(),
        }
    }
}

impl Counters {
    /// A call of the driver has ended with a gRPC code. `true` when it is news that the driver does not have it.
    pub(crate) fn called(&self, rpc: Rpc, code: i32, took: Duration) -> bool {
        let counter = &self.calls[rpc as usize];
        let told = Rpc::told_by(code);
        let news =
            told != Support::Unknown && counter.support.swap(told as u8, Ordering::Relaxed) != told as u8;
        // The codes of gRPC are 0 to 16; what is none of them is UNKNOWN (2).
        let code = usize::try_from(code).ok().filter(|code| *code < CODES).unwrap_or(2);
        counter.codes[code].fetch_add(1, Ordering::Relaxed);
        counter.took.record(took);
        news && told == Support::Unimplemented
    }

    /// A call has failed, or an open watch has ended.
    pub(crate) fn failed(&self, method: &'static str, code: i32, message: &str) {
        let failure = Failure { at: SystemTime::now(), method, code, message: message.to_owned() };
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    /// Whether the driver has a method, as far as is known.
    pub(crate) fn support(&self, rpc: Rpc) -> Support {
        self.calls[rpc as usize].support()
    }

    /// Nothing is known of what the driver has: it may be another one.
    pub(crate) fn forget_support(&self) {
        self.calls.iter().for_each(|call| call.support.store(Support::Unknown as u8, Ordering::Relaxed));
    }

    /// There is one sandbox more in this phase.
    pub(crate) fn entered(&self, phase: Phase) {
        self.sandboxes[phase as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// There is one more of another driver. It stays: nobody touches it.
    pub(crate) fn found_foreign(&self) {
        self.entered(Phase::Unknown);
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }

    /// There is one less.
    pub(crate) fn left(&self, phase: Phase) {
        self.sandboxes[phase as usize].fetch_sub(1, Ordering::Relaxed);
    }

    /// The driver's watch has said something.
    pub(crate) fn event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// What the watch has said is told to clients, so long after it came.
    pub(crate) fn told(&self, lag: Duration) {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).watch_lag = Some(lag);
    }

    /// The driver's watch is up, or no more.
    pub(crate) fn linked(&self, up: bool) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if link.up == up {
            return;
        }
        if up && self.came_up.fetch_add(1, Ordering::Relaxed) > 0 {
            link.reconnects += 1;
        }
        (link.up, link.since) = (up, SystemTime::now());
    }

    /// Everything, with what the store and the hub have counted.
    pub(crate) fn snapshot(&self, store: &StoreCounters, watchers: u64, watchers_cut: u64) -> Stats {
        let calls = Rpc::ALL.iter().zip(&self.calls);
        let sandboxes = Phase::ALL.iter().zip(&self.sandboxes);
        Stats {
            sandboxes: sandboxes
                // Two threads may be between their two halves of a change: never below nothing.
                .map(|(phase, count)| (*phase, u64::try_from(count.load(Ordering::Relaxed)).unwrap_or(0)))
                .collect(),
            foreign: self.foreign.load(Ordering::Relaxed),
            driver_calls: calls.map(|(rpc, counter)| counter.snapshot(*rpc)).collect(),
            last_failure: self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            link: *self.link.lock().unwrap_or_else(PoisonError::into_inner),
            events: self.events.load(Ordering::Relaxed),
            watchers,
            watchers_cut,
            store_reads: store.reads.snapshot(),
            store_writes: store.writes.snapshot(),
            supervisors: None,
        }
    }
}

struct CallCounter {
    codes: [AtomicU64; CODES],
    /// A [`Support`].
    support: AtomicU8,
    took: Durations,
}

impl Default for CallCounter {
    fn default() -> Self {
        let support = AtomicU8::new(Support::Unknown as u8);
        Self { codes: Default::default(), support, took: Durations::new(CALL_BOUNDS) }
    }
}

impl CallCounter {
    fn support(&self) -> Support {
        let stored = self.support.load(Ordering::Relaxed);
        let known =
            [Support::Served, Support::Unimplemented].into_iter().find(|known| *known as u8 == stored);
        known.unwrap_or(Support::Unknown)
    }

    fn snapshot(&self, rpc: Rpc) -> CallStats {
        let counts = (0..).zip(&self.codes).map(|(code, count)| (code, count.load(Ordering::Relaxed)));
        let codes: Vec<(i32, u64)> = counts.filter(|(_, count)| *count > 0).collect();
        let failures = codes.iter().filter(|(code, _)| rpc.is_failure(*code)).map(|(_, count)| count).sum();
        CallStats { rpc: rpc.name(), support: self.support(), codes, failures, took: self.took.snapshot() }
    }
}

/// What the store counts.
pub(crate) struct StoreCounters {
    reads: Durations,
    writes: Durations,
}

impl Default for StoreCounters {
    fn default() -> Self {
        Self { reads: Durations::new(STORE_BOUNDS), writes: Durations::new(STORE_BOUNDS) }
    }
}

impl StoreCounters {
    pub(crate) fn read(&self, took: Duration) {
        self.reads.record(took);
    }

    pub(crate) fn wrote(&self, took: Duration) {
        self.writes.record(took);
    }
}

/// Durations in buckets. A snapshot taken while others record may be a call or two apart from itself.
struct Durations {
    bounds: [Duration; BOUNDS],
    buckets: [AtomicU64; BOUNDS + 1],
    sum_ns: AtomicU64,
}

impl Durations {
    fn new(bounds: [Duration; BOUNDS]) -> Self {
        Self { bounds, buckets: Default::default(), sum_ns: AtomicU64::new(0) }
    }

    fn record(&self, took: Duration) {
        let bucket = self.bounds.iter().take_while(|bound| took > **bound).count();
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    fn snapshot(&self) -> Histogram {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BOUNDS);
        for (at, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            if let Some(bound) = self.bounds.get(at) {
                buckets.push((*bound, count));
            }
        }
        Histogram { count, sum: Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed)), buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(counters: &Counters) -> Stats {
        counters.snapshot(&StoreCounters::default(), 0, 0)
    }

    #[test]
    fn calls_are_counted_by_method_and_code() {
        let counters = Counters::default();
        counters.called(Rpc::Create, 0, Duration::from_millis(1));
        counters.called(Rpc::Create, 0, Duration::from_millis(2));
        counters.called(Rpc::Create, 14, Duration::from_secs(3600));
        counters.called(Rpc::Stop, 99, Duration::ZERO);
        let stats = snapshot(&counters);
        let of = |rpc: &str| stats.driver_calls.iter().find(|calls| calls.rpc == rpc).unwrap();
        let create = of("CreateSandbox");
        assert_eq!(create.codes, [(0, 2), (14, 1)]);
        assert_eq!((create.took.count, create.took.sum), (3, Duration::from_millis(3_600_003)));
        let bucket = |ms| create.took.buckets.iter().find(|(bound, _)| *bound == Duration::from_millis(ms));
        assert_eq!(bucket(1).unwrap().1, 1, "a bound is in its own bucket");
        assert_eq!(bucket(5).unwrap().1, 2);
        assert_eq!(create.took.buckets.last().unwrap().1, 2, "an hour is beyond the last bound");
        assert_eq!(of("StopSandbox").codes, [(2, 1)]);
        assert_eq!(of("GetSandbox").codes, []);
        assert_eq!((create.failures, create.support), (1, Support::Served));
        assert_eq!(stats.driver_calls.len(), Rpc::ALL.len());
    }

    #[test]
    fn every_place_is_its_own() {
        for (at, phase) in Phase::ALL.iter().enumerate() {
            assert_eq!(*phase as usize, at);
        }
    }

    #[test]
    fn what_a_driver_lacks_is_news_once_and_until_it_is_another_one() {
        let counters = Counters::default();
        let start = |code| counters.called(Rpc::Start, code, Duration::ZERO);
        assert!(start(12) && !start(12) && !start(14), "told once, and a broken connection changes nothing");
        assert_eq!(counters.support(Rpc::Start), Support::Unimplemented);
        counters.forget_support();
        assert_eq!(counters.support(Rpc::Start), Support::Unknown);
        assert!(start(12));
        let stats = snapshot(&counters);
        let start = stats.driver_calls.iter().find(|calls| calls.rpc == "StartSandbox").unwrap();
        assert_eq!((start.failures, start.took.count), (1, 4));
    }

    #[test]
    fn the_first_link_is_no_reconnect() {
        let counters = Counters::default();
        let link = || snapshot(&counters).link;
        counters.linked(false);
        assert_eq!((link().up, link().reconnects), (false, 0));
        for (up, reconnects) in [(true, 0), (true, 0), (false, 0), (true, 1), (false, 1), (true, 2)] {
            counters.linked(up);
            assert_eq!((link().up, link().reconnects), (up, reconnects));
        }
    }

    #[test]
    fn sandboxes_move_from_phase_to_phase() {
        let counters = Counters::default();
        counters.entered(Phase::Provisioning);
        counters.entered(Phase::Ready);
        counters.left(Phase::Provisioning);
        let stats = snapshot(&counters);
        let of = |phase| stats.sandboxes.iter().find(|(found, _)| *found == phase).unwrap().1;
        assert_eq!((of(Phase::Provisioning), of(Phase::Ready)), (0, 1));
        assert_eq!(stats.sandboxes.len(), Phase::ALL.len());
    }
}
