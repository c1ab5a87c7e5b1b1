//! The engine as this driver sees it: a connection, and look-ups that are always scoped to one gateway.

mod address;
mod transport;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptionsBuilder, ListVolumesOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, BollardRequest};
use http::HeaderValue;
use openshell_driver_api::probe::{Ping, engine_ping};
use openshell_driver_api::{DriverError, ErrorKind, ProbeEnv, SandboxId};
use openshell_driver_common::container::names::{Filters, Scope};
use openshell_driver_common::container::platform::Platform;

pub(crate) use self::address::{Address, HOST, OVERHEARD, Tcp, TlsFiles};
use self::transport::Dialer;

use crate::config::Config;
use crate::{detect, error};

/// How long an engine may take to say who it is.
const HELLO: Duration = Duration::from_secs(5);
/// How long an engine may take to begin an answer. A stop takes as long as the main process does.
const PATIENCE: u64 = 180;

/// A connection to an engine that has answered.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) docker: bollard::Docker,
    pub(crate) scope: Scope,
    /// The API version spoken, for people.
    pub(crate) api: String,
    /// What it runs.
    pub(crate) platform: Platform,
    /// The Unix socket behind which it is: an engine that sees the same files as this process.
    pub(crate) socket: Option<PathBuf>,
}

impl Engine {
    /// Connects to the configured engine, or to the first that detection finds.
    ///
    /// # Errors
    /// `Unavailable` when none answers, with what was found where; `FailedPrecondition` when it is not Docker, or a
    /// certificate cannot be used.
    pub(crate) async fn connect(config: &Config, scope: Scope) -> Result<Self, DriverError> {
        let address = match &config.host {
            Some(address) => said(address).await.map(|()| address.clone())?,
            None => locate(&environment()).await?,
        };
        if let Address::Tcp(tcp) = &address
            && tcp.may_be_overheard()
        {
            tracing::warn!(
                "the docker engine at `{address}` is reached by {OVERHEARD}, as `insecure_tcp` allows"
            );
        }
        let docker = client(&address)?.with_request_modifier(seal);
        let (docker, version) = tokio::time::timeout(HELLO, async {
            let docker = docker.negotiate_version().await?;
            let version = docker.version().await?;
            Ok((docker, version))
        })
        .await
        .map_err(|_| unavailable(&address.to_string(), &Ping::TimedOut, error::remedy(None)))?
        .map_err(|error| error::engine("connect to engine", error))?;
        let api = docker.client_version().to_string();
        let platform =
            Platform { os: version.os.unwrap_or_default(), architecture: version.arch.unwrap_or_default() };
        tracing::info!(engine = %address, %api, %platform, "connected to the docker engine");
        let socket = match address {
            Address::Unix(path) => Some(path),
            Address::Tcp(_) => None,
        };
        Ok(Self { docker, scope, api, platform, socket })
    }

    /// The containers that match, in every state, however many.
    pub(crate) async fn containers(&self, filters: &Filters) -> Result<Vec<ContainerSummary>, DriverError> {
        let options = ListContainersOptionsBuilder::new().all(true).filters(filters).build();
        let listed = self.docker.list_containers(Some(options)).await;
        listed.map_err(|error| error::engine("list containers", error))
    }

    /// The engine's ids of a sandbox's containers: one or none, and a moment long the one for its files.
    pub(crate) async fn containers_of(&self, id: &SandboxId) -> Result<Vec<String>, DriverError> {
        let containers = self.containers(&self.scope.filters_of(id)).await?;
        Ok(containers.into_iter().filter_map(|container| container.id).collect())
    }

    /// The names of a sandbox's volumes.
    pub(crate) async fn volumes_of(&self, id: &SandboxId) -> Result<Vec<String>, DriverError> {
        let options = ListVolumesOptionsBuilder::new().filters(&self.scope.filters_of(id)).build();
        let listed = self
            .docker
            .list_volumes(Some(options))
            .await
            .map_err(|error| error::engine("list volumes", error))?;
        Ok(listed.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect())
    }

    /// A container by its id or name; `None` when it is gone.
    pub(crate) async fn inspect(
        &self,
        container: &str,
    ) -> Result<Option<ContainerInspectResponse>, DriverError> {
        match self.docker.inspect_container(container, None::<InspectContainerOptions>).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error::status(&error) == Some(404) => Ok(None),
            Err(error) => Err(error::engine("inspect container", error)),
        }
    }

    /// The container of a sandbox with the engine's id for it.
    pub(crate) async fn inspect_of(
        &self,
        id: &SandboxId,
    ) -> Result<Option<(String, ContainerInspectResponse)>, DriverError> {
        for container in self.containers_of(id).await? {
            let found = self.inspect(&container).await?;
            let is_sandbox = |found: &ContainerInspectResponse| {
                !self.scope.is_files_container(found.name.as_deref().unwrap_or_default())
            };
            if let Some(found) = found.filter(is_sandbox) {
                return Ok(Some((container, found)));
            }
        }
        Ok(None)
    }
}

/// A client of the engine at an address.
fn client(address: &Address) -> Result<bollard::Docker, DriverError> {
    let refused = |message| DriverError::new(ErrorKind::FailedPrecondition, "connect to engine", message);
    let (dialer, address) = match address {
        Address::Unix(path) => (Dialer::unix(path), "http://localhost".to_owned()),
        Address::Tcp(tcp) => (Dialer::tcp(tcp).map_err(refused)?, format!("http://{}", tcp.authority())),
    };
    let transport = move |request: BollardRequest| {
        let dialer = dialer.clone();
        async move { dialer.request(request).await }
    };
    let client = bollard::Docker::connect_with_custom_transport(
        transport,
        Some(address),
        PATIENCE,
        API_DEFAULT_VERSION,
    );
    client.map_err(|error| error::engine("connect to engine", error))
}

/// Credentials as engines read them: base64 with the letters for URLs (RFC 4648, section 5). The client library takes
/// the other alphabet, and of what an engine cannot decode it says nothing and sends no credentials.
fn seal(mut request: BollardRequest) -> BollardRequest {
    if let Some(value) = request.headers_mut().get_mut("X-Registry-Auth") {
        let letters = value.as_bytes().iter().map(|letter| match letter {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        });
        if let Ok(mut sealed) = HeaderValue::from_bytes(&letters.collect::<Vec<u8>>()) {
            // Shown by no Debug.
            sealed.set_sensitive(true);
            *value = sealed;
        }
    }
    request
}

/// Who answers at a port: Docker with its API's version, or another engine.
///
/// # Errors
/// Why nobody does, in words.
pub(crate) async fn hello(tcp: &Tcp, timeout: Duration) -> Result<Option<String>, String> {
    let dialer = Dialer::tcp(tcp)?;
    let request = http::Request::get("/_ping").body(bollard::body_full(bytes::Bytes::new()));
    let request = request.map_err(|error| error.to_string())?;
    let answer = match tokio::time::timeout(timeout, dialer.request(request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(error::innermost(&error)),
        Err(_) => return Err(Ping::TimedOut.to_string()),
    };
    if answer.status() != 200 {
        return Err(format!("answered with HTTP status {}", answer.status().as_u16()));
    }
    let header = |name: &str| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
    Ok(header("Api-Version").filter(|_| header("Libpod-Api-Version").is_none()))
}

/// Whether Docker answers at a configured address.
async fn said(address: &Address) -> Result<(), DriverError> {
    let other = || {
        let message = format!("another engine answered at `{address}`");
        DriverError::new(ErrorKind::FailedPrecondition, "connect to engine", message)
    };
    match address {
        Address::Unix(path) => {
            let ping = engine_ping(path, HELLO).await;
            let remedy = error::remedy(Some((path, &ping)));
            match (&ping, detect::api_version(&ping)) {
                (_, Some(_)) => Ok(()),
                (Ping::Answered(reply), None) if reply.status == 200 => Err(other().with_hint(remedy)),
                _ => Err(unavailable(&path.display().to_string(), &ping, remedy)),
            }
        }
        Address::Tcp(tcp) => {
            client(address)?;
            let remedy = error::remedy_tcp(tcp);
            match hello(tcp, HELLO).await {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(other().with_hint(remedy)),
                Err(problem) => Err(unavailable(&address.to_string(), &problem, remedy)),
            }
        }
    }
}

/// The process's own environment.
fn environment() -> ProbeEnv {
    // A variable that is not UTF-8 names no socket of ours.
    let vars = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        Some((name, value))
    });
    ProbeEnv { vars: vars.collect(), timeout: HELLO, ..ProbeEnv::default() }
}

/// The first engine that detection finds.
async fn locate(env: &ProbeEnv) -> Result<Address, DriverError> {
    let found = detect::detect(env).await;
    if let Some(warning) = found.warning() {
        tracing::warn!("{warning}");
    }
    if let Some((address, _)) = found.engine {
        return Ok(address);
    }
    let tried: Vec<String> =
        found.tried.iter().map(|tried| format!("`{}`: {}", tried.candidate, tried.outcome)).collect();
    let message = format!("no Docker engine answers; {}", tried.join(", "));
    let other = found.other.as_ref().map(|(path, ping)| (path.as_path(), ping));
    Err(DriverError::new(ErrorKind::Unavailable, "connect to engine", message)
        .with_hint(error::remedy(other)))
}

fn unavailable(address: &str, problem: &dyn fmt::Display, remedy: String) -> DriverError {
    let message = format!("no Docker engine answers at `{address}`: {problem}");
    DriverError::new(ErrorKind::Unavailable, "connect to engine", message).with_hint(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_says_where_was_looked_and_what_to_do() {
        let root = tempfile::tempdir().expect("a directory");
        let vars = [("DOCKER_HOST".to_owned(), "tcp://10.0.0.1:2375".to_owned())];
        let env = ProbeEnv { vars: vars.into(), root: root.path().to_owned(), timeout: HELLO, uid: 0 };
        let error = locate(&env).await.expect_err("no engine");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let tcp = format!("no Docker engine answers; `DOCKER_HOST=tcp://10.0.0.1:2375`: {OVERHEARD}, `");
        assert!(error.message().starts_with(&tcp), "{error}");
        assert_eq!(error.hint(), Some(error::remedy(None).as_str()));

        let socket = root.path().join("var/run/docker.sock");
        std::fs::create_dir_all(socket.parent().expect("a parent")).expect("a directory");
        std::fs::write(&socket, "").expect("a file");
        let error = locate(&env).await.expect_err("no engine");
        assert_eq!(error.hint(), Some(error::remedy(Some((&socket, &Ping::NotASocket))).as_str()));
    }

    #[test]
    fn credentials_are_sent_in_the_letters_of_urls() {
        let credentials = http::Request::get("/").header("X-Registry-Auth", "a+b/c=");
        let sealed = seal(credentials.body(bollard::body_full(bytes::Bytes::new())).expect("a request"));
        assert_eq!(sealed.headers()["x-registry-auth"], "a-b_c=");
        assert!(!format!("{:?}", sealed.headers()).contains("a-b_c"), "{:?}", sealed.headers());
    }
}
