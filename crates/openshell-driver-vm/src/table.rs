//! What the driver knows of its sandboxes, in memory: the records of the disk, and what their machines are doing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use openshell_driver_api::{ObservedSandbox, SandboxId};
use openshell_driver_common::container::names::Scope;
use openshell_driver_common::operations::now_ms;
use tokio::sync::watch;

use crate::machine::{Cause, End, Handle};
use crate::record::Record;
use crate::state::{Known, Phase};

/// Every sandbox of the gateway. Nothing waits while it is locked.
pub(crate) struct Table {
    scope: Scope,
    rows: Mutex<BTreeMap<SandboxId, Row>>,
}

struct Row {
    known: Known,
    machine: Option<Live>,
}

/// A machine that is on.
#[derive(Clone)]
pub(crate) struct Live {
    /// How it is told to end.
    pub(crate) handle: Handle,
    /// Whether somebody asked it to end.
    asked: bool,
    /// Closed once it is gone and that is known here.
    gone: watch::Receiver<()>,
}

impl Live {
    /// Returns once the machine is gone and the table knows.
    pub(crate) async fn gone(mut self) {
        // Nothing is ever sent: the error is the sender's end.
        while self.gone.changed().await.is_ok() {}
    }
}

impl Table {
    /// With what was found on the disk.
    pub(crate) fn new(scope: Scope, records: Vec<Record>) -> Self {
        let now = now_ms();
        let rows = records.into_iter().filter_map(|record| {
            let id = SandboxId::new(record.id.as_str()).ok()?;
            Some((id, Row { known: Known::found(record, now), machine: None }))
        });
        Self { scope, rows: Mutex::new(rows.collect()) }
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<SandboxId, Row>> {
        // Nothing that could panic runs under this lock, and a row is whole after every statement.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every sandbox, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<ObservedSandbox> {
        self.rows().iter().map(|(id, row)| row.known.observe(id, &self.scope)).collect()
    }

    /// One sandbox.
    pub(crate) fn one(&self, id: &SandboxId) -> Option<ObservedSandbox> {
        self.rows().get(id).map(|row| row.known.observe(id, &self.scope))
    }

    /// What is known of one.
    pub(crate) fn known(&self, id: &SandboxId) -> Option<Known> {
        self.rows().get(id).map(|row| row.known.clone())
    }

    /// The machine of one, when it is on.
    pub(crate) fn live(&self, id: &SandboxId) -> Option<Live> {
        self.rows().get(id).and_then(|row| row.machine.clone())
    }

    /// Every machine that is on, and whose it is.
    pub(crate) fn all_live(&self) -> Vec<(SandboxId, Live)> {
        let rows = self.rows();
        rows.iter().filter_map(|(id, row)| Some((id.clone(), row.machine.clone()?))).collect()
    }

    /// Adds a sandbox whose image is being made ready; `false` when there is one of that id.
    pub(crate) fn begin(&self, id: &SandboxId, record: Record) -> bool {
        let mut rows = self.rows();
        if rows.contains_key(id) {
            return false;
        }
        let known = Known { record, phase: Phase::Preparing, since_ms: now_ms(), deleting: false };
        rows.insert(id.clone(), Row { known, machine: None });
        true
    }

    /// Forgets a sandbox.
    pub(crate) fn forget(&self, id: &SandboxId) {
        self.rows().remove(id);
    }

    /// Notes that a sandbox is being removed, or that it is not after all.
    pub(crate) fn deleting(&self, id: &SandboxId, deleting: bool) {
        if let Some(row) = self.rows().get_mut(id) {
            row.known.deleting = deleting;
        }
    }

    /// Notes that a sandbox's machine is on. What is returned has to live as long as the machine.
    pub(crate) fn booting(&self, id: &SandboxId, record: Record, handle: Handle) -> watch::Sender<()> {
        let (gone, wait) = watch::channel(());
        if let Some(row) = self.rows().get_mut(id) {
            row.known.record = Record { ended: None, ..record };
            row.machine = Some(Live { handle, asked: false, gone: wait });
            row.set(Phase::Booting);
        }
        gone
    }

    /// Notes that a sandbox's main process runs, unless it has been asked to end meanwhile.
    pub(crate) fn running(&self, id: &SandboxId) {
        if let Some(row) = self.rows().get_mut(id)
            && row.known.phase == Phase::Booting
        {
            row.set(Phase::Running);
        }
    }

    /// Notes that a sandbox's machine has been asked to end.
    pub(crate) fn stopping(&self, id: &SandboxId) {
        if let Some(row) = self.rows().get_mut(id)
            && let Some(machine) = &mut row.machine
        {
            machine.asked = true;
            row.set(Phase::Stopping);
        }
    }

    /// Notes how a sandbox's machine ended; the record as it is now.
    pub(crate) fn ended(&self, id: &SandboxId, end: &End) -> Option<Record> {
        let mut rows = self.rows();
        let row = rows.get_mut(id)?;
        // A stop is told by itself as well: that of a machine whose driver was told to end.
        let asked = row.machine.take().is_some_and(|machine| machine.asked) || end.cause == Cause::Stopped;
        let ended = crate::record::Ended::of(end, asked, now_ms());
        row.known.record.ended = Some(ended.clone());
        row.set(Phase::Ended(ended));
        Some(row.known.record.clone())
    }

    /// Makes of a run that had ended one that was stopped; the record when that is a change.
    pub(crate) fn stopped(&self, id: &SandboxId) -> Option<Record> {
        let mut rows = self.rows();
        let row = rows.get_mut(id)?;
        let Phase::Ended(ended) = &row.known.phase else { return None };
        let stopped = ended.clone().stopped();
        if *ended == stopped && row.known.record.ended.as_ref() == Some(&stopped) {
            return None;
        }
        row.known.phase = Phase::Ended(stopped.clone());
        row.known.record.ended = Some(stopped);
        Some(row.known.record.clone())
    }
}

impl Row {
    fn set(&mut self, phase: Phase) {
        self.known.phase = phase;
        self.known.since_ms = now_ms();
    }
}
