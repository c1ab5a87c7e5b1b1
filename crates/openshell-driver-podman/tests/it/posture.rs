//! What a sandbox may do, as the service records it and as the process inside finds it.

use std::time::Duration;

use openshell_driver_api::Secret;
use serde_json::{Value, json};

use crate::bench::{Bench, PATIENCE, request, sandbox_id, waiting};

#[tokio::test]
async fn the_posture_is_what_the_service_was_told() {
    let Some(bench) = Bench::new("").await else { return };
    let mut request = waiting("posture");
    request.spec.template.labels.insert("team".to_owned(), "blue".to_owned());
    bench.driver.create(&request).await.expect("create");
    let container = bench.inspect("posture").await;
    assert_eq!(container["Config"]["Labels"]["team"], "blue");
    let host = &container["HostConfig"];
    assert_eq!((&host["Privileged"], &host["PidsLimit"]), (&json!(false), &json!(2048)));
    assert_eq!(container["BoundingCaps"].as_array().map_or(0, Vec::len), 0);
    assert_eq!(host["CapAdd"].as_array().map_or(0, Vec::len), 0);
    let options = host["SecurityOpt"].as_array().cloned().unwrap_or_default();
    assert_eq!(options, [json!("no-new-privileges")], "no profile is switched off");
    assert_eq!(host["RestartPolicy"]["Name"], "no");
    for (mode, word) in [("PidMode", "private"), ("UTSMode", "private"), ("CgroupMode", "private")] {
        assert_eq!(host[mode], word, "{mode}");
    }
    assert_ne!(host["IpcMode"], "host");
    let none = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
    assert!(none(&host["Devices"]) && none(&host["VolumesFrom"]) && none(&host["ExtraHosts"]), "{host}");
    let mounts = container["Mounts"].as_array().expect("mounts");
    assert_eq!(mounts.len(), 1, "nothing of the host: {mounts:?}");
    assert_eq!((&mounts[0]["Type"], &mounts[0]["Destination"]), (&json!("volume"), &json!("/sandbox")));
    let networks = container["NetworkSettings"]["Networks"].as_object().expect("networks");
    let own = format!("openshell-{}.posture", bench.gateway_id);
    assert_eq!(networks.keys().collect::<Vec<_>>(), [&own]);
    let network = bench.api.get(&format!("/networks/{own}/json")).await;
    assert_eq!(network["options"]["isolate"], "true", "{network}");
    let bridge = network["network_interface"].as_str().unwrap_or_default();
    assert!(bridge.starts_with("osh-"), "operators' rules are about bridges of this name: {network}");
}

#[tokio::test]
async fn the_process_finds_itself_without_privileges() {
    let Some(bench) = Bench::new("").await else { return };
    let script = "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status; \
                  mount -t tmpfs none /mnt 2>/dev/null && echo mounted; \
                  echo x 2>/dev/null >/proc/sys/kernel/hostname && echo renamed; ls /dev; touch /sandbox/mine && echo wrote; \
                  pwd; test -e /run/podman/podman.sock && echo exposed; hostname; env | sort";
    let output = bench.printed(&request("inside", &["sh", "-c", script])).await;
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
        "name-of-inside",
        "OPENSHELL_SANDBOX=name-of-inside",
        "OPENSHELL_SANDBOX_ID=inside",
        "OPENSHELL_TELEMETRY_ENABLED=false",
    ] {
        assert!(output.lines().any(|found| found == line), "`{line}` in {output}");
    }
    for line in ["exposed", "mounted", "renamed", "mem", "kmsg", "sda", "fuse"] {
        assert!(!output.lines().any(|found| found == line), "`{line}` in {output}");
    }
}

#[tokio::test]
async fn no_network_but_loopback_and_another_user() {
    let Some(bench) = Bench::new("network = 'none'\nuser = '1000:1000'").await else { return };
    let script = "id -u; touch /sandbox/mine && echo wrote; ls /sys/class/net";
    assert_eq!(bench.printed(&request("alone", &["sh", "-c", script])).await, "1000\nwrote\nlo\n");
    assert!(!bench.leftovers().await.iter().any(|path| path.starts_with("/networks/")));
}

/// How often a sandbox asks for another before it counts as reached, see below.
const ASKS: usize = 20;

/// Where netavark keeps its rules with iptables, every isolated network that ends, as other tests' do all the time, takes
/// away the isolation of all, and every one that begins puts it back (`network.rs` has the whole story). So who asks is
/// begun anew until it finds the isolation that its own begin has put there; one that was never asked for is never found.
#[tokio::test]
async fn sandboxes_do_not_reach_each_other() {
    let Some(bench) = Bench::new("").await else { return };
    let serve =
        "nc -ll -p 8080 -e echo hello & sleep 1; nc -w 2 $(hostname -i) 8080 </dev/null; exec sleep 300";
    bench.driver.create(&request("served", &["sh", "-c", serve])).await.expect("create");
    // It does answer: itself, it hears.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while bench.output("served").await != "hello\n" {
        assert!(tokio::time::Instant::now() < deadline, "{}", bench.output("served").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let network = format!("openshell-{}.served", bench.gateway_id);
    let address = bench.inspect("served").await["NetworkSettings"]["Networks"][&network]["IPAddress"].clone();
    let address = address.as_str().expect("an address");
    let ask = format!("nc -w 1 {address} 8080 </dev/null 2>/dev/null || echo unreached");
    let mut reached = 0;
    while bench.printed(&request(&format!("asking-{reached}"), &["sh", "-c", &ask])).await != "unreached\n" {
        assert!(bench.may_lose_isolation().await, "a sandbox reaches another, and netavark is not to blame");
        reached += 1;
        assert!(reached < ASKS, "isolation is not there even where it was just asked for");
    }
    if reached > 0 {
        println!(
            "netavark had lost its isolation for {reached} of {} starts, see docs/podman.md",
            reached + 1
        );
    }
}

#[tokio::test]
async fn a_stack_of_its_own_reaches_the_host_but_for_its_loopback() {
    let Some(bench) = Bench::new("own_network = 'slirp4netns'").await else { return };
    let program = bench.api.get("/info").await["host"]["slirp4netns"]["executable"].clone();
    if program.as_str().is_none_or(str::is_empty) {
        println!("skipped: the podman service's host has no slirp4netns");
        return;
    }
    // The address by which this host goes out into the world; nothing is sent for that.
    let outward = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    if outward.connect("198.51.100.1:9").is_err() {
        println!("skipped: this host has no way out");
        return;
    }
    let outward = outward.local_addr().expect("an address").ip();
    let open = hello(outward).await;
    let closed = hello(std::net::Ipv4Addr::LOCALHOST.into()).await;
    // What slirp4netns calls the host's loopback.
    let script = format!(
        "ls /sys/class/net; nc -w 2 {outward} {open} </dev/null; nc -w 2 10.0.2.2 {closed} </dev/null 2>/dev/null \
         || echo unreached"
    );
    let once = "lo\ntap0\nhello\nunreached\n";
    assert_eq!(bench.printed(&request("stack", &["sh", "-c", &script])).await, once);
    bench.driver.start(&sandbox_id("stack")).await.expect("start");
    bench.until("stack", "ContainerExited").await;
    assert_eq!(bench.output("stack").await, once.repeat(2), "its next start has one, too");
    let container = bench.inspect("stack").await;
    assert_eq!(container["HostConfig"]["NetworkMode"], "slirp4netns");
    assert!(!bench.leftovers().await.iter().any(|path| path.starts_with("/networks/")));
}

/// A listener that greets whoever comes: its port.
async fn hello(address: std::net::IpAddr) -> u16 {
    let listener = tokio::net::TcpListener::bind((address, 0)).await.expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut peer, b"hello\n").await;
        }
    });
    port
}

#[tokio::test]
async fn the_token_is_a_file_that_only_the_process_reads() {
    for (config, owner) in [("", "0"), ("user = 'sandbox'", "1000"), ("user = '4321'", "4321")] {
        let Some(bench) = Bench::new(config).await else { return };
        let script = "cat $OPENSHELL_SANDBOX_TOKEN_FILE; echo; stat -c '%a %u' $OPENSHELL_SANDBOX_TOKEN_FILE";
        let mut request = request("token", &["sh", "-c", script]);
        request.spec.token = Secret::new("s3cret-t0ken");
        assert_eq!(bench.printed(&request).await, format!("s3cret-t0ken\n400 {owner}\n"), "{config}");
        let described = bench.inspect("token").await;
        assert_eq!(described["Config"]["Secrets"].as_array().map_or(0, Vec::len), 1, "it is a secret");
        assert!(!described.to_string().contains("s3cret-t0ken"), "the service's description holds the token");
        assert!(!format!("{:?}", bench.driver.get(&sandbox_id("token")).await).contains("s3cret-t0ken"));
        // The container has its copy, also for its next start, and nobody else finds one.
        assert!(!bench.leftovers().await.iter().any(|path| path.starts_with("/secrets/")));
        bench.driver.start(&sandbox_id("token")).await.expect("start");
        bench.until("token", "ContainerExited").await;
        assert!(bench.output("token").await.ends_with(&format!("s3cret-t0ken\n400 {owner}\n")));
    }
}

#[tokio::test]
async fn a_root_that_cannot_be_written() {
    let Some(bench) = Bench::new("read_only_root = true\nuser = 'sandbox'").await else { return };
    let script = "touch /sandbox/mine && echo works; touch /tmp/mine && echo scratch; touch /bin/x 2>&1 | grep -o 'Read-only.*'; \
                  cat $OPENSHELL_SANDBOX_TOKEN_FILE; echo";
    let mut request = request("sealed", &["sh", "-c", script]);
    request.spec.token = Secret::new("s3cret-t0ken");
    let expected = "works\nscratch\nRead-only file system\ns3cret-t0ken\n";
    assert_eq!(bench.printed(&request).await, expected);
    assert!(bench.driver.delete(&sandbox_id("sealed")).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_runtime_is_the_service_s_own_or_refused() {
    let Some(bench) = Bench::new("runtimes = ['runc', 'crun', 'no-such-runtime']").await else { return };
    let own = bench.api.get("/info").await["host"]["ociRuntime"]["name"].clone();
    let with = |name: &str| {
        let mut request = request("runtime", &["true"]);
        request.spec.template.platform_config.insert("runtime_class_name".to_owned(), name.into());
        request
    };
    bench.driver.validate_create(&with(own.as_str().expect("a name"))).await.expect("its own");
    let error = bench.driver.validate_create(&with("no-such-runtime")).await.expect_err("another");
    assert!(error.message().contains("the engine runs all containers with "), "{error}");
}
