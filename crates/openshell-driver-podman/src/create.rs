//! Making a sandbox, and removing all of one: whoever fails in the first ends in the second.

use std::sync::atomic::Ordering;
use std::time::Duration;

use openshell_driver_api::{DriverError, ErrorKind, PlatformEvent, SandboxId, SandboxRequest, labels};
use openshell_driver_common::container::files::Owner;
use openshell_driver_common::container::mounts::NamedVolume;
use openshell_driver_common::operations::{exists, retry_conflicts};
use openshell_driver_common::watch::News;

use crate::driver::Inner;
use crate::engine::{NetworkSpec, Spec, Summary, VolumeSpec, Words};
use crate::error::Failure;
use crate::image::{self, Image};
use crate::network;
use crate::plan::Plan;
use crate::state;

/// How often, and how far apart, a failed create tries to take back what it had made.
const TAKE_BACK_ATTEMPTS: u32 = 6;
const TAKE_BACK_STEP: Duration = Duration::from_millis(300);
/// The service's words where its host has no program that reaps orphans.
const NO_INIT: &str = "container-init binary not found";

impl Inner {
    /// Image, network, volume, secret, container, start; on a failure all of it is taken back.
    pub(crate) async fn create(&self, request: &SandboxRequest, plan: &Plan) -> Result<(), DriverError> {
        let id = &request.id;
        let turn = self.locks.turn(id).await;
        if self.is_there(id).await? {
            return Err(exists(id));
        }
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
    /// one was ended in the middle, by the end of the gateway's process. It goes.
    async fn is_there(&self, id: &SandboxId) -> Result<bool, DriverError> {
        match self.container_of(id).await? {
            None => Ok(false),
            Some(container) if state::never_ran(&container) => {
                tracing::warn!(sandbox = %id, "what a create left half-made is removed");
                self.remove_container(&container.id).await?;
                Ok(false)
            }
            Some(_) => Ok(true),
        }
    }

    /// Everything but the image. `fresh` is told of the named volumes that were not there before.
    async fn make(
        &self,
        request: &SandboxRequest,
        plan: &Plan,
        image: &Image,
        fresh: &mut Vec<NamedVolume>,
    ) -> Result<(), DriverError> {
        let id = &request.id;
        let owner = self.owner(request, image, plan.user.as_deref().unwrap_or(&image.user)).await?;
        let labels = || labels::of(request, &self.scope.gateway_id).into_iter().collect();
        let workspace = plan.volume(self.scope.volume(id), labels(), owner);
        let (network, volume, secret) = tokio::join!(
            self.make_network(plan, request),
            self.make_volume(id, &workspace),
            self.make_secret(plan, request),
        );
        network.and(volume).and(secret)?;
        for volume in &plan.volumes {
            self.ensure_volume(plan, volume, owner, fresh).await?;
        }
        let container = self.make_container(id, &plan.spec(image, owner, &self.scope.secret(id))).await?;
        self.tell(id, image::normal("Created", "the container is made"));
        // The container has a copy of the token from its making on: nobody else shall find one.
        let (started, forgotten) =
            tokio::join!(self.start_container(&container), self.forget_secret(plan, id));
        started.and(forgotten)?;
        self.tell(id, image::normal("Started", "the container is started"));
        self.touched(id);
        Ok(())
    }

    /// The sandbox's own network, where it gets one.
    async fn make_network(&self, plan: &Plan, request: &SandboxRequest) -> Result<(), DriverError> {
        if !self.config.own_network.is_bridge(&plan.network, self.engine.rootless()) {
            return Ok(());
        }
        let labels = labels::of(request, &self.scope.gateway_id).into_iter().collect();
        self.own_network(&request.id, labels).await
    }

    /// Makes a network for one sandbox alone. Bridges of Podman connect whoever is on them, so that one for all of a
    /// gateway's sandboxes would let them reach each other.
    pub(crate) async fn own_network(&self, id: &SandboxId, labels: Words) -> Result<(), DriverError> {
        let name = self.scope.own_network(id);
        let network = NetworkSpec {
            network_interface: network::bridge(&name),
            name,
            driver: "bridge".to_owned(),
            labels,
            // Nothing from here to the bridges of other networks that are isolated, nor from there to here.
            options: [("isolate".to_owned(), "true".to_owned())].into(),
            dns_enabled: false,
        };
        match self.engine.create_network(&network).await {
            Err(failure) if failure.is_conflict() => {
                let found = self.engine.inspect_network(&network.name).await?.unwrap_or_default();
                self.leftover(id, "network", &network.name, &found.labels)?;
                self.engine.remove_network(&network.name).await?;
                Ok(self.engine.create_network(&network).await.map(|_| ())?)
            }
            made => made.map(|_| ()).map_err(|failure| {
                failure.mapped(|kind| match kind {
                    ErrorKind::Unavailable | ErrorKind::DeadlineExceeded => kind,
                    // No address range left, no bridge in this kernel: not the request's fault, and not gone by itself.
                    _ => ErrorKind::FailedPrecondition,
                })
            }),
        }
    }

    /// The workspace. What an earlier sandbox of this id may have left must not become this one's.
    async fn make_volume(&self, id: &SandboxId, volume: &VolumeSpec) -> Result<(), DriverError> {
        match self.engine.create_volume(volume).await {
            Err(failure) if failure.is_conflict() => {
                let found = self.engine.inspect_volume(&volume.name).await?.unwrap_or_default();
                self.leftover(id, "volume", &volume.name, &found.labels)?;
                self.engine.remove_volume(&volume.name).await?;
                Ok(self.engine.create_volume(volume).await.map(|_| ())?)
            }
            made => Ok(made.map(|_| ())?),
        }
    }

    /// The token, until the container has it.
    async fn make_secret(&self, plan: &Plan, request: &SandboxRequest) -> Result<(), DriverError> {
        if !plan.has_token {
            return Ok(());
        }
        let (name, token) = (self.scope.secret(&request.id), &request.spec.token);
        let labels = labels::of(request, &self.scope.gateway_id).into_iter().collect();
        match self.engine.create_secret(&name, &labels, token).await {
            Err(failure) if failure.is_conflict() => {
                self.engine.remove_secret(&name).await?;
                Ok(self.engine.create_secret(&name, &labels, token).await?)
            }
            made => Ok(made?),
        }
    }

    async fn forget_secret(&self, plan: &Plan, id: &SandboxId) -> Result<(), DriverError> {
        if plan.has_token {
            self.engine.remove_secret(&self.scope.secret(id)).await?;
        }
        Ok(())
    }

    /// Whether what has a name is this sandbox's, left from before: there is no container that it could belong to.
    fn leftover(&self, id: &SandboxId, what: &str, name: &str, labels: &Words) -> Result<(), DriverError> {
        if self.scope.owner(labels).as_ref() == Some(id) {
            tracing::warn!(sandbox = %id, what, name, "something that an earlier sandbox of this id left is removed");
            return Ok(());
        }
        let message = format!("the {what} name `{name}` is taken by something else");
        Err(DriverError::new(ErrorKind::FailedPrecondition, "create sandbox", message))
    }

    /// Sees to it that a volume which outlives its sandboxes is there; one that was not is put into `fresh`.
    ///
    /// # Errors
    /// `FailedPrecondition` for one of that name that is not this gateway's: whoever made it may have pointed it anywhere.
    async fn ensure_volume(
        &self,
        plan: &Plan,
        volume: &NamedVolume,
        owner: Owner,
        fresh: &mut Vec<NamedVolume>,
    ) -> Result<(), DriverError> {
        let mut found = self.engine.inspect_volume(&volume.name).await?;
        if found.is_none() {
            fresh.push(volume.clone());
            let spec = plan.volume(volume.name.clone(), volume.labels.clone(), owner);
            match self.engine.create_volume(&spec).await {
                Ok(_) => return Ok(()),
                // Somebody else was quicker: it is theirs to take back.
                Err(failure) if failure.is_conflict() => {
                    fresh.pop();
                    found = self.engine.inspect_volume(&volume.name).await?;
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        let found = found.unwrap_or_default();
        let ours = volume.labels.iter().all(|(key, value)| found.labels.get(key) == Some(value));
        // Its owner, in the words of the request and in the service's own.
        let plain = found.options.iter().all(|(key, value)| match key.as_str() {
            "o" => value.split(',').all(|part| part.starts_with("uid=") || part.starts_with("gid=")),
            key => matches!(key, "UID" | "GID"),
        });
        if !ours || !plain {
            let message = format!("the volume `{}` is there and was not made by this gateway", volume.name);
            return Err(DriverError::new(ErrorKind::FailedPrecondition, "create volume", message));
        }
        Ok(())
    }

    pub(crate) async fn make_container(&self, id: &SandboxId, spec: &Spec) -> Result<String, DriverError> {
        let mut spec = spec.clone();
        if self.no_init.load(Ordering::Relaxed) {
            spec.init = None;
        }
        let mut made = self.engine.create(&spec).await;
        if spec.init.is_some() && made.as_ref().is_err_and(|failure| failure.message().contains(NO_INIT)) {
            if !self.no_init.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "the podman service's host has no `catatonit`: main processes are the first of their containers, which \
                     reaps no orphans and ignores signals without a handler; install it on that host"
                );
            }
            spec.init = None;
            made = self.engine.create(&spec).await;
        }
        match made {
            Ok(container) => Ok(container),
            Err(failure) if failure.is_conflict() => Err(self.name_taken(id, &spec.name).await?),
            Err(failure) => Err(failure.mapped(|kind| match kind {
                // An image or a network that somebody removed meanwhile, or what the service's host does not have.
                ErrorKind::NotFound | ErrorKind::Internal => ErrorKind::FailedPrecondition,
                kind => kind,
            })),
        }
    }

    /// The service has a container of this name: ours, made by somebody who was quicker, or a stranger's.
    async fn name_taken(&self, id: &SandboxId, name: &str) -> Result<DriverError, DriverError> {
        let found = self.engine.inspect(name).await?.unwrap_or_default();
        if self.scope.owner(&found.config.labels).as_ref() == Some(id) {
            return Ok(exists(id));
        }
        let message = format!("the container name `{name}` is taken by something else");
        Ok(DriverError::new(ErrorKind::FailedPrecondition, "create container", message))
    }

    /// Starts a container; starting a running one is no error.
    pub(crate) async fn start_container(&self, container: &str) -> Result<(), DriverError> {
        let started = self.engine.start(container).await;
        started.map_err(|failure| {
            failure.mapped(|kind| match kind {
                // The container is there; what is not found or makes no sense is something that it needs.
                ErrorKind::NotFound | ErrorKind::Internal | ErrorKind::Aborted => {
                    ErrorKind::FailedPrecondition
                }
                kind => kind,
            })
        })
    }

    /// Removes what a failed create had made, and does not give up at the first thing that goes wrong: what fails a
    /// create may well be a service that is restarting.
    async fn take_back(&self, id: &SandboxId, fresh: &[NamedVolume], cause: &DriverError) {
        // A service that was not heard may be at it still: what it makes turns up a moment later.
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
            let cleared = self.take_back_volumes(fresh).await;
            match removed.and_then(|found| cleared.map(|()| found)) {
                Ok(_) if !unheard => return,
                // One more look: of several things made at once the last may be late.
                Ok(found) if found && attempt > 0 => return,
                Ok(_) => failure = None,
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            tracing::error!(sandbox = %id, %error, "cannot take back what a failed create had made; a list will");
        }
    }

    /// Removes the volumes that a failed create had made, unless somebody uses them by now.
    async fn take_back_volumes(&self, fresh: &[NamedVolume]) -> Result<(), DriverError> {
        for volume in fresh {
            match self.engine.remove_volume(&volume.name).await {
                Err(failure) if !failure.is_conflict() => return Err(failure.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes whatever a sandbox has on the service; `false` when there was nothing.
    pub(crate) async fn remove_all(&self, id: &SandboxId) -> Result<bool, DriverError> {
        let mut found = false;
        for name in [self.scope.container(id), self.scope.files_container(id)] {
            found |= self.remove_named(id, &name).await?;
        }
        let names = (self.scope.volume(id), self.scope.own_network(id), self.scope.secret(id));
        let ours = |labels: &Words| self.is_of(id, labels);
        let volume = async {
            if !self.engine.inspect_volume(&names.0).await?.is_some_and(|found| ours(&found.labels)) {
                return Ok::<_, DriverError>(false);
            }
            remove(|| self.engine.remove_volume(&names.0)).await.map(|()| true)
        };
        let network = async {
            if !self.engine.inspect_network(&names.1).await?.is_some_and(|found| ours(&found.labels)) {
                return Ok::<_, DriverError>(false);
            }
            remove(|| self.engine.remove_network(&names.1)).await.map(|()| true)
        };
        let (volume, network, secret) = tokio::join!(volume, network, self.engine.remove_secret(&names.2));
        let (volume, network, secret) = (volume?, network?, secret?);
        self.marks.clear(id);
        Ok(found || volume || network || secret)
    }

    /// Removes a container by its name when it is a sandbox's; `false` when there is none.
    pub(crate) async fn remove_named(&self, id: &SandboxId, name: &str) -> Result<bool, DriverError> {
        let container = match self.engine.describe(name).await {
            Ok(found) => found.filter(|found| self.is_of(id, &found.config.labels)).map(|found| found.id),
            // Its labels are in the list alone.
            Err(failure) if failure.is_lost() => {
                let mut listed = self.engine.containers(&self.filters()).await?.into_iter();
                let named = |found: &Summary| found.names.iter().any(|known| known == name);
                listed.find(|found| named(found) && self.is_of(id, &found.labels)).map(|found| found.id)
            }
            Err(failure) => return Err(failure.into()),
        };
        let Some(container) = container else { return Ok(false) };
        self.remove_container(&container).await?;
        Ok(true)
    }

    /// Whose something is, is said by its labels: a stranger's may have the name.
    fn is_of(&self, id: &SandboxId, labels: &Words) -> bool {
        self.scope.owner(labels).as_ref() == Some(id)
    }

    /// Removes a container, and the volumes that its image has brought.
    pub(crate) async fn remove_container(&self, container: &str) -> Result<(), DriverError> {
        self.runs.forget(container);
        // Before it is done: the service may tell of it first.
        self.removals.note(container);
        remove(|| self.engine.remove(container)).await
    }

    /// Tells watchers something about a sandbox.
    fn tell(&self, id: &SandboxId, event: PlatformEvent) {
        // An error means that nobody watches.
        let _ = self.news.send(News::Said { id: id.clone(), event });
    }

    /// Has watchers look at a sandbox now: the service's own events may be a quarter of a second late.
    pub(crate) fn touched(&self, id: &SandboxId) {
        let _ = self.news.send(News::Touched(id.clone()));
    }
}

/// Repeats a removal while the service says that something is in use, or that somebody is removing it.
async fn remove<F>(mut remove: impl FnMut() -> F) -> Result<(), DriverError>
where
    F: Future<Output = Result<bool, Failure>>,
{
    let removed = retry_conflicts(
        || {
            let removed = remove();
            async { removed.await.map(|_| ()) }
        },
        |failure: &Failure| if failure.is_conflict() { Some(409) } else { None },
    );
    Ok(removed.await?)
}
