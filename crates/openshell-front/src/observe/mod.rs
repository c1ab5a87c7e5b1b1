//! What is told of the requests: counters for `/metrics`, a line in the access log.

mod body;
mod doors;
mod family;
mod process;
mod record;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tonic::Code;

pub use body::FrontBody;
use doors::Doors;
pub use doors::{Closed, Door, DoorCounters};
pub(crate) use family::{CONTENT_TYPE, render};
pub use family::{Family, Kind, Sample, Value};
pub(crate) use record::Record;

use crate::access::{MethodId, Refusal};

/// The codes of gRPC by number ("Status codes and their use in gRPC").
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The upper bounds of the histogram, in microseconds: a read takes a tenth of a millisecond, a creation many seconds.
const BOUNDS_US: [u64; 16] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    5_000_000,
    30_000_000,
    300_000_000,
];

/// The name of a code, in gRPC's spelling; numbers that are none are `UNKNOWN`, as clients take them.
pub fn code_name(code: impl Into<i32>) -> &'static str {
    let known = usize::try_from(code.into()).ok().and_then(|number| CODES.get(number));
    known.copied().unwrap_or("UNKNOWN")
}

/// What the gateway counts at its doors. To count takes no lock and makes nothing.
#[derive(Debug)]
pub struct Metrics {
    version: &'static str,
    started: SystemTime,
    methods: Box<[MethodCounters]>,
    refusals: [AtomicU64; Refusal::REASONS.len()],
    in_flight: AtomicI64,
    doors: Doors,
}

#[derive(Debug, Default)]
struct MethodCounters {
    codes: [AtomicU64; CODES.len()],
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Metrics {
    /// Nothing has happened yet. `version` is the gateway's.
    #[must_use]
    pub fn new(version: &'static str) -> Arc<Self> {
        Arc::new(Self {
            version,
            started: SystemTime::now(),
            methods: std::iter::repeat_with(MethodCounters::default).take(MethodId::COUNT).collect(),
            refusals: Default::default(),
            in_flight: AtomicI64::new(0),
            doors: Default::default(),
        })
    }

    /// Where a listener counts its connections.
    #[must_use]
    pub fn door(&self, door: Door) -> Arc<DoorCounters> {
        Arc::clone(&self.doors[door as usize])
    }

    /// A request was turned away. It has a code, and no duration that would be worth a place in the histogram.
    pub(crate) fn refused(&self, method: MethodId, refusal: Refusal) {
        self.refusals[refusal.index()].fetch_add(1, Ordering::Relaxed);
        self.methods[method.index()].codes[refusal.code() as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self, method: MethodId, code: Code, took: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let counters = &self.methods[method.index()];
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| bound * 1_000 < nanoseconds);
        counters.codes[code as usize].fetch_add(1, Ordering::Relaxed);
        counters.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        counters.sum_ns.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Everything that is counted here. Taken while others count, it may be a request or two apart from itself.
    pub(crate) fn families(&self) -> Vec<Family> {
        let mut requests = Family::counter(
            "openshell_gateway_requests_total",
            "Requests that have ended, by method and gRPC code; methods that the gateway does not know are one.",
        );
        let mut durations = Family::histogram(
            "openshell_gateway_request_duration_seconds",
            "How long requests took that were let in, by method; of a stream, its whole life.",
        );
        for (id, counters) in MethodId::all().zip(&self.methods) {
            let method = id.method().path;
            for (code, count) in CODES.iter().zip(&counters.codes) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    requests.push([("method", method), ("code", code)], Value::Integer(count));
                }
            }
            if let Some(value) = counters.histogram() {
                durations.push([("method", method)], value);
            }
        }
        let mut refusals =
            Family::counter("openshell_gateway_refusals_total", "Requests that were turned away, by reason.");
        for (reason, count) in Refusal::REASONS.iter().zip(&self.refusals) {
            refusals.push([("reason", *reason)], Value::Integer(count.load(Ordering::Relaxed)));
        }
        let in_flight = u64::try_from(self.in_flight.load(Ordering::Relaxed)).unwrap_or(0);
        let in_flight =
            Family::gauge("openshell_gateway_requests_in_flight", "Requests under way, streams among them.")
                .value(Value::Integer(in_flight));
        let mut families = vec![requests, durations, in_flight, refusals];
        families.extend(doors::families(&self.doors));
        families.extend(process::families(self.started, self.version));
        families
    }
}

impl MethodCounters {
    fn histogram(&self) -> Option<Value> {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BOUNDS_US.len());
        for (at, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            buckets.extend(BOUNDS_US.get(at).map(|bound| (Duration::from_micros(*bound), count)));
        }
        let sum = Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed));
        (count > 0).then_some(Value::Histogram { buckets, sum, count })
    }
}

#[cfg(test)]
mod tests;
