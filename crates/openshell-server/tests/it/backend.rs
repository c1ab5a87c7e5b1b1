//! The backends that the whole life of a sandbox is run on: how to see that one is there, what it has of a gateway, and how
//! to clear that away. Each is looked at with its own client, never with the driver that is under test.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Home, program, required, text};

/// A backend, and its driver of the same name.
#[derive(Clone, Copy)]
pub(crate) struct Backend {
    /// As in `--drivers`, in the names of programs, and in OPENSHELL_TEST_REQUIRE.
    pub(crate) name: &'static str,
    /// Why it cannot be used, where it cannot.
    away: fn() -> Option<String>,
    /// The image that sandboxes run.
    pub(crate) image: fn() -> String,
    /// What a gateway's configuration says of this driver; empty where nothing has to be said.
    config: fn(&Home) -> String,
    /// A shell command that prints everything on the backend, one a line, with its labels. Not by a filter: what a
    /// driver forgot to label counts, too, as long as its name tells whose it is. `$STATE` is the user's state directory.
    everything: &'static str,
    /// A shell command that prints what runs for the gateway `$ID`, one a line.
    running: &'static str,
    /// A shell command that removes whatever the gateway `$ID` has.
    clear: &'static str,
}

pub(crate) const DOCKER: Backend = Backend {
    name: "docker",
    away: docker_away,
    image: docker_image,
    config: |_| String::new(),
    everything: "docker ps -a --format 'container {{.Names}} {{.Labels}}'; \
                 docker volume ls --format 'volume {{.Name}} {{.Labels}}'; \
                 docker network ls --format 'network {{.Name}} {{.Labels}}'",
    running: "docker ps -q --filter label=openshell.ai/gateway-id=$ID",
    clear: "f=label=openshell.ai/gateway-id=$ID; \
            docker ps -aq --filter $f | xargs -r docker rm -f; \
            docker volume ls -q --filter $f | xargs -r docker volume rm -f; \
            docker network ls -q --filter $f | xargs -r docker network rm",
};

pub(crate) const PODMAN: Backend = Backend {
    name: "podman",
    away: podman_away,
    image: podman_image,
    config: |_| String::new(),
    everything: "p=\"podman --url unix://$OPENSHELL_PODMAN_SOCKET\"; \
                 $p ps -a --format 'container {{.Names}} {{.Labels}}'; \
                 $p volume ls --format 'volume {{.Name}} {{.Labels}}'; \
                 $p network ls --format 'network {{.Name}} {{.Labels}}'; \
                 $p secret ls --format 'secret {{.Name}}'",
    running: "podman --url unix://$OPENSHELL_PODMAN_SOCKET ps -q --filter label=openshell.ai/gateway-id=$ID",
    clear: "p=\"podman --url unix://$OPENSHELL_PODMAN_SOCKET\"; f=label=openshell.ai/gateway-id=$ID; \
            $p ps -aq --filter $f | xargs -r $p rm -f -t 0; \
            $p volume ls -q --filter $f | xargs -r $p volume rm -f; \
            $p network ls -q --filter $f | xargs -r $p network rm; \
            $p secret ls --format '{{.Name}}' | grep -F -- $ID | xargs -r $p secret rm",
};

pub(crate) const KUBERNETES: Backend = Backend {
    name: "kubernetes",
    away: kubernetes_away,
    image: docker_image,
    config: |_| String::new(),
    everything: "kubectl get pods,persistentvolumeclaims,secrets,configmaps -A --show-labels --no-headers; \
                 kubectl get namespaces --show-labels --no-headers",
    running: "kubectl get pods -A -l openshell.ai/gateway-id=$ID --field-selector status.phase=Running -o name",
    clear: "kubectl delete pods,persistentvolumeclaims,secrets,configmaps -A --wait=false --grace-period=1 \
            -l openshell.ai/gateway-id=$ID",
};

/// The name of a guest's first program.
pub(crate) const VM_INIT: &str = "openshell-vm-init";

/// A backend that is this host: QEMU, and a kernel for its guests.
pub(crate) const VM: Backend = Backend {
    name: "vm",
    away: vm_away,
    image: docker_image,
    config: vm_config,
    everything: "pgrep -af \"name openshell-$ID[.]\"; \
                 find \"$STATE\" -path \"*/$ID/sandboxes/*\" -prune 2>/dev/null; \
                 grep -F \"$STATE\" /proc/mounts; true",
    running: "pgrep -f \"name openshell-$ID[.]\"; true",
    clear: "pkill -KILL -f \"name openshell-$ID[.]\"; rm -rf /run/openshell/drivers/$ID",
};

impl Backend {
    /// Whether it can be used. Away, it is printed as skipped, and is a failure where OPENSHELL_TEST_REQUIRE names it.
    pub(crate) fn is_there(&self) -> bool {
        (self.away)().is_none_or(|why| required(self.name, &why))
    }

    /// The driver as a program.
    pub(crate) fn program(&self) -> String {
        format!("openshell-driver-{}", self.name)
    }

    /// Arguments that make a gateway, or the driver's program, use this backend as these tests want it.
    pub(crate) fn arguments(&self, home: &Home) -> Vec<String> {
        let config = (self.config)(home);
        if config.is_empty() {
            return Vec::new();
        }
        let path = home.write("gateway.toml", config);
        vec!["--config".to_owned(), path.to_str().expect("UTF-8").to_owned()]
    }

    /// What its configuration says of this driver, without the head of the driver's table.
    pub(crate) fn table(&self, home: &Home) -> String {
        let config = (self.config)(home);
        config.strip_prefix(&format!("[openshell.drivers.{}]\n", self.name)).unwrap_or_default().to_owned()
    }

    /// Everything that names the gateway `id`, running or not.
    pub(crate) fn resources(&self, home: &Home, id: &str) -> Vec<String> {
        lines(self.everything, home, id).into_iter().filter(|line| line.contains(id)).collect()
    }

    /// How many sandboxes of the gateway `id` run.
    pub(crate) fn running(&self, home: &Home, id: &str) -> usize {
        lines(self.running, home, id).len()
    }
}

/// What a shell command prints.
fn lines(script: &str, home: &Home, id: &str) -> Vec<String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env("ID", id).env("STATE", home.path("state"));
    let output = shell.output().expect("a shell");
    assert!(output.status.success(), "`{script}`: {}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// Removes whatever a gateway id has left on a backend when the test is over, however it ended.
pub(crate) struct Leftovers(pub(crate) Backend, pub(crate) String);

impl Drop for Leftovers {
    fn drop(&mut self) {
        let _ = Command::new("sh").args(["-c", self.0.clear]).env("ID", &self.1).output();
    }
}

fn docker_socket() -> String {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned()
}

fn podman_socket() -> String {
    std::env::var("OPENSHELL_PODMAN_SOCKET").unwrap_or_else(|_| "/run/podman/podman.sock".to_owned())
}

fn docker_image() -> String {
    std::env::var("OPENSHELL_TEST_IMAGE_DOCKER").unwrap_or_else(|_| "openshell-test/busybox:1".to_owned())
}

fn podman_image() -> String {
    std::env::var("OPENSHELL_TEST_IMAGE_PODMAN")
        .unwrap_or_else(|_| "localhost/openshell-test/busybox:1".to_owned())
}

/// Whether a Docker engine answers, whatever images it has.
pub(crate) fn docker_engine() -> bool {
    let socket = docker_socket();
    answers(&socket, "/_ping") || required(DOCKER.name, &format!("no docker engine at {socket}"))
}

/// Whether the Docker engine has an image.
pub(crate) fn docker_has(image: &str) -> bool {
    !image.is_empty() && answers(&docker_socket(), &format!("/images/{image}/json"))
}

fn docker_away() -> Option<String> {
    let (socket, image) = (docker_socket(), docker_image());
    if !answers(&socket, "/_ping") {
        return Some(format!("no docker engine at {socket}"));
    }
    if !docker_has(&image) {
        return Some(format!("no image {image} on the docker engine at {socket}"));
    }
    client_away("docker", &["--version"])
}

fn podman_away() -> Option<String> {
    let (socket, image) = (podman_socket(), podman_image());
    if !answers(&socket, "/libpod/_ping") {
        return Some(format!("no podman at {socket}"));
    }
    if !answers(&socket, &format!("/v4.0.0/libpod/images/{}/json", image.replace('/', "%2F"))) {
        return Some(format!("no image {image} on the podman at {socket}"));
    }
    client_away("podman", &["--version"])
}

fn kubernetes_away() -> Option<String> {
    if std::env::var_os("KUBECONFIG").is_none() {
        return Some("no KUBECONFIG".to_owned());
    }
    client_away("kubectl", &["get", "--raw", "/readyz", "--request-timeout=5s"])
}

/// The kernel of guests, and its modules, where the environment says.
fn vm_kernel() -> Option<(String, String)> {
    let variable = |name: &str| std::env::var(name).ok();
    Some((variable("OPENSHELL_TEST_KERNEL")?, variable("OPENSHELL_TEST_MODULES")?))
}

fn vm_away() -> Option<String> {
    if vm_kernel().is_none() || std::env::var_os("OPENSHELL_TEST_ROOTFS").is_none() {
        return Some("no OPENSHELL_TEST_KERNEL, OPENSHELL_TEST_MODULES, OPENSHELL_TEST_ROOTFS".to_owned());
    }
    client_away("qemu-system-x86_64", &["--version"]).or_else(|| client_away("mke2fs", &["-V"]))
}

/// A guest's first program is a link in the test's folder, which a test may have point to something else.
fn vm_config(home: &Home) -> String {
    let built = |name| program(name).expect("looked at before");
    let (driver, init) = (built("openshell-driver-vm"), home.path(VM_INIT));
    if !init.exists() {
        symlink(built(VM_INIT), &init).expect("a link");
    }
    let (kernel, modules) = vm_kernel().unwrap_or_default();
    let archive = std::env::var("OPENSHELL_TEST_ROOTFS").unwrap_or_default();
    format!(
        "[openshell.drivers.vm]\nprogram_path = {driver:?}\ninit_path = {init:?}\nkernel = {kernel:?}\nmodules = {modules:?}\nmemory = \"128Mi\"\n\
         disk_size = \"256Mi\"\nhang_after = 10\nboot_timeout = 120\nnetworks = [\"user\"]\n\
         [openshell.drivers.vm.images]\n{:?} = {archive:?}\n",
        docker_image()
    )
}

/// Why a backend's own client cannot look at it, where it cannot.
fn client_away(client: &str, args: &[&str]) -> Option<String> {
    match Command::new(client).args(args).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            Some(format!("no use in `{client} {}`: {}", args.join(" "), text(&output.stderr).trim()))
        }
        Err(_) => Some(format!("no program `{client}` to look at the backend with")),
    }
}

/// Whether an engine answers a question with 200.
fn answers(socket: &str, path: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: engine\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.lines().next().is_some_and(|status| status.contains(" 200 ")))
}
