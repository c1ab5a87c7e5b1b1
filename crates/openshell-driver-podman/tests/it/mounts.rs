//! What a sandbox may have mounted, and what it may not, on a real service.

use openshell_driver_api::{ErrorKind, labels};
use serde_json::{Value, json};

use crate::bench::{Bench, ask, request, sandbox_id};

/// What a script printed in a sandbox with these mounts; the sandbox stays.
async fn run(bench: &Bench, id: &str, script: &str, mounts: Value) -> String {
    let mut request = request(id, &["sh", "-c", script]);
    ask(&mut request, json!({ "mounts": mounts }));
    bench.printed(&request).await
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

#[tokio::test]
async fn a_file_system_in_memory() {
    let Some(bench) = Bench::new("user = 'sandbox'").await else { return };
    let script = "touch /scratch/x && echo wrote; mount | grep ' /scratch ' | grep -o 'nosuid,nodev,noexec'; \
                  dd if=/dev/zero of=/scratch/y bs=1M count=2 2>&1 | grep -o 'No space.*'";
    let mounts = json!([{"type": "tmpfs", "target": "/scratch", "size": "1Mi"}]);
    let output = run(&bench, "memory", script, mounts).await;
    assert_eq!(output, "wrote\nnosuid,nodev,noexec\nNo space left on device\n");
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
    assert_eq!(bench.printed(&elsewhere).await, "", "another workspace's volume of that name is another");

    for id in ["writer", "reader", "elsewhere"] {
        assert!(bench.driver.delete(&sandbox_id(id)).await.expect("delete"));
    }
    bench.driver.list().await.expect("a list");
    let path = format!("/volumes/openshell-{}.default.data.volume/json", bench.gateway_id);
    let kept = bench.api.get(&path).await;
    assert_eq!(kept["Labels"][labels::GATEWAY_ID], bench.gateway_id.as_str(), "it outlives its sandboxes");
    assert_eq!(bench.leftovers().await.len(), 2, "both volumes and nothing else");
}

#[tokio::test]
async fn a_volume_that_somebody_else_has_made_is_not_taken() {
    let Some(bench) = Bench::new("allow_volumes = true").await else { return };
    // Of the right name, and pointed at the host by whoever made it.
    let name = format!("openshell-{}.default.data.volume", bench.gateway_id);
    let ours = json!({
        (labels::MANAGED_BY): labels::MANAGED_BY_VALUE,
        (labels::GATEWAY_ID): bench.gateway_id,
        (labels::SANDBOX_WORKSPACE): "default",
        "openshell.ai/volume": "data",
    });
    for labels in [json!({}), ours] {
        let options = json!({"type": "none", "o": "bind", "device": "/run"});
        bench.api.post("/volumes/create", &json!({"Name": name, "Options": options, "Labels": labels})).await;
        let mut request = request("taken", &["true"]);
        ask(&mut request, json!({"mounts": [{"type": "volume", "target": "/data", "source": "data"}]}));
        let error = bench.driver.create(&request).await.expect_err("foreign");
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
        assert!(error.message().contains("was not made by this gateway"), "{error}");
        assert!(!bench.api.get(&format!("/volumes/{name}/json")).await.is_null(), "it is left alone");
        bench.api.delete(&format!("/volumes/{name}")).await;
        assert_eq!(bench.leftovers().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn paths_of_the_host_as_they_are_listed() {
    let host = tempfile::tempdir().expect("a directory");
    let root = host.path().join("root");
    std::fs::create_dir(&root).expect("a directory");
    std::fs::write(root.join("note"), "from the host\n").expect("a file");
    let bind = json!([{"type": "bind", "target": "/mnt/host", "source": root}]);
    let Some(closed) = Bench::new("").await else { return };
    assert!(
        refused(&closed, bind.clone())
            .await
            .contains("`bind_mounts` in `[openshell.drivers.podman]` is empty")
    );
    let Some(bench) = Bench::new(&format!("bind_mounts = ['{}']", root.display())).await else { return };
    let script = "cat /mnt/host/note; touch /mnt/host/x 2>/dev/null || echo sealed";
    assert_eq!(run(&bench, "reader", script, bind).await, "from the host\nsealed\n");
    let wanted = json!([{"type": "bind", "target": "/mnt/host", "source": root, "read_only": false}]);
    assert!(bench.driver.delete(&sandbox_id("reader")).await.expect("delete"));
    assert!(refused(&bench, wanted).await.contains("`bind_mounts_writable` is not set"));
}

#[tokio::test]
async fn the_service_s_socket_is_never_mounted() {
    let Some(bench) = Bench::new("bind_mounts = ['/tmp', '/srv', '/var/lib']").await else { return };
    let socket = bench.api.socket.display().to_string();
    let directory = bench.api.socket.parent().expect("a directory").display().to_string();
    for source in [
        socket.as_str(),
        &format!("/{socket}"),
        directory.as_str(),
        "/run/podman/podman.sock",
        "/var/run/podman",
        "/tmp",
        "/",
        "/var/lib/containers/storage",
        "podman.sock",
    ] {
        for kind in ["bind", "volume"] {
            refused(&bench, json!([{"type": kind, "target": "/x", "source": source}])).await;
        }
    }
}
