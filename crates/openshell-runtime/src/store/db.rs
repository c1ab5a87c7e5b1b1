//! The statements: what can be asked of the store within one transaction.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{
    Connection, OptionalExtension, Row, Statement, Transaction, TransactionBehavior, named_params,
    params_from_iter,
};

use super::codec::{map_from_text, map_to_text, status_from_text, status_to_text};
use super::{Inserted, Record, StoreError};
use crate::lifecycle::{Begun, Desired, Life, OwnCondition, Phase, Step, Supervisor};
use crate::selector::{Requirement, Selector};

/// One transaction. Dropped without [`commit`](Self::commit) it changes nothing.
pub(crate) struct Db<'c> {
    pub(super) transaction: Transaction<'c>,
}

/// Which sandboxes, or workspaces, to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Only this workspace.
    pub(crate) workspace: Option<String>,
    /// Only what it matches.
    pub(crate) selector: Selector,
    /// At most so many.
    pub(crate) limit: u32,
    /// Without the first so many.
    pub(crate) offset: u32,
}

const COLUMNS: &str = "id, name, workspace, driver, spec, annotations, created_at_ms, deleted_at_ms, \
     resource_version, desired, begun, reached, made, owed, phase, observed, own_reason, own_message, own_since_ms, \
     own_terminal, waiting_since_ms, supervisor, main_process, exit_code";
const LABELS: &str = "sandbox_label WHERE sandbox_id = sandbox.id";
const LABELS_OF: &str = "SELECT key, value FROM sandbox_label WHERE sandbox_id = ?1";
const LONGEST_WAITING: &str = "SELECT id, waiting_since_ms FROM sandbox WHERE waiting_since_ms IS NOT NULL \
     AND owed IS NULL AND driver = ?1 ORDER BY waiting_since_ms LIMIT 1";

impl<'c> Db<'c> {
    pub(super) fn begin(
        connection: &'c mut Connection,
        behavior: TransactionBehavior,
    ) -> Result<Self, StoreError> {
        Ok(Self { transaction: connection.transaction_with_behavior(behavior)? })
    }

    pub(super) fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit()?)
    }

    /// What would come of storing a row of that workspace and name now.
    pub(crate) fn would_insert(&self, workspace: &str, name: &str) -> Result<Inserted, StoreError> {
        Ok(match self.is_active(workspace)? {
            None => Inserted::NoWorkspace,
            Some(false) => Inserted::WorkspaceGoing,
            Some(true) if self.by_name(workspace, name)?.is_some() => Inserted::NameTaken,
            Some(true) => Inserted::Stored,
        })
    }

    /// Stores a new row, unless its workspace or its name forbids that.
    pub(crate) fn insert(&self, record: &Record) -> Result<Inserted, StoreError> {
        let would = self.would_insert(&record.workspace, &record.name)?;
        if would != Inserted::Stored {
            return Ok(would);
        }
        let sql = "INSERT INTO sandbox (id, name, workspace, driver, spec, annotations, created_at_ms, deleted_at_ms, \
                   resource_version, desired, begun, reached, made, owed, phase, observed, own_reason, own_message, \
                   own_since_ms, own_terminal, waiting_since_ms, supervisor, main_process, exit_code) VALUES (:id, :name, :workspace, :driver, :spec, \
                   :annotations, :created_at_ms, :deleted_at_ms, :resource_version, :desired, :begun, :reached, :made, \
                   :owed, :phase, :observed, :own_reason, :own_message, :own_since_ms, :own_terminal, \
                   :waiting_since_ms, :supervisor, :main_process, :exit_code)";
        let (life, own) = (&record.life, record.life.own.as_ref());
        self.transaction.prepare_cached(sql)?.execute(named_params! {
            ":id": record.id,
            ":name": record.name,
            ":workspace": record.workspace,
            ":driver": record.driver,
            ":spec": record.spec,
            ":annotations": map_to_text(&record.annotations),
            ":created_at_ms": record.created_at_ms,
            ":deleted_at_ms": record.deleted_at_ms,
            ":resource_version": record.resource_version.cast_signed(),
            ":desired": life.desired.as_str(),
            ":begun": life.begun.as_str(),
            ":reached": life.reached,
            ":made": life.made,
            ":owed": life.owed.map(Step::as_str),
            ":phase": life.phase.as_str(),
            ":observed": life.observed.as_ref().map(status_to_text),
            ":own_reason": own.map(|own| own.reason.as_str()),
            ":own_message": own.map(|own| own.message.as_str()),
            ":own_since_ms": own.map(|own| own.since_ms),
            ":own_terminal": own.map(|own| own.terminal),
            ":waiting_since_ms": life.waiting_since_ms,
            ":supervisor": life.supervisor.map(Supervisor::as_str),
            ":main_process": life.main_process,
            ":exit_code": life.exit_code,
        })?;
        let sql = "INSERT INTO sandbox_label (sandbox_id, key, value) VALUES (?1, ?2, ?3)";
        let mut statement = self.transaction.prepare_cached(sql)?;
        for (key, value) in &record.labels {
            statement.execute([&record.id, key, value])?;
        }
        Ok(Inserted::Stored)
    }

    /// Stores where a row stands, all of it that changes, and counts the change.
    pub(crate) fn save(&self, record: &mut Record) -> Result<(), StoreError> {
        record.resource_version += 1;
        let sql = "UPDATE sandbox SET deleted_at_ms = :deleted_at_ms, resource_version = :resource_version, \
                   desired = :desired, begun = :begun, reached = :reached, made = :made, owed = :owed, phase = :phase, \
                   observed = :observed, own_reason = :own_reason, own_message = :own_message, \
                   own_since_ms = :own_since_ms, own_terminal = :own_terminal, waiting_since_ms = :waiting_since_ms, \
                   supervisor = :supervisor, main_process = :main_process, exit_code = :exit_code WHERE id = :id";
        let (life, own) = (&record.life, record.life.own.as_ref());
        self.transaction.prepare_cached(sql)?.execute(named_params! {
            ":id": record.id,
            ":deleted_at_ms": record.deleted_at_ms,
            ":resource_version": record.resource_version.cast_signed(),
            ":desired": life.desired.as_str(),
            ":begun": life.begun.as_str(),
            ":reached": life.reached,
            ":made": life.made,
            ":owed": life.owed.map(Step::as_str),
            ":phase": life.phase.as_str(),
            ":observed": life.observed.as_ref().map(status_to_text),
            ":own_reason": own.map(|own| own.reason.as_str()),
            ":own_message": own.map(|own| own.message.as_str()),
            ":own_since_ms": own.map(|own| own.since_ms),
            ":own_terminal": own.map(|own| own.terminal),
            ":waiting_since_ms": life.waiting_since_ms,
            ":supervisor": life.supervisor.map(Supervisor::as_str),
            ":main_process": life.main_process,
            ":exit_code": life.exit_code,
        })?;
        Ok(())
    }

    /// Removes a row with its labels.
    pub(crate) fn remove(&self, id: &str) -> Result<(), StoreError> {
        self.transaction.prepare_cached("DELETE FROM sandbox WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    pub(crate) fn get(&self, id: &str) -> Result<Option<Record>, StoreError> {
        self.one("id = ?1", [id])
    }

    pub(crate) fn by_name(&self, workspace: &str, name: &str) -> Result<Option<Record>, StoreError> {
        self.one("workspace = ?1 AND name = ?2", [workspace, name])
    }

    /// Reads a page of the file, and nothing of anybody's.
    pub(crate) fn ping(&self) -> Result<(), StoreError> {
        self.transaction.prepare_cached("SELECT 1 FROM sqlite_schema LIMIT 1")?.query([])?.next()?;
        Ok(())
    }

    pub(crate) fn count(&self) -> Result<u64, StoreError> {
        let count: i64 = self
            .transaction
            .prepare_cached("SELECT count(*) FROM sandbox")?
            .query_row([], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    /// Rows in the order of creation, then id. `None` when they have more than so many bytes together: what is
    /// read is held in memory.
    pub(crate) fn list(&self, filter: &Filter, at_most: usize) -> Result<Option<Vec<Record>>, StoreError> {
        let (clause, values) = clause_of_list(filter);
        self.within(&clause, params_from_iter(values), at_most)
    }

    /// The rows of a driver that owe a call or wait for something, in order.
    pub(crate) fn unsettled(&self, driver: &str) -> Result<Vec<Record>, StoreError> {
        let unsettled = "driver = ?1 AND (owed IS NOT NULL OR waiting_since_ms IS NOT NULL)";
        self.many(&format!("{unsettled} ORDER BY created_at_ms, id"), [driver])
    }

    /// The id and the phase of every row of a driver. It does not read the rest, which may be large.
    pub(crate) fn phases(&self, driver: &str) -> Result<Vec<(String, Phase)>, StoreError> {
        let mut statement =
            self.transaction.prepare_cached("SELECT id, phase FROM sandbox WHERE driver = ?1")?;
        let mut rows = statement.query([driver])?;
        let mut phases = Vec::new();
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            let phase = word(row, 1, Phase::from_word)?;
            phases.push((id.clone(), phase.ok_or(StoreError::Row { id, column: "phase" })?));
        }
        Ok(phases)
    }

    /// The ids of the rows of a driver that its backend has been given, in order.
    pub(crate) fn made(&self, driver: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT id FROM sandbox WHERE driver = ?1 AND made ORDER BY created_at_ms, id";
        let mut statement = self.transaction.prepare_cached(sql)?;
        Ok(statement.query_map([driver], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// The ids of all rows of a driver.
    pub(crate) fn ids(&self, driver: &str) -> Result<Vec<String>, StoreError> {
        let mut statement = self.transaction.prepare_cached("SELECT id FROM sandbox WHERE driver = ?1")?;
        Ok(statement.query_map([driver], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// The ids of the rows of a driver that have a supervisor, as far as anybody knows.
    pub(crate) fn supervised(&self, driver: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT id FROM sandbox WHERE driver = ?1 AND supervisor IS NOT NULL";
        let mut statement = self.transaction.prepare_cached(sql)?;
        Ok(statement.query_map([driver], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// The id of the row of a driver that has waited longest with no call owed, and since when.
    pub(crate) fn longest_waiting(&self, driver: &str) -> Result<Option<(String, i64)>, StoreError> {
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        Ok(self.transaction.prepare_cached(LONGEST_WAITING)?.query_row([driver], row).optional()?)
    }

    fn one(&self, clause: &str, values: impl rusqlite::Params) -> Result<Option<Record>, StoreError> {
        Ok(self.many(clause, values)?.pop())
    }

    fn many(&self, clause: &str, values: impl rusqlite::Params) -> Result<Vec<Record>, StoreError> {
        Ok(self.within(clause, values, usize::MAX)?.unwrap_or_default())
    }

    fn within(
        &self,
        clause: &str,
        values: impl rusqlite::Params,
        mut left: usize,
    ) -> Result<Option<Vec<Record>>, StoreError> {
        let mut statement = self.transaction.prepare_cached(&select(clause))?;
        let mut labels = self.transaction.prepare_cached(LABELS_OF)?;
        let mut rows = statement.query(values)?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            let mut record = record_of(row)?;
            record.labels = labels_of(&mut labels, &record.id)?;
            let Some(rest) = left.checked_sub(record.bytes()) else { return Ok(None) };
            left = rest;
            records.push(record);
        }
        Ok(Some(records))
    }
}

/// The labels that `statement` finds for a sandbox or a workspace.
pub(super) fn labels_of(
    statement: &mut Statement<'_>,
    of: &str,
) -> Result<BTreeMap<String, String>, StoreError> {
    let pairs = statement.query_map([of], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(pairs.collect::<Result<_, _>>()?)
}

fn select(clause: &str) -> String {
    format!("SELECT {COLUMNS} FROM sandbox WHERE {clause}")
}

/// What a list looks for, and what it binds.
fn clause_of_list(filter: &Filter) -> (String, Vec<Value>) {
    let mut clauses = vec!["1".to_owned()];
    let mut values: Vec<Value> = Vec::new();
    if let Some(workspace) = &filter.workspace {
        clauses.push("workspace = ?".to_owned());
        values.push(workspace.clone().into());
    }
    for requirement in filter.selector.requirements() {
        let (clause, bound) = clause_of(requirement, LABELS);
        clauses.push(clause);
        values.extend(bound.into_iter().map(Value::from));
    }
    values.push(i64::from(filter.limit).into());
    values.push(i64::from(filter.offset).into());
    (format!("{} ORDER BY created_at_ms, id LIMIT ? OFFSET ?", clauses.join(" AND ")), values)
}

/// A requirement as a clause over `labels`, which is a table of labels and whose they are, and what it binds.
pub(super) fn clause_of(requirement: &Requirement, labels: &str) -> (String, Vec<String>) {
    match requirement {
        Requirement::Exists(key) => {
            (format!("EXISTS (SELECT 1 FROM {labels} AND key = ?)"), vec![key.clone()])
        }
        Requirement::Equals(key, value) => (
            format!("EXISTS (SELECT 1 FROM {labels} AND key = ? AND value = ?)"),
            vec![key.clone(), value.clone()],
        ),
        Requirement::Differs(key, value) => (
            format!("NOT EXISTS (SELECT 1 FROM {labels} AND key = ? AND value = ?)"),
            vec![key.clone(), value.clone()],
        ),
    }
}

/// The record of a row of [`COLUMNS`], without its labels. By place: to look for a name takes longer than to read what
/// is there.
fn record_of(row: &Row<'_>) -> Result<Record, StoreError> {
    let id: String = row.get(0)?;
    let unreadable = |column| StoreError::Row { id: id.clone(), column };
    let own = match row.get(16)? {
        None => None,
        Some(reason) => Some(OwnCondition {
            reason,
            message: row.get(17)?,
            since_ms: row.get(18)?,
            terminal: row.get(19)?,
        }),
    };
    let observed = match text(row, 15)? {
        None => None,
        Some(text) => Some(status_from_text(text).ok_or_else(|| unreadable("observed"))?),
    };
    let owed = match text(row, 13)? {
        None => None,
        Some(text) => Some(Step::from_word(text).ok_or_else(|| unreadable("owed"))?),
    };
    let supervisor = match text(row, 21)? {
        None => None,
        Some(text) => Some(Supervisor::from_word(text).ok_or_else(|| unreadable("supervisor"))?),
    };
    let life = Life {
        desired: word(row, 9, Desired::from_word)?.ok_or_else(|| unreadable("desired"))?,
        begun: word(row, 10, Begun::from_word)?.ok_or_else(|| unreadable("begun"))?,
        reached: row.get(11)?,
        made: row.get(12)?,
        owed,
        phase: word(row, 14, Phase::from_word)?.ok_or_else(|| unreadable("phase"))?,
        observed,
        own,
        waiting_since_ms: row.get(20)?,
        supervisor,
        main_process: row.get(22)?,
        exit_code: row.get(23)?,
    };
    Ok(Record {
        name: row.get(1)?,
        workspace: row.get(2)?,
        driver: row.get(3)?,
        spec: row.get(4)?,
        labels: BTreeMap::new(),
        annotations: word(row, 5, map_from_text)?.ok_or_else(|| unreadable("annotations"))?,
        created_at_ms: row.get(6)?,
        deleted_at_ms: row.get(7)?,
        resource_version: row.get::<_, i64>(8)?.cast_unsigned(),
        life,
        id,
    })
}

/// The text of a column, where it lies.
fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r str>, rusqlite::Error> {
    Ok(row.get_ref(column)?.as_str_or_null()?)
}

/// What `read` makes of the text of a column; `None` when it can make nothing of it, or there is none.
fn word<T>(
    row: &Row<'_>,
    column: usize,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, rusqlite::Error> {
    Ok(text(row, column)?.and_then(read))
}

#[cfg(test)]
mod tests;
