//! `GetStatus`: what the gateway knows of its driver.

use openshell_driver_api::Capabilities;
use openshell_proto::gateway::v1alpha1::{self as proto, MethodSupport};
use tonic::Code;

use crate::clock::ms_of;
use crate::engine::{Engine, Link};
use crate::rpc::Support;
use crate::settings::{Reach, Settings};
use crate::stats::{CallStats, Failure, Stats};

/// The answer, made of what was counted. It asks nobody, so that a driver that hangs cannot hold it up.
pub(super) fn of(engine: &Engine) -> proto::GetStatusResponse {
    let settings = &engine.settings;
    proto::GetStatusResponse {
        gateway_version: settings.version.clone(),
        gateway_id: settings.gateway_id.clone(),
        drivers: vec![driver(settings, engine.stats(), engine.link())],
    }
}

fn driver(settings: &Settings, stats: Stats, link: Link) -> proto::DriverStatus {
    // What a driver said of itself before it went away is not what it would say now.
    let Capabilities { driver_name, driver_version, .. } =
        if link.up { link.capabilities } else { Capabilities::default() };
    let socket = match &settings.reach {
        Reach::Socket { path } => path.display().to_string(),
        Reach::InProcess | Reach::Process => String::new(),
    };
    let all: u64 = stats.sandboxes.iter().map(|(_, count)| count).sum();
    proto::DriverStatus {
        name: settings.driver_name.clone(),
        kind: settings.reach.word().to_owned(),
        connected: link.up,
        since_ms: ms_of(stats.link.since),
        driver_name,
        driver_version,
        methods: stats.driver_calls.iter().map(|calls| method(calls, link.up)).collect(),
        last_failure: stats.last_failure.map(failure),
        reconnects: stats.link.reconnects,
        watch_lag_us: stats.link.watch_lag.map(|lag| u64::try_from(lag.as_micros()).unwrap_or(u64::MAX)),
        sandboxes: all.saturating_sub(stats.foreign),
        supervised: stats.supervisors.map_or(0, |supervisors| supervisors.sessions),
        socket,
    }
}

fn method(calls: &CallStats, up: bool) -> proto::MethodStatus {
    let support = match calls.support {
        Support::Served if up => MethodSupport::Served,
        Support::Unimplemented if up => MethodSupport::Unimplemented,
        _ => MethodSupport::Unspecified,
    };
    proto::MethodStatus {
        name: calls.rpc.to_owned(),
        support: support.into(),
        calls: calls.took.count,
        failures: calls.failures,
    }
}

fn failure(failure: Failure) -> proto::DriverFailure {
    let Failure { at, method, code, message } = failure;
    proto::DriverFailure { at_ms: ms_of(at), method: method.to_owned(), code: code_word(code), message }
}

/// gRPC's name of a code, which the library has in another spelling; a watch that ended without an error has `OK`.
fn code_word(code: i32) -> String {
    let mut word = String::new();
    for letter in format!("{:?}", Code::from_i32(code)).chars() {
        if letter.is_ascii_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.push(letter.to_ascii_uppercase());
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_spelt_as_grpc_does() {
        for (code, word) in
            [(0, "OK"), (4, "DEADLINE_EXCEEDED"), (14, "UNAVAILABLE"), (15, "DATA_LOSS"), (99, "UNKNOWN")]
        {
            assert_eq!(code_word(code), word);
        }
    }
}
