//! An engine that goes away: one of the test's own, since others use the one that is there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use openshell_driver_api::probe::{Ping, engine_ping};
use openshell_driver_api::{DriverContext, ErrorKind, Table};

use crate::bench::{Bench, PATIENCE, image, ready_reason, request, sandbox_id, skip};

/// A `dockerd` of the test's own.
struct Daemon {
    root: tempfile::TempDir,
    child: Option<Child>,
}

impl Daemon {
    fn socket(&self) -> PathBuf {
        self.root.path().join("docker.sock")
    }

    /// Starts it and waits until it answers; `false` when it cannot run here.
    async fn start(&mut self) -> bool {
        let at = |name: &str| self.root.path().join(name);
        let log = std::fs::File::options().create(true).append(true).open(at("log")).expect("a log");
        let errors = log.try_clone().expect("a log");
        // In a network of its own: an engine that is told to have no bridge removes `docker0`, which on this host is
        // another engine's.
        let child = Command::new("unshare")
            .args(["--net", "dockerd", "--data-root"])
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("-H")
            .arg(format!("unix://{}", self.socket().display()))
            .args(["--bridge=none", "--iptables=false"])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn();
        let Ok(child) = child else { return false };
        self.child = Some(child);
        for _ in 0..300 {
            if matches!(engine_ping(&self.socket(), Duration::from_secs(1)).await, Ping::Answered(_)) {
                return true;
            }
            if self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_)))) {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    }

    /// The end of what it has logged.
    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.root.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// Ends it as a crash would.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a kill");
            child.wait().expect("its end");
        }
        // Its containerd dies with it. Where the first process of the host is slow to reap, the number in this file
        // seems alive, and the next engine would wait for a dead one.
        let _ = std::fs::remove_file(self.root.path().join("exec/containerd/containerd.pid"));
    }
}

impl Daemon {
    /// Ends it politely, so that it takes down what it has put up.
    fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        for _ in 0..150 {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Stops it from doing anything, or lets it go on: what a host out of memory or disk does to one.
    fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("a daemon").id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().expect("kill").success());
    }

    /// Unmounts what an engine that was killed has left mounted, the innermost first.
    fn unmount(&self) {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mut points: Vec<&Path> =
            mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new).collect();
        points.retain(|point| point.starts_with(self.root.path()));
        points.sort();
        for point in points.iter().rev() {
            let _ = Command::new("umount").arg(point).status();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
        self.unmount();
    }
}

/// Copies the test's image from the engine that is there.
async fn copy_image(from: &bollard::Docker, to: &Path) {
    let parts: Vec<_> = from.export_image(&image()).collect().await;
    let parts: Vec<_> = parts.into_iter().map(|part| part.expect("a part of the image")).collect();
    let to =
        bollard::Docker::connect_with_unix(to.to_str().expect("UTF-8"), 60, bollard::API_DEFAULT_VERSION);
    let to = to.expect("a client").negotiate_version().await.expect("a version");
    let body = bollard::body_stream(futures_util::stream::iter(parts));
    let options = bollard::query_parameters::ImportImageOptions::default();
    let loaded: Vec<_> = to.import_image(options, body, None).collect().await;
    assert!(loaded.iter().all(Result::is_ok), "{loaded:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_killed_and_comes_back() {
    let Some(other) = Bench::new("").await else { return };
    let mut daemon = Daemon { root: tempfile::tempdir().expect("a directory"), child: None };
    if !daemon.start().await {
        return skip(&format!("no way to start a docker engine of the test's own: {}", daemon.log()));
    }
    copy_image(&other.docker, &daemon.socket()).await;
    // Declared after the daemon and thus dropped, and cleaned up, before it.
    let bench = Bench::at(&daemon.socket(), "network = 'none'").await;
    let id = sandbox_id("survivor");
    bench.driver.create(&request("survivor", &["sleep", "60"])).await.expect("create");
    let container = bench.until("survivor", "Running").await.status.instance_id;
    let mut events = bench.driver.watch().await.expect("a watch");
    events.next().await.expect("a snapshot").expect("a sandbox");

    daemon.kill();
    let end = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Err(error) = events.next().await.expect("a reason before the end") {
                return error;
            }
        }
    });
    assert_eq!(end.await.expect("an end").kind(), ErrorKind::Unavailable);
    assert!(events.next().await.is_none());
    for error in [
        bench.driver.get(&id).await.expect_err("away"),
        bench.driver.list().await.expect_err("away"),
        bench.driver.delete(&id).await.expect_err("away"),
        bench.driver.create(&request("other", &["true"])).await.expect_err("away"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    bench.driver.capabilities().await.expect("an answer without the engine");

    assert!(daemon.start().await, "the engine does not come back: {}", daemon.log());
    let back = bench.driver.get(&id).await.expect("a sandbox");
    assert_eq!(back.status.instance_id, container);
    assert_ne!(ready_reason(&back), "Running", "nobody but the gateway starts it again");
    bench.driver.start(&id).await.expect("start");
    bench.until("survivor", "Running").await;
    assert!(bench.driver.delete(&id).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_or_goes_away_in_the_middle() {
    let Some(other) = Bench::new("").await else { return };
    let mut daemon = Daemon { root: tempfile::tempdir().expect("a directory"), child: None };
    if !daemon.start().await {
        return skip(&format!("no way to start a docker engine of the test's own: {}", daemon.log()));
    }
    copy_image(&other.docker, &daemon.socket()).await;
    let bench = Bench::at(&daemon.socket(), "network = 'none'\nstop_timeout = 0").await;
    let id = sandbox_id("there");
    bench.driver.create(&request("there", &["sleep", "60"])).await.expect("create");

    // Whoever gives a call a deadline is answered by then, whatever the engine does.
    daemon.signal("STOP");
    let deadline = Duration::from_millis(200);
    let new = request("new", &["sleep", "60"]);
    assert!(tokio::time::timeout(deadline, bench.driver.get(&id)).await.is_err());
    assert!(tokio::time::timeout(deadline, bench.driver.list()).await.is_err());
    assert!(tokio::time::timeout(deadline, bench.driver.stop(&id)).await.is_err());
    assert!(tokio::time::timeout(deadline, bench.driver.create(&new)).await.is_err());
    // A second call waits for its turn behind the first, and no longer than it is told to.
    assert!(tokio::time::timeout(deadline, bench.driver.delete(&sandbox_id("new"))).await.is_err());
    bench.driver.capabilities().await.expect("an answer without the engine");
    daemon.signal("CONT");
    // What nobody waited for comes to its end: the stop, and the create with its delete behind it.
    bench.until("there", "Stopped").await;
    bench.driver.delete(&sandbox_id("new")).await.expect("delete");
    assert!(bench.driver.delete(&id).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());

    // A create that the engine's end interrupts, wherever it is: what is left of it goes with a delete.
    for wait in [10, 60] {
        let driver = Arc::clone(&bench.driver);
        let create = tokio::spawn(async move { driver.create(&request("cut", &["sleep", "60"])).await });
        tokio::time::sleep(Duration::from_millis(wait)).await;
        daemon.kill();
        assert!(daemon.start().await, "the engine does not come back: {}", daemon.log());
        let created = tokio::time::timeout(PATIENCE, create).await.expect("an end").expect("no panic");
        bench.driver.delete(&sandbox_id("cut")).await.expect("delete");
        assert_eq!(bench.leftovers().await, Vec::<String>::new(), "after {created:?}");
    }
}

#[tokio::test]
async fn an_engine_that_is_not_there() {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("file"), "").expect("a file");
    for (name, words) in [("none.sock", "no such socket"), ("file", "not a socket")] {
        let mut table = Table::new();
        let path = root.path().join(name).to_str().expect("UTF-8").to_owned();
        table.insert("socket_path".to_owned(), path.clone().into());
        let context = DriverContext {
            name: "docker".to_owned(),
            gateway_id: "it-away".to_owned(),
            state_dir: root.path().join("state"),
            telemetry: true,
            endpoint: String::new(),
            supervisor: None,
        };
        let opened = openshell_driver_docker::REGISTRATION.factory.open(context, &table).await;
        let error = opened.err().expect("no engine");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains(&path) && error.message().contains(words), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("socket_path")), "{:?}", error.hint());
    }
}
