//! The PyPI client `openshell`, unmodified, against this gateway: on the Unix socket, on loopback with the token, with
//! mutual TLS. What it does and expects is in `tests/python/client.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::backend::{DOCKER, Leftovers};
use crate::harness::{Home, required, text};

/// Plays with a running gateway; `args` are those of the script after the image.
fn play(home: &Home, python: &Path, endpoint: &str, args: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/client.py");
    let mut command: Command = home.command(python);
    let output =
        command.args([script, endpoint, &(DOCKER.image)()]).args(args).output().expect("the script starts");
    let (said, failed) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{endpoint} {args:?}:\n{said}{failed}");
    assert!(said.contains("workspaces: ok"), "{said}");
}

/// The interpreter that `cargo xtask test` has put the client into, and an engine to make sandboxes on.
fn python() -> Option<PathBuf> {
    let Some(python) = std::env::var_os("OPENSHELL_TEST_PYTHON").map(PathBuf::from) else {
        required("python", "no Python client: OPENSHELL_TEST_PYTHON is not set (cargo xtask test sets it)");
        return None;
    };
    DOCKER.is_there().then_some(python)
}

#[test]
fn over_the_unix_socket() {
    let Some(python) = python() else { return };
    let _leftovers = Leftovers(DOCKER, "e2e-python-unix".to_owned());
    let home = Home::new();
    let _gateway = home.serve(&["--drivers", "docker", "--gateway-id", "e2e-python-unix"]);
    play(&home, &python, &format!("unix://{}", home.socket().display()), &[]);
}

#[test]
fn over_loopback_with_the_token() {
    let Some(python) = python() else { return };
    let _leftovers = Leftovers(DOCKER, "e2e-python-tcp".to_owned());
    let home = Home::new();
    let _gateway = home.serve(&["--drivers", "docker", "--gateway-id", "e2e-python-tcp", "--port", "0"]);
    let (_, address) = home.endpoint("e2e-python-tcp");
    let token = home.path("state/openshell/gateway/token");
    play(&home, &python, &address, &["--token", token.to_str().expect("UTF-8")]);
}

#[test]
fn over_mutual_tls() {
    let Some(python) = python() else { return };
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
    play(&home, &python, &address, &["--ca", &ca, "--cert", &cert, "--key", &key]);

    // The layout that the client reads by itself.
    let dir = home.path("config/openshell/gateways/here");
    std::fs::create_dir_all(dir.join("mtls")).expect("a directory");
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        std::fs::copy(certs.join("clients/python").join(name), dir.join("mtls").join(name)).expect("a copy");
    }
    let metadata =
        format!("{{\"name\":\"here\",\"gateway_endpoint\":\"https://{address}\",\"auth_mode\":\"mtls\"}}");
    std::fs::write(dir.join("metadata.json"), metadata).expect("a file");
    play(&home, &python, &address, &["--cluster", "here"]);
}
