//! Logs of the gateway and of the driver programs: to standard error, as text or as a JSON object a line.

use std::io::{self, IsTerminal};

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, LogLevel};
use crate::otlp;

/// What every crate of this project begins with.
pub(crate) const OURS: &str = "openshell";

/// Starts logging; the first call of a process counts. A line that cannot be written, on a full disk, is lost: to complain
/// of it on standard error would be a panic. What traces, in a build that does, begins here as well.
pub fn init(level: LogLevel, format: LogFormat) {
    let filter: LevelFilter = level.as_str().parse().unwrap_or(LevelFilter::INFO);
    let targets = Targets::new().with_default(others(filter)).with_target(OURS, filter);
    let (mut layers, problem) = otlp::layers();
    layers.push(match format {
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer().json().with_writer(io::stderr);
            layer.log_internal_errors(false).with_filter(targets).boxed()
        }
        LogFormat::Text => {
            let colour = io::stderr().is_terminal();
            let layer = tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(io::stderr);
            layer.log_internal_errors(false).with_filter(targets).boxed()
        }
    });
    // A second call is a test that starts several gateways in one process.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    if let Some(problem) = problem {
        tracing::warn!("no traces are sent: {problem}");
    }
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
