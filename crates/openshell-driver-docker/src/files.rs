//! What is put into a container before it starts: its workspace's owner and its token, as a tar archive over the API,
//! so that nothing of it ever lies on the host.

use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use openshell_driver_api::{DriverError, Secret};
use openshell_driver_common::container::files::{
    Account, AccountFile, Archive, Directory, GROUPS, Owner, USERS, WORKSPACE,
};
use openshell_driver_common::container::learned::{Learned, Owners};

use crate::engine::Engine;
use crate::error;

/// What a workspace and a new volume may be done to by whom: everything by their owner.
const MODE: u32 = 0o755;

/// How an engine makes a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Making {
    /// As it makes any volume: with what the image has at its place, and the same owner.
    Copied,
    /// Without looking there: root's, with nothing in it.
    Bare,
}

impl Making {
    fn word(self) -> &'static str {
        match self {
            Self::Copied => "copied",
            Self::Bare => "bare",
        }
    }
}

/// What new workspaces are before anything is put into them, by their image and their making: the same for all of these, so
/// that only the first is looked at. Engines take some fifty milliseconds to put files anywhere, and need not where a
/// workspace is its owner's already.
#[derive(Debug, Default)]
pub(crate) struct Workspaces(Learned<Option<Directory>>);

impl Workspaces {
    /// How the workspace of a user of an image is best made.
    pub(crate) fn making(&self, image: &str, user: &str) -> Making {
        let root = Owner::default();
        if Account::of(user).numbers() != Some(root) {
            return Making::Copied;
        }
        match self.0.known(image, Making::Copied.word()).flatten() {
            // With nothing to copy it is the same, but for whose it is.
            Some(copied) if copied.empty && !is_owners(copied, root) => Making::Bare,
            _ => Making::Copied,
        }
    }

    /// Whether the new workspace of a container is the owner's as it is.
    pub(crate) async fn is_ready(
        &self,
        engine: &Engine,
        image: &str,
        making: Making,
        container: &str,
        owner: Owner,
    ) -> Result<bool, DriverError> {
        let workspace = match self.0.known(image, making.word()) {
            Some(workspace) => workspace,
            None => {
                let found = directory(engine, container, WORKSPACE).await?;
                self.0.learn(image, making.word(), found);
                found
            }
        };
        Ok(workspace.is_some_and(|workspace| is_owners(workspace, owner)))
    }
}

fn is_owners(workspace: Directory, owner: Owner) -> bool {
    workspace.owner == owner && workspace.mode == MODE
}

/// Gives the workspace and the new volumes at `fresh` to the owner, who the main process runs as, and puts the token
/// where only that user reads it, or only root where that is the supervisor.
///
/// Without capabilities not even root writes into a directory of somebody else's, and an image's `/sandbox` may be
/// anybody's.
pub(crate) async fn prepare(
    engine: &Engine,
    container: &str,
    owner: Owner,
    fresh: &[String],
    token: &Secret,
    supervised: bool,
) -> Result<(), DriverError> {
    let mut archive = Archive::default();
    archive.directory(WORKSPACE, MODE, owner);
    for target in fresh {
        archive.directory(target, MODE, owner);
    }
    if !token.is_empty() {
        let reader = if supervised { Owner::default() } else { owner };
        archive.token(token.expose(), reader, supervised);
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

/// A directory of a container. Of what is in it no more is read than that there is something.
async fn directory(engine: &Engine, container: &str, path: &str) -> Result<Option<Directory>, DriverError> {
    let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
    let mut chunks = engine.docker.download_from_container(container, Some(options));
    let mut archive = Vec::new();
    while archive.len() < Directory::TOLD_BY
        && let Some(chunk) = chunks.next().await
    {
        archive.extend_from_slice(&chunk.map_err(|error| error::engine("look at workspace", error))?);
    }
    Ok(Directory::of(&archive))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_made_bare_only_for_root_and_only_where_nothing_is_lost() {
        let sandbox = Owner { uid: 1000, gid: 1000 };
        let copied = |owner, empty| Some(Directory { mode: MODE, owner, empty });
        for (known, user, expected) in [
            (None, "", Making::Copied),
            (Some(None), "", Making::Copied),
            (Some(copied(sandbox, true)), "", Making::Bare),
            (Some(copied(sandbox, true)), "0:0", Making::Bare),
            (Some(copied(sandbox, true)), "sandbox", Making::Copied),
            (Some(copied(sandbox, true)), "0:7", Making::Copied),
            (Some(copied(sandbox, false)), "", Making::Copied),
            (Some(copied(Owner::default(), true)), "", Making::Copied),
        ] {
            let workspaces = Workspaces::default();
            if let Some(known) = known {
                workspaces.0.learn("image", Making::Copied.word(), known);
            }
            assert_eq!(workspaces.making("image", user), expected, "{known:?} {user}");
        }
    }
}
