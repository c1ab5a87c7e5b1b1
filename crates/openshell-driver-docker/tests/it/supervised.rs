//! Sandboxes with the gateway's supervisor as their first process, on a real engine: the workload is held to what it is held
//! to without one, and finds nothing of the supervisor's. No gateway answers here; the supervisor goes on asking.

use openshell_driver_api::Secret;
use openshell_driver_api::supervisor::SupervisorDelivery;

use crate::bench::{Bench, request, sandbox_id};

const TOKEN: &str = "osb1.s3cret.t0ken";

/// What a workload sees of itself, and what it tries.
const SCRIPT: &str = "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status; id -u; id -g; pwd; \
    touch /sandbox/mine && echo wrote; \
    cat /proc/1/environ >/dev/null 2>&1 && echo environ; cat /proc/1/mem >/dev/null 2>&1 && echo memory; \
    cat /proc/1/maps 2>/dev/null | grep -q . && echo maps; ls /proc/1/fd >/dev/null 2>&1 && echo descriptors; \
    ls /proc/1/cwd/ >/dev/null 2>&1 && echo cwd; \
    cat /run/openshell/token >/dev/null 2>&1 && echo token; env | grep -E 'TOKEN|ENDPOINT|SPEC|s3cret' && echo told; \
    echo x 2>/dev/null >/run/openshell/gateway/x && echo planted; echo x 2>/dev/null >/run/openshell/supervisor && echo changed; \
    rm /run/openshell/supervisor 2>/dev/null && echo removed; kill -9 1 2>/dev/null && sleep 1; \
    env | grep ^OPENSHELL_ | sort; tr '\\0' ' ' </proc/1/cmdline; echo; exit 7";

#[tokio::test]
async fn the_workload_has_what_it_has_without_and_finds_nothing_of_the_supervisor_s() {
    for (config, user, holes) in [
        ("", "0", &["token"][..]),
        ("user = 'sandbox'", "1000", &[]),
        ("user = '4321'\nread_only_root = true", "4321", &[]),
    ] {
        let Some(bench) = Bench::supervised(config).await else { return };
        bench.open_door("inside");
        let mut request = request("inside", &["sh", "-c", SCRIPT]);
        request.spec.token = Secret::new(TOKEN);
        bench.driver.create(&request).await.expect("create");
        let ended = bench.until("inside", "ContainerExited").await;
        let output = bench.output("inside").await;
        assert!(format!("{ended:?}").contains('7'), "the exit code is the main process's: {ended:?}");
        for line in [
            "CapInh:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "CapAmb:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
            user,
            "wrote",
            "/sandbox",
            "OPENSHELL_SANDBOX=name-of-inside",
            "OPENSHELL_SANDBOX_ID=inside",
            "OPENSHELL_TELEMETRY_ENABLED=false",
        ] {
            assert!(output.lines().any(|found| found == line), "{config}: `{line}` in {output}");
        }
        for hole in [
            "environ",
            "memory",
            "maps",
            "descriptors",
            "cwd",
            "token",
            "told",
            "planted",
            "changed",
            "removed",
        ] {
            // A root in there is the owner of the file; what it is good for is the gateway's to bound.
            let known = holes.contains(&hole);
            assert_eq!(output.lines().any(|found| found == hole), known, "{config}: `{hole}` in {output}");
        }
        assert!(!output.contains("s3cret"), "{output}");
        let described = serde_json::to_string(&bench.inspect("inside").await).expect("JSON");
        assert!(!described.contains("s3cret"), "the engine's description holds the token");
    }
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
    let lines: Vec<&str> = output.lines().filter(|line| !line.contains("openshell-sandbox")).collect();
    assert_eq!(lines, ["up", "bye", "up again", "bye"], "{output}");
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
        supervisor: Some(SupervisorDelivery { program: "/p".into(), sockets: "/s".into() }),
    };
    let opened = openshell_driver_docker::REGISTRATION.factory.open(context, &table).await;
    let error = opened.err().expect("nothing can be bound there");
    let hint = error.hint().unwrap_or_default();
    assert!(hint.contains("supervisor = \"none\" in [openshell.drivers.docker]"), "{error}: {hint}");
}
