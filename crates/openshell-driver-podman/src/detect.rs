//! Looks for a Podman service: where the variable says, then at the sockets where one usually listens, the user's own before
//! root's.

use std::path::PathBuf;

use futures_util::future::join_all;
use openshell_driver_api::probe::{Ping, engine_ping};
use openshell_driver_api::{Detection, ProbeEnv, Tried};

use crate::engine::libpod_version;

/// The variable that names a service's socket.
pub(crate) const SOCKET: &str = "OPENSHELL_PODMAN_SOCKET";
/// What the sockets of machines are called, the one of the default machine first.
///
/// Source: Podman's own `podman machine inspect --format {{.ConnectionInfo.PodmanSocket.Path}}`, through its versions.
const MACHINES: [&str; 2] = ["podman.sock", "podman-machine-default/podman.sock"];

/// What was found, in the order in which it counts.
pub(crate) struct Found {
    /// The first socket at which a Podman service answered, and the version of libpod's API.
    pub(crate) engine: Option<(PathBuf, String)>,
    /// Every candidate and what came of it.
    pub(crate) tried: Vec<Tried>,
    /// The first socket with something behind or at it that is no Podman service, and what that is.
    pub(crate) other: Option<(PathBuf, Ping)>,
    /// The variable as it is set, and why it does not count.
    ignored: Option<String>,
}

impl Found {
    /// The same for the gateway.
    pub(crate) fn detection(self) -> Detection {
        let found = self.engine.map(|(path, version)| {
            format!("a Podman service (libpod API {version}) answers at `{}`", path.display())
        });
        Detection { found, tried: self.tried }
    }

    /// What whoever set the variable has to know: the service that is used is not the one they named.
    pub(crate) fn warning(&self) -> Option<String> {
        let (used, _) = self.engine.as_ref()?;
        let ignored = self.ignored.as_ref()?;
        Some(format!("{ignored}; the service at `{}` is used", used.display()))
    }
}

/// One place to look at.
enum Candidate {
    Socket(PathBuf),
    /// Something that names none, and why.
    Nothing {
        named: String,
        why: &'static str,
    },
}

/// Asks every candidate at once, each for at most `env.timeout`.
pub(crate) async fn detect(env: &ProbeEnv) -> Found {
    let results = join_all(candidates(env).into_iter().map(|candidate| ask(candidate, env))).await;
    let named = env.var(SOCKET).zip(results.first()).filter(|(_, first)| first.engine.is_none());
    let ignored = named.map(|(path, first)| format!("`{SOCKET}={path}` is ignored: {}", first.tried.outcome));
    let mut found = Found { engine: None, tried: Vec::new(), other: None, ignored };
    for asked in results {
        found.tried.push(asked.tried);
        match asked.other {
            None | Some((_, Ping::Absent)) => {}
            other => found.other = found.other.or(other),
        }
        found.engine = found.engine.or(asked.engine);
    }
    found
}

/// Where to look, the variable first. A place that two of them name is looked at once.
fn candidates(env: &ProbeEnv) -> Vec<Candidate> {
    let mut candidates = vec![match env.var(SOCKET) {
        None => Candidate::Nothing { named: SOCKET.to_owned(), why: "unset" },
        Some(value) => {
            let path = value.strip_prefix("unix://").unwrap_or(value);
            match path.starts_with('/') {
                true => Candidate::Socket(env.path(path)),
                false => {
                    let named = format!("{SOCKET}={value}");
                    Candidate::Nothing { named, why: "is not the absolute path of a socket" }
                }
            }
        }
    }];
    let mut add = |candidate: Candidate| {
        let known = |known: &Candidate| matches!((known, &candidate), (Candidate::Socket(a), Candidate::Socket(b)) if a == b);
        if !candidates.iter().any(known) {
            candidates.push(candidate);
        }
    };
    match env.var("XDG_RUNTIME_DIR") {
        Some(directory) => add(Candidate::Socket(env.path(directory).join("podman/podman.sock"))),
        None => add(Candidate::Nothing { named: "XDG_RUNTIME_DIR".to_owned(), why: "unset" }),
    }
    add(Candidate::Socket(env.path(&format!("/run/user/{}/podman/podman.sock", env.uid))));
    match env.var("HOME") {
        Some(home) => {
            let machines = env.path(home).join(".local/share/containers/podman/machine");
            for machine in MACHINES {
                add(Candidate::Socket(machines.join(machine)));
            }
        }
        None => add(Candidate::Nothing { named: "HOME".to_owned(), why: "unset" }),
    }
    add(Candidate::Socket(env.path("/run/podman/podman.sock")));
    candidates
}

/// A candidate and what came of it.
struct Asked {
    tried: Tried,
    engine: Option<(PathBuf, String)>,
    other: Option<(PathBuf, Ping)>,
}

async fn ask(candidate: Candidate, env: &ProbeEnv) -> Asked {
    let path = match candidate {
        Candidate::Socket(path) => path,
        Candidate::Nothing { named, why } => {
            let tried = Tried { candidate: named, outcome: why.to_owned() };
            return Asked { tried, engine: None, other: None };
        }
    };
    let ping = engine_ping(&path, env.timeout).await;
    let version = libpod_version(&ping);
    let outcome = match (&ping, &version) {
        (_, Some(version)) => format!("answered, libpod API {version}"),
        (Ping::Answered(reply), None) if reply.status == 200 => "another engine answered".to_owned(),
        (ping, None) => ping.to_string(),
    };
    let tried = Tried { candidate: path.display().to_string(), outcome };
    match version {
        Some(version) => Asked { tried, engine: Some((path, version)), other: None },
        None => Asked { tried, engine: None, other: Some((path, ping)) },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    const DOCKER: &str = "HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\n\r\nOK";
    const PODMAN: &str = "HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\nLibpod-Api-Version: 4.3.1\r\n\r\nOK";
    const BROKEN: &str = "HTTP/1.0 500 No\r\nLibpod-Api-Version: 4.3.1\r\n\r\n";

    fn env(root: &Path, vars: &[(&str, &str)]) -> ProbeEnv {
        let vars: BTreeMap<String, String> =
            vars.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ProbeEnv { vars, uid: 1000, root: root.to_owned(), timeout: Duration::from_millis(250) }
    }

    fn listen(root: &Path, path: &str, reply: &'static str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        let listener = UnixListener::bind(path).expect("a listener");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 512]).await;
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        });
    }

    fn outcomes(found: &Found) -> Vec<&str> {
        found.tried.iter().map(|tried| tried.outcome.as_str()).collect()
    }

    #[tokio::test]
    async fn nothing_anywhere() {
        let root = tempfile::tempdir().expect("a directory");
        let found = detect(&env(root.path(), &[])).await;
        assert_eq!(outcomes(&found), ["unset", "unset", "no such socket", "unset", "no such socket"]);
        assert!(found.other.is_none() && found.warning().is_none());
        assert!(found.detection().found.is_none());
    }

    #[tokio::test]
    async fn every_place_in_its_order() {
        let root = tempfile::tempdir().expect("a directory");
        let vars = [(SOCKET, "/here"), ("XDG_RUNTIME_DIR", "/run/user/1000"), ("HOME", "/home/a")];
        // From the last to the first, so that each new one has to win over all before it.
        let places = [
            "run/podman/podman.sock",
            "home/a/.local/share/containers/podman/machine/podman-machine-default/podman.sock",
            "home/a/.local/share/containers/podman/machine/podman.sock",
            "run/user/1000/podman/podman.sock",
            "here",
        ];
        for place in places {
            listen(root.path(), place, PODMAN);
            let found = detect(&env(root.path(), &vars)).await;
            assert_eq!(found.engine, Some((root.path().join(place), "4.3.1".to_owned())));
            assert_eq!(found.tried.len(), places.len(), "the user's own directory is looked at once");
        }
        let found = detect(&env(root.path(), &vars)).await.detection().found;
        let expected = format!(
            "a Podman service (libpod API 4.3.1) answers at `{}`",
            root.path().join("here").display()
        );
        assert_eq!(found, Some(expected));
    }

    #[tokio::test]
    async fn another_engine_is_not_podman() {
        let root = tempfile::tempdir().expect("a directory");
        for (path, reply, outcome) in [
            ("docker.sock", DOCKER, "another engine answered"),
            ("broken.sock", BROKEN, "answered with HTTP status 500"),
        ] {
            listen(root.path(), path, reply);
            let found = detect(&env(root.path(), &[(SOCKET, &format!("/{path}"))])).await;
            assert_eq!(outcomes(&found)[0], outcome);
            assert!(found.engine.is_none());
            assert!(matches!(found.other, Some((_, Ping::Answered(_)))));
        }
    }

    #[tokio::test]
    async fn whoever_names_one_service_and_gets_another_is_warned() {
        let root = tempfile::tempdir().expect("a directory");
        listen(root.path(), "run/podman/podman.sock", PODMAN);
        let used = root.path().join("run/podman/podman.sock");
        for (named, warned) in [
            (None, None),
            (Some("/run/podman/podman.sock"), None),
            (Some("unix:///run/podman/podman.sock"), None),
            (Some("/gone.sock"), Some("no such socket")),
            (Some("tcp://127.0.0.1:1"), Some("is not the absolute path of a socket")),
        ] {
            let vars: Vec<_> = named.map(|path| (SOCKET, path)).into_iter().collect();
            let expected = named.zip(warned).map(|(path, why)| {
                format!("`{SOCKET}={path}` is ignored: {why}; the service at `{}` is used", used.display())
            });
            let found = detect(&env(root.path(), &vars)).await;
            assert_eq!(found.warning(), expected);
            assert_eq!(found.engine.map(|(path, _)| path), Some(used.clone()));
        }
    }
}
