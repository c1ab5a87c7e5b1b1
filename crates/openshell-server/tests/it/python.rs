//! The PyPI client `openshell`, unmodified, against this gateway: on the Unix socket, on loopback with the token, with
//! mutual TLS, on every backend. What it does and expects is in `tests/python/client.py`, and in `tests/python/work.py`
//! where sandboxes have supervisors.

use std::path::{Path, PathBuf};

use crate::backend::{Backend, DOCKER, KUBERNETES, Leftovers, PODMAN, VM, docker_has};
use crate::harness::{Home, required, text};
use crate::supervisor::World;

/// The image for `exec_python`, in OPENSHELL_TEST_REQUIRE.
const IMAGE: &str = "python-image";
/// The most memory of its own that a gateway may take while it works for the client. It is to stay below 30 MB, and the
/// program takes 8 of them as it is released.
const MEMORY: u64 = 22_000_000;

/// Runs a script against a running gateway, and gives what it printed.
fn run(home: &Home, python: &Path, script: &str, args: &[&str]) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python");
    let mut command = home.command(python);
    let output = command.arg(Path::new(folder).join(script)).args(args).output().expect("the script starts");
    let (said, failed) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{script} {args:?}:\n{said}{failed}");
    said
}

/// Plays with a running gateway; `args` are those of the script after the image.
fn play(home: &Home, python: &Path, backend: Backend, endpoint: &str, args: &[&str]) {
    let image = (backend.image)();
    let said = run(home, python, "client.py", &[&[endpoint, &image], args].concat());
    assert!(said.contains("workspaces: ok"), "{said}");
}

/// The interpreter that `cargo xtask test` has put the client into, and a backend to make sandboxes on.
fn python(backend: Backend) -> Option<PathBuf> {
    let Some(python) = std::env::var_os("OPENSHELL_TEST_PYTHON").map(PathBuf::from) else {
        required("python", "no Python client: OPENSHELL_TEST_PYTHON is not set (cargo xtask test sets it)");
        return None;
    };
    backend.is_there().then_some(python)
}

/// The image that can run Python, where docker has it.
fn python_image() -> Option<String> {
    let image = std::env::var("OPENSHELL_TEST_IMAGE_PYTHON").unwrap_or_default();
    if docker_has(&image) {
        return Some(image);
    }
    required(
        IMAGE,
        &format!("no image `{image}` on docker: OPENSHELL_TEST_IMAGE_PYTHON names one with Python"),
    );
    None
}

/// One works in a sandbox of this backend, whatever its client does, and the gateway stays small.
fn works(backend: Backend, image: Option<String>) {
    let Some(python) = python(backend) else { return };
    let Some(world) = World::new(backend, "python") else { return };
    let endpoint = format!("unix://{}", world.home.socket().display());
    let usual = (backend.image)();
    let mut args = vec![endpoint.as_str(), &usual];
    args.extend(image.iter().flat_map(|image| ["--python", image]));
    let said = run(&world.home, &python, "work.py", &args);
    assert!(said.contains("work: ok"), "{said}");
    assert_eq!(said.contains("exec_python: ok"), image.is_some(), "{said}");
    let gateway = world.gateway.as_ref().expect("a gateway");
    let (peak, resident) = (gateway.peak(), gateway.resident());
    println!("{}:\n{said}the gateway: {peak} bytes of its own at most; resident {resident}", backend.name);
    assert!(peak < MEMORY, "{peak} bytes");
}

#[test]
fn it_works_in_sandboxes_on_docker() {
    works(DOCKER, python_image());
}

#[test]
fn it_works_in_sandboxes_on_podman() {
    works(PODMAN, None);
}

#[test]
fn it_works_in_sandboxes_on_virtual_machines() {
    works(VM, None);
}

#[test]
fn it_works_in_sandboxes_on_kubernetes() {
    works(KUBERNETES, None);
}

/// The calls that need no supervisor.
fn lives(backend: Backend) {
    let Some(python) = python(backend) else { return };
    let id = format!("e2e-python-{}", backend.name);
    let _leftovers = Leftovers(backend, id.clone());
    let home = Home::new();
    let configured = backend.arguments(&home);
    let mut args = vec!["--drivers", backend.name, "--gateway-id", &id];
    args.extend(configured.iter().map(String::as_str));
    let _gateway = home.serve(&args);
    play(&home, &python, backend, &format!("unix://{}", home.socket().display()), &[]);
}

#[test]
fn its_sandboxes_live_on_kubernetes() {
    lives(KUBERNETES);
}

#[test]
fn its_sandboxes_live_on_virtual_machines() {
    lives(VM);
}

#[test]
fn over_the_unix_socket() {
    lives(DOCKER);
}

#[test]
fn over_loopback_with_the_token() {
    let Some(python) = python(DOCKER) else { return };
    let _leftovers = Leftovers(DOCKER, "e2e-python-tcp".to_owned());
    let home = Home::new();
    let _gateway = home.serve(&["--drivers", "docker", "--gateway-id", "e2e-python-tcp", "--port", "0"]);
    let (_, address) = home.endpoint("e2e-python-tcp");
    let token = home.path("state/openshell/gateway/token");
    play(&home, &python, DOCKER, &address, &["--token", token.to_str().expect("UTF-8")]);
}

#[test]
fn over_mutual_tls() {
    let Some(python) = python(DOCKER) else { return };
    let _leftovers = Leftovers(DOCKER, "e2e-python-mtls".to_owned());
    let home = Home::new();
    let certs = home.path("certs");
    let made =
        home.gateway(&["generate-certs", "--dir", certs.to_str().expect("UTF-8"), "--client", "python"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let config = format!(
        "[openshell.gateway.tls]\ncert_path = '{0}/tls.crt'\nkey_path = '{0}/tls.key'\nclient_ca_path = '{0}/ca.crt'\n\
         client_role = 'admin'\n",
        certs.display()
    );
    let config = home.write("gateway.toml", config);
    let _gateway = home.serve(&[
        "--drivers",
        "docker",
        "--gateway-id",
        "e2e-python-mtls",
        "--port",
        "0",
        "--config",
        config.to_str().expect("UTF-8"),
    ]);
    let (scheme, address) = home.endpoint("e2e-python-mtls");
    assert_eq!(scheme, "https");
    let file = |name: &str| certs.join("clients/python").join(name).display().to_string();
    let (ca, cert, key) = (file("ca.crt"), file("tls.crt"), file("tls.key"));
    play(&home, &python, DOCKER, &address, &["--ca", &ca, "--cert", &cert, "--key", &key]);

    // The layout that the client reads by itself.
    let dir = home.path("config/openshell/gateways/here");
    std::fs::create_dir_all(dir.join("mtls")).expect("a directory");
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        std::fs::copy(certs.join("clients/python").join(name), dir.join("mtls").join(name)).expect("a copy");
    }
    let metadata =
        format!("{{\"name\":\"here\",\"gateway_endpoint\":\"https://{address}\",\"auth_mode\":\"mtls\"}}");
    std::fs::write(dir.join("metadata.json"), metadata).expect("a file");
    play(&home, &python, DOCKER, &address, &["--cluster", "here"]);
}
