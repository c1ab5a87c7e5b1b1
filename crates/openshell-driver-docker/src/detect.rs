//! Looks for a Docker engine: at `DOCKER_HOST`, then at the sockets where one usually listens.

use std::path::PathBuf;

use futures_util::future::join_all;
use openshell_driver_api::probe::{Ping, engine_ping};
use openshell_driver_api::{Detection, ProbeEnv, Tried};

use crate::engine::{self, Address, HOST, Tcp};

/// What was found, in the order in which it counts.
pub(crate) struct Found {
    /// The first place at which a Docker engine answered, and its API's version.
    pub(crate) engine: Option<(Address, String)>,
    /// Every candidate and what came of it.
    pub(crate) tried: Vec<Tried>,
    /// The first socket with something behind or at it that is no Docker engine, and what that is.
    pub(crate) other: Option<(PathBuf, Ping)>,
    /// `DOCKER_HOST` as it is set, and why it does not count.
    pub(crate) ignored: Option<String>,
}

impl Found {
    /// The same for the gateway.
    pub(crate) fn detection(self) -> Detection {
        let found =
            self.engine.map(|(address, api)| format!("a Docker engine (API {api}) answers at `{address}`"));
        Detection { found, tried: self.tried }
    }

    /// What whoever set `DOCKER_HOST` has to know: the engine that is used is not the one they named.
    pub(crate) fn warning(&self) -> Option<String> {
        let (used, _) = self.engine.as_ref()?;
        let ignored = self.ignored.as_ref()?;
        Some(format!("{ignored}; the engine at `{used}` is used"))
    }
}

/// One place to look at.
enum Candidate {
    /// A socket.
    Socket(PathBuf),
    /// A port, and how the environment names it.
    Port { named: String, tcp: Tcp },
    /// Something that names none, and why.
    Nothing { named: String, why: String },
}

/// Asks every candidate at once, each for at most `env.timeout`.
pub(crate) async fn detect(env: &ProbeEnv) -> Found {
    let results = join_all(candidates(env).into_iter().map(|candidate| ask(candidate, env))).await;
    let ignored = env.var(HOST).zip(results.first()).filter(|(_, first)| first.engine.is_none());
    let ignored = ignored.map(|(host, first)| format!("`{HOST}={host}` is ignored: {}", first.tried.outcome));
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

/// Where to look, the variable that names an engine first.
fn candidates(env: &ProbeEnv) -> Vec<Candidate> {
    let named = || format!("{HOST}={}", env.var(HOST).unwrap_or_default());
    let mut candidates = vec![match Address::of_environment(env) {
        None => Candidate::Nothing { named: HOST.to_owned(), why: "unset".to_owned() },
        Some(Ok(Address::Unix(path))) => Candidate::Socket(path),
        Some(Ok(Address::Tcp(tcp))) => Candidate::Port { named: named(), tcp },
        Some(Err(why)) => Candidate::Nothing { named: named(), why },
    }];
    candidates.push(Candidate::Socket(env.path("/var/run/docker.sock")));
    for (variable, below) in [("HOME", ".docker/run/docker.sock"), ("XDG_RUNTIME_DIR", "docker.sock")] {
        candidates.push(match env.var(variable) {
            Some(directory) => Candidate::Socket(env.path(directory).join(below)),
            None => Candidate::Nothing { named: variable.to_owned(), why: "unset".to_owned() },
        });
    }
    candidates
}

/// A candidate and what came of it.
struct Asked {
    tried: Tried,
    /// The Docker engine that answered, and its API's version.
    engine: Option<(Address, String)>,
    /// The socket at which something else came of it.
    other: Option<(PathBuf, Ping)>,
}

async fn ask(candidate: Candidate, env: &ProbeEnv) -> Asked {
    match candidate {
        Candidate::Nothing { named, why } => {
            Asked { tried: Tried { candidate: named, outcome: why }, engine: None, other: None }
        }
        Candidate::Socket(path) => {
            let ping = engine_ping(&path, env.timeout).await;
            let api = api_version(&ping);
            let outcome = match (&ping, &api) {
                (_, Some(api)) => answered(api),
                (Ping::Answered(reply), None) if reply.status == 200 => ANOTHER.to_owned(),
                (ping, None) => ping.to_string(),
            };
            let tried = Tried { candidate: path.display().to_string(), outcome };
            match api {
                Some(api) => Asked { tried, engine: Some((Address::Unix(path), api)), other: None },
                None => Asked { tried, engine: None, other: Some((path, ping)) },
            }
        }
        Candidate::Port { named, tcp } => {
            let (outcome, api) = match engine::hello(&tcp, env.timeout).await {
                Ok(Some(api)) => (answered(&api), Some(api)),
                Ok(None) => (ANOTHER.to_owned(), None),
                Err(problem) => (problem, None),
            };
            let engine = api.map(|api| (Address::Tcp(tcp), api));
            Asked { tried: Tried { candidate: named, outcome }, engine, other: None }
        }
    }
}

const ANOTHER: &str = "another engine answered";

fn answered(api: &str) -> String {
    format!("answered, API {api}")
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
    use crate::engine::OVERHEARD;

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
        assert!(found.other.is_none() && found.ignored.is_none());
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
        let used = Address::Unix(root.path().join("var/run/docker.sock"));
        assert_eq!(found.engine, Some((used, "1.41".to_owned())));
    }

    #[tokio::test]
    async fn another_engine_is_not_docker() {
        let root = tempfile::tempdir().expect("a directory");
        listen(root.path(), "podman.sock", PODMAN);
        let found = detect(&env(root.path(), &[("DOCKER_HOST", "unix:///podman.sock")])).await;
        assert_eq!(outcomes(&found)[0], "another engine answered");
        assert!(found.engine.is_none());
        assert!(matches!(found.other, Some((_, Ping::Answered(_)))));
    }

    #[tokio::test]
    async fn an_engine_at_a_port_of_this_host() {
        let root = tempfile::tempdir().expect("a directory");
        for (reply, outcome) in [(DOCKER, "answered, API 1.41"), (PODMAN, "another engine answered")] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
            let host = format!("tcp://{}", listener.local_addr().expect("an address"));
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let _ = stream.read(&mut [0; 512]).await;
                let _ = stream.write_all(reply.as_bytes()).await;
            });
            let found = detect(&env(root.path(), &[("DOCKER_HOST", &host)])).await;
            assert_eq!(outcomes(&found)[0], outcome);
            assert_eq!(
                found.engine.map(|(address, _)| address.to_string()),
                (reply == DOCKER).then_some(host)
            );
        }
    }

    #[tokio::test]
    async fn an_address_without_a_socket_is_named_and_passed_over() {
        let root = tempfile::tempdir().expect("a directory");
        for (host, why) in [
            ("tcp://10.0.0.1:2375", OVERHEARD),
            ("ssh://build@engine", "ssh engines are not supported"),
            ("/var/run/docker.sock", "is neither a `unix://` nor a `tcp://` address"),
        ] {
            let found = detect(&env(root.path(), &[("DOCKER_HOST", host)])).await;
            assert_eq!(found.tried[0].candidate, format!("DOCKER_HOST={host}"));
            assert_eq!(found.tried[0].outcome, why);
            assert_eq!(found.warning(), None, "no other engine is used");
        }
    }

    #[tokio::test]
    async fn whoever_names_one_engine_and_gets_another_is_warned() {
        let root = tempfile::tempdir().expect("a directory");
        listen(root.path(), "var/run/docker.sock", DOCKER);
        let used = root.path().join("var/run/docker.sock");
        for (host, warned) in [
            (None, None),
            (Some("unix:///var/run/docker.sock"), None),
            (Some("tcp://10.0.0.1:2375"), Some(OVERHEARD)),
            (Some("unix:///gone.sock"), Some("no such socket")),
        ] {
            let vars: Vec<_> = host.map(|host| ("DOCKER_HOST", host)).into_iter().collect();
            let expected = host.zip(warned).map(|(host, why)| {
                format!("`DOCKER_HOST={host}` is ignored: {why}; the engine at `{}` is used", used.display())
            });
            assert_eq!(detect(&env(root.path(), &vars)).await.warning(), expected);
        }
    }
}
