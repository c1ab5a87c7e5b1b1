//! What a sandbox may do, as the engine records it and as the process inside finds it.

use bollard::query_parameters::InspectNetworkOptions;
use openshell_driver_api::{Secret, labels};

use crate::bench::{Bench, request, sandbox_id};

#[tokio::test]
async fn limits_and_posture_are_what_the_engine_was_told() {
    let Some(bench) = Bench::new("").await else { return };
    let mut request = request("posture", &["sleep", "300"]);
    request.spec.template.resources.cpu_limit = "500m".to_owned();
    request.spec.template.resources.memory_limit = "64Mi".to_owned();
    request.spec.template.resources.memory_request = "32Mi".to_owned();
    request.spec.template.labels.insert("team".to_owned(), "blue".to_owned());
    bench.driver.create(&request).await.expect("create");
    let container = bench.inspect("posture").await;
    assert!(container.image.is_some_and(|image| image.starts_with("sha256:")));
    let config = container.config.expect("a config");
    assert!(config.image.is_some_and(|image| image.starts_with("sha256:")), "made by the immutable id");
    assert_eq!(config.labels.expect("labels")["team"], "blue");
    let host = container.host_config.expect("a host config");
    assert_eq!(
        (host.nano_cpus, host.memory, host.memory_reservation),
        (Some(500_000_000), Some(64 << 20), Some(32 << 20))
    );
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(host.cap_add, None);
    assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned()]));
    assert_eq!((host.privileged, host.pids_limit), (Some(false), Some(2048)));
    assert_eq!(host.binds, None);
    let mounts = container.mounts.expect("mounts");
    assert_eq!(mounts.len(), 1, "nothing of the host: {mounts:?}");
    assert_eq!(mounts[0].typ.as_deref(), Some("volume"));
    let networks = container.network_settings.and_then(|settings| settings.networks).expect("networks");
    assert_eq!(networks.keys().collect::<Vec<_>>(), [&format!("openshell-{}", bench.gateway_id)]);
}

#[tokio::test]
async fn the_process_finds_itself_without_privileges() {
    let Some(bench) = Bench::new("").await else { return };
    let script = "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; touch /sandbox/mine && echo wrote; \
                  pwd; test -e /var/run/docker.sock && echo exposed; env | sort";
    bench.driver.create(&request("inside", &["sh", "-c", script])).await.expect("create");
    bench.until("inside", "ContainerExited").await;
    let output = bench.output("inside").await;
    for line in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "wrote",
        "/sandbox",
        "OPENSHELL_SANDBOX=name-of-inside",
        "OPENSHELL_SANDBOX_ID=inside",
        "OPENSHELL_TELEMETRY_ENABLED=false",
    ] {
        assert!(output.lines().any(|found| found == line), "`{line}` in {output}");
    }
    assert!(!output.lines().any(|line| line == "exposed"), "{output}");
}

#[tokio::test]
async fn no_network_but_loopback_and_another_user() {
    let Some(bench) = Bench::new("network = 'none'\nuser = '1000:1000'\npids_limit = 64").await else {
        return;
    };
    let script = "id -u; touch /sandbox/mine && echo wrote; ls /sys/class/net";
    bench.driver.create(&request("alone", &["sh", "-c", script])).await.expect("create");
    bench.until("alone", "ContainerExited").await;
    assert_eq!(bench.output("alone").await, "1000\nwrote\nlo\n");
    assert_eq!(bench.inspect("alone").await.host_config.and_then(|host| host.pids_limit), Some(64));
}

#[tokio::test]
async fn the_token_is_a_file_that_only_the_process_reads() {
    for (config, owner) in [("", "0"), ("user = 'sandbox'", "1000"), ("user = '4321'", "4321")] {
        let Some(bench) = Bench::new(config).await else { return };
        let mut request = request(
            "token",
            &[
                "sh",
                "-c",
                "cat $OPENSHELL_SANDBOX_TOKEN_FILE; echo; stat -c '%a %u' $OPENSHELL_SANDBOX_TOKEN_FILE /run/openshell",
            ],
        );
        request.spec.token = Secret::new("s3cret-t0ken");
        bench.driver.create(&request).await.expect("create");
        bench.until("token", "ContainerExited").await;
        assert_eq!(
            bench.output("token").await,
            format!("s3cret-t0ken\n600 {owner}\n700 {owner}\n"),
            "{config}"
        );
        let described = serde_json::to_string(&bench.inspect("token").await).expect("JSON");
        assert!(!described.contains("s3cret-t0ken"), "the engine's description holds the token");
        assert!(!format!("{:?}", bench.driver.get(&sandbox_id("token")).await).contains("s3cret-t0ken"));
    }
}

#[tokio::test]
async fn the_gateway_s_network_keeps_sandboxes_apart() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&request("apart", &["sleep", "300"])).await.expect("create");
    let name = format!("openshell-{}", bench.gateway_id);
    let network =
        bench.docker.inspect_network(&name, None::<InspectNetworkOptions>).await.expect("a network");
    assert_eq!(network.driver.as_deref(), Some("bridge"));
    let options = network.options.expect("options");
    assert_eq!(options.get("com.docker.network.bridge.enable_icc").map(String::as_str), Some("false"));
    let found = network.labels.expect("labels");
    assert_eq!(found.get(labels::GATEWAY_ID), Some(&bench.gateway_id));
}

#[tokio::test]
async fn too_much_memory_is_the_end_and_says_so() {
    let Some(bench) = Bench::new("").await else { return };
    let mut request = request("oom", &["sh", "-c", "a=xxxxxxxx; while true; do a=$a$a; done"]);
    request.spec.template.resources.memory_limit = "16Mi".to_owned();
    bench.driver.create(&request).await.expect("create");
    bench.until("oom", "OOMKilled").await;
}
