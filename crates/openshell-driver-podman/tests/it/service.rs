//! A service that goes away, hangs, and comes back: one of the test's own, since others use the one that is there.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use openshell_driver_api::probe::{Ping, engine_ping};
use openshell_driver_api::{ErrorKind, WatchEvent};

use crate::bench::{Bench, PATIENCE, image, read_until, ready_reason, request, sandbox_id, skip};

/// A `podman system service` of the test's own, with a store of its own.
pub(crate) struct Service {
    root: tempfile::TempDir,
    /// Lines of its settings' table `engine`.
    settings: &'static str,
    child: Option<Child>,
}

impl Service {
    /// A service with the test's image; `None`, and a word about it, where it cannot run.
    pub(crate) async fn new() -> Option<Self> {
        Self::with("").await
    }

    /// The same, with more settings of the table `engine`.
    pub(crate) async fn with(settings: &'static str) -> Option<Self> {
        let Ok(files) = std::env::var("OPENSHELL_TEST_ROOTFS") else {
            skip("no OPENSHELL_TEST_ROOTFS to make an image of");
            return None;
        };
        let root = tempfile::tempdir().expect("a directory");
        let mut service = Self { root, settings, child: None };
        let imported = service.podman().args(["import", "-q", &files, &image()]).output();
        if !imported.is_ok_and(|output| output.status.success()) || !service.start().await {
            skip("no podman service that could be started beside the one that is there");
            return None;
        }
        Some(service)
    }

    /// Podman itself on the service's store, past the service. Its locks are files of its own: those in memory belong to all
    /// services of a host, and a store that is new frees every one of them.
    pub(crate) fn podman(&self) -> Command {
        let at = |name: &str| self.root.path().join(name);
        let settings =
            std::env::var("CONTAINERS_CONF").ok().and_then(|path| std::fs::read_to_string(path).ok());
        let mut settings = settings.unwrap_or_default();
        let own = format!("lock_type = \"file\"\n{}\n", self.settings);
        match settings.find("[engine]\n") {
            Some(start) => settings.insert_str(start + "[engine]\n".len(), &own),
            None => settings.push_str(&format!("\n[engine]\n{own}")),
        }
        std::fs::write(at("containers.conf"), settings).expect("a file");
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", at("containers.conf"));
        for (option, place) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(at(place));
        }
        command
    }

    /// The file in which it keeps its events.
    pub(crate) fn events_log(&self) -> PathBuf {
        self.root.path().join("tmp/events/events.log")
    }

    /// Where it is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.root.path().join("podman.sock")
    }

    /// Starts it and waits until it answers.
    pub(crate) async fn start(&mut self) -> bool {
        let mut command = self.podman();
        command.args(["system", "service", "--time=0"]).arg(format!("unix://{}", self.socket().display()));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(child) = child else { return false };
        self.child = Some(child);
        for _ in 0..200 {
            if matches!(engine_ping(&self.socket(), Duration::from_secs(1)).await, Ping::Answered(_)) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Ends it as a crash would; its containers go on.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a kill");
            child.wait().expect("its end");
        }
    }

    /// Makes it hang, or go on.
    fn hang(&self, hang: bool) {
        let id = self.child.as_ref().expect("a service").id().to_string();
        let signal = if hang { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill").success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.hang(false);
        }
        self.kill();
        let _ = self.podman().args(["rm", "-af", "-t", "0"]).output();
        // The store's own mount, which would keep the directory; more than once where several processes made it.
        let mount = self.root.path().join("root/overlay");
        let unmount = || Command::new("umount").args(["-q", "-l"]).arg(&mount).status();
        while unmount().is_ok_and(|status| status.success()) {}
    }
}

#[tokio::test]
async fn what_a_crash_has_left_half_hides_nobody_and_can_be_deleted() {
    let Some(mut service) = Service::new().await else { return };
    let bench = Bench::at(&service.socket(), "network = 'none'\nstop_timeout = 0").await;
    for id in ["whole", "half"] {
        bench.driver.create(&request(id, &["true"])).await.expect("create");
        bench.until(id, "ContainerExited").await;
    }
    service.kill();
    // The store forgets it, and libpod's own list does not: what is left where a removal was cut off.
    let known = service.root.path().join("root/overlay-containers/containers.json");
    let text = std::fs::read_to_string(&known).expect("the store's list");
    let mut list: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    let before = list.len();
    list.retain(|container| !container["names"].to_string().contains("half"));
    assert_eq!(list.len() + 1, before, "{text}");
    std::fs::write(&known, serde_json::to_string(&list).expect("JSON")).expect("a file");
    assert!(service.start().await, "it comes back");

    let seen = bench.driver.list().await.expect("a list");
    assert_eq!(seen.iter().map(|sandbox| sandbox.id.as_str()).collect::<Vec<_>>(), ["whole"]);
    assert!(bench.driver.delete(&sandbox_id("half")).await.expect("delete"), "there was something");
    assert!(!bench.driver.delete(&sandbox_id("half")).await.expect("delete"), "and is no more");
    assert!(bench.driver.delete(&sandbox_id("whole")).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_service_that_is_killed_and_comes_back() {
    let Some(mut service) = Service::new().await else { return };
    let bench = Bench::at(&service.socket(), "network = 'none'\nstop_timeout = 0").await;
    for id in ["stays", "ends"] {
        let seconds = if id == "stays" { "300" } else { "2" };
        bench.driver.create(&request(id, &["sleep", seconds])).await.expect("create");
        bench.until(id, "Running").await;
    }
    let mut events = bench.driver.watch().await.expect("a watch");
    read_until(
        &mut events,
        |event| matches!(event, WatchEvent::Sandbox(sandbox) if sandbox.id.as_str() == "stays"),
    )
    .await;
    service.kill();
    let end = async {
        loop {
            match events.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("it ends without a word"),
            }
        }
    };
    let error = tokio::time::timeout(PATIENCE, end).await.expect("an end");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    for error in [
        bench.driver.list().await.expect_err("away"),
        bench.driver.get(&sandbox_id("stays")).await.expect_err("away"),
        bench.driver.create(&request("new", &["true"])).await.expect_err("away"),
        bench.driver.stop(&sandbox_id("stays")).await.expect_err("away"),
        bench.driver.watch().await.expect("a stream").next().await.expect("an item").expect_err("away"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;

    // The same driver, with nothing told to it.
    assert!(service.start().await, "it comes back");
    bench.until("ends", "ContainerExited").await;
    let listed = bench.driver.list().await.expect("a list");
    let words: Vec<_> = listed.iter().map(|sandbox| (sandbox.id.as_str(), ready_reason(sandbox))).collect();
    assert_eq!(words, [("ends", "ContainerExited"), ("stays", "Running")]);
    for id in ["stays", "ends"] {
        assert!(bench.driver.delete(&sandbox_id(id)).await.expect("delete"));
    }
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_service_that_hangs_ends_no_sandbox() {
    let Some(service) = Service::new().await else { return };
    let bench = Bench::at(&service.socket(), "network = 'none'\nstop_timeout = 0").await;
    bench.driver.create(&request("calm", &["sleep", "300"])).await.expect("create");
    service.hang(true);
    // A driver that is opened now is told in time, and one that asks waits for as long as it may.
    let error = Bench::opened(&service.socket()).await.err().expect("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().ends_with("timed out"), "{error}");
    let (driver, id) = (bench.driver.clone(), sandbox_id("calm"));
    let asked = tokio::spawn(async move { driver.get(&id).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!asked.is_finished());
    service.hang(false);
    let seen = asked.await.expect("a task").expect("an answer after all");
    assert_eq!(ready_reason(&seen), "Running");
}
