//! Sandboxes with the gateway's supervisor as their first process, on a real engine: the workload is held to what it is held
//! to without one, and finds nothing of the supervisor's. No gateway answers here; the supervisor goes on asking.

use openshell_driver_api::Secret;
use openshell_driver_api::conditions::{READY, find};
use openshell_driver_api::supervisor::SupervisorDelivery;

use crate::bench::{Bench, request, sandbox_id};

const TOKEN: &str = "osb1.s3cret.t0ken";

/// What a workload sees of itself, and what it tries.
const WORKLOAD: &str = include_str!("../../../openshell-driver-common/tests/workload.sh");

#[tokio::test]
async fn the_workload_has_what_it_has_without_and_finds_nothing_of_the_supervisor_s() {
    // A root in there is the owner of the token's file; what that is good for is the gateway's to bound.
    for (config, expected) in [
        ("", "user 0 group 0 in /sandbox\nreads the token\n"),
        ("user = 'sandbox'", "user 1000 group 1000 in /sandbox\n"),
        ("user = '4321'\nread_only_root = true", "user 4321 group 0 in /sandbox\n"),
    ] {
        let Some(bench) = Bench::supervised(config).await else { return };
        bench.open_door("inside");
        let mut request = request("inside", &["sh", "-c", WORKLOAD]);
        request.spec.token = Secret::new(TOKEN);
        bench.driver.create(&request).await.expect("create");
        let ended = bench.until("inside", "ContainerExited").await;
        let condition = find(&ended.status.conditions, READY).expect("a condition");
        assert!(condition.message.contains('7'), "the exit code is the main process's: {condition:?}");
        let own = "OPENSHELL_SANDBOX=name-of-inside\nOPENSHELL_SANDBOX_ID=inside\nOPENSHELL_TELEMETRY_ENABLED=false\n";
        assert_eq!(
            of_the_workload(&bench.output("inside").await),
            format!("{expected}{own}alive\n"),
            "{config}"
        );
        let described = serde_json::to_string(&bench.inspect("inside").await).expect("JSON");
        assert!(!described.contains(TOKEN), "the engine's description holds the token");
    }
}

/// What was printed without what the supervisor says of its gateway, which is not there.
fn of_the_workload(output: &str) -> String {
    let lines = output.lines().filter(|line| !line.starts_with("openshell-sandbox: "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn it_stops_starts_and_goes_like_any_other() {
    let Some(bench) = Bench::supervised("user = 'sandbox'").await else { return };
    bench.open_door("cycle");
    let script = "echo up $(cat /sandbox/count 2>/dev/null); echo again >/sandbox/count; trap 'echo bye; exit 0' TERM; \
                  while :; do sleep 0.1; done";
    let mut request = request("cycle", &["sh", "-c", script]);
    request.spec.token = Secret::new(TOKEN);
    bench.driver.create(&request).await.expect("create");
    for round in 1..=2 {
        while bench.output("cycle").await.matches("up").count() < round {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let began = std::time::Instant::now();
        bench.driver.stop(&sandbox_id("cycle")).await.expect("stop");
        bench.until("cycle", "Stopped").await;
        assert!(began.elapsed() < std::time::Duration::from_secs(8), "signals come through");
        if round == 1 {
            bench.driver.start(&sandbox_id("cycle")).await.expect("start");
        }
    }
    let output = bench.output("cycle").await;
    assert_eq!(of_the_workload(&output), "up\nbye\nup again\nbye\n");
    assert!(bench.driver.delete(&sandbox_id("cycle")).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

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
