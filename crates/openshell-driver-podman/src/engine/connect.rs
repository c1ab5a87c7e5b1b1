//! Getting to a service: which socket, who answers there, which version of the API it speaks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::probe::{Ping, engine_ping};
use openshell_driver_api::{DriverError, ErrorKind, ProbeEnv};
use openshell_driver_common::container::platform::Platform;

use super::info::Info;
use super::ulimits::Ulimits;
use super::{Engine, Facts};
use crate::client::{Call, Client};
use crate::config::Config;
use crate::{detect, error};

/// How long a service may take to say who it is.
const HELLO: Duration = Duration::from_secs(5);
/// How long it may take to describe itself: it looks at its host for that.
const INTRODUCTION: Duration = Duration::from_secs(20);
const CONNECT: &str = "connect to engine";

impl Engine {
    /// Connects to the configured service, or to the first that detection finds.
    ///
    /// # Errors
    /// `Unavailable` when none answers, with what was found where; `FailedPrecondition` when what answers is not Podman, or
    /// too old.
    pub(crate) async fn connect(config: &Config) -> Result<Self, DriverError> {
        let (socket, version) = match &config.socket_path {
            Some(path) => (path.clone(), said(path).await?),
            None => locate(&environment()).await?,
        };
        let client = Client::new(&socket, base(&socket, &version)?);
        let describe = Call::get("describe engine", &["info"]).within(INTRODUCTION);
        let info: Info = client.json(describe).await?;
        let platform = Platform { os: info.host.os, architecture: info.host.arch };
        let rootless = info.host.security.rootless;
        tracing::info!(socket = %socket.display(), api = %version, %platform, rootless, "connected to the podman service");
        let polls_events = info.host.event_logger == "file";
        let facts = Arc::new(Facts { version, platform, rootless, polls_events });
        Ok(Self { client, facts, ulimits: Arc::new(Ulimits::default()) })
    }
}

/// What stands before every path, which is what makes a service speak a version of its API.
fn base(socket: &Path, version: &str) -> Result<&'static str, DriverError> {
    let major: Option<u32> = version.split('.').next().and_then(|major| major.parse().ok());
    match major {
        Some(4) => Ok("/v4.0.0/libpod"),
        // What comes after 5 speaks that as well, or says no by itself.
        Some(5..) => Ok("/v5.0.0/libpod"),
        _ => {
            let message = format!(
                "the Podman service at `{}` speaks API {version}; 4.0 is the oldest that will do",
                socket.display()
            );
            Err(DriverError::new(ErrorKind::FailedPrecondition, CONNECT, message)
                .with_hint("update it: podman --version"))
        }
    }
}

/// Libpod's API version, when it is Podman that answered.
pub(crate) fn libpod_version(ping: &Ping) -> Option<String> {
    let Ping::Answered(reply) = ping else { return None };
    let version = reply.header("Libpod-Api-Version").filter(|version| !version.is_empty())?;
    (reply.status == 200).then(|| version.to_owned())
}

/// The version of the service at a configured socket.
async fn said(path: &Path) -> Result<String, DriverError> {
    let ping = engine_ping(path, HELLO).await;
    if let Some(version) = libpod_version(&ping) {
        return Ok(version);
    }
    let (path, remedy) = (path.display(), error::remedy(Some((path, &ping))));
    let error = match &ping {
        Ping::Answered(reply) if reply.status == 200 => {
            let message = format!("another engine answered at `{path}`");
            DriverError::new(ErrorKind::FailedPrecondition, CONNECT, message)
        }
        ping => {
            let message = format!("no Podman service answers at `{path}`: {ping}");
            DriverError::new(ErrorKind::Unavailable, CONNECT, message)
        }
    };
    Err(error.with_hint(remedy))
}

/// The process's own environment.
fn environment() -> ProbeEnv {
    // A variable that is not UTF-8 names no socket of ours.
    let vars = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        Some((name, value))
    });
    ProbeEnv { vars: vars.collect(), uid: uid(), timeout: HELLO, ..ProbeEnv::default() }
}

/// The user that this process runs as: the owner of what the kernel tells of it.
fn uid() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").map(|process| process.uid()).unwrap_or_default()
}

/// The first service that detection finds.
async fn locate(env: &ProbeEnv) -> Result<(PathBuf, String), DriverError> {
    let found = detect::detect(env).await;
    if let Some(warning) = found.warning() {
        tracing::warn!("{warning}");
    }
    if let Some(engine) = found.engine {
        return Ok(engine);
    }
    let tried: Vec<String> =
        found.tried.iter().map(|tried| format!("`{}`: {}", tried.candidate, tried.outcome)).collect();
    let message = format!("no Podman service answers; {}", tried.join(", "));
    let other = found.other.as_ref().map(|(path, ping)| (path.as_path(), ping));
    Err(DriverError::new(ErrorKind::Unavailable, CONNECT, message).with_hint(error::remedy(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let at = Path::new("/run/p.sock");
        for (version, expected) in [
            ("4.3.1", "/v4.0.0/libpod"),
            ("4.0.0-rc2", "/v4.0.0/libpod"),
            ("5.2.5", "/v5.0.0/libpod"),
            ("6.0.0-dev", "/v5.0.0/libpod"),
        ] {
            assert_eq!(base(at, version).expect("a base"), expected);
        }
        for version in ["3.4.4", "", "x"] {
            let error = base(at, version).expect_err("too old");
            assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
            assert!(error.message().contains("/run/p.sock"), "{error}");
        }
    }

    #[tokio::test]
    async fn an_error_says_where_was_looked_and_what_to_do() {
        let root = tempfile::tempdir().expect("a directory");
        let env = ProbeEnv { uid: 7, root: root.path().to_owned(), timeout: HELLO, ..ProbeEnv::default() };
        let error = locate(&env).await.expect_err("no service");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let start =
            "no Podman service answers; `OPENSHELL_PODMAN_SOCKET`: unset, `XDG_RUNTIME_DIR`: unset, `";
        assert!(error.message().starts_with(start), "{error}");
        assert!(error.message().contains("run/user/7/podman/podman.sock`: no such socket"), "{error}");
        assert_eq!(error.hint(), Some(error::remedy(None).as_str()));
    }
}
