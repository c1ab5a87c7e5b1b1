//! Looks for a Docker engine: at `DOCKER_HOST`, then at the sockets where one usually listens.

use std::path::PathBuf;

use futures_util::future::join_all;
use openshell_driver_api::probe::{Ping, engine_ping};
use openshell_driver_api::{Detection, ProbeEnv, Tried};

/// The variable that names an engine.
const HOST: &str = "DOCKER_HOST";

/// What was found, in the order in which it counts.
pub(crate) struct Found {
    /// The first socket behind which a Docker engine answered, and its API's version.
    pub(crate) engine: Option<(PathBuf, String)>,
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
        let found = self
            .engine
            .map(|(path, api)| format!("a Docker engine (API {api}) answers at `{}`", path.display()));
        Detection { found, tried: self.tried }
    }

    /// What whoever set `DOCKER_HOST` has to know: the engine that is used is not the one they named.
    pub(crate) fn warning(&self) -> Option<String> {
        let (used, _) = self.engine.as_ref()?;
        let ignored = self.ignored.as_ref()?;
        Some(format!("{ignored}; the engine at `{}` is used", used.display()))
    }
}

/// One place to look at.
enum Candidate {
    /// A socket.
    Socket(PathBuf),
    /// Something that names none, and why.
    Nothing { named: String, why: String },
}

/// Asks every candidate at once, each for at most `env.timeout`.
pub(crate) async fn detect(env: &ProbeEnv) -> Found {
    let results = join_all(candidates(env).into_iter().map(|candidate| ask(candidate, env))).await;
    let ignored = env.var(HOST).zip(results.first()).filter(|(_, first)| first.api().is_none());
    let ignored = ignored.map(|(host, first)| format!("`{HOST}={host}` is ignored: {}", first.tried.outcome));
    let mut found = Found { engine: None, tried: Vec::new(), other: None, ignored };
    for asked in results {
        let api = asked.api();
        found.tried.push(asked.tried);
        match (asked.reply, api) {
            (Some((path, _)), Some(api)) => found.engine = found.engine.or(Some((path, api))),
            (Some((_, Ping::Absent)), None) | (None, _) => {}
            (other, None) => found.other = found.other.or(other),
        }
    }
    found
}

/// Where to look, the variable that names an engine first.
fn candidates(env: &ProbeEnv) -> Vec<Candidate> {
    let mut candidates = vec![match env.var(HOST) {
        None => Candidate::Nothing { named: HOST.to_owned(), why: "unset".to_owned() },
        Some(host) => match host.strip_prefix("unix://") {
            Some(path) => Candidate::Socket(env.path(path)),
            None => Candidate::Nothing { named: format!("{HOST}={host}"), why: no_socket(host) },
        },
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

/// Why an address leads to no socket.
fn no_socket(host: &str) -> String {
    match host.split_once("://") {
        Some((scheme, _)) => format!("not a unix socket; {scheme} engines are not supported"),
        None => "not a `unix://` address".to_owned(),
    }
}

/// A candidate and what came of it.
struct Asked {
    tried: Tried,
    /// The socket and its reply, where the candidate names one.
    reply: Option<(PathBuf, Ping)>,
}

impl Asked {
    fn api(&self) -> Option<String> {
        self.reply.as_ref().and_then(|(_, ping)| api_version(ping))
    }
}

async fn ask(candidate: Candidate, env: &ProbeEnv) -> Asked {
    let path = match candidate {
        Candidate::Nothing { named, why } => {
            return Asked { tried: Tried { candidate: named, outcome: why }, reply: None };
        }
        Candidate::Socket(path) => path,
    };
    let ping = engine_ping(&path, env.timeout).await;
    let outcome = match (&ping, api_version(&ping)) {
        (_, Some(api)) => format!("answered, API {api}"),
        (Ping::Answered(reply), None) if reply.status == 200 => "another engine answered".to_owned(),
        (ping, None) => ping.to_string(),
    };
    Asked { tried: Tried { candidate: path.display().to_string(), outcome }, reply: Some((path, ping)) }
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
        assert_eq!(found.engine, Some((root.path().join("var/run/docker.sock"), "1.41".to_owned())));
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
    async fn an_address_without_a_socket_is_named_and_passed_over() {
        let root = tempfile::tempdir().expect("a directory");
        for (host, why) in [
            ("tcp://10.0.0.1:2375", "not a unix socket; tcp engines are not supported"),
            ("ssh://build@engine", "not a unix socket; ssh engines are not supported"),
            ("/var/run/docker.sock", "not a `unix://` address"),
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
            (Some("tcp://10.0.0.1:2375"), Some("not a unix socket; tcp engines are not supported")),
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
