//! Kubernetes that goes away: the way to its API server is cut; or an API server of the test's own is killed, which stands
//! beside the cluster's on the same store, so that the kubelet goes on meanwhile.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Own, shell, workloads};
use crate::backend::KUBERNETES;
use crate::harness::{PATIENCE, free_port, processes, required, text};

/// Where the cluster's own API server is, as a URL.
fn server() -> String {
    shell("kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}'")
}

/// A configuration for clients that asks at a port of this host instead of at `server`.
fn kubeconfig(server: &str, port: u16) -> String {
    let config = shell("kubectl config view --raw --minify --flatten");
    config.replace(server, &format!("https://127.0.0.1:{port}"))
}

/// What the cluster has for a gateway, asked of its own API server.
fn pods_and_records(gateway_id: &str) -> BTreeMap<String, bool> {
    let template = "{{range .items}}{{index .metadata.annotations \"openshell.ai/sandbox-id\"}} \
                    {{if .status.phase}}{{.status.phase}}{{else}}none{{end}}{{\"\\n\"}}{{end}}";
    let get = |kind: &str| {
        shell(&format!(
            "kubectl get {kind} -A -l openshell.ai/gateway-id={gateway_id} -o go-template='{template}'"
        ))
    };
    // What a sandbox is while it has no pod is its record.
    let mut found = workloads(&get("configmaps"));
    found.extend(workloads(&get("pods")));
    found
}

/// The way to the cluster's API server, which is cut and opened again: the server itself is everybody's.
pub(super) struct Way {
    port: u16,
    server: String,
    open: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    pub(super) fn new() -> Self {
        let server = server();
        let address = server.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (open, connections) = (Arc::new(AtomicBool::new(true)), Arc::<Mutex<Vec<TcpStream>>>::default());
        let (opened, kept) = (Arc::clone(&open), Arc::clone(&connections));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let server = opened.load(Ordering::SeqCst).then(|| TcpStream::connect(&address));
                // Closed at once: as if nobody listened.
                let Some(Ok(server)) = server else { continue };
                for (from, to) in [(&stream, &server), (&server, &stream)] {
                    let (mut from, mut to) = (from.try_clone().expect("a fd"), to.try_clone().expect("a fd"));
                    kept.lock().expect("a lock").push(from.try_clone().expect("a fd"));
                    // Cut between the look above and the line before, which nobody cuts any more.
                    if !opened.load(Ordering::SeqCst) {
                        let _ = from.shutdown(Shutdown::Both);
                    }
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { port, server, open, connections }
    }

    /// A configuration for clients that takes this way.
    pub(super) fn kubeconfig(&self) -> String {
        kubeconfig(&self.server, self.port)
    }
}

impl Own for Way {
    fn config(&self) -> String {
        // The gateway's environment names the configuration; see `Stage`.
        String::new()
    }

    fn image(&self) -> String {
        (KUBERNETES.image)()
    }

    fn kill(&mut self) {
        self.open.store(false, Ordering::SeqCst);
        for connection in self.connections.lock().expect("a lock").drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn restore(&mut self) {
        self.open.store(true, Ordering::SeqCst);
    }

    fn workloads(&self, gateway_id: &str) -> BTreeMap<String, bool> {
        pods_and_records(gateway_id)
    }
}

/// An API server of the test's own, with the flags of the cluster's but for its port.
pub(super) struct ApiServer {
    server: String,
    port: u16,
    flags: Vec<String>,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl ApiServer {
    /// `None`, and said so, where the cluster's own is not a process of this host, or none can stand beside it.
    pub(super) fn new() -> Option<Self> {
        let away = |why: &str| {
            required(KUBERNETES.name, why);
            None
        };
        let server = server();
        let own_port = server.rsplit(':').next().unwrap_or_default().to_owned();
        let secure_port = format!("--secure-port={own_port}");
        let [pid] = processes(&["kube-apiserver", &secure_port])[..] else {
            return away(&format!(
                "no process of the API server at {server}, whose flags a second one needs"
            ));
        };
        let line = text(&std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default());
        let mut flags: Vec<String> = line.split_terminator('\0').map(str::to_owned).collect();
        let port = free_port();
        for flag in flags.iter_mut().filter(|flag| **flag == secure_port) {
            *flag = format!("--secure-port={port}");
        }
        // Which servers there are is the cluster's to say: one that is killed would stay among them.
        flags.push("--endpoint-reconciler-type=none".to_owned());
        let folder = tempfile::tempdir().expect("a directory");
        let mut server = Self { server, port, flags, folder, child: None };
        if !server.start() {
            let log = std::fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
            return away(&format!("no way to start an API server of the test's own:\n{log}"));
        }
        Some(server)
    }

    /// A configuration for clients that asks this one.
    pub(super) fn kubeconfig(&self) -> String {
        kubeconfig(&self.server, self.port)
    }

    /// Starts it, and waits until it is ready; false when it ends before.
    fn start(&mut self) -> bool {
        let folder = self.folder.path();
        let config = folder.join("kubeconfig");
        std::fs::write(&config, self.kubeconfig()).expect("a file");
        let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).expect("a log");
        let mut command = Command::new(&self.flags[0]);
        command.args(&self.flags[1..]).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        let Ok(child) = command.spawn() else { return false };
        let child = self.child.insert(child);
        let deadline = Instant::now() + PATIENCE;
        let mut ask = Command::new("kubectl");
        ask.arg("--kubeconfig").arg(config).args(["get", "--raw", "/readyz", "--request-timeout=5s"]);
        while !ask.output().is_ok_and(|output| output.status.success()) {
            if matches!(child.try_wait(), Ok(Some(_))) || Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        true
    }
}

impl Own for ApiServer {
    fn config(&self) -> String {
        // The gateway's environment names the configuration; see `Stage`.
        String::new()
    }

    fn image(&self) -> String {
        (KUBERNETES.image)()
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a kill");
            child.wait().expect("its end");
        }
    }

    fn restore(&mut self) {
        assert!(self.start(), "the API server does not come back");
    }

    fn workloads(&self, gateway_id: &str) -> BTreeMap<String, bool> {
        pods_and_records(gateway_id)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // Nothing of its own is left: what it knows is in the cluster's store.
        self.kill();
    }
}
