//! Logs of the gateway and of the driver programs: to standard error, as text or as a JSON object a line.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, LogLevel};

/// Crates whose own messages below WARN say nothing to an operator.
const QUIET: [&str; 5] = ["h2", "hyper", "hyper_util", "tower", "rustls"];

/// Starts logging; the first call of a process counts. At TRACE everything is shown.
pub fn init(level: LogLevel, format: LogFormat) {
    let level: LevelFilter = level.as_str().parse().unwrap_or(LevelFilter::INFO);
    let mut targets = Targets::new().with_default(level);
    if level < LevelFilter::TRACE {
        targets = targets.with_targets(QUIET.map(|target| (target, level.min(LevelFilter::WARN))));
    }
    let subscriber = tracing_subscriber::registry().with(targets);
    // A second call is a test that starts several gateways in one process.
    let _ = match format {
        LogFormat::Json => {
            subscriber.with(tracing_subscriber::fmt::layer().json().with_writer(io::stderr)).try_init()
        }
        LogFormat::Text => {
            let colour = io::stderr().is_terminal();
            subscriber
                .with(tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(io::stderr))
                .try_init()
        }
    };
}
