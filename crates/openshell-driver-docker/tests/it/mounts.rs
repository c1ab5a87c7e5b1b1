//! What a sandbox may have mounted, and what it may not, on a real engine.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use bollard::models::{ContainerInspectResponse, VolumeCreateRequest};
use bollard::query_parameters::RemoveVolumeOptions;
use openshell_driver_api::{ErrorKind, labels};
use serde_json::{Value, json};

use crate::bench::{Bench, ask, request, sandbox_id};

/// What a script printed in a sandbox with these mounts; the sandbox stays.
async fn run(bench: &Bench, id: &str, script: &str, mounts: Value) -> String {
    let mut request = request(id, &["sh", "-c", script]);
    ask(&mut request, json!({ "mounts": mounts }));
    bench.driver.create(&request).await.expect("create");
    bench.until(id, "ContainerExited").await;
    bench.output(id).await
}

/// How validation and creation refuse these mounts: alike, and leaving nothing.
async fn refused(bench: &Bench, mounts: Value) -> String {
    let mut request = request("refused", &["true"]);
    ask(&mut request, json!({ "mounts": mounts }));
    let said = bench.driver.validate_create(&request).await.expect_err("a refusal");
    assert_eq!(said.kind(), ErrorKind::InvalidArgument, "{mounts}");
    let again = bench.driver.create(&request).await.expect_err("a refusal");
    assert_eq!((again.kind(), again.message()), (said.kind(), said.message()));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
    said.message().to_owned()
}

fn mounted(container: &ContainerInspectResponse, target: &str) -> String {
    let mounts = container.mounts.as_ref().expect("mounts");
    let mount = mounts.iter().find(|mount| mount.destination.as_deref() == Some(target)).expect("a mount");
    mount.source.clone().or(mount.name.clone()).expect("a source")
}

#[tokio::test]
async fn a_volume_is_shared_within_a_workspace_and_outlives_its_sandboxes() {
    let Some(bench) = Bench::new("allow_volumes = true\nuser = 'sandbox'").await else { return };
    let data = json!([{"type": "volume", "target": "/mnt/data", "source": "data"}]);
    let output = run(&bench, "writer", "echo kept > /mnt/data/note && id -u", data.clone()).await;
    assert_eq!(output, "1000\n", "a user without privileges owns a new volume");
    let read_only = json!([{"type": "volume", "target": "/mnt/data", "source": "data", "read_only": true}]);
    let script = "cat /mnt/data/note; touch /mnt/data/x || echo sealed";
    let output = run(&bench, "reader", script, read_only).await;
    assert!(output.contains("kept\n") && output.contains("sealed\n"), "{output}");

    let mut elsewhere = request("elsewhere", &["sh", "-c", "ls /mnt/data"]);
    ask(&mut elsewhere, json!({ "mounts": data }));
    elsewhere.workspace = "other".to_owned();
    bench.driver.create(&elsewhere).await.expect("create");
    bench.until("elsewhere", "ContainerExited").await;
    assert_eq!(bench.output("elsewhere").await, "", "another workspace's volume of that name is another");

    for id in ["writer", "reader", "elsewhere"] {
        assert!(bench.driver.delete(&sandbox_id(id)).await.expect("delete"));
    }
    let volume = format!("openshell-{}.default.data.volume", bench.gateway_id);
    let kept = bench.docker.inspect_volume(&volume).await.expect("the volume outlives its sandboxes");
    assert_eq!(kept.labels[labels::GATEWAY_ID], bench.gateway_id);
    assert_eq!(
        (kept.labels["openshell.ai/volume"].as_str(), kept.labels.get(labels::SANDBOX_ID)),
        ("data", None)
    );
    assert_eq!(bench.leftovers().await.len(), 2, "both volumes and nothing else");
}

#[tokio::test]
async fn a_volume_at_a_long_path_belongs_to_the_sandbox_s_user() {
    let Some(bench) = Bench::new("allow_volumes = true\nuser = 'sandbox'").await else { return };
    let target = format!("/mnt/{}/{}", "a".repeat(120), "b".repeat(120));
    let volume = json!([{"type": "volume", "target": target, "source": "data"}]);
    let script = format!("touch {target}/x && stat -c %u {target}");
    assert_eq!(run(&bench, "long", &script, volume).await, "1000\n");
}

#[tokio::test]
async fn a_volume_that_somebody_else_has_made_is_not_taken() {
    let Some(bench) = Bench::new("allow_volumes = true").await else { return };
    // Of the right name, and pointed at the host by whoever made it.
    let name = format!("openshell-{}.default.data.volume", bench.gateway_id);
    let options = [("type", "none"), ("o", "bind"), ("device", "/run")];
    let options = options.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let ours =
        [(labels::MANAGED_BY, labels::MANAGED_BY_VALUE), (labels::GATEWAY_ID, bench.gateway_id.as_str())];
    for labelled in [&ours[..0], &ours[..]] {
        let labels = labelled.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let foreign = VolumeCreateRequest {
            name: Some(name.clone()),
            driver_opts: Some(options.clone().into()),
            labels: Some(labels.collect()),
            ..VolumeCreateRequest::default()
        };
        bench.docker.create_volume(foreign).await.expect("a volume");
        let mut request = request("taken", &["true"]);
        ask(&mut request, json!({"mounts": [{"type": "volume", "target": "/data", "source": "data"}]}));
        let error = bench.driver.create(&request).await.expect_err("foreign");
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
        assert!(error.message().contains("was not made by this gateway"), "{error}");
        assert!(bench.docker.inspect_volume(&name).await.is_ok(), "it is left alone");
        bench.docker.remove_volume(&name, None::<RemoveVolumeOptions>).await.expect("removed");
        assert_eq!(bench.leftovers().await, Vec::<String>::new());
    }
}

/// A directory of the host with a root, beside which other things lie.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join("root/in")).expect("a directory");
        std::fs::write(dir.path().join("root/in/note"), "from the host\n").expect("a file");
        std::fs::write(dir.path().join("secret"), "secret\n").expect("a file");
        Self(dir)
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn bind(&self, below: &str) -> Value {
        json!([{"type": "bind", "target": "/mnt/host", "source": self.path(below)}])
    }

    fn config(&self) -> String {
        format!("bind_mounts = [{:?}]", self.path("root"))
    }
}

#[tokio::test]
async fn a_path_of_the_host_is_read_only_unless_the_operator_says_more() {
    let host = Host::new();
    let Some(bench) = Bench::new(&host.config()).await else { return };
    let output =
        run(&bench, "reads", "cat /mnt/host/note; touch /mnt/host/x || echo sealed", host.bind("root/in"))
            .await;
    assert!(output.contains("from the host\n") && output.contains("sealed\n"), "{output}");
    assert!(!host.path("root/in/x").exists());
    assert_eq!(Path::new(&mounted(&bench.inspect("reads").await, "/mnt/host")), host.path("root/in"));
    assert!(bench.driver.delete(&sandbox_id("reads")).await.expect("delete"));
    let mut writing = host.bind("root/in");
    writing[0]["read_only"] = false.into();
    assert!(refused(&bench, writing.clone()).await.contains("`bind_mounts_writable` is not set"));

    let Some(bench) = Bench::new(&format!("{}\nbind_mounts_writable = true", host.config())).await else {
        return;
    };
    writing[0]["source"] = json!(host.path("root"));
    let output = run(&bench, "writes", "touch /mnt/host/x && echo written", writing).await;
    assert_eq!(output, "written\n");
    assert!(host.path("root/x").exists());
}

#[tokio::test]
async fn nothing_leads_out_of_what_is_listed() {
    let host = Host::new();
    let Some(bench) = Bench::new(&host.config()).await else { return };
    symlink("../secret", host.path("root/link")).expect("a link");
    symlink("/", host.path("root/all")).expect("a link");
    for (below, why) in [
        ("secret", "is not below"),
        ("root/../secret", "without `..`"),
        ("root/link", "leads out"),
        ("root/all/etc", "leads out"),
        ("root/none", "does not exist"),
    ] {
        let said = refused(&bench, host.bind(below)).await;
        assert!(said.contains(why), "{below}: {said}");
    }
    // A link inside of what is mounted leads to the sandbox's own files.
    let output = run(&bench, "inside", "cat /mnt/host/link || echo nowhere", host.bind("root")).await;
    assert!(output.contains("nowhere") && !output.contains("secret\n"), "{output}");
}

#[tokio::test]
async fn what_is_mounted_below_on_the_host_is_not_mounted_along() {
    let host = Host::new();
    let Some(bench) = Bench::new(&host.config()).await else { return };
    let below = host.path("root/in/below");
    std::fs::create_dir(&below).expect("a directory");
    let mount = std::process::Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&below).status();
    if !mount.is_ok_and(|status| status.success()) {
        return println!("skipped: this user may not mount");
    }
    std::fs::write(below.join("hidden"), "").expect("a file");
    let output = run(&bench, "below", "ls /mnt/host/below", host.bind("root/in")).await;
    let unmounted = std::process::Command::new("umount").arg(&below).status().expect("umount");
    assert_eq!(output, "");
    assert!(unmounted.success());
}

#[tokio::test]
async fn the_engine_s_socket_is_refused_in_every_spelling() {
    let host = Host::new();
    let _socket = UnixListener::bind(host.path("root/own.sock")).expect("a socket");
    symlink("/var/run/docker.sock", host.path("root/docker.sock")).expect("a link");
    symlink("/var/run", host.path("root/run")).expect("a link");
    let root = host.path("root");
    let root = root.to_str().expect("UTF-8");
    let listed = format!("bind_mounts = ['{root}', '/var', '/tmp']\nallow_volumes = true");
    for config in ["", listed.as_str()] {
        let Some(bench) = Bench::new(config).await else { return };
        for source in [
            "/var/run/docker.sock",
            "/run/docker.sock",
            "/var//run///docker.sock",
            "//var/run/../run/docker.sock",
            "/var/run/./docker.sock",
            "/var/run/",
            "/run",
            "/var",
            "/",
            "/proc/self/root/run/docker.sock",
            "/proc/1/root",
            "/dev",
            "/sys/fs/cgroup",
            &format!("{root}/docker.sock"),
            &format!("{root}/run"),
            &format!("{root}/run/docker.sock"),
            &format!("{root}/own.sock"),
            root,
        ] {
            for kind in ["bind", "volume"] {
                refused(&bench, json!([{"type": kind, "target": "/x", "source": source}])).await;
                refused(&bench, json!([{"type": kind, "target": "/var/run/docker.sock", "source": source}]))
                    .await;
            }
        }
        refused(&bench, json!([{"type": "npipe", "target": "/x", "source": "/run/docker.sock"}])).await;
        let options = json!({"type": "none", "o": "bind", "device": "/run"});
        refused(&bench, json!([{"type": "volume", "target": "/x", "source": "x", "driver_opts": options}]))
            .await;
        // The gateway's own state, wherever an operator keeps it.
        refused(&bench, json!([{"type": "bind", "target": "/x", "source": bench.state_dir()}])).await;
    }
}
