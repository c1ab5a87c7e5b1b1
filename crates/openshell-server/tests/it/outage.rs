//! A backend that is killed and comes back while clients create and delete: the gateway stays up, says what is wrong, and
//! afterwards has a row for each resource and a resource for each row, each reported as it is.

mod cluster;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::backend::{Backend, DOCKER, KUBERNETES, Leftovers, PODMAN};
use crate::client::{Channel, get};
use crate::harness::{Home, PATIENCE, Process, processes_given, program, required, text};
use cluster::{ApiServer, Way};

/// How many sandboxes live through it, and how many clients create and delete beside them.
const SURVIVORS: usize = 4;
const CLIENTS: usize = 3;
/// How long the backend is away at least.
const AWAY: Duration = Duration::from_secs(4);
/// What runs until it is told to stop.
const RUNS: &str = "trap 'exit 0' TERM; sleep 600 & wait";

/// A backend that a test may kill.
trait Own {
    /// What the gateway's configuration says of it.
    fn config(&self) -> String;
    /// The image that sandboxes run.
    fn image(&self) -> String;
    /// Ends it as a crash would.
    fn kill(&mut self);
    /// Brings it back, and waits until it answers.
    fn restore(&mut self);
    /// Every workload of a gateway by its sandbox's id: whether it runs. One that is there twice is a failure.
    fn workloads(&self, gateway_id: &str) -> BTreeMap<String, bool>;
}

/// Lines of `id state` as a map.
fn workloads(output: &str) -> BTreeMap<String, bool> {
    let mut found = BTreeMap::new();
    for line in output.lines() {
        let (id, state) = line.split_once(' ').unwrap_or_else(|| panic!("`{line}`"));
        // Podman's lists say since when.
        let runs = state.eq_ignore_ascii_case("running") || state.starts_with("Up ");
        assert!(found.insert(id.to_owned(), runs).is_none(), "`{id}` is there twice:\n{output}");
    }
    found
}

/// A shell command that has to succeed.
fn shell(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).output().expect("a shell");
    assert!(output.status.success(), "`{script}`: {}", text(&output.stderr));
    text(&output.stdout)
}

/// An engine of the test's own: a process, its folder, its socket.
struct Engine {
    backend: Backend,
    root: tempfile::TempDir,
    child: Option<Child>,
    command: fn(&Path) -> Command,
    /// A client's command line up to its verb.
    client: String,
    /// What its lists call the label of a sandbox's id.
    label: &'static str,
}

impl Engine {
    fn socket(root: &Path) -> PathBuf {
        root.join("engine.sock")
    }

    /// `None`, and said so, where it cannot run here.
    fn new(
        backend: Backend,
        command: fn(&Path) -> Command,
        client: &str,
        label: &'static str,
    ) -> Option<Self> {
        let root = tempfile::tempdir().expect("a directory");
        let client = format!("{client}://{}", Self::socket(root.path()).display());
        let mut engine = Self { backend, root, child: None, command, client, label };
        if !engine.start() {
            let log = std::fs::read_to_string(engine.root.path().join("log")).unwrap_or_default();
            required(backend.name, &format!("no way to start an engine of the test's own:\n{log}"));
            return None;
        }
        Some(engine)
    }

    fn start(&mut self) -> bool {
        let root = self.root.path();
        let log = std::fs::File::options().create(true).append(true).open(root.join("log")).expect("a log");
        let mut command = (self.command)(root);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let Ok(child) = command.spawn() else { return false };
        let child = self.child.insert(child);
        let deadline = Instant::now() + PATIENCE;
        while Command::new("sh")
            .args(["-c", &format!("{} info", self.client)])
            .output()
            .is_ok_and(|output| !output.status.success())
        {
            if matches!(child.try_wait(), Ok(Some(_))) || Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        true
    }
}

impl Own for Engine {
    fn config(&self) -> String {
        let socket = Self::socket(self.root.path());
        format!(
            "[openshell.drivers.{}]\nsocket_path = \"{}\"\nnetwork = \"none\"\nstop_timeout = 1\n",
            self.backend.name,
            socket.display()
        )
    }

    fn image(&self) -> String {
        (self.backend.image)()
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a kill");
            child.wait().expect("its end");
        }
        // What a killed dockerd leaves; where the host is slow to reap, the next one would wait for a dead process.
        let _ = std::fs::remove_file(self.root.path().join("exec/containerd/containerd.pid"));
    }

    fn restore(&mut self) {
        let _ = std::fs::remove_file(Self::socket(self.root.path()));
        assert!(self.start(), "the engine does not come back");
    }

    fn workloads(&self, gateway_id: &str) -> BTreeMap<String, bool> {
        let (client, label) = (&self.client, self.label);
        // Out of the list alone: an engine that was killed may know of a container by its name and nothing else.
        let script = format!(
            "{client} ps -a --filter label=openshell.ai/gateway-id={gateway_id} --format '{{{{{label}}}}} {{{{.State}}}}'"
        );
        // A container that is removed meanwhile may fail a list, which is asked for again.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
            if output.status.success() {
                return workloads(&text(&output.stdout));
            }
            assert!(Instant::now() < deadline, "`{script}`: {}", text(&output.stderr));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let client = &self.client;
        let _ =
            Command::new("sh").args(["-c", &format!("{client} ps -aq | xargs -r {client} rm -f")]).output();
        if let Some(mut child) = self.child.take() {
            // Politely, so that it takes down what it has put up.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let deadline = Instant::now() + Duration::from_secs(15);
            while Instant::now() < deadline && !matches!(child.try_wait(), Ok(Some(_))) {
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mut points: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        points.retain(|point| Path::new(point).starts_with(self.root.path()));
        points.sort_unstable();
        for point in points.iter().rev() {
            let _ = Command::new("umount").arg(point).status();
        }
    }
}

/// A `dockerd` in a network of its own: one that is told to have no bridge removes `docker0`, which is the other's.
fn dockerd(root: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "dockerd", "--data-root"]).arg(root.join("data"));
    command.arg("--exec-root").arg(root.join("exec")).arg("--pidfile").arg(root.join("pid"));
    command.arg("-H").arg(format!("unix://{}", Engine::socket(root).display()));
    command.args(["--bridge=none", "--iptables=false"]);
    command
}

/// A podman service of the test's own. Without a directory for its events, and locks in files, it would share both with the
/// one that is there.
fn podman(root: &Path) -> Command {
    let settings = std::env::var("CONTAINERS_CONF").ok().and_then(|path| std::fs::read_to_string(path).ok());
    let mut settings = settings.unwrap_or_default();
    let locks = "lock_type = \"file\"\n";
    match settings.find("[engine]\n") {
        Some(start) => settings.insert_str(start + "[engine]\n".len(), locks),
        None => settings.push_str(&format!("\n[engine]\n{locks}")),
    }
    let config = root.join("containers.conf");
    std::fs::write(&config, settings).expect("a file");
    let mut command = Command::new("podman");
    command.env("CONTAINERS_CONF", config);
    for (option, place) in [("--root", "data"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
        command.arg(option).arg(root.join(place));
    }
    command.args(["system", "service", "--time=0"]);
    command.arg(format!("unix://{}", Engine::socket(root).display()));
    command
}

/// A gateway on a backend of the test's own, and clients.
struct Stage {
    home: Home,
    client: PathBuf,
    id: String,
    gateway: Process,
}

impl Stage {
    fn set(backend: Backend, own: &dyn Own, environment: &[(&str, &Path)]) -> Option<Self> {
        let client = program("openshell")?;
        let home = Home::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("e2e-outage-{}-{}-{count}", backend.name, std::process::id());
        let config = home.write("gateway.toml", own.config());
        let mut args = vec!["--gateway-id", &id, "--drivers", backend.name];
        args.extend(["--config", config.to_str().expect("UTF-8")]);
        let gateway = home.serve_with(&args, environment);
        Some(Self { home, client, id: id.clone(), gateway })
    }

    fn client(&self, args: &[&str]) -> Output {
        self.home.command(&self.client).args(args).output().expect("the client starts")
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.client(args);
        assert!(output.status.success(), "{args:?}: {}\n{}", text(&output.stderr), self.gateway.log());
        text(&output.stdout)
    }

    /// Every row by its id: its name and phase.
    fn rows(&self) -> BTreeMap<String, (String, String)> {
        let listed: Value = serde_json::from_str(&self.ok(&["--json", "sandbox", "list"])).expect("JSON");
        let word = |value: &Value| value.as_str().expect("a text").to_owned();
        let rows = listed.as_array().expect("a list").iter().map(|row| {
            let metadata = &row["metadata"];
            (word(&metadata["id"]), (word(&metadata["name"]), word(&row["status"]["phase"]).to_lowercase()))
        });
        rows.collect()
    }

    /// The id of a row.
    fn id_of(&self, name: &str) -> String {
        let found = self.rows().into_iter().find(|(_, (found, _))| found == name);
        found.unwrap_or_else(|| panic!("no `{name}`")).0
    }

    /// Creates and deletes until it is over; what fails while the backend is away is the client's to try again.
    fn load(&self, number: usize, image: &str, over: &AtomicBool) {
        for round in 0_usize.. {
            if over.load(Ordering::SeqCst) {
                return;
            }
            let name = format!("load-{number}-{round}");
            let made =
                self.client(&["sandbox", "create", "--name", &name, "--image", image, "--", "sleep", "600"]);
            // Some are left as they are, wherever that is when the backend goes.
            if made.status.success() && round % 3 != 2 {
                let _ = self.client(&["sandbox", "delete", &name]);
            }
        }
    }
}

/// Tells the clients that it is over when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Kills the backend under load and brings it back.
fn outage(backend: Backend, own: &mut dyn Own, stage: &Stage) {
    let image = own.image();
    for number in 0..SURVIVORS {
        let name = format!("survivor-{number}");
        stage.ok(&[
            "sandbox",
            "create",
            "--name",
            &name,
            "--image",
            &image,
            "--wait=120",
            "--",
            "sh",
            "-c",
            RUNS,
        ]);
    }
    stage.ok(&["sandbox", "stop", "survivor-0", "--wait=120"]);
    let ended = stage.id_of("survivor-1");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also when a look fails: the clients would go on, and the scope wait for them.
        let _over = Over(&over);
        for number in 0..CLIENTS {
            let (image, over) = (&image, &over);
            scope.spawn(move || stage.load(number, image, over));
        }
        std::thread::sleep(Duration::from_secs(2));
        own.kill();
        let killed = Instant::now();
        // What ends while nobody looks. An engine may have taken it along.
        for pid in processes_given(&format!("OPENSHELL_SANDBOX_ID={ended}")) {
            // The first process of a container takes the others along.
            let _ = kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL);
        }
        // It answers, with everything it knows, and says that it is not well.
        let (mut unwell, mut unready) = (false, String::new());
        let unnoticed = killed + PATIENCE;
        while killed.elapsed() < AWAY || ((!unwell || unready.is_empty()) && Instant::now() < unnoticed) {
            assert!(stage.rows().len() >= SURVIVORS);
            unwell |= !stage.client(&["status"]).status.success();
            let answer = get(&Channel::Unix(stage.home.socket()), "/readyz", &[]).expect("an answer");
            if answer.http != 200 {
                unready = text(&answer.body);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let log = stage.gateway.log();
        assert!(unwell, "`status` never says that the backend is away\n{log}");
        let away = format!("the watch of the driver `{}` is down\n", backend.name);
        assert_eq!(unready, away, "what /readyz says\n{log}");
        own.restore();
        std::thread::sleep(Duration::from_secs(2));
    });
    let agrees = || {
        let (rows, there) = (stage.rows(), own.workloads(&stage.id));
        let agree = rows.keys().eq(there.keys())
            && rows.iter().all(|(id, (_, phase))| match phase.as_str() {
                "ready" => there[id],
                "stopped" | "error" => !there[id],
                _ => false,
            });
        (agree, rows, there)
    };
    let deadline = Instant::now() + 2 * PATIENCE;
    let rows = loop {
        let (agree, rows, there) = agrees();
        if agree {
            break rows;
        }
        let log = stage.gateway.log();
        assert!(Instant::now() < deadline, "rows {rows:#?}\n{} has {there:#?}\n{log}", backend.name);
        std::thread::sleep(Duration::from_millis(500));
    };
    for number in 0..SURVIVORS {
        let name = format!("survivor-{number}");
        let phase = rows.values().find(|(found, _)| *found == name).map(|(_, phase)| phase.as_str());
        let phase = phase.unwrap_or_else(|| panic!("`{name}` is lost"));
        match number {
            0 => assert_eq!(phase, "stopped", "what was stopped"),
            1 => assert_ne!(phase, "ready", "what ended meanwhile"),
            _ => {}
        }
    }
    stage.ok(&["status"]);
    let ready = get(&Channel::Unix(stage.home.socket()), "/readyz", &[]).expect("an answer");
    assert_eq!(ready.http, 200, "{}", text(&ready.body));
    for (name, _) in rows.values() {
        stage.ok(&["sandbox", "delete", name]);
    }
    let deadline = Instant::now() + PATIENCE;
    while !(stage.rows().is_empty() && own.workloads(&stage.id).is_empty()) {
        assert!(Instant::now() < deadline, "left: {:?} {:?}", stage.rows(), own.workloads(&stage.id));
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn docker_is_killed_under_load_and_comes_back() {
    if !DOCKER.is_there() {
        return;
    }
    let Some(mut engine) =
        Engine::new(DOCKER, dockerd, "docker -H unix", ".Label \"openshell.ai/sandbox-id\"")
    else {
        return;
    };
    shell(&format!("docker save {} | {} load", (DOCKER.image)(), engine.client));
    let Some(stage) = Stage::set(DOCKER, &engine, &[]) else { return };
    outage(DOCKER, &mut engine, &stage);
}

#[test]
fn podman_is_killed_under_load_and_comes_back() {
    if !PODMAN.is_there() {
        return;
    }
    let Some(mut engine) =
        Engine::new(PODMAN, podman, "podman --url unix", "index .Labels \"openshell.ai/sandbox-id\"")
    else {
        return;
    };
    shell(&format!("podman save {} | {} load", (PODMAN.image)(), engine.client));
    let Some(stage) = Stage::set(PODMAN, &engine, &[]) else { return };
    outage(PODMAN, &mut engine, &stage);
}

/// A gateway that reaches the cluster in a way of the test's own.
fn cluster(kubeconfig: &str, own: &mut dyn Own) {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig).expect("a file");
    let Some(stage) = Stage::set(KUBERNETES, own, &[("KUBECONFIG", &path)]) else { return };
    let _leftovers = Leftovers(KUBERNETES, stage.id.clone());
    outage(KUBERNETES, own, &stage);
}

#[test]
fn the_way_to_kubernetes_is_cut_under_load_and_opens_again() {
    if !KUBERNETES.is_there() {
        return;
    }
    let mut way = Way::new();
    cluster(&way.kubeconfig(), &mut way);
}

#[test]
fn an_api_server_is_killed_under_load_and_comes_back() {
    if !KUBERNETES.is_there() {
        return;
    }
    let Some(mut server) = ApiServer::new() else { return };
    cluster(&server.kubeconfig(), &mut server);
}
