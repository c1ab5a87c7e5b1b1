//! `status`: how the gateway is, which driver it runs, and what it knows of that.

use openshell_proto::openshell::v1::{
    ComputeDriverInfo, GetGatewayInfoRequest, HealthRequest, ServiceStatus,
};
use serde_json::{Value, json};

use super::driver;
use crate::endpoint::Endpoint;
use crate::error::CliError;
use crate::output;
use crate::session::Session;
use crate::table::Table;
use crate::text::{self, clean};

/// What is said where a gateway knows no more than the name.
const UNTOLD: &str = "not told: this gateway is older than this client";

/// Asks the gateway how it is. One that is not well is an error, after all of it is shown.
pub(crate) async fn run(session: &Session) -> Result<(), CliError> {
    let gateway = &session.gateway;
    let target = gateway.target();
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
    let told = gateway.driver_status().await?;
    let of =
        |name: &str| told.as_ref().and_then(|told| told.drivers.iter().find(|driver| driver.name == name));
    // The worse of the two words, should they differ.
    let status = status_word(health.status.max(info.status));
    if session.printer.json() {
        let drivers: Vec<Value> = info
            .compute_drivers
            .iter()
            .map(|driver| {
                let capabilities = driver.capabilities.as_ref();
                let mut json = json!({
                    "name": driver.name,
                    "capabilities": capabilities.map(|it| json!({
                        "driver_name": it.driver_name,
                        "driver_version": it.driver_version,
                    })),
                });
                if let (Some(json), Value::Object(more)) =
                    (json.as_object_mut(), driver::json(of(&driver.name)))
                {
                    json.extend(more);
                }
                json
            })
            .collect();
        output::json(&json!({
            "status": status,
            "version": info.gateway_version,
            "gateway": target.name,
            "gateway_id": told.as_ref().map(|told| &told.gateway_id),
            "endpoint": target.endpoint.to_string(),
            "socket": target.endpoint.socket().map(|path| path.display().to_string()),
            "chosen_by": target.chosen.word(),
            "compute_drivers": drivers,
        }))?;
    } else {
        let mut table = Table::default();
        let mut row = |key: &str, value: String| table.push([format!("{key}:").into(), value.into()]);
        row("gateway", format!("{status}, version {}", clean(&info.gateway_version)));
        if let Some(name) = &target.name {
            row("name", clean(name));
        }
        match &target.endpoint {
            Endpoint::Unix(path) => row("socket", clean(&path.display().to_string())),
            tcp @ Endpoint::Tcp { .. } => row("endpoint", tcp.to_string()),
        }
        row("chosen", target.chosen.why().to_owned());
        let mut methods = String::new();
        for driver in &info.compute_drivers {
            row("driver", driver_line(driver));
            let Some(told) = of(&driver.name) else {
                row("state", UNTOLD.to_owned());
                continue;
            };
            for (key, value) in driver::lines(told, text::now_ms()) {
                row(key, value);
            }
            methods += &format!("\n{}", driver::methods(&session.printer, told));
        }
        output::text(&(table.render(&session.printer.screen) + &methods))?;
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
