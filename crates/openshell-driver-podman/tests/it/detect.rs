//! Detection and configuration, as the gateway asks for them.

use std::time::Duration;

use openshell_driver_api::{DriverContext, ErrorKind, ProbeEnv, Table};

use crate::bench::{Bench, socket};

#[tokio::test]
async fn a_real_service_is_known_by_its_version() {
    let Some(socket) = socket().await else { return };
    let vars = [("OPENSHELL_PODMAN_SOCKET".to_owned(), format!("unix://{}", socket.display()))];
    let env = ProbeEnv { vars: vars.into(), timeout: Duration::from_secs(5), ..ProbeEnv::default() };
    let found = openshell_driver_podman::REGISTRATION.factory.detect(&env).await.found.expect("a service");
    let said = format!("answers at `{}`", socket.display());
    assert!(found.starts_with("a Podman service (libpod API ") && found.ends_with(&said), "{found}");
}

#[tokio::test]
async fn another_engine_is_refused_by_what_it_is() {
    // Docker's, where there is one: it answers the same ping.
    let docker = std::path::Path::new("/var/run/docker.sock");
    let ping = openshell_driver_api::probe::engine_ping(docker, Duration::from_secs(5)).await;
    if !matches!(&ping, openshell_driver_api::probe::Ping::Answered(reply) if reply.header("Libpod-Api-Version").is_none())
    {
        println!("skipped: no other engine at {}", docker.display());
        return;
    }
    let mut table = Table::new();
    table.insert("socket_path".to_owned(), docker.to_str().expect("a path").into());
    let context = DriverContext {
        name: "podman".to_owned(),
        gateway_id: "it".to_owned(),
        state_dir: "/nonexistent".into(),
        telemetry: false,
        endpoint: String::new(),
        supervisor: None,
    };
    let opened = openshell_driver_podman::REGISTRATION.factory.open(context, &table).await;
    let error = opened.err().expect("not podman");
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
    assert_eq!(error.message(), "another engine answered at `/var/run/docker.sock`");
}

#[tokio::test]
async fn a_driver_says_what_it_speaks_to() {
    let Some(bench) = Bench::new("").await else { return };
    let capabilities = bench.driver.capabilities().await.expect("capabilities");
    let info = bench.api.get("/info").await;
    let version = info["version"]["APIVersion"].as_str().expect("a version");
    assert!(capabilities.driver_version.contains(version), "{capabilities:?}");
}
