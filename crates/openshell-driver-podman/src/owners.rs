//! Whose a sandbox's files are: the numbers of the main process's user. Names are looked up in the image's own files, once
//! for an image and a user, by way of a container that is never started.

use openshell_driver_api::{DriverError, SandboxRequest, labels};
use openshell_driver_common::container::files::{Account, AccountFile, GROUPS, Owner, USERS};

use crate::driver::Inner;
use crate::engine::{Namespace, Spec};
use crate::image::Image;

impl Inner {
    /// The numbers of a user of an image.
    ///
    /// # Errors
    /// `FailedPrecondition` for a name that the image does not have.
    pub(crate) async fn owner(
        &self,
        request: &SandboxRequest,
        image: &Image,
        user: &str,
    ) -> Result<Owner, DriverError> {
        let account = Account::of(user);
        if let Some(owner) = account.numbers() {
            return Ok(owner);
        }
        if let Some(owner) = self.owners.known(&image.id, user) {
            return Ok(owner);
        }
        let spec = Spec {
            name: self.scope.files_container(&request.id),
            image: image.id.clone(),
            entrypoint: Some(vec!["true".to_owned()]),
            command: Some(Vec::new()),
            labels: labels::of(request, &self.scope.gateway_id).into_iter().collect(),
            cap_drop: vec!["ALL".to_owned()],
            no_new_privileges: true,
            netns: Some(Namespace::mode("none")),
            image_volume_mode: Some("ignore".to_owned()),
            ..Spec::default()
        };
        // One that a create left which was ended in the middle.
        self.remove_named(&request.id, &spec.name).await?;
        let container = self.make_container(&request.id, &spec).await?;
        let users = if account.needs_users() { self.text(&container, USERS).await? } else { String::new() };
        let groups =
            if account.needs_groups() { self.text(&container, GROUPS).await? } else { String::new() };
        self.remove_container(&container).await?;
        let owner = account.owner(&users, &groups)?;
        self.owners.learn(&image.id, user, owner);
        Ok(owner)
    }

    /// A text file of a container; empty when there is none.
    async fn text(&self, container: &str, path: &'static str) -> Result<String, DriverError> {
        let mut file = AccountFile::default();
        if let Some(archive) = self.engine.get_archive(container, path).await? {
            file.take(path, &archive)?;
        }
        Ok(file.text())
    }
}
