//! `[openshell.gateway.limits]`: how much anybody may ask for at a time.

use std::time::Duration;

use super::section::Section;
use super::value;
use crate::config::Problem;

/// Limits of the listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// `connections`: at a time, on each listener.
    pub connections: u32,
    /// `streams`: requests at a time on one connection.
    pub streams: u32,
    /// `request_bytes`: the largest request message.
    pub request_bytes: u32,
    /// `first_byte`: how long a connection may be open without a word.
    pub first_byte: Duration,
    /// `handshake`: how long TLS may take to begin.
    pub handshake: Duration,
    /// `idle`: how long a connection may be open with no request on it.
    pub idle: Duration,
    /// `requests_per_second` and `burst`, for an identity that has none of its own.
    pub rate: RateSettings,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            connections: 1024,
            streams: 256,
            request_bytes: 4 << 20,
            first_byte: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            rate: RateSettings::default(),
        }
    }
}

/// How fast one identity may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateSettings {
    /// Requests a second, in the long run; 0: as many as they like.
    pub requests_per_second: u32,
    /// How many may come at once after a pause; 0: one second's worth.
    pub burst: u32,
}

/// The most requests a second that can be told from no limit at all.
const FASTEST: u32 = 1_000_000;

/// Reads the table.
pub(super) fn read(mut section: Section<'_, '_>) -> LimitSettings {
    let preset = LimitSettings::default();
    let read = LimitSettings {
        connections: section.bounded("connections", 1..=1_000_000).unwrap_or(preset.connections),
        streams: section.bounded("streams", 1..=65_536).unwrap_or(preset.streams),
        request_bytes: section.bounded("request_bytes", 1024..=256 << 20).unwrap_or(preset.request_bytes),
        first_byte: section.parsed("first_byte", value::duration).unwrap_or(preset.first_byte),
        handshake: section.parsed("handshake", value::duration).unwrap_or(preset.handshake),
        idle: section.parsed("idle", value::duration).unwrap_or(preset.idle),
        rate: rate(&mut section, preset.rate),
    };
    section.finish(|_| None);
    read
}

/// The two keys of a rate, over those of `preset`.
pub(super) fn rate(section: &mut Section<'_, '_>, preset: RateSettings) -> RateSettings {
    let asked = section.bounded("requests_per_second", 0..=FASTEST);
    let burst = section.bounded("burst", 0..=FASTEST);
    // A rate of one's own comes with a burst of its own: the other one was thought for another rate.
    let read = match (asked, burst) {
        (Some(requests_per_second), burst) => {
            RateSettings { requests_per_second, burst: burst.unwrap_or_default() }
        }
        (None, Some(burst)) => RateSettings { burst, ..preset },
        (None, None) => preset,
    };
    if let (0, 1.., Some(at)) = (read.requests_per_second, read.burst, section.place("burst")) {
        let problem = Problem::at(at, "`burst` means nothing without `requests_per_second`")
            .hint("0 requests a second are as many as anybody likes");
        section.refuse(problem);
    }
    read
}
