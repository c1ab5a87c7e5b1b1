//! Images: the immutable id behind a reference, pulled when it has to be.
//!
//! ```text
//!   reference ─ policy ─▶ the engine's own, or a pull (pull.rs) with credentials ─▶ id ─▶ platform ─▶ Image
//!                                    └─ progress, faults ─▶ events
//! ```

mod events;
mod fault;
mod progress;
mod pull;

use std::path::PathBuf;

use openshell_driver_api::conditions::reason;
use openshell_driver_api::{DriverError, ErrorKind};
use openshell_driver_common::container::credentials::{Accounts, Sources};
use openshell_driver_common::container::image as reference;
use openshell_driver_common::container::platform::Platform;
use openshell_driver_common::container::pull::Pulls;
use openshell_driver_common::container::supervised::ImageCommand;
use openshell_driver_common::container::values::PullPolicy;

pub(crate) use self::events::{Step, event, normal};
use self::progress::Progress;
use crate::config::Config;
use crate::engine::Engine;
use crate::error;

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
        (error.operation(), error.kind()) == ("create container", ErrorKind::FailedPrecondition)
            && matches!(inspect(engine, &self.id).await, Ok(None))
    }
}

/// How images are had.
#[derive(Debug)]
pub(crate) struct Images {
    policy: PullPolicy,
    emulation: bool,
    accounts: Accounts,
    pulls: Pulls<Progress>,
}

impl Images {
    /// Images as the configuration wants them.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            policy: config.pull_policy,
            emulation: config.emulation,
            accounts: accounts(config),
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
        if self.emulation || image.platform.runs_on(&engine.platform) {
            return Ok(image);
        }
        let message = format!(
            "the image `{reference}` is made for {}, and the engine runs {}",
            image.platform, engine.platform
        );
        Err(failed("find image", message).with_hint(format!(
            "docker pull --platform {} {reference}, or, where the engine's host emulates the other: \
             emulation = true in [openshell.drivers.docker]",
            engine.platform
        )))
    }

    async fn find(
        &self,
        engine: &Engine,
        reference: &str,
        report: impl Fn(Step),
    ) -> Result<Image, DriverError> {
        let is_id = reference::is_id(reference);
        let local = match self.policy {
            PullPolicy::Always if !is_id => None,
            _ => inspect(engine, reference).await?,
        };
        let local = match local {
            Some(image) if is_id || self.policy != PullPolicy::Newer => return Ok(image),
            local => local,
        };
        if self.policy == PullPolicy::Never {
            let message = format!("the engine has no image `{reference}`, and `pull_policy` is `never`");
            return Err(failed("find image", message)
                .with_hint(format!("on the engine's host: docker pull {reference}")));
        }
        if is_id {
            let message =
                format!("the engine has no image `{reference}`, and an image cannot be pulled by its id");
            return Err(failed("find image", message));
        }
        report(Step::Pulling);
        let told = |progress| report(Step::Progress(progress));
        let work = |tell| pull::pull(engine.clone(), self.accounts.clone(), reference.to_owned(), tell);
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

/// Credentials of the file that the operator names, else of the one that Docker's own programs read.
fn accounts(config: &Config) -> Accounts {
    let directory = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let usual = directory("DOCKER_CONFIG").or_else(|| Some(directory("HOME")?.join(".docker")));
    let sources = Sources {
        usual: usual.map(|directory| directory.join("config.json")).into_iter().collect(),
        key: "docker_config_path in [openshell.drivers.docker]",
        nowhere: "neither DOCKER_CONFIG nor HOME says where some are",
    };
    Accounts::new(config.docker_config_path.clone(), sources)
}

fn failed(operation: &'static str, message: String) -> DriverError {
    DriverError::new(ErrorKind::FailedPrecondition, operation, message).with_reason(reason::IMAGE_PULL_FAILED)
}

async fn inspect(engine: &Engine, reference: &str) -> Result<Option<Image>, DriverError> {
    let image = match engine.docker.inspect_image(reference).await {
        Ok(image) => image,
        Err(error) if error::status(&error) == Some(404) => return Ok(None),
        Err(error) => return Err(error::engine("inspect image", error)),
    };
    let Some(id) = image.id else {
        let message = format!("the engine gives no id for `{reference}`");
        return Err(DriverError::new(ErrorKind::Internal, "inspect image", message));
    };
    let config = image.config.unwrap_or_default();
    let words = config.entrypoint.into_iter().chain(config.cmd).flatten().collect();
    let command = ImageCommand { words, directory: config.working_dir.unwrap_or_default() };
    let platform =
        Platform { os: image.os.unwrap_or_default(), architecture: image.architecture.unwrap_or_default() };
    let (user, volumes) = (config.user.unwrap_or_default(), config.volumes.unwrap_or_default());
    Ok(Some(Image { id, user, command, volumes, platform }))
}
