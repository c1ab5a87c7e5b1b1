//! `GetStatus`: what the gateway knows of its driver.

use openshell_proto::gateway::v1alpha1 as proto;

use crate::clock::ms_of;
use crate::engine::Engine;

/// The answer, made of what was counted. It asks nobody, so that a driver that hangs cannot hold it up.
pub(super) fn of(engine: &Engine) -> proto::GetStatusResponse {
    let (settings, stats, link) = (&engine.settings, engine.stats(), engine.link());
    // What a driver said of itself before it went away is not what it would say now.
    let says = link.up.then_some(link.capabilities).unwrap_or_default();
    let driver = proto::DriverStatus {
        name: settings.driver_name.clone(),
        connected: stats.link.up,
        since_ms: ms_of(stats.link.since),
        driver_name: says.driver_name,
        driver_version: says.driver_version,
        reconnects: stats.link.reconnects,
        ..Default::default()
    };
    proto::GetStatusResponse {
        gateway_version: settings.version.clone(),
        gateway_id: settings.gateway_id.clone(),
        drivers: vec![driver],
    }
}
