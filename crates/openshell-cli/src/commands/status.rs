//! `status`: how the gateway is, and which driver it runs.

use openshell_proto::openshell::v1::{
    ComputeDriverInfo, GetGatewayInfoRequest, HealthRequest, ServiceStatus,
};
use serde_json::{Value, json};

use crate::error::CliError;
use crate::gateway::Gateway;
use crate::output;
use crate::text::{clean, table};

/// Asks the gateway how it is. One that is not well is an error, after all of it is shown.
pub(crate) async fn run(gateway: &Gateway, json: bool) -> Result<(), CliError> {
    let none = |_| None;
    let health = gateway
        .call("ask the gateway how it is", none, HealthRequest {}, |mut client, request| async move {
            client.health(request).await
        })
        .await?;
    let info = gateway
        .call(
            "ask the gateway for its driver",
            none,
            GetGatewayInfoRequest {},
            |mut client, request| async move { client.get_gateway_info(request).await },
        )
        .await?;
    // The worse of the two words, should they differ.
    let status = status_word(health.status.max(info.status));
    if json {
        let drivers: Vec<Value> = info
            .compute_drivers
            .iter()
            .map(|driver| {
                let capabilities = driver.capabilities.clone();
                json!({
                    "name": driver.name,
                    "capabilities": capabilities.map(|it| json!({
                        "driver_name": it.driver_name,
                        "driver_version": it.driver_version,
                    })),
                })
            })
            .collect();
        output::json(&json!({
            "status": status,
            "version": info.gateway_version,
            "socket": gateway.socket(),
            "compute_drivers": drivers,
        }))?;
    } else {
        let row = |key: &str, value: String| vec![format!("{key}:"), value];
        let mut rows = vec![
            row("gateway", format!("{status}, version {}", clean(&info.gateway_version))),
            row("socket", clean(&gateway.socket())),
        ];
        rows.extend(info.compute_drivers.iter().map(|driver| row("driver", driver_line(driver))));
        output::text(&table(&rows))?;
    }
    match status {
        "healthy" => Ok(()),
        status => Err(CliError::Unwell { status }),
    }
}

/// The name that routes, what the driver calls itself where that is another, and its version.
fn driver_line(driver: &ComputeDriverInfo) -> String {
    let name = clean(&driver.name);
    match &driver.capabilities {
        None => format!("{name}, not connected"),
        Some(it) if it.driver_name == driver.name => format!("{name} {}", clean(&it.driver_version)),
        Some(it) => format!("{name}, {} {}", clean(&it.driver_name), clean(&it.driver_version)),
    }
}

fn status_word(number: i32) -> &'static str {
    match ServiceStatus::try_from(number) {
        Ok(ServiceStatus::Healthy) => "healthy",
        Ok(ServiceStatus::Degraded) => "degraded",
        Ok(ServiceStatus::Unhealthy) => "unhealthy",
        Ok(ServiceStatus::Unspecified) | Err(_) => "in an unknown state",
    }
}

#[cfg(test)]
mod tests {
    use openshell_proto::openshell::v1::ComputeDriverCapabilities;

    use super::*;

    #[test]
    fn a_driver_is_named_once_unless_it_has_two_names() {
        let driver = |says: Option<&str>| ComputeDriverInfo {
            name: "kyma".to_owned(),
            capabilities: says.map(|name| ComputeDriverCapabilities {
                driver_name: name.to_owned(),
                driver_version: "1.2".to_owned(),
            }),
        };
        assert_eq!(driver_line(&driver(None)), "kyma, not connected");
        assert_eq!(driver_line(&driver(Some("kyma"))), "kyma 1.2");
        assert_eq!(driver_line(&driver(Some("Kyma Driver"))), "kyma, Kyma Driver 1.2");
    }
}
