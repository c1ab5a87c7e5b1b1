//! Making a sandbox. Whoever fails takes back what was made, and of two who want one id the API server takes one.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::Api;
use kube::core::{DynamicObject, ObjectMeta};
use openshell_driver_api::conditions::timestamp;
use openshell_driver_api::{DriverError, ErrorKind, SandboxId};
use openshell_driver_common::operations::exists;
use tokio::time::{Instant, sleep};

use super::Removal;
use crate::calls::Calls;
use crate::driver::Inner;
use crate::error;
use crate::plan::{self, Plan};
use crate::record::{self, Record, State};

const OPERATION: &str = "create sandbox";
/// How often an id that turns out to be free after all is tried again.
const TRIES: usize = 3;
/// How long a create that somebody else has begun is given to come to its end.
const HALF_MADE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(200);
/// How long a namespace that was just made may be without the account that pods in it get.
const YOUNG: Duration = Duration::from_secs(10);
/// How long a claim is given to be bound before its pod is made.
const BINDING: Duration = Duration::from_millis(600);
const BINDING_LOOK: Duration = Duration::from_millis(20);
/// After how many claims in a row that were not bound in that time none is waited for any more, but one in so many: it may
/// have been a cluster's bad minute.
const PATIENT: u32 = 3;
const ONE_IN: u32 = 16;
/// How often, and how far apart, a failed create tries to take back what it had made.
const TAKE_BACK_ATTEMPTS: u32 = 6;
const TAKE_BACK_STEP: Duration = Duration::from_millis(300);

impl Inner {
    /// Record, claim, secret, policy, pod; on a failure all of it is taken back.
    pub(crate) async fn create(self: &Arc<Self>, id: &SandboxId, mut plan: Plan) -> Result<(), DriverError> {
        let turn = self.locks.turn(id).await;
        self.ensure_namespace(plan.own_namespace.as_ref()).await?;
        let maker = self.maker();
        let mut record = self.take_id(id, &plan, &maker).await?;
        if let Err(error) = self.make(&mut plan, &mut record).await {
            self.take_back(&record.namespace, &record.name, &maker).await;
            return Err(error);
        }
        if record.state == State::Making {
            // Whoever asked need not wait for that; who asks for something else of the sandbox does.
            let inner = Arc::clone(self);
            tokio::spawn(async move { inner.see_to_command(plan.pod, record, turn).await });
        }
        Ok(())
    }

    /// Makes the record, which is what having the id means.
    async fn take_id(&self, id: &SandboxId, plan: &Plan, maker: &str) -> Result<Record, DriverError> {
        let mut manifest = match self.calls.agent {
            // Held still until what its pod needs is there.
            Some(version) => version.object(plan),
            None => record::manifest(plan, &self.calls.resource())?,
        };
        record::begin(&mut manifest.metadata, maker, &timestamp(SystemTime::now()));
        let api = self.calls.records(&plan.namespace);
        for _ in 0..TRIES {
            let error = match Calls::create(&api, &manifest).await {
                Ok(made) => return self.read(&made),
                Err(error) => error,
            };
            if error::status(&error) != Some(409) {
                if error::unheard(&error) {
                    self.take_back(&plan.namespace, &plan.name, maker).await;
                }
                return Err(failed("create record", error));
            }
            if let Some(record) = self.look_at_taken(id, plan, maker).await? {
                return Ok(record);
            }
        }
        let message = format!("sandbox `{id}` comes and goes");
        Err(DriverError::new(ErrorKind::Aborted, OPERATION, message))
    }

    fn read(&self, object: &DynamicObject) -> Result<Record, DriverError> {
        Record::read(&self.calls.scope, object).ok_or_else(|| {
            let message = "the API server gave back something else than it was given";
            DriverError::new(ErrorKind::Internal, OPERATION, message)
        })
    }

    /// There is a record of that name already. Gives it when it is this very create's, after an answer that was lost on
    /// its way; `None` once the name is free; an error for a sandbox that is there.
    async fn look_at_taken(
        &self,
        id: &SandboxId,
        plan: &Plan,
        maker: &str,
    ) -> Result<Option<Record>, DriverError> {
        let deadline = Instant::now() + HALF_MADE;
        loop {
            let found = self.calls.object(&plan.namespace, &plan.name).await;
            let Some(found) = found.map_err(|error| failed("get record", error))? else { return Ok(None) };
            let record = Record::read(&self.calls.scope, &found).filter(|record| record.identity.id == *id);
            let Some(mut record) = record else {
                let message = format!("the name `{}` is taken by something else", plan.name);
                return Err(DriverError::new(ErrorKind::FailedPrecondition, OPERATION, message));
            };
            if record.maker == maker {
                return Ok(Some(record));
            }
            if !record.is_deleting() {
                if record.state != State::Making {
                    return Err(exists(id));
                }
                let pod = self.calls.pod(&record).await.map_err(|error| failed("get pod", error))?;
                if pod.is_some_and(|pod| is_owned(&pod.metadata, &record.uid)) {
                    // All was made, and the gateway ended before it could say so.
                    let done = self.transition(&mut record, State::Running, None).await;
                    return Err(done.map_or_else(|error| failed("note creation", error), |()| exists(id)));
                }
                if Instant::now() < deadline {
                    sleep(LOOK).await;
                    continue;
                }
            }
            // Left in the middle, by the end of the gateway's process: it may lack anything, so it goes.
            self.remove_all(id, Some(record)).await?;
            return Ok(None);
        }
    }

    /// Makes what a sandbox is of, once it has its id. It is noted as made, unless it has to be seen first whether its
    /// image brings a command.
    async fn make(&self, plan: &mut Plan, record: &mut Record) -> Result<(), DriverError> {
        let owner = vec![self.owner(record)];
        let metas = [
            plan.claim.as_mut().map(|claim| &mut claim.metadata),
            plan.secret.as_mut().map(|secret| &mut secret.metadata),
            plan.policy.as_mut().map(|policy| &mut policy.metadata),
            Some(&mut plan.pod.metadata),
        ];
        for meta in metas.into_iter().flatten() {
            meta.owner_references = Some(owner.clone());
        }
        let namespace = &plan.namespace;
        let claims = self.calls.claims(namespace);
        let policies = self.calls.policies(namespace);
        let claim = async {
            let Some(claim) = plan.claim.as_ref().filter(|_| self.calls.agent.is_none()) else {
                return Ok(());
            };
            match Calls::create(&claims, claim).await {
                Err(error) if error::status(&error) == Some(409) => {
                    // What an earlier sandbox of this id may have left must not become this one's workspace.
                    let mine = |meta: &ObjectMeta| !is_owned(meta, &record.uid);
                    self.remove(&claims, &removal("claim", &plan.name, &mine)).await?;
                    again(Calls::create(&claims, claim).await, "create claim")
                }
                made => again(made, "create claim"),
            }
        };
        let secret = async {
            let Some(secret) = &plan.secret else { return Ok(()) };
            let secrets = self.calls.secrets(namespace);
            let make = || self.calls.create_secret(namespace, secret);
            again(Self::anew(&secrets, &plan.name, make).await, "create secret")
        };
        let policy = async {
            let Some(policy) = &plan.policy else { return Ok(()) };
            let make = || Calls::create(&policies, policy);
            again(Self::anew(&policies, &plan.name, make).await, "create network policy")
        };
        // Each to its end: one that was let go of in the middle might be carried out after all was taken back.
        let made = tokio::join!(claim, secret, policy);
        made.0.and(made.1).and(made.2)?;
        if let Some(version) = self.calls.agent {
            let started = self.transition(record, State::Running, Some(version.wanted(true))).await;
            return started.map_err(|error| failed("start sandbox", error));
        }
        if plan.claim.is_some() {
            self.let_bind(&claims, &plan.name).await;
        }
        self.make_pod(&plan.pod, record).await?;
        if plan::brings_no_command(&plan.pod) {
            return Ok(());
        }
        self.transition(record, State::Running, None).await.map_err(|error| failed("note creation", error))
    }

    /// Gives a claim a moment to be bound: a pod that comes before is turned away by the scheduler, which then lets it wait
    /// for a second and more. Claims that are bound once there is a pod are not waited for again and again.
    async fn let_bind(&self, claims: &Api<PersistentVolumeClaim>, name: &str) {
        let unbound = self.unbound.load(Ordering::Relaxed);
        if unbound >= PATIENT && !unbound.is_multiple_of(ONE_IN) {
            self.unbound.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let deadline = Instant::now() + BINDING;
        while Instant::now() < deadline {
            sleep(BINDING_LOOK).await;
            // Whatever is wrong with the claim keeps the pod waiting, and is told then.
            let Ok(Some(claim)) = Calls::within(claims.get_opt(name)).await else { return };
            if claim.status.and_then(|status| status.phase).is_some_and(|phase| phase == "Bound") {
                self.unbound.store(0, Ordering::Relaxed);
                return;
            }
        }
        self.unbound.fetch_add(1, Ordering::Relaxed);
    }

    /// Makes an object of which another one of that name is a leftover that nobody needs.
    async fn anew<K, T, F>(api: &Api<K>, name: &str, make: impl Fn() -> F) -> Result<T, kube::Error>
    where
        K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
        F: Future<Output = Result<T, kube::Error>>,
    {
        match make().await {
            Err(error) if error::status(&error) == Some(409) => {
                error::absent(Calls::delete(api, name, None, None).await)?;
                make().await
            }
            made => made,
        }
    }

    /// Makes the pod of a record; one that is there already and the record's own is it.
    pub(super) async fn make_pod(&self, pod: &Pod, record: &Record) -> Result<(), DriverError> {
        let api = self.calls.pods(&record.namespace);
        let (mut tries, young) = (0, Instant::now() + YOUNG);
        while tries < TRIES {
            let error = match Calls::create(&api, pod).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if error::lacks_account(&error) && Instant::now() < young {
                sleep(LOOK).await;
                continue;
            }
            if error::status(&error) != Some(409) {
                return Err(failed("create pod", error));
            }
            tries += 1;
            let found = self.calls.pod(record).await.map_err(|error| failed("get pod", error))?;
            let Some(found) = found else { continue };
            let going = found.metadata.deletion_timestamp.is_some();
            if is_owned(&found.metadata, &record.uid) && !going {
                return Ok(());
            }
            // An earlier sandbox's, or this one's last.
            let mine = self.is_of(&record.identity.id);
            if !mine(&found.metadata) {
                let message = format!("the pod name `{}` is taken by something else", record.name);
                return Err(DriverError::new(ErrorKind::FailedPrecondition, "create pod", message));
            }
            let removal = Removal { grace: Some(1), ..removal("pod", &record.name, &mine) };
            self.remove(&api, &removal).await?;
        }
        let message = format!("the pod `{}` comes and goes", record.name);
        Err(DriverError::new(ErrorKind::Aborted, "create pod", message))
    }

    /// A record as the owner of what belongs to it.
    pub(super) fn owner(&self, record: &Record) -> OwnerReference {
        let resource = self.calls.resource();
        OwnerReference {
            api_version: resource.api_version,
            kind: resource.kind,
            name: record.name.clone(),
            uid: record.uid.clone(),
            ..OwnerReference::default()
        }
    }

    /// Removes what a failed create had made, and does not give up at the first thing that goes wrong: what fails a
    /// create may well be an API server that is restarting. What another create has made meanwhile stays.
    async fn take_back(&self, namespace: &str, name: &str, maker: &str) {
        let mut failure = None;
        for attempt in 0..TAKE_BACK_ATTEMPTS {
            if attempt > 0 {
                sleep(TAKE_BACK_STEP * attempt).await;
            }
            let found = match self.calls.object(namespace, name).await {
                Ok(found) => found.and_then(|found| Record::read(&self.calls.scope, &found)),
                Err(error) => {
                    failure = Some(failed("get record", error));
                    continue;
                }
            };
            let Some(record) = found.filter(|record| record.maker == maker) else { return };
            match self.remove_all(&record.identity.id.clone(), Some(record)).await {
                Ok(_) => return,
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            tracing::error!(name, %error, "cannot take back what a failed create had made; a delete will");
        }
    }
}

/// Whether an object belongs to the record of that uid.
pub(super) fn is_owned(meta: &ObjectMeta, uid: &str) -> bool {
    meta.owner_references.iter().flatten().any(|owner| owner.uid == uid)
}

pub(super) fn removal<'a>(
    what: &'static str,
    name: &'a str,
    mine: &'a (dyn Fn(&ObjectMeta) -> bool + Sync),
) -> Removal<'a> {
    Removal { operation: OPERATION, what, name, mine, grace: None }
}

/// The answer to a create of a part. It is there already: the answer to the first try was lost on its way.
fn again<K>(made: Result<K, kube::Error>, operation: &'static str) -> Result<(), DriverError> {
    match made {
        Err(error) if error::status(&error) == Some(409) => Ok(()),
        made => made.map(drop).map_err(|error| failed(operation, error)),
    }
}

/// An error of a step. What is not found is something that the step needs, such as its namespace.
pub(super) fn failed(operation: &'static str, error: kube::Error) -> DriverError {
    let error = error::cluster(operation, error);
    match error.kind() {
        ErrorKind::NotFound => DriverError::new(ErrorKind::FailedPrecondition, operation, error.message()),
        _ => error,
    }
}
