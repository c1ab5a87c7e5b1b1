//! A driver in memory behind a real socket: that both halves together are the driver itself.

mod dial;
mod fake;
mod raw;
mod round_trip;
mod support;
mod watch;
