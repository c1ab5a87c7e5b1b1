//! What a sandbox is held to, as the service records it and as the process inside finds it.

use openshell_driver_api::ErrorKind;
use serde_json::json;

use crate::bench::{Bench, ask, request, sandbox_id, waiting};

#[tokio::test]
async fn limits_are_what_the_service_was_told() {
    let Some(bench) = Bench::new("nofile_limit = 512").await else { return };
    let mut request = waiting("limits");
    request.spec.template.resources.cpu_limit = "500m".to_owned();
    request.spec.template.resources.memory_limit = "64Mi".to_owned();
    request.spec.template.resources.memory_request = "32Mi".to_owned();
    ask(&mut request, json!({"pids_limit": 64, "shm_size": "8Mi"}));
    bench.driver.create(&request).await.expect("create");
    let host = &bench.inspect("limits").await["HostConfig"];
    assert_eq!((&host["CpuQuota"], &host["CpuPeriod"]), (&json!(50_000), &json!(100_000)));
    assert_eq!((&host["Memory"], &host["MemorySwap"]), (&json!(64 << 20), &json!(64 << 20)));
    assert_eq!((&host["MemoryReservation"], &host["PidsLimit"]), (&json!(32 << 20), &json!(64)));
    assert_eq!(host["ShmSize"], json!(8 << 20));
    let files =
        host["Ulimits"].as_array().expect("limits").iter().find(|limit| limit["Name"] == "RLIMIT_NOFILE");
    assert_eq!(files.map(|limit| (&limit["Soft"], &limit["Hard"])), Some((&json!(512), &json!(512))));
}

#[tokio::test]
async fn too_many_processes_are_not_made() {
    let Some(bench) = Bench::new("pids_limit = 8").await else { return };
    // The shell ends when it cannot fork any more.
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done; echo made";
    let printed = bench.printed(&request("forks", &["sh", "-c", script])).await;
    assert!(printed.contains("can't fork"), "{printed}");
}

#[tokio::test]
async fn out_of_memory_is_told_from_an_exit() {
    let Some(bench) = Bench::new("").await else { return };
    let mut request = request("hungry", &["sh", "-c", "head -c 100m /dev/zero | tail"]);
    // The main process itself is what grows.
    request.spec.command =
        vec!["tail".to_owned(), "-c".to_owned(), "200m".to_owned(), "/dev/zero".to_owned()];
    request.spec.template.resources.memory_limit = "32Mi".to_owned();
    bench.driver.create(&request).await.expect("create");
    let seen = bench.until("hungry", "OOMKilled").await;
    assert!(seen.status.conditions[0].message.contains("out of memory"), "{seen:?}");
    assert!(bench.driver.delete(&sandbox_id("hungry")).await.expect("delete"));
}

#[tokio::test]
async fn what_cannot_be_honoured_is_refused_by_name() {
    let Some(bench) = Bench::new("").await else { return };
    let refused = |change: &dyn Fn(&mut openshell_driver_api::SandboxRequest)| {
        let mut request = request("refused", &["true"]);
        change(&mut request);
        let driver = &bench.driver;
        async move {
            let error = driver.validate_create(&request).await.expect_err("a refusal");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            error.message().to_owned()
        }
    };
    let said = refused(&|request| request.spec.template.resources.cpu_request = "1".to_owned()).await;
    assert!(said.contains("cpu_request: `1` cannot be reserved by the podman driver"), "{said}");
    let said = refused(&|request| ask(request, json!({"privileged": true}))).await;
    assert!(said.contains("unknown key `privileged`"), "{said}");
    let said = refused(&|request| ask(request, json!({"pids_limit": 4096}))).await;
    assert!(said.contains("`4096` is above `pids_limit`"), "{said}");
    if !std::path::Path::new("/etc/cdi").exists() && !std::path::Path::new("/var/run/cdi").exists() {
        let said =
            refused(&|request| request.spec.gpu = Some(openshell_driver_api::GpuRequest::default())).await;
        assert!(said.contains("gpu: the engine's host has no CDI devices"), "{said}");
    }
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}
