//! One pull of an image by this engine; who waits for it is the common crate's affair.

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use openshell_driver_api::ErrorKind;
use openshell_driver_common::container::credentials::{Access, Accounts, Login};
use openshell_driver_common::container::image as reference;
use openshell_driver_common::container::pull::{Fault, Tell};

use super::fault;
use super::progress::{Layers, Progress};
use crate::engine::Engine;

/// How long a pull may go without a sign of progress: a registry that hangs must not hold a sandbox for ever.
const STALL: Duration = Duration::from_secs(300);

/// Pulls an image and tells how far it is.
pub(super) async fn pull(
    engine: Engine,
    accounts: Accounts,
    reference: String,
    tell: Tell<Progress>,
) -> Result<(), Fault> {
    let reference = reference.as_str();
    let (registry, _) = reference::place(reference);
    let access = accounts.of(reference).await.map_err(|problem| {
        let message = format!("cannot pull `{reference}`: {}", problem.message);
        Fault { kind: ErrorKind::FailedPrecondition, message, hint: problem.hint }
    })?;
    let (name, tag) = reference::split(reference);
    let options = CreateImageOptionsBuilder::new().from_image(name).tag(tag).build();
    // An engine begins its answer once the registry has begun its own, so that the patience for the one is that for the
    // other; the client library's is for engines.
    let docker = engine.docker.clone().with_timeout(STALL * 2);
    let mut lines = docker.create_image(Some(options), None, credentials(&access));
    let mut layers = Layers::default();
    loop {
        let Ok(line) = tokio::time::timeout(STALL, lines.next()).await else {
            return Err(Fault::stalled(reference, registry, STALL));
        };
        match line {
            None => return Ok(()),
            Some(Ok(line)) => tell.progress(layers.take(&line)),
            Some(Err(error)) => return Err(fault::of(reference, registry, &access.told(), error)),
        }
    }
}

/// What an image's registry takes as a proof, as the client library sends it.
fn credentials(access: &Access) -> Option<DockerCredentials> {
    let serveraddress = Some(access.server().to_owned());
    let mut sent = DockerCredentials { serveraddress, ..DockerCredentials::default() };
    match access.login()? {
        Login::Password { user, password } => {
            sent.username = Some(user.clone());
            sent.password = Some(password.expose().to_owned());
        }
        Login::Identity(token) => sent.identitytoken = Some(token.expose().to_owned()),
        Login::Bearer(token) => sent.registrytoken = Some(token.expose().to_owned()),
    }
    Some(sent)
}
