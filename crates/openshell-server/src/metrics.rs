//! The runtime's numbers as families of metrics. What the front door counts of requests and connections is its own.

use std::borrow::Cow;

use openshell_front::{Family, Kind, Sample, Value, code_name};
use openshell_runtime::{Histogram, Stats, SupervisorStats};

type Label = (&'static str, Cow<'static, str>);

/// Everything that the runtime counts.
pub(crate) fn families(stats: &Stats) -> Vec<Family> {
    let number = |value: u64| vec![sample([], Value::Integer(value))];
    let calls = stats.driver_calls.iter();
    let by_code = calls.clone().flat_map(|calls| {
        calls.codes.iter().map(|(code, count)| {
            sample([label("rpc", calls.rpc), label("code", code_name(*code))], Value::Integer(*count))
        })
    });
    let phases = stats.sandboxes.iter();
    let phases =
        phases.map(|(phase, count)| sample([label("phase", phase.as_str())], Value::Integer(*count)));
    let store = [("read", &stats.store_reads), ("write", &stats.store_writes)];
    let mut families = vec![
        family("openshell_sandboxes", "Sandboxes by phase.", Kind::Gauge, phases.collect()),
        family(
            "openshell_driver_calls_total",
            "Calls of the compute driver that have ended, by method and gRPC status.",
            Kind::Counter,
            by_code.collect(),
        ),
        family(
            "openshell_driver_call_seconds",
            "How long calls of the compute driver took.",
            Kind::Histogram,
            // A method that was never called says nothing.
            calls
                .filter(|calls| calls.took.count > 0)
                .map(|calls| sample([label("rpc", calls.rpc)], histogram(&calls.took)))
                .collect(),
        ),
        family(
            "openshell_driver_up",
            "Whether the watch of the compute driver is up.",
            Kind::Gauge,
            number(stats.link.up.into()),
        ),
        family(
            "openshell_driver_reconnects_total",
            "How often the watch of the compute driver came up again.",
            Kind::Counter,
            number(stats.link.reconnects),
        ),
        family(
            "openshell_driver_events_total",
            "Events of the compute driver's watch.",
            Kind::Counter,
            number(stats.events),
        ),
        family(
            "openshell_watchers",
            "Watches of clients that are open.",
            Kind::Gauge,
            number(stats.watchers),
        ),
        family(
            "openshell_watchers_cut_total",
            "Watches of clients that were cut because their reader was too slow.",
            Kind::Counter,
            number(stats.watchers_cut),
        ),
        family(
            "openshell_store_seconds",
            "How long transactions of the store took.",
            Kind::Histogram,
            store.map(|(kind, took)| sample([label("kind", kind)], histogram(took))).into(),
        ),
    ];
    families.extend(stats.supervisors.iter().flat_map(of_supervisors));
    families
}

/// What is counted where sandboxes have supervisors.
fn of_supervisors(stats: &SupervisorStats) -> [Family; 5] {
    let number = |value: u64| vec![sample([], Value::Integer(value))];
    let ways = [("in", stats.sent), ("out", stats.received)];
    let opened = [("opened", stats.opened.saturating_sub(stats.failed)), ("failed", stats.failed)];
    let by = |key, counts: [(&'static str, u64); 2]| {
        counts.map(|(value, count)| sample([label(key, value)], Value::Integer(count))).into()
    };
    [
        family(
            "openshell_supervisors",
            "Supervisors of sandboxes that are connected.",
            Kind::Gauge,
            number(stats.sessions),
        ),
        family(
            "openshell_channels",
            "Channels into sandboxes that are open: commands, files, ports.",
            Kind::Gauge,
            number(stats.channels),
        ),
        family(
            "openshell_channels_total",
            "Channels into sandboxes that were asked for, by what came of it.",
            Kind::Counter,
            by("outcome", opened),
        ),
        family(
            "openshell_channel_bytes_total",
            "Bytes that went into sandboxes, and came out of them, over channels.",
            Kind::Counter,
            by("direction", ways),
        ),
        family(
            "openshell_log_lines_total",
            "Lines that sandboxes logged.",
            Kind::Counter,
            number(stats.log_lines),
        ),
    ]
}

fn family(name: &'static str, help: &'static str, kind: Kind, samples: Vec<Sample>) -> Family {
    Family { name, help, kind, samples }
}

fn sample<const N: usize>(labels: [Label; N], value: Value) -> Sample {
    Sample { labels: labels.into(), value }
}

fn label(name: &'static str, value: &'static str) -> Label {
    (name, Cow::Borrowed(value))
}

fn histogram(took: &Histogram) -> Value {
    Value::Histogram { buckets: took.buckets.clone(), sum: took.sum, count: took.count }
}
