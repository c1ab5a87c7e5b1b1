//! How SQLite goes about the statements: over an index, and never through everything that there is.

use super::*;
use crate::store::Store;

/// The plan of a statement, a step a line.
fn plan(db: &Db<'_>, sql: &str) -> String {
    let mut statement = db.transaction.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // What is bound makes no difference, for there are no statistics.
    let bound = vec![Value::Null; statement.parameter_count()];
    let steps = statement.query_map(params_from_iter(bound), |row| row.get::<_, String>(3)).unwrap();
    steps.collect::<Result<Vec<_>, _>>().unwrap().join("\n")
}

#[tokio::test]
async fn every_list_follows_an_index_in_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("gateway.db")).unwrap();
    let plans = store.read(|db| {
        let mut plans = Vec::new();
        for workspace in [None, Some("default".to_owned())] {
            for selector in ["", "k=v", "k", "k!=v", "a=b,c,d!=e"] {
                let selector = Selector::parse(selector).unwrap();
                let filter = Filter { workspace: workspace.clone(), selector, limit: 100, offset: 9900 };
                let (clause, _) = clause_of_list(&filter);
                plans.push((workspace.is_some(), plan(db, &select(&clause))));
            }
        }
        Ok(plans)
    });
    for (in_workspace, plan) in plans.await.unwrap() {
        let index = if in_workspace {
            "SEARCH sandbox USING INDEX sandbox_in_workspace"
        } else {
            "SCAN sandbox USING INDEX sandbox_in_order"
        };
        assert!(plan.starts_with(index), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "sorted by hand: {plan}");
        for line in plan.lines().filter(|line| line.contains("sandbox_label")) {
            assert!(line.starts_with("SEARCH sandbox_label USING"), "{plan}");
        }
    }
}

#[tokio::test]
async fn a_single_row_and_its_labels_are_looked_up() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("gateway.db")).unwrap();
    let plans = store.read(|db| {
        let of = ["id = ?1", "workspace = ?1 AND name = ?2"].map(|clause| plan(db, &select(clause)));
        let labels = plan(db, LABELS_OF);
        Ok((of, labels, plan(db, LONGEST_WAITING)))
    });
    let ([by_id, by_name], labels, waiting) = plans.await.unwrap();
    assert_eq!(by_id, "SEARCH sandbox USING INDEX sqlite_autoindex_sandbox_1 (id=?)");
    assert_eq!(by_name, "SEARCH sandbox USING INDEX sqlite_autoindex_sandbox_2 (workspace=? AND name=?)");
    assert_eq!(labels, "SEARCH sandbox_label USING PRIMARY KEY (sandbox_id=?)");
    assert!(waiting.contains("USING INDEX sandbox_waiting") && !waiting.contains("TEMP"), "{waiting}");
}
