//! Making a sandbox, and removing all of one.
//!
//! ```text
//!   plan ─▶ told of (Provisioning) ─▶ image ─▶ `.new-…`: record, token, base, overlay ─▶ renamed ─▶ machine
//!             └── a failure takes back whatever is there, and the error says why ──┘
//! ```

use std::sync::Arc;

use openshell_driver_api::conditions::reason;
use openshell_driver_api::{DriverError, ErrorKind, SandboxId, Secret};
use openshell_driver_common::operations::{Kind, exists, said};

use crate::driver::Inner;
use crate::error::{blocking, file};
use crate::image::Prepared;
use crate::life::SOURCE;
use crate::machine::overlay;
use crate::plan::Plan;
use crate::record::{BASE, Record, Records};

impl Inner {
    /// Returns once QEMU runs: the guest boots on its own.
    pub(crate) async fn create(
        self: &Arc<Self>,
        id: &SandboxId,
        plan: Plan,
        token: &Secret,
    ) -> Result<(), DriverError> {
        let turn = self.locks.turn(id).await;
        if !self.table.begin(id, plan.record().clone()) {
            return Err(exists(id));
        }
        self.touched(id);
        let ready = tokio::select! {
            ready = self.ready(id, &plan) => ready,
            () = turn.hurried() => {
                let message = format!("sandbox `{id}` was deleted while its image was made ready");
                Err(DriverError::new(ErrorKind::Aborted, "create sandbox", message))
            }
        };
        let made = match ready {
            Ok(image) => self.make(id, plan, token, image).await,
            Err(error) => Err(error),
        };
        if made.is_err() {
            self.table.forget(id);
            self.touched(id);
        }
        made
    }

    /// All that takes long, and of which nothing is left when it is broken off.
    async fn ready(&self, id: &SandboxId, plan: &Plan) -> Result<Arc<Prepared>, DriverError> {
        let directory = self.records.directory(id);
        if directory.exists() {
            let message =
                format!("there is a sandbox in `{}` whose record cannot be read", directory.display());
            return Err(DriverError::new(ErrorKind::FailedPrecondition, "create sandbox", message)
                .with_hint("look at it, then remove it, or delete the sandbox"));
        }
        let tell = |event| self.tell(id, event);
        let image = self.images.prepare(plan.image(), plan.disk_size(), &tell).await?;
        self.host.accelerator().await?;
        Ok(image)
    }

    /// The directory, then the machine; on a failure nothing is left of them.
    async fn make(
        self: &Arc<Self>,
        id: &SandboxId,
        plan: Plan,
        token: &Secret,
        image: Arc<Prepared>,
    ) -> Result<(), DriverError> {
        let record = plan.keep(&image.digest, &image.runs);
        let (records, key, kept, token) =
            (Arc::clone(&self.records), id.clone(), record.clone(), token.clone());
        blocking("make the sandbox's disk", move || keep(&records, &key, &kept, &token, &image))
            .await
            .map_err(|error| error.with_reason(reason::CONTAINER_CREATE_FAILED))?;
        self.tell(id, said(SOURCE, Kind::Normal, "Created", "the machine's disk is made"));
        let booted = self.boot(id, record).await;
        if booted.is_err()
            && let Err(error) = self.remove(id).await
        {
            tracing::error!(sandbox = %id, %error, "cannot take back what a failed create had made; a delete will");
        }
        booted
    }

    /// Removes a sandbox, whatever it is doing; `false` when there was nothing.
    pub(crate) async fn delete(&self, id: &SandboxId) -> Result<bool, DriverError> {
        self.locks.hurry(id);
        let _turn = self.locks.turn(id).await;
        self.table.deleting(id, true);
        self.touched(id);
        self.remove(id).await.inspect_err(|_| {
            self.table.deleting(id, false);
            self.touched(id);
        })
    }

    async fn remove(&self, id: &SandboxId) -> Result<bool, DriverError> {
        if let Some(live) = self.table.live(id) {
            live.handle.kill();
            live.gone().await;
        }
        let (records, key) = (Arc::clone(&self.records), id.clone());
        let there = blocking("remove the sandbox's directory", move || records.remove(&key)).await?;
        let known = self.table.known(id).is_some();
        self.table.forget(id);
        self.touched(id);
        Ok(there || known)
    }
}

/// Makes the sandbox's directory, whole or not at all.
fn keep(
    records: &Records,
    id: &SandboxId,
    record: &Record,
    token: &Secret,
    image: &Prepared,
) -> Result<(), DriverError> {
    let staged = records.stage(id, record, token)?;
    let directory = staged.directory();
    let base = directory.join(BASE);
    image.pin(&base).map_err(|error| file("keep the image's disk", &base, error))?;
    let path = directory.join(overlay::NAME);
    overlay::create(&path, image.size).map_err(|error| file("make the sandbox's disk", &path, error))?;
    staged.keep()?;
    Ok(())
}
