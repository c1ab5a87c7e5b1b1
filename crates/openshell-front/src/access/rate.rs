//! How fast somebody may ask: a bucket an identity, and slower answers for whoever fails to say who they are.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many requests one identity may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// A second, in the long run; 0 is no limit.
    pub per_second: u32,
    /// At once, after a pause; 0 is as many as `per_second`.
    pub burst: u32,
}

/// A token bucket as one number, the time until which it is booked out: the generic cell rate algorithm (ITU-T I.371,
/// annex A), which needs neither a lock nor somebody who refills it.
#[derive(Debug)]
pub(crate) struct Bucket {
    origin: Instant,
    interval: u64,
    tolerance: u64,
    booked: AtomicU64,
}

impl Bucket {
    /// A full one; `None` where there is no limit. `now` is the earliest time that will be asked for.
    pub(crate) fn new(rate: Rate, now: Instant) -> Option<Self> {
        let interval = 1_000_000_000_u64.checked_div(u64::from(rate.per_second))?;
        let burst = if rate.burst == 0 { rate.per_second } else { rate.burst };
        let tolerance = interval * u64::from(burst - 1);
        Some(Self { origin: now, interval, tolerance, booked: AtomicU64::new(0) })
    }

    /// Takes one, or says how long it takes until there is one.
    pub(crate) fn take(&self, now: Instant) -> Result<(), Duration> {
        let now = nanoseconds(now.saturating_duration_since(self.origin));
        let mut wait = 0;
        let taken = self.booked.try_update(Ordering::Relaxed, Ordering::Relaxed, |booked| {
            let from = booked.max(now);
            wait = (from - now).saturating_sub(self.tolerance);
            (wait == 0).then(|| from.saturating_add(self.interval))
        });
        taken.map(|_| ()).map_err(|_| Duration::from_nanos(wait))
    }
}

/// How many addresses are told apart; those that share a place share its penalty.
const PLACES: usize = 256;
/// What one failed attempt costs.
const COST: Duration = Duration::from_millis(100);
/// What is free of charge: ten mistakes of a person or of a script that starts.
const FREE: Duration = Duration::from_secs(1);
/// The longest an answer is held back.
const LONGEST: Duration = Duration::from_secs(5);

/// Holds back the answers to failed attempts, by where they come from, so that guessing and filling the log are slow.
/// What is right passes at once, wherever it comes from: nobody can lock out anybody. The table does not grow.
pub(crate) struct Penalties {
    origin: Instant,
    hasher: RandomState,
    places: Box<[AtomicU64]>,
}

impl Penalties {
    /// Nobody has failed yet.
    pub(crate) fn new(now: Instant) -> Self {
        let places = std::iter::repeat_with(AtomicU64::default).take(PLACES).collect();
        // The hash is seeded, so nobody can choose to share a place with somebody else.
        Self { origin: now, hasher: RandomState::new(), places }
    }

    /// Notes a failed attempt; the answer to it is due after the time that is returned.
    pub(crate) fn book(&self, from: IpAddr, now: Instant) -> Duration {
        let key = match from.to_canonical() {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            // Whoever has one address of IPv6 usually has its /64 (RFC 6177).
            IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or(u64::MAX),
        };
        let place = usize::try_from(self.hasher.hash_one(key) % PLACES as u64).unwrap_or(0);
        let now = nanoseconds(now.saturating_duration_since(self.origin));
        let most = now.saturating_add(nanoseconds(FREE + LONGEST));
        let mut backlog = 0;
        // It cannot fail: there is always a value.
        let _ = self.places[place].try_update(Ordering::Relaxed, Ordering::Relaxed, |booked| {
            let from = booked.max(now);
            let until = from.saturating_add(nanoseconds(COST)).min(most);
            backlog = until - now;
            Some(until)
        });
        Duration::from_nanos(backlog).saturating_sub(FREE)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let bucket = Bucket::new(Rate { per_second: 10, burst: 3 }, start).unwrap();
        for _ in 0..3 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        assert_eq!(bucket.take(start), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(at(start, 40)), Err(Duration::from_millis(60)));
        assert_eq!(bucket.take(at(start, 100)), Ok(()));
        assert_eq!(bucket.take(at(start, 100)), Err(Duration::from_millis(100)));
        // A long pause is worth a burst, not more.
        for _ in 0..3 {
            assert_eq!(bucket.take(at(start, 60_000)), Ok(()));
        }
        assert!(bucket.take(at(start, 60_000)).is_err());
    }

    #[test]
    fn a_rate_of_none_is_no_limit_and_a_burst_of_none_is_a_second() {
        let now = Instant::now();
        assert!(Bucket::new(Rate::default(), now).is_none());
        assert!(Bucket::new(Rate { per_second: 0, burst: 7 }, now).is_none());
        let bucket = Bucket::new(Rate { per_second: 5, burst: 0 }, now).unwrap();
        assert_eq!((0..20).filter(|_| bucket.take(now).is_ok()).count(), 5);
    }

    #[test]
    fn over_a_minute_it_is_the_rate() {
        let start = Instant::now();
        let bucket = Bucket::new(Rate { per_second: 7, burst: 1 }, start).unwrap();
        let taken = (0..60_000).filter(|ms| bucket.take(at(start, *ms)).is_ok()).count();
        assert!((415..=421).contains(&taken), "{taken}");
    }

    #[test]
    fn failures_are_free_at_first_and_cost_at_most_five_seconds() {
        let start = Instant::now();
        let penalties = Penalties::new(start);
        let there = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for _ in 0..10 {
            assert_eq!(penalties.book(there, start), Duration::ZERO);
        }
        assert_eq!(penalties.book(there, start), Duration::from_millis(100));
        for _ in 0..1000 {
            penalties.book(there, start);
        }
        assert_eq!(penalties.book(there, start), LONGEST);
        // It is forgotten.
        assert_eq!(penalties.book(there, at(start, 6_000)), Duration::ZERO);
    }

    #[test]
    fn addresses_of_one_network_pay_together() {
        let start = Instant::now();
        let penalties = Penalties::new(start);
        for host in 0..1000_u16 {
            penalties.book(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host).into(), start);
        }
        let next = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 9, 9, 9, 9).into();
        assert_eq!(penalties.book(next, start), LONGEST);
        let mapped: IpAddr = Ipv4Addr::LOCALHOST.to_ipv6_mapped().into();
        for _ in 0..1000 {
            penalties.book(mapped, start);
        }
        assert_eq!(penalties.book(Ipv4Addr::LOCALHOST.into(), start), LONGEST);
    }
}
