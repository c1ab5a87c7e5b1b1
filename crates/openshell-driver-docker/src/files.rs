//! What is put into a container before it starts: its workspace's owner and its token, as a tar archive over the API,
//! so that nothing of it ever lies on the host.

use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use openshell_driver_api::{DriverError, Secret};
use openshell_driver_common::container::files::{
    Account, AccountFile, Archive, GROUPS, Owner, TOKEN_DIRECTORY, TOKEN_PATH, USERS, WORKSPACE,
};
use openshell_driver_common::container::owners::Owners;

use crate::engine::Engine;
use crate::error;

/// Gives the workspace and the new volumes at `fresh` to the owner, who the main process runs as, and puts the token
/// where only that user reads it.
///
/// Without capabilities not even root writes into a directory of somebody else's, and an image's `/sandbox` may be
/// anybody's.
pub(crate) async fn prepare(
    engine: &Engine,
    container: &str,
    owner: Owner,
    fresh: &[String],
    token: &Secret,
) -> Result<(), DriverError> {
    let mut archive = Archive::default();
    archive.directory(WORKSPACE, 0o755, owner);
    for target in fresh {
        archive.directory(target, 0o755, owner);
    }
    if !token.is_empty() {
        archive.directory("/run", 0o755, Owner::default());
        archive.directory(TOKEN_DIRECTORY, 0o700, owner);
        archive.file(TOKEN_PATH, 0o600, owner, token.expose().as_bytes());
    }
    // As a stream: the client library logs whole bodies at trace level, streams it does not.
    let body = bollard::body_stream(stream::iter([Bytes::from(archive.finish())]));
    let options = UploadToContainerOptionsBuilder::new().path("/").build();
    let uploaded = engine.docker.upload_to_container(container, Some(options), body).await;
    uploaded.map_err(|error| error::engine("prepare files", error))
}

/// `user[:group]` as numbers; names are looked up in the files of a container of the image, unless that was done before.
pub(crate) async fn owner(
    engine: &Engine,
    owners: &Owners,
    image: &str,
    container: &str,
    user: &str,
) -> Result<Owner, DriverError> {
    let account = Account::of(user);
    if let Some(owner) = owners.known(image, user) {
        return Ok(owner);
    }
    let users =
        if account.needs_users() { read_file(engine, container, USERS).await? } else { String::new() };
    let groups =
        if account.needs_groups() { read_file(engine, container, GROUPS).await? } else { String::new() };
    let owner = account.owner(&users, &groups)?;
    owners.learn(image, user, owner);
    Ok(owner)
}

/// A text file of a container; empty when there is none.
async fn read_file(engine: &Engine, container: &str, path: &str) -> Result<String, DriverError> {
    let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
    let mut chunks = engine.docker.download_from_container(container, Some(options));
    let mut file = AccountFile::default();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => file.take(path, &chunk)?,
            Err(error) if error::status(&error) == Some(404) => return Ok(String::new()),
            Err(error) => return Err(error::engine("read accounts", error)),
        }
    }
    Ok(file.text())
}
