//! The time, as the store and the wire write it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openshell_driver_api::conditions;

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    ms_of(SystemTime::now())
}

/// A moment in milliseconds since the Unix epoch; what lay before it is at its beginning.
pub(crate) fn ms_of(at: SystemTime) -> i64 {
    millis(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A duration in milliseconds, at most what fits.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The time between two moments in milliseconds; none when the clock was put back in between.
pub(crate) fn between(from_ms: i64, to_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(to_ms.saturating_sub(from_ms)).unwrap_or(0))
}

/// A moment as RFC 3339.
pub(crate) fn rfc3339(ms: i64) -> String {
    conditions::timestamp(UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}
