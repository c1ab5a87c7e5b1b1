//! `sandbox list`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use openshell_proto::openshell::v1::Sandbox;
use serde_json::{Value, json};

use super::pages::{self, Query};
use crate::args::{Form, ListArgs, Phase, Sort};
use crate::error::CliError;
use crate::session::Session;
use crate::{output, text, view};

/// How often `--watch` looks. The gateway's own watch follows one sandbox, and is not for all there are.
const LOOK: Duration = Duration::from_secs(1);

/// Lists sandboxes.
pub(crate) async fn run(session: &Session, args: &ListArgs) -> Result<(), CliError> {
    let query = Query {
        selector: args.selector.clone(),
        workspace: match args.all_workspaces {
            true => String::new(),
            false => session.workspace(&args.place).unwrap_or_default(),
        },
        all_workspaces: args.all_workspaces,
    };
    if args.watch {
        return watch(session, args, &query).await;
    }
    // The first of an order are known when all are.
    let enough = if args.sort.is_none() { args.limit } else { None };
    let mut sandboxes = pages::fetch(session, &query, enough, |sandbox| wanted(args, sandbox)).await?;
    if let Some(order) = args.sort {
        sort(&mut sandboxes, order);
    }
    if let Some(limit) = args.limit {
        sandboxes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    match session.printer.form {
        Form::Json => output::json(&Value::Array(sandboxes.iter().map(view::json).collect())),
        Form::Name => session.printer.names(sandboxes.iter().map(view::name)),
        Form::Table | Form::Wide => {
            let mut list = view::List::new(&session.printer, args.all_workspaces);
            let now = text::now_ms();
            for sandbox in &sandboxes {
                list.push(sandbox, false, now);
            }
            output::text(&list.take())
        }
    }
}

fn wanted(args: &ListArgs, sandbox: &Sandbox) -> bool {
    args.phase.is_empty() || args.phase.contains(&Phase::from(view::phase(sandbox)))
}

/// Puts them in order; those that are equal stay as the gateway gave them.
fn sort(sandboxes: &mut [Sandbox], order: Sort) {
    let metadata = |sandbox: &Sandbox| sandbox.metadata.clone().unwrap_or_default();
    match order {
        Sort::Name => sandboxes.sort_by_cached_key(|one| (metadata(one).workspace, metadata(one).name)),
        Sort::Age => {
            sandboxes.sort_by_key(|one| Reverse(one.metadata.as_ref().map_or(0, |it| it.created_at_ms)))
        }
        Sort::Phase => sandboxes.sort_by_key(|one| urgency(Phase::from(view::phase(one)))),
    }
}

fn urgency(phase: Phase) -> u8 {
    match phase {
        Phase::Error => 0,
        Phase::Unknown => 1,
        Phase::Provisioning | Phase::Starting => 2,
        Phase::Stopping | Phase::Deleting => 3,
        Phase::Ready => 4,
        Phase::Stopped => 5,
    }
}

/// What became of a sandbox between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Added,
    Changed,
    Gone,
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Gone => "gone",
        }
    }
}

/// Prints all, then a row for each that comes, changes or goes, until it is interrupted or the gateway goes away.
async fn watch(session: &Session, args: &ListArgs, query: &Query) -> Result<(), CliError> {
    let mut list = view::List::new(&session.printer, args.all_workspaces);
    let mut known = BTreeMap::new();
    let mut first = true;
    loop {
        let sandboxes = pages::fetch(session, query, None, |sandbox| wanted(args, sandbox)).await?;
        let changes = changes(&mut known, sandboxes);
        match session.printer.form {
            Form::Json => {
                for (change, sandbox) in &changes {
                    output::json_line(&json!({ "change": change.word(), "sandbox": view::json(sandbox) }))?;
                }
            }
            Form::Name => session.printer.names(changes.iter().map(|(_, sandbox)| view::name(sandbox)))?,
            Form::Table | Form::Wide => {
                let now = text::now_ms();
                for (change, sandbox) in &changes {
                    list.push(sandbox, *change == Change::Gone, now);
                }
                // The first line alone says that there is nothing yet.
                if first || !changes.is_empty() {
                    output::text(&list.take())?;
                }
            }
        }
        first = false;
        tokio::time::sleep(LOOK).await;
    }
}

/// What is new since the last look, in the gateway's order; what has gone comes last.
fn changes(known: &mut BTreeMap<String, Sandbox>, now: Vec<Sandbox>) -> Vec<(Change, Sandbox)> {
    let mut before = std::mem::take(known);
    let mut changes = Vec::new();
    for sandbox in now {
        match before.remove(&view::id(&sandbox)) {
            None => changes.push((Change::Added, sandbox.clone())),
            Some(old) if old != sandbox => changes.push((Change::Changed, sandbox.clone())),
            Some(_) => {}
        }
        known.insert(view::id(&sandbox), sandbox);
    }
    changes.extend(before.into_values().map(|sandbox| (Change::Gone, sandbox)));
    changes
}

#[cfg(test)]
mod tests {
    use openshell_proto::datamodel::v1::ObjectMeta;
    use openshell_proto::openshell::v1::{SandboxPhase, SandboxStatus};

    use super::*;

    fn sandbox(name: &str, created_at_ms: i64, phase: SandboxPhase) -> Sandbox {
        Sandbox {
            metadata: Some(ObjectMeta {
                id: format!("id-{name}"),
                name: name.to_owned(),
                created_at_ms,
                ..ObjectMeta::default()
            }),
            status: Some(SandboxStatus { phase: phase.into(), ..SandboxStatus::default() }),
            spec: None,
        }
    }

    #[test]
    fn orders() {
        let mut all = [
            sandbox("b", 1, SandboxPhase::Ready),
            sandbox("a", 2, SandboxPhase::Stopped),
            sandbox("c", 3, SandboxPhase::Error),
        ];
        for (order, names) in [(Sort::Name, "a b c"), (Sort::Age, "c a b"), (Sort::Phase, "c b a")] {
            sort(&mut all, order);
            assert_eq!(all.iter().map(view::name).collect::<Vec<_>>().join(" "), names, "{order:?}");
        }
    }

    #[test]
    fn only_what_changes_is_told() {
        let mut known = BTreeMap::new();
        let mut look = |now: &[Sandbox]| -> Vec<String> {
            let changes = changes(&mut known, now.to_vec());
            changes.iter().map(|(change, one)| format!("{} {}", change.word(), view::name(one))).collect()
        };
        let a = sandbox("a", 1, SandboxPhase::Ready);
        let b = sandbox("b", 2, SandboxPhase::Provisioning);
        assert_eq!(look(&[a.clone(), b.clone()]), ["added a", "added b"]);
        assert!(look(&[a.clone(), b]).is_empty());
        assert_eq!(look(&[sandbox("b", 2, SandboxPhase::Ready)]), ["changed b", "gone a"]);
        assert_eq!(look(&[a]), ["added a", "gone b"]);
    }
}
