//! Making a sandbox, and removing all of one: whoever fails in the first ends in the second.

use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions, StartContainerOptions,
};
use openshell_driver_api::{DriverError, ErrorKind, PlatformEvent, SandboxId, SandboxRequest};
use openshell_driver_common::container::files::Owner;
use openshell_driver_common::container::mounts::NamedVolume;
use openshell_driver_common::operations::{exists, retry_conflicts};
use openshell_driver_common::watch::News;

use crate::container::Plan;
use crate::driver::Inner;
use crate::image::{self, Image};
use crate::{error, files, state, volumes};

/// How often, and how far apart, a failed create tries to take back what it had made.
const TAKE_BACK_ATTEMPTS: u32 = 6;
const TAKE_BACK_STEP: Duration = Duration::from_millis(300);

impl Inner {
    /// Image, network, container with its workspace, files, start; on a failure all of it is taken back.
    pub(crate) async fn create(&self, request: &SandboxRequest, plan: &Plan) -> Result<(), DriverError> {
        let id = &request.id;
        let turn = self.locks.turn(id).await;
        if self.is_there(id).await? {
            return Err(exists(id));
        }
        // What an earlier sandbox of this id may have left must not become this one's workspace.
        self.remove_volumes(id).await?;
        let mut last = false;
        loop {
            let report = |step| self.tell(id, image::event(&plan.image, step));
            let image = tokio::select! {
                image = self.images.resolve(&self.engine, &plan.image, report) => image?,
                () = turn.hurried() => {
                    let message = format!("sandbox `{id}` was deleted while its image was pulled");
                    return Err(DriverError::new(ErrorKind::Aborted, "create sandbox", message));
                }
            };
            let mut fresh = Vec::new();
            let Err(error) = self.make(request, plan, &image, &mut fresh).await else { return Ok(()) };
            self.take_back(id, &fresh, &error).await;
            if last || !image.vanished(&self.engine, &error).await {
                return Err(error);
            }
            // Somebody removed it in between. Whoever does so twice wants it gone.
            last = true;
        }
    }

    /// Whether there is a sandbox of this id. A container that never ran is none: a create starts what it makes, so this
    /// one was ended in the middle, by the end of the gateway's process, and may lack its token. It goes.
    async fn is_there(&self, id: &SandboxId) -> Result<bool, DriverError> {
        let mut remnants = Vec::new();
        for container in self.engine.containers_of(id).await? {
            let Some(found) = self.engine.inspect(&container).await? else { continue };
            if !state::never_ran(&found) {
                return Ok(true);
            }
            remnants.push(container);
        }
        for container in &remnants {
            tracing::warn!(sandbox = %id, %container, "a container that a create left half-made is removed");
            self.remove_container(container).await?;
        }
        Ok(false)
    }

    /// Everything but the image. `fresh` is told of the named volumes that were not there before.
    async fn make(
        &self,
        request: &SandboxRequest,
        plan: &Plan,
        image: &Image,
        fresh: &mut Vec<NamedVolume>,
    ) -> Result<(), DriverError> {
        let user = plan.user.as_deref().unwrap_or(&image.user);
        let making = self.workspaces.making(&image.id, user);
        let container = {
            let _network = self.networks.hold(&self.engine, &plan.network).await?;
            for volume in &plan.volumes {
                volumes::ensure(&self.engine, volume, fresh).await?;
            }
            let name = self.engine.scope.container(&request.id);
            self.make_container(&request.id, &name, plan.body(image, making)).await?
        };
        let owner = files::owner(&self.engine, &self.owners, &image.id, &container, user).await?;
        // A named volume that is new has to be given away, and a token to be put somewhere.
        let ready = request.spec.token.is_empty()
            && fresh.is_empty()
            && self.workspaces.is_ready(&self.engine, &image.id, making, &container, owner).await?;
        if !ready {
            let through = plan.files_body(image, making);
            self.put_files(request, plan, (&container, through), owner, fresh).await?;
        }
        self.tell(&request.id, image::normal("Created", "the container is made"));
        self.start_container(&container).await?;
        self.tell(&request.id, image::normal("Started", "the container is started"));
        Ok(())
    }

    /// Puts into a container what it needs before its start; through another, where there is the body of one.
    async fn put_files(
        &self,
        request: &SandboxRequest,
        plan: &Plan,
        (container, through): (&str, Option<ContainerCreateBody>),
        owner: Owner,
        fresh: &[NamedVolume],
    ) -> Result<(), DriverError> {
        let (token, supervised) = (&request.spec.token, plan.is_supervised());
        let targets: Vec<String> = fresh.iter().map(|volume| volume.target.clone()).collect();
        let Some(body) = through else {
            return files::prepare(&self.engine, container, owner, &targets, token, supervised).await;
        };
        // Made after the sandbox's own container and removed before that starts: at no time is there none.
        let name = self.engine.scope.files_container(&request.id);
        let through = self.make_container(&request.id, &name, body).await?;
        files::prepare(&self.engine, &through, owner, &targets, token, supervised).await?;
        self.remove_container(&through).await
    }

    async fn make_container(
        &self,
        id: &SandboxId,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<String, DriverError> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        match self.engine.docker.create_container(Some(options), body).await {
            Ok(created) => {
                for warning in created.warnings {
                    tracing::warn!(sandbox = %id, warning, "the engine warns about a container");
                }
                Ok(created.id)
            }
            Err(error) if error::status(&error) == Some(409) => Err(self.name_taken(id, name).await?),
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

    /// Removes what a failed create had made, and does not give up at the first thing that goes wrong: what fails a
    /// create may well be an engine that is restarting.
    async fn take_back(&self, id: &SandboxId, fresh: &[NamedVolume], cause: &DriverError) {
        // An engine that was not heard may be at it still: what it makes turns up a moment later.
        let unheard = matches!(cause.kind(), ErrorKind::Unavailable | ErrorKind::DeadlineExceeded)
            && cause.operation().starts_with("create ");
        let mut failure = None;
        for attempt in 0..TAKE_BACK_ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(TAKE_BACK_STEP).await;
            }
            let removed = match cause.kind() {
                // There is a sandbox, and it is not this one.
                ErrorKind::AlreadyExists => Ok(true),
                _ => self.remove_all(id).await,
            };
            let cleared = volumes::take_back(&self.engine, fresh).await;
            match removed.and_then(|found| cleared.map(|()| found)) {
                Ok(found) if found || !unheard => return,
                Ok(_) => failure = None,
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            tracing::error!(sandbox = %id, %error, "cannot take back what a failed create had made; a delete will");
        }
    }

    /// Removes whatever a sandbox has on the engine; `false` when there was nothing.
    pub(crate) async fn remove_all(&self, id: &SandboxId) -> Result<bool, DriverError> {
        let containers = self.engine.containers_of(id).await?;
        for container in &containers {
            self.remove_container(container).await?;
        }
        let volumes = self.remove_volumes(id).await?;
        self.marks.clear(id);
        // The network is not the sandbox's: another delete will come by, so this one does not fail for it.
        if let Err(error) = self.networks.release(&self.engine).await {
            tracing::warn!(%error, "cannot remove the gateway's network");
        }
        Ok(!containers.is_empty() || volumes)
    }

    /// Removes a container, and the volumes that its image has brought.
    async fn remove_container(&self, container: &str) -> Result<(), DriverError> {
        remove("remove container", || {
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            self.engine.docker.remove_container(container, Some(options))
        })
        .await
    }

    async fn remove_volumes(&self, id: &SandboxId) -> Result<bool, DriverError> {
        let volumes = self.engine.volumes_of(id).await?;
        for volume in &volumes {
            remove("remove volume", || self.engine.docker.remove_volume(volume, None::<RemoveVolumeOptions>))
                .await?;
        }
        Ok(!volumes.is_empty())
    }

    /// Tells watchers something about a sandbox.
    fn tell(&self, id: &SandboxId, event: PlatformEvent) {
        // An error means that nobody watches.
        let _ = self.news.send(News::Said { id: id.clone(), event });
    }
}

/// Repeats a removal while the engine answers 409 ("already in progress", "in use"); a 404 is success.
async fn remove<F>(operation: &'static str, remove: impl FnMut() -> F) -> Result<(), DriverError>
where
    F: Future<Output = Result<(), bollard::errors::Error>>,
{
    let removed = retry_conflicts(remove, error::status).await;
    removed.map_err(|error| error::engine(operation, error))
}
