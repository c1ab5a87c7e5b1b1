//! Stopping a sandbox, which removes its pod and keeps all else, and starting it again, which makes the pod anew.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use openshell_driver_api::conditions::{READY, ReasonClass, Wanted, classify, find};
use openshell_driver_api::{ConditionStatus, DriverError, SandboxId};

use super::Removal;
use super::create::{failed, is_owned};
use crate::calls::Calls;
use crate::driver::Inner;
use crate::record::{Record, State};
use crate::{agent, plan, record, state};

const STOP: &str = "stop sandbox";
const START: &str = "start sandbox";

impl Inner {
    /// Stops a sandbox; stopping a stopped one is no error.
    pub(crate) async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.locks.hurry(id);
        let _turn = self.locks.turn(id).await;
        let mut record = self.find(STOP, id).await?;
        if record.state != State::Stopped {
            // Noted before it is done, so that whoever sees the pod go knows why.
            let patch = self.calls.agent.map(|version| version.wanted(false));
            self.transition(&mut record, State::Stopped, patch).await.map_err(|error| failed(STOP, error))?;
        }
        self.remove_pod(STOP, &record).await
    }

    /// Removes the pod of a record, or waits until the controller that made it has.
    async fn remove_pod(&self, operation: &'static str, record: &Record) -> Result<(), DriverError> {
        let api = self.calls.pods(&record.namespace);
        let mine = self.is_of(&record.identity.id);
        let grace = Some(self.stop_grace());
        let removal = Removal { operation, what: "pod", name: &record.name, mine: &mine, grace };
        match self.calls.agent {
            Some(_) => self.gone(&api, &removal).await,
            None => self.remove(&api, &removal).await.map(drop),
        }
    }

    /// Starts a sandbox again; starting a running one is no error.
    pub(crate) async fn start(self: &Arc<Self>, id: &SandboxId) -> Result<(), DriverError> {
        let turn = self.locks.turn(id).await;
        let mut record = self.find(START, id).await?;
        let before = record.state;
        if self.runs(&record).await? {
            if before != State::Running {
                let patch = self.calls.agent.map(|version| version.wanted(true));
                let noted = self.transition(&mut record, State::Running, patch).await;
                noted.map_err(|error| failed(START, error))?;
            }
            return Ok(());
        }
        let started = match self.calls.agent {
            Some(version) => self.resume(&mut record, version).await.map(|()| None),
            None => self.make_again(&mut record).await,
        };
        if let Ok(Some(pod)) = started {
            let inner = Arc::clone(self);
            tokio::spawn(async move { inner.see_to_command(pod, record, turn).await });
            return Ok(());
        }
        if started.is_err() && before == State::Stopped {
            // It is as it was; were this lost, too, the next start would begin where this one ended.
            if let Err(error) = self.transition(&mut record, State::Stopped, None).await {
                tracing::warn!(sandbox = %id, %error, "cannot note that a sandbox is stopped still");
            }
        }
        started.map(drop)
    }

    /// Whether there is a pod that runs or is about to. One that failed at something that the kubelet tries again and
    /// again does not: whoever asks for a start wants it tried now.
    async fn runs(&self, record: &Record) -> Result<bool, DriverError> {
        let pod = self.calls.pod(record).await.map_err(|error| failed(START, error))?;
        let Some(pod) = pod.filter(|pod| pod.metadata.deletion_timestamp.is_none()) else { return Ok(false) };
        if self.calls.agent.is_none() && !is_owned(&pod.metadata, &record.uid) {
            return Ok(false);
        }
        let running = Record { state: State::Running, ..record.clone() };
        let seen = state::observe(&running, Some(&pod), std::time::SystemTime::now());
        let ready = find(&seen.status.conditions, READY);
        Ok(ready.is_some_and(|ready| {
            ready.status == ConditionStatus::True
                || classify(&ready.reason, Wanted::Running) != ReasonClass::Terminal
        }))
    }

    /// Makes the pod from what the record keeps of it, and gives it where it has to be seen yet whether its image brings a
    /// command.
    async fn make_again(&self, record: &mut Record) -> Result<Option<Pod>, DriverError> {
        self.transition(record, State::Starting, None).await.map_err(|error| failed(START, error))?;
        let configs = self.calls.configs(&record.namespace);
        let kept = Calls::within(configs.get(&record.name)).await.map_err(|error| failed(START, error))?;
        let mut pod = record::kept(&kept)?;
        pod.metadata.owner_references = Some(vec![self.owner(record)]);
        let before = self.calls.pod(record).await.map_err(|error| failed(START, error))?;
        if before.is_some_and(|before| state::lacks_command(&before)) {
            // Its create came to no end, or its node was late to say so.
            self.give_shell(&mut pod, record).await?;
        }
        self.remove_pod(START, record).await?;
        self.make_pod(&pod, record).await?;
        if plan::brings_no_command(&pod) {
            return Ok(Some(pod));
        }
        let noted = self.transition(record, State::Running, None).await;
        noted.map(|()| None).map_err(|error| failed(START, error))
    }

    /// Lets the controller make the pod. One that has ended has to go first, which it does once it is not wanted.
    async fn resume(&self, record: &mut Record, version: agent::Version) -> Result<(), DriverError> {
        let failed = |error| failed(START, error);
        let held = Some(version.wanted(false));
        self.transition(record, State::Starting, held).await.map_err(failed)?;
        self.remove_pod(START, record).await?;
        let freed = Some(version.wanted(true));
        self.transition(record, State::Running, freed).await.map_err(failed)
    }
}
