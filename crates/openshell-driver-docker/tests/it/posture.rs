//! What a sandbox may do, as the engine records it and as the process inside finds it.

use bollard::models::{HostConfigCgroupnsModeEnum, RestartPolicyNameEnum};
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
        (host.nano_cpus, host.memory, host.memory_swap, host.memory_reservation),
        (Some(500_000_000), Some(64 << 20), Some(64 << 20), Some(32 << 20))
    );
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(host.cap_add, None);
    assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned()]), "no profile is switched off");
    assert_eq!((host.privileged, host.pids_limit), (Some(false), Some(2048)));
    assert_eq!(host.init, Some(true));
    // No namespace of the host's, and none of another container's.
    let own = |mode: Option<String>| mode.is_none_or(|mode| mode.is_empty() || mode == "private");
    assert!(own(host.pid_mode) && own(host.ipc_mode) && own(host.uts_mode) && own(host.userns_mode));
    assert_eq!(host.cgroupns_mode, Some(HostConfigCgroupnsModeEnum::PRIVATE));
    // Nothing of the host's, and nothing that the engine hides is shown.
    assert_eq!((host.binds, host.volumes_from), (None, None));
    assert!(host.devices.is_none_or(|devices| devices.is_empty()) && host.device_requests.is_none());
    assert!(host.masked_paths.is_some_and(|paths| paths.contains(&"/proc/kcore".to_owned())));
    assert!(host.readonly_paths.is_some_and(|paths| paths.contains(&"/proc/sys".to_owned())));
    assert!(host.group_add.is_none() && host.sysctls.is_none() && host.extra_hosts.is_none());
    assert!(host.port_bindings.is_none_or(|ports| ports.is_empty()) && host.publish_all_ports != Some(true));
    assert!(!host.oom_kill_disable.unwrap_or(false));
    let policy = host.restart_policy.expect("a policy");
    assert_eq!(policy.name, Some(RestartPolicyNameEnum::NO));
    let mounts = container.mounts.expect("mounts");
    assert_eq!(mounts.len(), 1, "nothing of the host: {mounts:?}");
    assert_eq!(mounts[0].typ.as_deref(), Some("volume"));
    let networks = container.network_settings.and_then(|settings| settings.networks).expect("networks");
    assert_eq!(networks.keys().collect::<Vec<_>>(), [&format!("openshell-{}", bench.gateway_id)]);
}

#[tokio::test]
async fn the_process_finds_itself_without_privileges() {
    let Some(bench) = Bench::new("").await else { return };
    let script = "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status; echo $$ $PPID; \
                  unshare -U true 2>/dev/null && echo namespace; mount -t tmpfs none /mnt 2>/dev/null && echo mounted; \
                  echo x 2>/dev/null >/proc/sys/kernel/hostname && echo renamed; ls /dev; cat /proc/self/cgroup; touch /sandbox/mine && echo wrote; \
                  pwd; test -e /var/run/docker.sock && echo exposed; env | sort";
    bench.driver.create(&request("inside", &["sh", "-c", script])).await.expect("create");
    bench.until("inside", "ContainerExited").await;
    let output = bench.output("inside").await;
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapAmb:\t0000000000000000",
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
    for line in ["exposed", "namespace", "mounted", "renamed", "mem", "kmsg", "sda", "fuse"] {
        assert!(!output.lines().any(|found| found == line), "`{line}` in {output}");
    }
    // The host's part of the path of its control group is not to be seen.
    assert!(!output.contains("docker/"), "{output}");
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
async fn a_root_that_cannot_be_written() {
    let Some(bench) = Bench::new("read_only_root = true\nuser = 'sandbox'").await else { return };
    let script = "touch /sandbox/mine && echo works; touch /tmp/mine && echo scratch; touch /bin/x 2>&1 | grep -o 'Read-only.*'; \
                  cat $OPENSHELL_SANDBOX_TOKEN_FILE; echo; stat -c '%a %u' $OPENSHELL_SANDBOX_TOKEN_FILE /run/openshell";
    let mut request = request("sealed", &["sh", "-c", script]);
    request.spec.token = Secret::new("s3cret-t0ken");
    bench.driver.create(&request).await.expect("create");
    bench.until("sealed", "ContainerExited").await;
    let expected = "works\nscratch\nRead-only file system\ns3cret-t0ken\n600 1000\n700 1000\n";
    assert_eq!(bench.output("sealed").await, expected);
    assert_eq!(bench.driver.list().await.expect("a list").len(), 1);
    // A start finds both as they were.
    bench.driver.start(&sandbox_id("sealed")).await.expect("start");
    bench.until("sealed", "ContainerExited").await;
    assert_eq!(bench.output("sealed").await, expected.repeat(2));
    assert!(bench.driver.delete(&sandbox_id("sealed")).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn another_runtime_of_the_engine_when_it_is_listed() {
    let Some(bench) = Bench::new("runtimes = ['runc', 'no-such-runtime']").await else { return };
    let mut request = request("runtime", &["true"]);
    request.spec.template.platform_config.insert("runtime_class_name".to_owned(), "runc".into());
    bench.driver.create(&request).await.expect("create");
    let host = bench.inspect("runtime").await.host_config.expect("a host config");
    assert_eq!(host.runtime.as_deref(), Some("runc"));
    request.spec.template.platform_config.insert("runtime_class_name".to_owned(), "no-such-runtime".into());
    let error = bench.driver.validate_create(&request).await.expect_err("the engine has none");
    assert!(error.message().contains("the engine has no runtime `no-such-runtime`, only "), "{error}");
}
