//! What is done to sandboxes. One module an operation; here what several of them need.
//!
//! ```text
//!   create   namespace ─▶ record (409: taken) ─▶ claim, secret, policy ─▶ pod ─▶ record: running
//!   stop     record: stopped ─▶ pod away                       start   record: starting ─▶ pod ─▶ record: running
//!   delete   record: deleting ─▶ pod, claim, secret, policy away ─▶ record away
//! ```
//!
//! At every point at which a gateway may end, the record says what is owed, and the same call asked again finishes it.
//! Everything else is owned by the record, so that the cluster itself removes what came too late.

mod create;
mod delete;
mod linger;
mod shell;
mod start;
mod workspace;

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::core::ObjectMeta;
use openshell_driver_api::conditions::timestamp;
use openshell_driver_api::{DriverError, ErrorKind, ObservedSandbox, SandboxId};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use self::linger::Lingering;
use crate::calls::Calls;
use crate::driver::Inner;
use crate::record::{self, Record, State};
use crate::{error, state};

/// How long the cluster may take to let go of something, beyond the time that its processes are given. Kubelets before
/// 1.22 keep a pod for up to a minute after its end.
const REMOVAL: Duration = Duration::from_secs(90);
/// How soon a removal is looked at again, at first and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

/// What is to be removed and how.
struct Removal<'a> {
    operation: &'static str,
    /// What it is, for people.
    what: &'static str,
    name: &'a str,
    /// Whether an object of that name is the one that is meant.
    mine: &'a (dyn Fn(&ObjectMeta) -> bool + Sync),
    /// Seconds that its processes are given; none for what has none.
    grace: Option<u32>,
}

impl Inner {
    /// Every sandbox, in the order of their ids.
    pub(crate) async fn observe_all(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        let failed = |error| error::cluster("list sandboxes", error);
        let selector = self.calls.scope.selector();
        // Records first: a pod that is made meanwhile is found, and one whose record was missed is nobody's.
        let records = self.calls.list_records(&selector).await.map_err(failed)?;
        let params = kube::api::ListParams::default().labels(&selector);
        let pods = self.calls.all_pods(&params).await.map_err(failed)?;
        let mut by_name: std::collections::HashMap<(String, String), Pod> = pods
            .items
            .into_iter()
            .filter_map(|pod| {
                let place = (pod.metadata.namespace.clone()?, pod.metadata.name.clone()?);
                Some((place, pod))
            })
            .collect();
        let now = SystemTime::now();
        let mut all: Vec<ObservedSandbox> = records
            .items
            .into_iter()
            .map(|record| {
                let pod = by_name.remove(&(record.namespace.clone(), record.name.clone()));
                state::observe(&record, pod.as_ref(), now)
            })
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }

    /// One sandbox; `None` when there is none of that id.
    pub(crate) async fn observe(&self, id: &SandboxId) -> Result<Option<ObservedSandbox>, DriverError> {
        let failed = |error| error::cluster("get sandbox", error);
        let Some(record) = self.calls.record(id).await.map_err(failed)? else { return Ok(None) };
        let pod = self.calls.pod(&record).await.map_err(failed)?;
        Ok(Some(state::observe(&record, pod.as_ref(), SystemTime::now())))
    }

    /// The record of a sandbox that something shall be done with.
    async fn find(&self, operation: &'static str, id: &SandboxId) -> Result<Record, DriverError> {
        let found = self.calls.record(id).await.map_err(|error| error::cluster(operation, error))?;
        let record = found.ok_or_else(|| DriverError::not_found(operation, id))?;
        if record.is_deleting() {
            let message = format!("sandbox `{id}` is being deleted");
            return Err(DriverError::new(ErrorKind::FailedPrecondition, operation, message));
        }
        Ok(record)
    }

    /// Brings a record into a state, with what goes with it in its `spec`.
    async fn transition(
        &self,
        record: &mut Record,
        state: State,
        patch: Option<Value>,
    ) -> Result<(), kube::Error> {
        let now = timestamp(SystemTime::now());
        let object = record::transition(&self.calls.resource(), record, state, &now, patch);
        let api = self.calls.records(&record.namespace);
        Calls::apply::<_, Value>(&api, &record.name, &object).await?;
        (record.state, record.since) = (state, now);
        Ok(())
    }

    /// Whether an object is one of a sandbox's.
    fn is_of(&self, id: &SandboxId) -> impl Fn(&ObjectMeta) -> bool + Sync {
        let (scope, id) = (self.calls.scope.clone(), id.clone());
        move |meta| scope.identity(meta).is_some_and(|who| who.id == id)
    }

    /// Removes an object and waits until it is really gone; `false` when there was none. A conflict is a retry, and what
    /// is somebody else's stays.
    async fn remove<K>(&self, api: &Api<K>, removal: &Removal<'_>) -> Result<bool, DriverError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let failed = |error| error::cluster(removal.operation, error);
        let patience = REMOVAL + Duration::from_secs(removal.grace.unwrap_or_default().into());
        let (deadline, mut step) = (Instant::now() + patience, LOOKS.0);
        // Which object was asked to go, and when.
        let mut asked: Option<(Option<String>, Lingering)> = None;
        loop {
            let found = Calls::within(api.get_metadata_opt(removal.name)).await.map_err(failed)?;
            let Some(meta) = found.map(|found| found.metadata).filter(|meta| (removal.mine)(meta)) else {
                return Ok(asked.is_some());
            };
            // Asked for also when somebody else has: they may have given its processes more time.
            if asked.as_ref().is_none_or(|(uid, _)| *uid != meta.uid) {
                match Calls::delete(api, removal.name, meta.uid.as_deref(), removal.grace).await {
                    Ok(()) => asked = Some((meta.uid.clone(), Lingering::new(removal.grace, &meta))),
                    Err(error) if error::status(&error) == Some(404) => {
                        asked = Some((meta.uid.clone(), Lingering::new(removal.grace, &meta)));
                    }
                    // It has changed, or is another one by now.
                    Err(error) if error::status(&error) == Some(409) => {}
                    Err(error) => return Err(failed(error)),
                }
            } else if let Some((_, lingering)) = asked.as_mut().filter(|_| self.lingering)
                && lingering.is_over(&self.calls, &meta).await.map_err(failed)?
            {
                // Nothing of it runs any more: what is left is the kubelet's bookkeeping.
                match Calls::delete(api, removal.name, meta.uid.as_deref(), Some(0)).await {
                    Err(error) if !matches!(error::status(&error), Some(404 | 409)) => {
                        return Err(failed(error));
                    }
                    _ => {}
                }
            }
            if Instant::now() >= deadline {
                return Err(held(removal, &meta));
            }
            sleep(step).await;
            step = (step * 2).min(LOOKS.1);
        }
    }

    /// Waits until somebody else has removed an object.
    async fn gone<K>(&self, api: &Api<K>, removal: &Removal<'_>) -> Result<(), DriverError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let (deadline, mut step) = (Instant::now() + REMOVAL, LOOKS.0);
        loop {
            let found = Calls::within(api.get_metadata_opt(removal.name)).await;
            let found = found.map_err(|error| error::cluster(removal.operation, error))?;
            let Some(meta) = found.map(|found| found.metadata).filter(|meta| (removal.mine)(meta)) else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                return Err(held(removal, &meta));
            }
            sleep(step).await;
            step = (step * 2).min(LOOKS.1);
        }
    }
}

/// Something does not go. It is asked again by whoever is owed its end.
fn held(removal: &Removal<'_>, meta: &ObjectMeta) -> DriverError {
    let by = meta.finalizers.iter().flatten().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    let why = match by.is_empty() {
        true => "its node may be away".to_owned(),
        false => format!("it is held by {}", by.join(", ")),
    };
    let message = format!("the {} `{}` is still there: {why}", removal.what, removal.name);
    let error = DriverError::new(ErrorKind::Aborted, removal.operation, message);
    match removal.grace.is_some() && by.is_empty() {
        // The driver does not do that by itself: the pod may run still, and its volume would be another's, too.
        true => error.with_hint(format!(
            "once its node is known to be off: kubectl delete pod {} -n {} --force --grace-period=0",
            removal.name,
            meta.namespace.as_deref().unwrap_or_default()
        )),
        false => error,
    }
}
