//! The engine as this driver sees it: a connection, and look-ups that are always scoped to one gateway.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::API_DEFAULT_VERSION;
use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptionsBuilder, ListVolumesOptionsBuilder,
};
use openshell_driver_api::probe::{Ping, engine_ping};
use openshell_driver_api::{DriverError, ErrorKind, ProbeEnv, SandboxId};

use crate::config::Config;
use crate::names::{Filters, Scope};
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
}

impl Engine {
    /// Connects to the configured engine, or to the first that detection finds.
    ///
    /// # Errors
    /// `Unavailable` when none answers, with what was found where; `FailedPrecondition` when it is not Docker.
    pub(crate) async fn connect(config: &Config, scope: Scope) -> Result<Self, DriverError> {
        let socket = match &config.socket_path {
            Some(path) => said(path).await.map(|()| path.clone())?,
            None => locate(&environment()).await?,
        };
        let address = socket.to_str().ok_or_else(|| {
            let message = format!("`{}` is not UTF-8", socket.display());
            DriverError::new(ErrorKind::FailedPrecondition, "connect to engine", message)
        })?;
        let docker = bollard::Docker::connect_with_unix(address, PATIENCE, API_DEFAULT_VERSION)
            .map_err(|error| error::engine("connect to engine", error))?;
        let docker = tokio::time::timeout(HELLO, docker.negotiate_version())
            .await
            .map_err(|_| unavailable(&socket, &Ping::TimedOut))?
            .map_err(|error| error::engine("connect to engine", error))?;
        let api = docker.client_version().to_string();
        tracing::info!(socket = %socket.display(), %api, "connected to the docker engine");
        Ok(Self { docker, scope, api })
    }

    /// The containers that match, in every state, however many.
    pub(crate) async fn containers(&self, filters: &Filters) -> Result<Vec<ContainerSummary>, DriverError> {
        let options = ListContainersOptionsBuilder::new().all(true).filters(filters).build();
        let listed = self.docker.list_containers(Some(options)).await;
        listed.map_err(|error| error::engine("list containers", error))
    }

    /// The engine's ids of a sandbox's containers: one, or none.
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
            if let Some(found) = self.inspect(&container).await? {
                return Ok(Some((container, found)));
            }
        }
        Ok(None)
    }
}

/// Whether Docker answers at a configured socket.
async fn said(path: &Path) -> Result<(), DriverError> {
    let ping = engine_ping(path, HELLO).await;
    match (&ping, detect::api_version(&ping)) {
        (_, Some(_)) => Ok(()),
        (Ping::Answered(reply), None) if reply.status == 200 => {
            let message = format!("another engine answered at `{}`", path.display());
            Err(DriverError::new(ErrorKind::FailedPrecondition, "connect to engine", message)
                .with_hint(error::remedy(Some((path, &ping)))))
        }
        _ => Err(unavailable(path, &ping)),
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

/// The socket of the first engine that detection finds.
async fn locate(env: &ProbeEnv) -> Result<PathBuf, DriverError> {
    let found = detect::detect(env).await;
    if let Some(warning) = found.warning() {
        tracing::warn!("{warning}");
    }
    if let Some((path, _)) = found.engine {
        return Ok(path);
    }
    let tried: Vec<String> =
        found.tried.iter().map(|tried| format!("`{}`: {}", tried.candidate, tried.outcome)).collect();
    let message = format!("no Docker engine answers; {}", tried.join(", "));
    let other = found.other.as_ref().map(|(path, ping)| (path.as_path(), ping));
    Err(DriverError::new(ErrorKind::Unavailable, "connect to engine", message)
        .with_hint(error::remedy(other)))
}

fn unavailable(path: &Path, ping: &Ping) -> DriverError {
    let message = format!("no Docker engine answers at `{}`: {ping}", path.display());
    DriverError::new(ErrorKind::Unavailable, "connect to engine", message)
        .with_hint(error::remedy(Some((path, ping))))
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
        let tcp = "no Docker engine answers; \
                   `DOCKER_HOST=tcp://10.0.0.1:2375`: not a unix socket; tcp engines are not supported, `";
        assert!(error.message().starts_with(tcp), "{error}");
        assert_eq!(error.hint(), Some(error::remedy(None).as_str()));

        let socket = root.path().join("var/run/docker.sock");
        std::fs::create_dir_all(socket.parent().expect("a parent")).expect("a directory");
        std::fs::write(&socket, "").expect("a file");
        let error = locate(&env).await.expect_err("no engine");
        assert_eq!(error.hint(), Some(error::remedy(Some((&socket, &Ping::NotASocket))).as_str()));
    }
}
