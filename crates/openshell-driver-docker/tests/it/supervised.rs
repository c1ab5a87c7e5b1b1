//! Sandboxes with a supervisor: what holds on every engine, and what this one cannot be asked for.

#[path = "../../../openshell-driver-common/tests/supervised/mod.rs"]
pub(crate) mod everywhere;

use openshell_driver_api::supervisor::SupervisorDelivery;

use crate::bench::Bench;

#[tokio::test]
async fn an_engine_at_a_port_is_refused() {
    let Some(bench) = Bench::new("").await else { return };
    let socket = bench.table["socket_path"].as_str().expect("a path").to_owned();
    // The same engine, at a port of this host: as far as the driver knows, of any.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut engine = tokio::net::UnixStream::connect(&socket).await.expect("the engine");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut engine).await });
        }
    });
    let table = format!("host = 'tcp://{address}'").parse().expect("TOML");
    let context = openshell_driver_api::DriverContext {
        name: "docker".to_owned(),
        gateway_id: bench.gateway_id.clone(),
        state_dir: bench.state_dir(),
        telemetry: true,
        endpoint: String::new(),
        supervisor: Some(SupervisorDelivery::Host { program: "/p".into(), sockets: "/s".into() }),
    };
    let opened = openshell_driver_docker::REGISTRATION.factory.open(context, &table).await;
    let error = opened.err().expect("nothing can be bound there");
    let hint = error.hint().unwrap_or_default();
    assert!(hint.contains("supervisor = \"none\" in [openshell.drivers.docker]"), "{error}: {hint}");
}
