//! Making a sandbox, and removing all of one: whoever fails in the first ends in the second.

use std::time::Duration;

use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions, StartContainerOptions,
};
use openshell_driver_api::{DriverError, ErrorKind, PlatformEvent, SandboxId, SandboxRequest, WatchEvent};

use crate::container::Plan;
use crate::driver::Inner;
use crate::image::{self, Image, Step};
use crate::watch::{News, now_ms};
use crate::{error, files};

/// How long a removal that somebody else has begun is waited for.
const REMOVAL: Duration = Duration::from_secs(10);
const REMOVAL_STEP: Duration = Duration::from_millis(100);

impl Inner {
    /// Image, network, container with its workspace, files, start; on a failure all of it is taken back.
    pub(crate) async fn create(&self, request: &SandboxRequest, plan: &Plan) -> Result<(), DriverError> {
        let id = &request.id;
        let turn = self.locks.turn(id).await;
        if !self.engine.containers_of(id).await?.is_empty() {
            return Err(exists(id));
        }
        // What an earlier sandbox of this id may have left must not become this one's workspace.
        self.remove_volumes(id).await?;
        let report = |step: Step| self.report_pull(id, &plan.image, step);
        let image = tokio::select! {
            image = image::resolve(&self.engine, &plan.image, self.config.pull_policy, report) => image?,
            () = turn.hurried() => {
                let message = format!("sandbox `{id}` was deleted while its image was pulled");
                return Err(DriverError::new(ErrorKind::Aborted, "create sandbox", message));
            }
        };
        let container = match self.make_container(id, plan, &image).await {
            Ok(container) => container,
            // There is a sandbox, and it is not this one: nothing was made that could be taken back.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
            Err(error) => return Err(self.take_back(id, error).await),
        };
        let user = self.config.user.as_deref().unwrap_or(&image.user);
        let ready = match files::prepare(&self.engine, &container, user, &request.spec.token).await {
            Ok(()) => self.start_container(&container).await,
            Err(error) => Err(error),
        };
        match ready {
            Ok(()) => Ok(()),
            Err(error) => Err(self.take_back(id, error).await),
        }
    }

    async fn make_container(
        &self,
        id: &SandboxId,
        plan: &Plan,
        image: &Image,
    ) -> Result<String, DriverError> {
        let _network = self.networks.hold(&self.engine, &self.config.network).await?;
        let name = self.engine.scope.container(id);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        match self.engine.docker.create_container(Some(options), plan.body(image)).await {
            Ok(created) => {
                for warning in created.warnings {
                    tracing::warn!(sandbox = %id, warning, "the engine warns about a container");
                }
                Ok(created.id)
            }
            Err(error) if error::status(&error) == Some(409) => Err(self.name_taken(id, &name).await?),
            Err(error) => Err(error::mapped("create container", error, |kind| match kind {
                // An image or a network that somebody removed meanwhile.
                ErrorKind::NotFound => ErrorKind::FailedPrecondition,
                kind => kind,
            })),
        }
    }

    /// The engine has a container of this name: ours, made by somebody who was quicker, or a stranger's.
    async fn name_taken(&self, id: &SandboxId, name: &str) -> Result<DriverError, DriverError> {
        let found = self.engine.inspect(name).await?;
        let labels =
            found.and_then(|container| container.config).and_then(|config| config.labels).unwrap_or_default();
        if self.engine.scope.owner(&labels).as_ref() == Some(id) {
            return Ok(exists(id));
        }
        let message = format!("the container name `{name}` is taken by something else");
        Ok(DriverError::new(ErrorKind::FailedPrecondition, "create container", message))
    }

    /// Starts a container; starting a running one is no error.
    pub(crate) async fn start_container(&self, container: &str) -> Result<(), DriverError> {
        let started = self.engine.docker.start_container(container, None::<StartContainerOptions>).await;
        started.map_err(|error| {
            error::mapped("start container", error, |kind| match kind {
                // The container is there; what is not found or makes no sense is something that it needs.
                ErrorKind::NotFound | ErrorKind::Internal | ErrorKind::Aborted => {
                    ErrorKind::FailedPrecondition
                }
                kind => kind,
            })
        })
    }

    async fn take_back(&self, id: &SandboxId, cause: DriverError) -> DriverError {
        if let Err(error) = self.remove_all(id).await {
            tracing::error!(sandbox = %id, %error, "cannot take back what a failed create had made");
        }
        cause
    }

    /// Removes whatever a sandbox has on the engine; `false` when there was nothing.
    pub(crate) async fn remove_all(&self, id: &SandboxId) -> Result<bool, DriverError> {
        let containers = self.engine.containers_of(id).await?;
        for container in &containers {
            retry_conflicts("remove container", || {
                let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
                self.engine.docker.remove_container(container, Some(options))
            })
            .await?;
        }
        let volumes = self.remove_volumes(id).await?;
        self.marks.clear(id);
        // The network is not the sandbox's: another delete will come by, so this one does not fail for it.
        if let Err(error) = self.networks.release(&self.engine).await {
            tracing::warn!(%error, "cannot remove the gateway's network");
        }
        Ok(!containers.is_empty() || volumes)
    }

    async fn remove_volumes(&self, id: &SandboxId) -> Result<bool, DriverError> {
        let volumes = self.engine.volumes_of(id).await?;
        for volume in &volumes {
            let remove = || self.engine.docker.remove_volume(volume, None::<RemoveVolumeOptions>);
            retry_conflicts("remove volume", remove).await?;
        }
        Ok(!volumes.is_empty())
    }

    fn report_pull(&self, id: &SandboxId, image: &str, step: Step) {
        let (kind, reason, message) = match step {
            Step::Pulling => ("Normal", "Pulling", format!("pulling image `{image}`")),
            Step::Pulled => ("Normal", "Pulled", format!("pulled image `{image}`")),
            Step::Failed(problem) => ("Warning", "ImagePullFailed", problem),
        };
        let event = PlatformEvent {
            timestamp_ms: now_ms(),
            source: "docker".to_owned(),
            kind: kind.to_owned(),
            reason: reason.to_owned(),
            message,
            ..PlatformEvent::default()
        };
        // An error means that nobody watches.
        let _ = self.news.send(News::Event(WatchEvent::Platform { id: id.clone(), event }));
    }
}

fn exists(id: &SandboxId) -> DriverError {
    DriverError::new(ErrorKind::AlreadyExists, "create sandbox", format!("sandbox `{id}` exists already"))
}

/// Repeats a removal while the engine answers 409 ("already in progress", "in use"); a 404 is success.
async fn retry_conflicts<F>(operation: &'static str, mut remove: impl FnMut() -> F) -> Result<(), DriverError>
where
    F: Future<Output = Result<(), bollard::errors::Error>>,
{
    let deadline = tokio::time::Instant::now() + REMOVAL;
    loop {
        match remove().await {
            Ok(()) => return Ok(()),
            Err(error) => match error::status(&error) {
                Some(404) => return Ok(()),
                Some(409) if tokio::time::Instant::now() < deadline => tokio::time::sleep(REMOVAL_STEP).await,
                _ => return Err(error::engine(operation, error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use bollard::errors::Error;

    use super::*;

    async fn answers(answers: &[Option<u16>]) -> Result<usize, ErrorKind> {
        let count = Cell::new(0);
        let next = || {
            let answer = answers[count.get().min(answers.len() - 1)];
            count.set(count.get() + 1);
            let error =
                |status_code| Error::DockerResponseServerError { status_code, message: String::new() };
            std::future::ready(answer.map_or(Ok(()), |status| Err(error(status))))
        };
        retry_conflicts("remove", next).await.map(|()| count.get()).map_err(|error| error.kind())
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_a_retry_and_not_found_is_done() {
        assert_eq!(answers(&[None]).await, Ok(1));
        assert_eq!(answers(&[Some(404)]).await, Ok(1));
        assert_eq!(answers(&[Some(409), Some(409), Some(404)]).await, Ok(3));
        assert_eq!(answers(&[Some(409), Some(500)]).await, Err(ErrorKind::Internal));
        assert_eq!(answers(&[Some(409)]).await, Err(ErrorKind::Aborted));
    }
}
