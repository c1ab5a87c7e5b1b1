//! Looks for a Docker engine: at `DOCKER_HOST`, then at the sockets where one usually listens.

use std::path::PathBuf;

use futures_util::future::join_all;
use openshell_driver_api::probe::{Ping, engine_ping};
use openshell_driver_api::{Detection, ProbeEnv, Tried};

/// What was found, in the order in which it counts.
pub(crate) struct Found {
    /// The first socket behind which a Docker engine answered, and its API's version.
    pub(crate) engine: Option<(PathBuf, String)>,
    /// Every candidate and what came of it.
    pub(crate) tried: Vec<Tried>,
}

impl Found {
    /// The same for the gateway.
    pub(crate) fn detection(self) -> Detection {
        let found = self
            .engine
            .map(|(path, api)| format!("a Docker engine (API {api}) answers at `{}`", path.display()));
        Detection { found, tried: self.tried }
    }
}

/// One place to look at.
enum Candidate {
    /// A socket.
    Socket(PathBuf),
    /// Something that names none, and why.
    Nothing { named: String, why: &'static str },
}

/// Asks every candidate at once, each for at most `env.timeout`.
pub(crate) async fn detect(env: &ProbeEnv) -> Found {
    let results = join_all(candidates(env).into_iter().map(|candidate| ask(candidate, env))).await;
    let mut found = Found { engine: None, tried: Vec::new() };
    for (tried, engine) in results {
        found.tried.push(tried);
        found.engine = found.engine.or(engine);
    }
    found
}

fn candidates(env: &ProbeEnv) -> Vec<Candidate> {
    let mut candidates = vec![match env.var("DOCKER_HOST") {
        None => Candidate::Nothing { named: "DOCKER_HOST".to_owned(), why: "unset" },
        Some(host) => match host.strip_prefix("unix://") {
            Some(path) => Candidate::Socket(env.path(path)),
            None => {
                Candidate::Nothing { named: format!("DOCKER_HOST={host}"), why: "not a `unix://` address" }
            }
        },
    }];
    candidates.push(Candidate::Socket(env.path("/var/run/docker.sock")));
    for (variable, below) in [("HOME", ".docker/run/docker.sock"), ("XDG_RUNTIME_DIR", "docker.sock")] {
        candidates.push(match env.var(variable) {
            Some(directory) => Candidate::Socket(env.path(directory).join(below)),
            None => Candidate::Nothing { named: variable.to_owned(), why: "unset" },
        });
    }
    candidates
}

async fn ask(candidate: Candidate, env: &ProbeEnv) -> (Tried, Option<(PathBuf, String)>) {
    let path = match candidate {
        Candidate::Nothing { named, why } => {
            return (Tried { candidate: named, outcome: why.to_owned() }, None);
        }
        Candidate::Socket(path) => path,
    };
    let ping = engine_ping(&path, env.timeout).await;
    let api = api_version(&ping);
    let outcome = match (&ping, &api) {
        (_, Some(api)) => format!("answered, API {api}"),
        (Ping::Answered(reply), None) if reply.status == 200 => "another engine answered".to_owned(),
        (ping, None) => ping.to_string(),
    };
    (Tried { candidate: path.display().to_string(), outcome }, api.map(|api| (path, api)))
}

/// Docker's API version, when it is Docker that answered: Podman's service sends `Api-Version` too.
pub(crate) fn api_version(ping: &Ping) -> Option<String> {
    let Ping::Answered(reply) = ping else { return None };
    if reply.status != 200 || reply.header("Libpod-Api-Version").is_some() {
        return None;
    }
    reply.header("Api-Version").map(str::to_owned)
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

    fn env(root: &Path, vars: &[(&str, &str)]) -> ProbeEnv {
        let vars: BTreeMap<String, String> =
            vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
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
        assert_eq!(outcomes(&found), ["unset", "no such socket", "unset", "unset"]);
        assert!(found.detection().found.is_none());
    }

    #[tokio::test]
    async fn the_first_in_order_wins() {
        let root = tempfile::tempdir().expect("a directory");
        listen(root.path(), "var/run/docker.sock", DOCKER);
        listen(root.path(), "run/user/1000/docker.sock", DOCKER);
        let vars = [
            ("DOCKER_HOST", "unix:///gone.sock"),
            ("HOME", "/home/a"),
            ("XDG_RUNTIME_DIR", "/run/user/1000"),
        ];
        let found = detect(&env(root.path(), &vars)).await;
        assert_eq!(
            outcomes(&found),
            ["no such socket", "answered, API 1.41", "no such socket", "answered, API 1.41"]
        );
        assert_eq!(found.engine, Some((root.path().join("var/run/docker.sock"), "1.41".to_owned())));
    }

    #[tokio::test]
    async fn another_engine_is_not_docker() {
        let root = tempfile::tempdir().expect("a directory");
        listen(root.path(), "podman.sock", PODMAN);
        let found = detect(&env(root.path(), &[("DOCKER_HOST", "unix:///podman.sock")])).await;
        assert_eq!(outcomes(&found)[0], "another engine answered");
        assert!(found.engine.is_none());
    }

    #[tokio::test]
    async fn a_tcp_address_is_named_and_passed_over() {
        let root = tempfile::tempdir().expect("a directory");
        let found = detect(&env(root.path(), &[("DOCKER_HOST", "tcp://10.0.0.1:2375")])).await;
        assert_eq!(found.tried[0].candidate, "DOCKER_HOST=tcp://10.0.0.1:2375");
        assert_eq!(found.tried[0].outcome, "not a `unix://` address");
    }
}
