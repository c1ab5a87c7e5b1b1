//! The statements about workspaces.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params, params_from_iter};

use super::db::{Db, clause_of, labels_of};
use super::{Filter, StoreError, Workspace};

const COLUMNS: &str = "id, name, created_at_ms, deleted_at_ms, resource_version";
const LABELS: &str = "workspace_label WHERE workspace = workspace.name";

impl Db<'_> {
    /// Stores a new workspace; when its name is taken nothing is stored, and who has it is given.
    pub(crate) fn insert_workspace(&self, workspace: &Workspace) -> Result<Option<Workspace>, StoreError> {
        if let Some(there) = self.workspace(&workspace.name)? {
            return Ok(Some(there));
        }
        let sql = "INSERT INTO workspace (id, name, created_at_ms, deleted_at_ms, resource_version) \
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let Workspace { id, name, labels, created_at_ms, deleted_at_ms, resource_version } = workspace;
        self.transaction.prepare_cached(sql)?.execute(params![
            id,
            name,
            created_at_ms,
            deleted_at_ms,
            resource_version.cast_signed()
        ])?;
        let sql = "INSERT INTO workspace_label (workspace, key, value) VALUES (?1, ?2, ?3)";
        let mut statement = self.transaction.prepare_cached(sql)?;
        for (key, value) in labels {
            statement.execute([name, key, value])?;
        }
        Ok(None)
    }

    /// The workspace of that name.
    pub(crate) fn workspace(&self, name: &str) -> Result<Option<Workspace>, StoreError> {
        Ok(self.workspaces_where("name = ?1", [name])?.pop())
    }

    /// The ids of the sandboxes of a driver that have this name, in whichever workspaces.
    pub(crate) fn ids_by_name(&self, driver: &str, name: &str) -> Result<Vec<String>, StoreError> {
        // By way of the workspaces, for a name is indexed with its workspace.
        let sql = "SELECT sandbox.id FROM workspace CROSS JOIN sandbox \
                   ON sandbox.workspace = workspace.name AND sandbox.name = ?2 WHERE sandbox.driver = ?1";
        let mut statement = self.transaction.prepare_cached(sql)?;
        Ok(statement.query_map([driver, name], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// Workspaces in the order of creation, then id. The filter's own workspace is not looked at.
    pub(crate) fn list_workspaces(&self, filter: &Filter) -> Result<Vec<Workspace>, StoreError> {
        let (mut clauses, mut values) = (vec!["1".to_owned()], Vec::<Value>::new());
        for requirement in filter.selector.requirements() {
            let (clause, bound) = clause_of(requirement, LABELS);
            clauses.push(clause);
            values.extend(bound.into_iter().map(Value::from));
        }
        values.push(i64::from(filter.limit).into());
        values.push(i64::from(filter.offset).into());
        let clause = clauses.join(" AND ");
        self.workspaces_where(
            &format!("{clause} ORDER BY created_at_ms, id LIMIT ? OFFSET ?"),
            params_from_iter(values),
        )
    }

    /// The workspaces whose end is owed, in order.
    pub(crate) fn terminating_workspaces(&self) -> Result<Vec<Workspace>, StoreError> {
        self.workspaces_where("deleted_at_ms IS NOT NULL ORDER BY created_at_ms, id", [])
    }

    /// How many sandboxes a workspace holds, of every driver and in every phase.
    pub(crate) fn sandboxes_in(&self, workspace: &str) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM sandbox WHERE workspace = ?1";
        let count: i64 = self.transaction.prepare_cached(sql)?.query_row([workspace], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    /// Stores that a workspace shall go.
    pub(crate) fn terminate_workspace(&self, name: &str, now_ms: i64) -> Result<(), StoreError> {
        let sql = "UPDATE workspace SET deleted_at_ms = ?2, resource_version = resource_version + 1 \
                   WHERE name = ?1 AND deleted_at_ms IS NULL";
        self.transaction.prepare_cached(sql)?.execute(params![name, now_ms])?;
        Ok(())
    }

    /// Removes a workspace with its labels. By its id: another one may have the name by then.
    pub(crate) fn remove_workspace(&self, id: &str) -> Result<(), StoreError> {
        self.transaction.prepare_cached("DELETE FROM workspace WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    /// Whether a new sandbox may be stored in a workspace: `None` when there is no such workspace.
    pub(crate) fn is_active(&self, workspace: &str) -> Result<Option<bool>, StoreError> {
        let sql = "SELECT deleted_at_ms IS NULL FROM workspace WHERE name = ?1";
        let mut statement = self.transaction.prepare_cached(sql)?;
        Ok(statement.query_row([workspace], |row| row.get(0)).optional()?)
    }

    fn workspaces_where(
        &self,
        clause: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<Workspace>, StoreError> {
        let mut statement =
            self.transaction.prepare_cached(&format!("SELECT {COLUMNS} FROM workspace WHERE {clause}"))?;
        let labels = "SELECT key, value FROM workspace_label WHERE workspace = ?1";
        let mut labels = self.transaction.prepare_cached(labels)?;
        let mut rows = statement.query(values)?;
        let mut workspaces = Vec::new();
        while let Some(row) = rows.next()? {
            let mut workspace = workspace_of(row)?;
            workspace.labels = labels_of(&mut labels, &workspace.name)?;
            workspaces.push(workspace);
        }
        Ok(workspaces)
    }
}

/// The workspace of a row of [`COLUMNS`], without its labels.
fn workspace_of(row: &Row<'_>) -> Result<Workspace, rusqlite::Error> {
    Ok(Workspace {
        id: row.get(0)?,
        name: row.get(1)?,
        labels: BTreeMap::new(),
        created_at_ms: row.get(2)?,
        deleted_at_ms: row.get(3)?,
        resource_version: row.get::<_, i64>(4)?.cast_unsigned(),
    })
}
