//! Removing all of a sandbox: what a delete does, and a create that failed.

use openshell_driver_api::{DriverError, SandboxId};

use super::Removal;
use crate::agent;
use crate::calls::Calls;
use crate::driver::Inner;
use crate::error;
use crate::record::{Record, State};

const OPERATION: &str = "delete sandbox";
/// Seconds that the processes of a sandbox are given which nobody wants any more. Not zero: that would have the pod
/// forgotten while it still runs, and its claim removed under it.
const GRACE: u32 = 1;

impl Inner {
    /// Removes a sandbox; `false` when there was nothing.
    pub(crate) async fn delete(&self, id: &SandboxId) -> Result<bool, DriverError> {
        self.locks.hurry(id);
        let _turn = self.locks.turn(id).await;
        let record = self.calls.record(id).await.map_err(|error| error::cluster(OPERATION, error))?;
        self.remove_all(id, record).await
    }

    /// Removes whatever a sandbox has on the cluster, its record last: as long as that is there, the rest is owed.
    pub(super) async fn remove_all(
        &self,
        id: &SandboxId,
        record: Option<Record>,
    ) -> Result<bool, DriverError> {
        let failed = |error| error::cluster(OPERATION, error);
        let namespace = match (&record, &self.calls.shared) {
            (Some(record), _) => record.namespace.clone(),
            (None, Some(shared)) => shared.clone(),
            // Without a record nobody can say where; what it owned the cluster removes by itself.
            (None, None) => return Ok(false),
        };
        let name = self.calls.scope.object(id);
        let mine = self.is_of(id);
        let removal = |what, grace| Removal { operation: OPERATION, what, name: &name, mine: &mine, grace };
        if let Some(mut record) = record.clone()
            && !record.is_deleting()
        {
            match self.transition(&mut record, State::Deleting, None).await {
                Ok(()) => {}
                // Somebody removes it by hand.
                Err(error) if matches!(error::status(&error), Some(404 | 409)) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let records = self.calls.records(&namespace);
        let (pods, claims) = (self.calls.pods(&namespace), self.calls.claims(&namespace));
        let (pod_removal, claim_removal) = (removal("pod", Some(GRACE)), removal("claim", None));
        let parts = async {
            let Some(_) = self.calls.agent else {
                return tokio::try_join!(
                    self.remove(&pods, &pod_removal),
                    self.remove(&claims, &claim_removal)
                )
                .map(|(pod, claim)| pod || claim);
            };
            // Its controller owns the pod and the claim, and would make the pod again as long as the object is there.
            let found = self.remove(&records, &removal("sandbox", None)).await?;
            self.gone(&pods, &pod_removal).await?;
            let claim = agent::claim(&name);
            self.gone(&claims, &Removal { name: &claim, ..claim_removal }).await?;
            Ok(found)
        };
        let secret = async {
            let secrets = self.calls.secrets(&namespace);
            error::absent(Calls::delete(&secrets, &name, None, None).await).map_err(failed)
        };
        let policy = async {
            let policies = self.calls.policies(&namespace);
            error::absent(Calls::delete(&policies, &name, None, None).await).map_err(failed)
        };
        // Each to its end: a delete by name that is carried out late would take what another sandbox has by then.
        let (parts, secret, policy) = tokio::join!(parts, secret, policy);
        let (secret, policy) = (secret?, policy?);
        let found = parts? || secret.is_some() || policy.is_some();
        if self.calls.agent.is_some() {
            return Ok(found);
        }
        Ok(self.remove(&records, &removal("record", None)).await? || found)
    }
}
