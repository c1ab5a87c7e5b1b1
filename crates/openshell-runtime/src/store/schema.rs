//! The tables, as a list of steps: `user_version` counts those that a file has had.

use rusqlite::Connection;

/// Says that an SQLite file is a gateway's (`OSHG`).
pub(super) const APPLICATION_ID: i32 = 0x4f53_4847;

/// Every step ever released, in order. Never changed, only added to.
const STEPS: &[&str] = &["
    CREATE TABLE sandbox (
        id               TEXT PRIMARY KEY NOT NULL,
        name             TEXT NOT NULL,
        workspace        TEXT NOT NULL,
        driver           TEXT NOT NULL,
        spec             BLOB NOT NULL,
        annotations      TEXT NOT NULL,
        created_at_ms    INTEGER NOT NULL,
        deleted_at_ms    INTEGER,
        resource_version INTEGER NOT NULL,
        desired          TEXT NOT NULL,
        begun            TEXT NOT NULL,
        reached          INTEGER NOT NULL,
        made             INTEGER NOT NULL,
        owed             TEXT,
        phase            TEXT NOT NULL,
        observed         TEXT,
        own_reason       TEXT,
        own_message      TEXT,
        own_since_ms     INTEGER,
        own_terminal     INTEGER,
        waiting_since_ms INTEGER,
        UNIQUE (workspace, name)
    ) STRICT;
    CREATE INDEX sandbox_in_order ON sandbox (created_at_ms, id);
    CREATE INDEX sandbox_waiting ON sandbox (waiting_since_ms) WHERE waiting_since_ms IS NOT NULL;
    CREATE TABLE sandbox_label (
        sandbox_id TEXT NOT NULL REFERENCES sandbox (id) ON DELETE CASCADE,
        key        TEXT NOT NULL,
        value      TEXT NOT NULL,
        PRIMARY KEY (sandbox_id, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sandbox_by_label ON sandbox_label (key, value);
"];

/// The schema that this build makes and the newest that it reads.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Takes the steps that the file has not had, all or none.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    let had: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if had == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    for step in STEPS.iter().skip(usize::try_from(had).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
