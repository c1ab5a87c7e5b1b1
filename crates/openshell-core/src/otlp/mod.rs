//! Traces of requests and of the driver's calls, sent to a collector by OTLP over HTTP.
//!
//! ```text
//!   request ─▶ continued(service) ─▶ spans ─▶ layer ─▶ queue ─▶ a thread of its own ─▶ collector
//!              the caller's `traceparent`            full: dropped
//! ```
//!
//! The cargo feature `otlp` decides whether there is code: without it everything here is nothing, by the same names. An
//! endpoint in the standard variables of OpenTelemetry, of which there is none by default, decides whether anything is
//! started. No request ever waits for the collector.

#[cfg(feature = "otlp")]
mod on;
#[cfg(feature = "otlp")]
mod post;

#[cfg(not(feature = "otlp"))]
mod off;

#[cfg(not(feature = "otlp"))]
pub(crate) use off::layers;
#[cfg(not(feature = "otlp"))]
pub use off::{continued, shutdown};
#[cfg(feature = "otlp")]
pub(crate) use on::layers;
#[cfg(feature = "otlp")]
pub use on::{Continued, continued, shutdown};
