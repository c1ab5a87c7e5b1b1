//! What a watch knows of its gateway's sandboxes, and what of that is news to the reader.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::SystemTime;

use k8s_openapi::api::core::v1::{Event, Pod};
use openshell_driver_api::{DriverError, ObservedSandbox, SandboxId, WatchEvent};

use super::follow::Change;
use crate::calls::Calls;
use crate::record::{Record, State};
use crate::{error, events, state};

/// How many events about pods that are not known yet are kept: the kinds are followed side by side, and an event may be
/// here before its pod. What is about strangers' pods leaves by this, too.
const EARLY: usize = 256;

/// Records and pods as they were last heard of, by sandbox, and what the reader was told.
pub(crate) struct Mirror {
    calls: Calls,
    records: HashMap<SandboxId, Record>,
    pods: HashMap<SandboxId, Pod>,
    /// Whose the pods are, by their uids.
    uids: HashMap<String, SandboxId>,
    told: HashMap<SandboxId, ObservedSandbox>,
    early: VecDeque<Event>,
}

impl Mirror {
    /// A mirror of nothing.
    pub(crate) fn new(calls: Calls) -> Self {
        Self {
            calls,
            records: HashMap::new(),
            pods: HashMap::new(),
            uids: HashMap::new(),
            told: HashMap::new(),
            early: VecDeque::new(),
        }
    }

    /// Takes what was listed at first, and gives all sandboxes in the order of their ids.
    pub(crate) fn fill(&mut self, records: Vec<Record>, pods: Vec<Pod>) -> Vec<ObservedSandbox> {
        for record in records {
            self.records.insert(record.identity.id.clone(), record);
        }
        for pod in pods {
            self.put_pod(pod);
        }
        let now = SystemTime::now();
        let mut all: Vec<ObservedSandbox> = self
            .records
            .values()
            .map(|record| state::observe(record, self.pods.get(&record.identity.id), now))
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        self.told = all.iter().map(|sandbox| (sandbox.id.clone(), sandbox.clone())).collect();
        all
    }

    /// Records changed.
    pub(crate) async fn records(
        &mut self,
        change: Change<Vec<Record>>,
    ) -> Result<Vec<WatchEvent>, DriverError> {
        let mut news = Vec::new();
        let (put, gone) = match change {
            Change::Put(records) => (records, Vec::new()),
            Change::Gone(records) => (Vec::new(), records),
            Change::All(records) => {
                let there: HashSet<&SandboxId> = records.iter().map(|record| &record.identity.id).collect();
                let known = self.records.values();
                let gone = known.filter(|record| !there.contains(&record.identity.id)).cloned().collect();
                (records, gone)
            }
        };
        for record in gone {
            let id = record.identity.id;
            // The news of an earlier one of the same id may come late.
            if self.records.get(&id).is_some_and(|known| known.uid == record.uid) {
                self.records.remove(&id);
                if self.told.remove(&id).is_some() {
                    news.push(WatchEvent::Deleted(id));
                }
            }
        }
        for record in put {
            let id = record.identity.id.clone();
            self.records.insert(id.clone(), record);
            news.extend(self.look(&id).await?);
        }
        Ok(news)
    }

    /// Pods changed.
    pub(crate) async fn pods(&mut self, change: Change<Vec<Pod>>) -> Result<Vec<WatchEvent>, DriverError> {
        let mut news = Vec::new();
        let (put, gone) = match change {
            Change::Put(pods) => (pods, Vec::new()),
            Change::Gone(pods) => (Vec::new(), pods),
            Change::All(pods) => {
                let there: HashSet<Option<&String>> =
                    pods.iter().map(|pod| pod.metadata.uid.as_ref()).collect();
                let known = self.pods.values();
                let gone = known.filter(|pod| !there.contains(&pod.metadata.uid.as_ref())).cloned().collect();
                (pods, gone)
            }
        };
        for pod in gone {
            let Some(id) = self.calls.scope.identity(&pod.metadata).map(|who| who.id) else { continue };
            self.uids.remove(pod.metadata.uid.as_deref().unwrap_or_default());
            if self.pods.get(&id).is_some_and(|known| known.metadata.uid == pod.metadata.uid) {
                self.pods.remove(&id);
                news.extend(self.look(&id).await?);
            }
        }
        for pod in put {
            let Some(id) = self.put_pod(pod) else { continue };
            news.extend(self.look(&id).await?);
        }
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            news.extend(early.into_iter().filter_map(|event| self.about(event)));
        }
        Ok(news)
    }

    fn put_pod(&mut self, pod: Pod) -> Option<SandboxId> {
        let id = self.calls.scope.identity(&pod.metadata)?.id;
        if let Some(uid) = &pod.metadata.uid {
            self.uids.insert(uid.clone(), id.clone());
        }
        if let Some(before) = self.pods.insert(id.clone(), pod)
            && let Some(uid) = before.metadata.uid
            && self.pods.get(&id).is_some_and(|pod| pod.metadata.uid.as_ref() != Some(&uid))
        {
            self.uids.remove(&uid);
        }
        Some(id)
    }

    /// The cluster said something of pods.
    pub(crate) fn events(&mut self, change: Change<Vec<Event>>) -> Vec<WatchEvent> {
        match change {
            Change::Put(events) => events.into_iter().filter_map(|event| self.about(event)).collect(),
            Change::Gone(_) | Change::All(_) => Vec::new(),
        }
    }

    fn about(&mut self, event: Event) -> Option<WatchEvent> {
        let uid = events::pod(&event)?;
        if let Some(id) = self.uids.get(uid) {
            return Some(WatchEvent::Platform { id: id.clone(), event: events::platform(&event) });
        }
        if self.early.len() == EARLY {
            self.early.pop_front();
        }
        self.early.push_back(event);
        None
    }

    /// What is new of one sandbox.
    async fn look(&mut self, id: &SandboxId) -> Result<Option<WatchEvent>, DriverError> {
        let Some(record) = self.records.get(id) else { return Ok(None) };
        let pod = self.pods.get(id);
        if pod.is_none() && record.state == State::Running && self.calls.agent.is_none() {
            // Either somebody removed the pod, or the news of why it went, or of the one that was just made, is on its way
            // still: the cluster itself knows.
            let failed = |error| error::cluster("watch", error);
            let Some(fresh) = self.calls.record(id).await.map_err(failed)? else {
                // Its own news will say so.
                return Ok(None);
            };
            let is_there = self.calls.pod(&fresh).await.map_err(failed)?.is_some();
            self.records.insert(id.clone(), fresh);
            if is_there {
                // The pod's own news will say how it is.
                return Ok(None);
            }
        }
        let Some(record) = self.records.get(id) else { return Ok(None) };
        let sandbox = state::observe(record, pod, SystemTime::now());
        if self.told.get(id) == Some(&sandbox) {
            return Ok(None);
        }
        self.told.insert(id.clone(), sandbox.clone());
        Ok(Some(WatchEvent::Sandbox(sandbox)))
    }
}
