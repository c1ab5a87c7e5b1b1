//! Images: the immutable id behind a reference, pulled when it has to be.
//!
//! ```text
//!   reference ─ policy ─▶ the engine's own, or a pull (pull.rs) with credentials (auth.rs) ─▶ id ─▶ platform ─▶ Image
//!                                    └─ progress, faults ─▶ events
//! ```

mod auth;
mod events;
mod pull;

use openshell_driver_api::conditions::reason;
use openshell_driver_api::{DriverError, ErrorKind};
use openshell_driver_common::container::credentials::Accounts;
use openshell_driver_common::container::image as reference;
use openshell_driver_common::container::platform::Platform;
use openshell_driver_common::container::pull::Pulls;
use openshell_driver_common::container::supervised::ImageCommand;
use openshell_driver_common::container::values::PullPolicy;

pub(crate) use self::events::{Step, event, normal};
use self::pull::Progress;
use crate::config::Config;
use crate::engine::Engine;
use crate::error::Failure;

/// An image on the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// `sha256:…`: what a tag points to may change between two calls, this does not.
    pub(crate) id: String,
    /// The user that it wants to run as; empty for root.
    pub(crate) user: String,
    /// Its entrypoint and its command; nothing where it brings neither.
    pub(crate) command: ImageCommand,
    /// Where it wants volumes, as it writes that.
    pub(crate) volumes: Vec<String>,
    /// What it is made for; parts of it are empty where the image does not say.
    pub(crate) platform: Platform,
}

impl Image {
    /// Whether a container could not be made because the image is there no longer.
    pub(crate) async fn vanished(&self, engine: &Engine, error: &DriverError) -> bool {
        error.operation() == "create container" && matches!(inspect(engine, &self.id).await, Ok(None))
    }
}

/// How images are had.
#[derive(Debug)]
pub(crate) struct Images {
    policy: PullPolicy,
    emulation: bool,
    accounts: Accounts,
    insecure: Vec<String>,
    pulls: Pulls<Progress>,
}

impl Images {
    /// Images as the configuration wants them.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            policy: config.pull_policy,
            emulation: config.emulation,
            accounts: auth::accounts(config.auth_file_path.clone()),
            insecure: config.insecure_registries.clone(),
            pulls: Pulls::default(),
        }
    }

    /// Finds the image behind a reference, pulls it as the policy says, and reports the steps of a pull. Dropped, it
    /// waits no longer; the pull goes on for as long as another waits for it.
    ///
    /// # Errors
    /// With the reason `ImagePullFailed`: `FailedPrecondition` when it cannot be had, `PermissionDenied` without access,
    /// `Unavailable` when the engine is away or the registry wants to be asked less, `ResourceExhausted` when the engine's disk is full,
    /// `InvalidArgument` when the reference makes no sense.
    pub(crate) async fn resolve(
        &self,
        engine: &Engine,
        reference: &str,
        report: impl Fn(Step),
    ) -> Result<Image, DriverError> {
        let image = self.find(engine, reference, report).await?;
        if self.emulation || image.platform.runs_on(engine.platform()) {
            return Ok(image);
        }
        let platform = engine.platform();
        let message =
            format!("the image `{reference}` is made for {}, and the engine runs {platform}", image.platform);
        Err(failed("find image", message).with_hint(format!(
            "podman pull --platform {platform} {reference}, or, where the engine's host emulates the other: \
             emulation = true in [openshell.drivers.podman]"
        )))
    }

    async fn find(
        &self,
        engine: &Engine,
        reference: &str,
        report: impl Fn(Step),
    ) -> Result<Image, DriverError> {
        // An id is known by no registry, and what is called `localhost/…` was made on the engine itself.
        let local_only = reference::is_id(reference) || reference.starts_with("localhost/");
        let local = match self.policy {
            PullPolicy::Always if !local_only => None,
            _ => inspect(engine, reference).await?,
        };
        let local = match local {
            Some(image) if local_only || self.policy != PullPolicy::Newer => return Ok(image),
            local => local,
        };
        if local_only {
            let message =
                format!("the engine has no image `{reference}`, and no registry knows it by that name");
            return Err(failed("find image", message).with_hint(
                "see what the engine has: podman images; each user of a host has images of their own",
            ));
        }
        if self.policy == PullPolicy::Never {
            let message = format!("the engine has no image `{reference}`, and `pull_policy` is `never`");
            return Err(failed("find image", message)
                .with_hint(format!("on the engine's host: podman pull {reference}")));
        }
        report(Step::Pulling);
        let (registry, _) = reference::place(reference);
        let check_tls = !self.insecure.iter().any(|insecure| insecure == registry);
        let work =
            |tell| pull::pull(engine.clone(), self.accounts.clone(), reference.to_owned(), check_tls, tell);
        let told = |progress| report(Step::Progress(progress));
        if let Err(fault) = self.pulls.pull(reference, work, told).await {
            // As Podman does: an image that is there is never worse than none.
            if let Some(image) = local {
                tracing::warn!(image = reference, "{}; the engine's own is used", fault.message);
                report(Step::Kept(fault.message));
                return Ok(image);
            }
            report(Step::Failed(fault.message.clone()));
            return Err(fault.error());
        }
        let Some(image) = inspect(engine, reference).await? else {
            let message = format!("the engine pulled `{reference}` and does not have it");
            report(Step::Failed(message.clone()));
            return Err(failed("pull image", message));
        };
        report(Step::Pulled);
        Ok(image)
    }
}

fn failed(operation: &'static str, message: String) -> DriverError {
    DriverError::new(ErrorKind::FailedPrecondition, operation, message).with_reason(reason::IMAGE_PULL_FAILED)
}

async fn inspect(engine: &Engine, reference: &str) -> Result<Option<Image>, DriverError> {
    let Some(found) = engine.inspect_image(reference).await? else { return Ok(None) };
    if found.id.is_empty() {
        let problem = format!("it gives no id for `{reference}`");
        return Err(Failure::nonsense("inspect image", problem).into());
    }
    // Podman writes ids without their algorithm.
    let id = if found.id.contains(':') { found.id } else { format!("sha256:{}", found.id) };
    let words = [found.config.entrypoint, found.config.command].concat();
    let command = ImageCommand { words, directory: found.config.working_dir };
    let platform = Platform { os: found.os, architecture: found.architecture };
    let volumes = found.config.volumes.into_keys().collect();
    Ok(Some(Image { id, user: found.user, command, volumes, platform }))
}
