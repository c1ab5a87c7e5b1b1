//! Logs of the gateway and of the driver programs: to standard error, as text or as a JSON object a line.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, LogLevel};

/// What every crate of this project begins with.
const OURS: &str = "openshell";

/// Starts logging; the first call of a process counts. A line that cannot be written, on a full disk, is lost: to complain
/// of it on standard error would be a panic.
pub fn init(level: LogLevel, format: LogFormat) {
    let level: LevelFilter = level.as_str().parse().unwrap_or(LevelFilter::INFO);
    let targets = Targets::new().with_default(others(level)).with_target(OURS, level);
    let subscriber = tracing_subscriber::registry().with(targets);
    // A second call is a test that starts several gateways in one process.
    let _ = match format {
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer().json().with_writer(io::stderr);
            subscriber.with(layer.log_internal_errors(false)).try_init()
        }
        LogFormat::Text => {
            let colour = io::stderr().is_terminal();
            let layer = tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(io::stderr);
            subscriber.with(layer.log_internal_errors(false)).try_init()
        }
    };
}

/// How much other people's crates may say. Never TRACE: clients of backends print whole requests there, and with them
/// the environment of a sandbox.
fn others(level: LevelFilter) -> LevelFilter {
    match level {
        LevelFilter::TRACE => LevelFilter::DEBUG,
        LevelFilter::DEBUG => LevelFilter::INFO,
        LevelFilter::OFF => LevelFilter::OFF,
        _ => LevelFilter::WARN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_crates_never_say_everything() {
        for level in
            [LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE]
        {
            assert!(others(level) < LevelFilter::TRACE);
        }
    }
}
