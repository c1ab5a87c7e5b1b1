//! The tables, as a list of steps: `user_version` counts those that a file has had.

use rusqlite::Transaction;

/// Says that an SQLite file is a gateway's (`OSHG`).
pub(super) const APPLICATION_ID: i32 = 0x4f53_4847;

/// Every step ever released, in order. Never changed, only added to.
const STEPS: &[&str] = &[
    "
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
",
    // Workspaces. `default` is always there; what the first schema knew by name alone becomes a row. The id is a UUID
    // of version 4 (RFC 9562).
    "
    CREATE TABLE workspace (
        name             TEXT PRIMARY KEY NOT NULL,
        id               TEXT NOT NULL UNIQUE,
        created_at_ms    INTEGER NOT NULL,
        deleted_at_ms    INTEGER,
        resource_version INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX workspace_in_order ON workspace (created_at_ms, id);
    CREATE TABLE workspace_label (
        workspace TEXT NOT NULL REFERENCES workspace (name) ON DELETE CASCADE,
        key       TEXT NOT NULL,
        value     TEXT NOT NULL,
        PRIMARY KEY (workspace, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX workspace_by_label ON workspace_label (key, value);
    INSERT INTO workspace (name, id, created_at_ms, resource_version)
        SELECT name,
               lower(hex(randomblob(4))) || '-' || lower(hex(randomblob(2))) || '-4'
                   || substr(lower(hex(randomblob(2))), 2) || '-' || substr('89ab', 1 + (random() & 3), 1)
                   || substr(lower(hex(randomblob(2))), 2) || '-' || lower(hex(randomblob(6))),
               CAST(unixepoch('subsec') * 1000 AS INTEGER),
               1
        FROM (SELECT 'default' AS name UNION SELECT workspace FROM sandbox);
    CREATE INDEX sandbox_in_workspace ON sandbox (workspace, created_at_ms, id);
",
    // Supervisors. The sandboxes that there are have none.
    "
    ALTER TABLE sandbox ADD COLUMN supervisor TEXT;
    ALTER TABLE sandbox ADD COLUMN main_process TEXT NOT NULL DEFAULT '';
    ALTER TABLE sandbox ADD COLUMN exit_code INTEGER;
",
];

/// The schema that this build makes and the newest that it reads.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Takes the steps that a file of schema `had` has not had, within `transaction`.
pub(super) fn upgrade(transaction: &Transaction<'_>, had: i64) -> Result<(), rusqlite::Error> {
    for step in STEPS.iter().skip(usize::try_from(had).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)
}
