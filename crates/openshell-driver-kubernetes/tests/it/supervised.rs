//! Sandboxes with the gateway's supervisor as their first process, on a real cluster: a step before the main process brings
//! the program out of an image, the workload is held to what it is held to without, and finds nothing of the supervisor's. No
//! gateway answers here; the supervisor goes on asking.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use openshell_driver_api::supervisor::SupervisorDelivery;
use openshell_driver_api::{DriverContext, Secret};
use tokio::time::{Instant, sleep};

use crate::bench::{Bench, PATIENCE, context, ready, request, sandbox_id};

const TOKEN: &str = "osb1.s3cret.t0ken";
/// Nobody listens there.
const ENDPOINT: &str = "https://127.0.0.1:9";
/// What a workload sees of itself, and what it tries.
const WORKLOAD: &str = include_str!("../../../openshell-driver-common/tests/workload.sh");

/// A bench whose sandboxes have a supervisor, and the image that it comes in.
struct Supervised {
    bench: Bench,
    image: String,
}

impl Supervised {
    /// `None`, and a word about it, where there is no cluster, no program, or no way to bring an image there.
    async fn new(config: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some(folder) = std::env::var_os("OPENSHELL_TEST_BIN_DIR") else {
            let required = std::env::var("OPENSHELL_TEST_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|word| word.trim() == "programs"), "programs are required");
            println!("skipped: no supervisor: OPENSHELL_TEST_BIN_DIR is not set (cargo xtask test sets it)");
            return None;
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let image = format!("openshell-test/supervisor:it-{}-{count}", std::process::id());
        let own = format!("supervisor_image = '{image}'\nsupervisor_image_pull_policy = 'Never'\n{config}");
        let bench = Bench::new(&own).await?;
        let mut supervised = Self { bench, image };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/supervisor-image.sh");
        let put =
            Command::new("sh").arg(script).arg(folder).arg(&supervised.image).output().expect("a shell");
        match put.status.code() {
            Some(0) => {}
            Some(3) => {
                crate::bench::skip(String::from_utf8_lossy(&put.stdout).trim());
                return None;
            }
            _ => panic!("{}", String::from_utf8_lossy(&put.stderr)),
        }
        let ca = include_str!("../../src/connect/ca.pem").to_owned();
        let bench = &mut supervised.bench;
        let context = DriverContext {
            endpoint: ENDPOINT.to_owned(),
            supervisor: Some(SupervisorDelivery::Network { endpoint: ENDPOINT.to_owned(), ca }),
            ..context(&bench.gateway_id)
        };
        let opened = openshell_driver_kubernetes::REGISTRATION.factory.open(context, &bench.table).await;
        bench.driver = opened.expect("a driver");
        Some(supervised)
    }

    /// What a sandbox's main process printed, without what the supervisor says of its gateway. It is the engine that is
    /// asked: clusters for tests have no way to their nodes.
    async fn output(&self, id: &str) -> String {
        let script = "docker logs $(docker ps -aq --filter label=io.kubernetes.container.name=sandbox \
                      --filter label=io.kubernetes.pod.uid=$1) 2>&1";
        let pod = self.bench.driver.get(&sandbox_id(id)).await.expect("a sandbox").status.instance_id;
        let shown = Command::new("sh").args(["-c", script, "sh", &pod]).output().expect("a shell");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let own = shown.lines().filter(|line| !line.starts_with("openshell-sandbox: "));
        own.map(|line| format!("{line}\n")).collect()
    }

    /// Waits until a sandbox has printed this.
    async fn until_printed(&self, id: &str, expected: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.output(id).await;
            if output == expected {
                return;
            }
            assert!(Instant::now() < deadline, "waited for {expected:?}, and it is {output:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // By force: what ran out of it may be there still.
        let _ = Command::new("docker").args(["rmi", "--force", &self.image]).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workload_has_what_it_has_without_and_finds_nothing_of_the_supervisor_s() {
    for (config, expected) in [
        ("", "user 1000 group 1000 in /sandbox\n"),
        ("user = 4321\nread_only_root = true", "user 4321 group 4321 in /sandbox\n"),
        // A root in there may remove the program from memory, and nobody looks for it there again: what is started later
        // comes from the process that runs. The token is gone by then.
        ("user = 0", "user 0 group 0 in /sandbox\nhole the program removed\n"),
    ] {
        let Some(stage) = Supervised::new(config).await else { return };
        let bench = &stage.bench;
        let mut wanted = request("inside", &["sh", "-c", WORKLOAD]);
        wanted.spec.token = Secret::new(TOKEN);
        bench.driver.create(&wanted).await.expect("create");
        let ended = bench.until("inside", "ContainerExited").await;
        let said = &ready(&ended).message;
        assert!(said.contains("exit code 7"), "the exit code is the main process's: {said}");
        let own = "OPENSHELL_SANDBOX=name-of-inside\nOPENSHELL_SANDBOX_ID=inside\nOPENSHELL_TELEMETRY_ENABLED=false\n";
        assert_eq!(stage.output("inside").await, format!("{expected}{own}alive\n"), "{config}");
        assert!(bench.driver.delete(&wanted.id).await.expect("delete"));
        assert_eq!(bench.leftovers().await, Vec::<String>::new());
    }
}

/// The volumes' group is the workload's, though it is not its main one.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_to_a_group_can_be_written() {
    let config = "user = 7\ngroup = 8\nfs_group = 9\nephemeral = true";
    let Some(stage) = Supervised::new(config).await else { return };
    let script = "id -G; touch /sandbox/mine && stat -c %g /sandbox/mine; cat /run/openshell/token 2>/dev/null; exit 7";
    let mut wanted = request("group", &["sh", "-c", script]);
    wanted.spec.token = Secret::new(TOKEN);
    stage.bench.driver.create(&wanted).await.expect("create");
    stage.bench.until("group", "ContainerExited").await;
    assert_eq!(stage.output("group").await, "8 9\n9\n");
    assert!(stage.bench.driver.delete(&wanted.id).await.expect("delete"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_starts_and_goes_like_any_other() {
    let Some(stage) = Supervised::new("stop_timeout = 10").await else { return };
    let bench = &stage.bench;
    let script = "trap 'echo bye >>/sandbox/was; exit 0' TERM; cat /sandbox/was 2>/dev/null; echo up >>/sandbox/was; echo up; \
                  while :; do sleep 0.1; done";
    let mut wanted = request("cycle", &["sh", "-c", script]);
    wanted.spec.token = Secret::new(TOKEN);
    bench.driver.create(&wanted).await.expect("create");
    // Some kubelets take a minute and a half to kill a pod that is removed before they have said that it runs.
    bench.until("cycle", "Running").await;
    stage.until_printed("cycle", "up\n").await;
    bench.driver.stop(&wanted.id).await.expect("stop");
    // Its secret is there still, and is brought into the new pod's memory. What was written at the end says that signals
    // come through.
    bench.driver.start(&wanted.id).await.expect("start");
    bench.until("cycle", "Running").await;
    stage.until_printed("cycle", "up\nbye\nup\n").await;
    assert!(bench.driver.delete(&wanted.id).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

/// What a cluster does not tell of an image is not needed: there is a shell from the beginning.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_command_is_a_shell_that_waits() {
    let Some(stage) = Supervised::new("").await else { return };
    let bench = &stage.bench;
    let mut wanted = request("shell", &[]);
    wanted.spec.token = Secret::new(TOKEN);
    bench.driver.create(&wanted).await.expect("create");
    let running = bench.until("shell", "Running").await;
    bench.driver.stop(&wanted.id).await.expect("stop");
    bench.driver.start(&wanted.id).await.expect("start");
    let again = bench.until("shell", "Running").await;
    assert_ne!(again.status.instance_id, running.status.instance_id);
    assert!(bench.driver.delete(&wanted.id).await.expect("delete"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_there_is_named() {
    let Some(stage) = Supervised::new("").await else { return };
    let image = stage.image.clone();
    let removed = Command::new("docker").args(["rmi", "--force", &image]).output().expect("docker");
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    let mut wanted = request("lacks", &["true"]);
    wanted.spec.token = Secret::new(TOKEN);
    stage.bench.driver.create(&wanted).await.expect("create");
    let held = stage.bench.until("lacks", "ImagePullFailed").await;
    let said = &ready(&held).message;
    assert!(said.contains(&image), "{said}");
    assert!(stage.bench.driver.delete(&wanted.id).await.expect("delete"));
}
