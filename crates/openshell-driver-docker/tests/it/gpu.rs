//! GPUs: refused by name by an engine that has no way to give one, asked for by name from one that has.

use openshell_driver_api::{ErrorKind, GpuRequest, SandboxRequest};
use serde_json::{Value, json};

use crate::bench::{Bench, ask, request};
use crate::fake::Fake;

fn wants(count: Option<u32>) -> SandboxRequest {
    let mut request = request("gpu", &["true"]);
    request.spec.gpu = Some(GpuRequest { count });
    request
}

/// What Docker 28 with CDI on says of itself, in the fields that count.
fn with_cdi(devices: &[&str]) -> Value {
    let devices: Vec<Value> = devices.iter().map(|id| json!({"Source": "cdi", "ID": id})).collect();
    json!({
        "ServerVersion": "28.2.2",
        "Driver": "overlay2",
        "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
        "DiscoveredDevices": devices,
        "Runtimes": {"runc": {}},
        "OSType": "linux",
        "Architecture": "x86_64",
    })
}

#[tokio::test]
async fn the_engine_that_is_there_gives_one_or_says_why_not() {
    let Some(bench) = Bench::new("").await else { return };
    let info = bench.docker.info().await.expect("a description");
    if info.cdi_spec_dirs.is_some_and(|directories| !directories.is_empty()) {
        return println!("skipped: this engine has CDI");
    }
    let version = info.server_version.unwrap_or_default();
    let error = bench.driver.validate_create(&wants(None)).await.expect_err("no CDI");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let said =
        format!("gpu: engine {version} offers no CDI devices; it takes Docker 25 or newer with CDI on");
    assert_eq!(error.message(), said);
    assert_eq!(bench.driver.create(&wants(Some(1))).await.expect_err("no CDI").message(), said);
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn devices_are_asked_for_by_name() {
    let fake = Fake::new("1.50", with_cdi(&["nvidia.com/gpu=0", "nvidia.com/gpu=1", "nvidia.com/gpu=all"]));
    let bench = Bench::at(&fake.socket, "").await;
    let mut named = wants(None);
    ask(&mut named, json!({"gpu_device_ids": ["1"]}));
    for (request, devices) in [
        (wants(None), vec!["nvidia.com/gpu=all"]),
        (wants(Some(2)), vec!["nvidia.com/gpu=0", "nvidia.com/gpu=1"]),
        (named, vec!["nvidia.com/gpu=1"]),
    ] {
        bench.driver.validate_create(&request).await.expect("valid");
        bench.driver.create(&request).await.expect("create");
        let body = fake.made().pop().expect("a body");
        let expected = json!([{"Driver": "cdi", "DeviceIDs": devices}]);
        assert_eq!(body["HostConfig"]["DeviceRequests"], expected);
    }
    let error = bench.driver.create(&wants(Some(3))).await.expect_err("it has two");
    assert_eq!(error.message(), "gpu: 3 are asked for, and the engine has 2 of `nvidia.com/gpu`");
    assert_eq!(fake.made().len(), 3);
}

#[tokio::test]
async fn another_vendor_s() {
    let fake = Fake::new("1.50", with_cdi(&["amd.com/gpu=0"]));
    let bench = Bench::at(&fake.socket, "gpu_cdi_kind = 'amd.com/gpu'").await;
    bench.driver.create(&wants(Some(1))).await.expect("create");
    let body = fake.made().pop().expect("a body");
    assert_eq!(body["HostConfig"]["DeviceRequests"][0]["DeviceIDs"], json!(["amd.com/gpu=0"]));
    let bench = Bench::at(&fake.socket, "").await;
    let error = bench.driver.create(&wants(Some(1))).await.expect_err("of another vendor");
    assert!(error.message().contains("the engine has 0 of `nvidia.com/gpu`"), "{error}");
}
