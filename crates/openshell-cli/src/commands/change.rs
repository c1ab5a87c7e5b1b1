//! `sandbox stop`, `start` and `delete`, of one or several.

use std::io::{self, BufRead as _};
use std::time::{Duration, Instant};

use openshell_proto::openshell::v1::{
    DeleteSandboxRequest, Sandbox, SandboxResponse, StartSandboxRequest, StopSandboxRequest,
};
use serde_json::{Value, json};

use super::get;
use super::pages::{self, Query};
use super::several::{Asked, Failures};
use super::wait::{self, Goal, Limit};
use crate::args::{ChangeArgs, ManyArgs};
use crate::error::CliError;
use crate::resolve::named;
use crate::session::{One, Session};
use crate::{output, view};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Stop,
    Start,
    Delete,
}

impl Change {
    fn verb(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Delete => "delete",
        }
    }

    fn goal(self) -> Goal {
        match self {
            Self::Stop => Goal::Stopped,
            Self::Start => Goal::Ready,
            Self::Delete => Goal::Gone,
        }
    }
}

/// A request that the gateway has taken.
struct Taken {
    /// Which.
    one: One,
    /// As it was then; a delete that nobody waits for shows none.
    sandbox: Option<Sandbox>,
    /// What a delete answered.
    deleted: bool,
}

/// Asks for it, for each sandbox; then waits, when asked to, for all of them together.
pub(crate) async fn run(session: &Session, args: &ChangeArgs, change: Change) -> Result<(), CliError> {
    let all = which(session, &args.which, change).await?;
    let asked = if args.which.names.len() == 1 { Asked::One } else { Asked::Several(all.len()) };
    let mut failures = Failures::new(asked);
    let mut taken = Vec::new();
    for one in all {
        match ask(session, one, change, args.wait.is_some()).await {
            Ok(one) => taken.push(one),
            Err(error) => {
                if !failures.push(error) {
                    break;
                }
            }
        }
    }
    let mut documents = Vec::new();
    let began = Instant::now();
    for one in taken {
        let (name, document, result) = settle(session, one, change, args.wait, began).await;
        // Nobody is told a name that did not get there; a program is told all.
        if session.printer.json() {
            documents.extend(document);
        } else if result.is_ok() {
            output::line(&name)?;
        }
        if let Err(error) = result
            && !failures.push(error)
        {
            break;
        }
    }
    if session.printer.json() {
        asked.print(documents)?;
    }
    failures.end()
}

/// The sandboxes that are meant. Before it works on what was not named one by one, it asks.
async fn which(session: &Session, args: &ManyArgs, change: Change) -> Result<Vec<One>, CliError> {
    if !args.names.is_empty() {
        let mut all: Vec<One> = Vec::new();
        for name in &args.names {
            let one = session.one(name, &args.place);
            if !all.contains(&one) {
                all.push(one);
            }
        }
        return Ok(all);
    }
    let query = Query {
        selector: args.selector.clone().unwrap_or_default(),
        workspace: session.workspace(&args.place).unwrap_or_default(),
        all_workspaces: false,
    };
    let found = pages::fetch(session, &query, None, |_| true).await?;
    let all: Vec<One> = found.iter().map(One::of).collect();
    if args.yes || all.is_empty() {
        return Ok(all);
    }
    let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    if !session.printer.screen.asks {
        return Err(CliError::Needs {
            what: format!("this would {} {}: {}", change.verb(), sandboxes(all.len()), names.join(", ")),
            hint: "if that is meant, add --yes".to_owned(),
        });
    }
    output::complain(&format!("{} {}: {}? [y/N] ", change.verb(), sandboxes(all.len()), names.join(", ")));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(all) } else { Err(CliError::Declined) }
}

fn sandboxes(count: usize) -> String {
    if count == 1 { "1 sandbox".to_owned() } else { format!("{count} sandboxes") }
}

async fn ask(session: &Session, one: One, change: Change, waits: bool) -> Result<Taken, CliError> {
    if change == Change::Delete {
        return delete(session, one, waits).await;
    }
    let (one, sandbox) = named(session, one, async |one| {
        let what = format!("{} sandbox `{}`", change.verb(), one.name);
        let (name, workspace) = (one.name.clone(), one.workspace());
        let hint = |code| one.hint(code);
        let answer: SandboxResponse = match change {
            Change::Start => {
                let request = StartSandboxRequest { name, workspace };
                let call =
                    session.gateway.call(what.as_str(), hint, request, |mut client, request| async move {
                        client.start_sandbox(request).await
                    });
                call.await?
            }
            Change::Stop | Change::Delete => {
                let request = StopSandboxRequest { name, workspace };
                let call =
                    session.gateway.call(what.as_str(), hint, request, |mut client, request| async move {
                        client.stop_sandbox(request).await
                    });
                call.await?
            }
        };
        answer.sandbox.ok_or(CliError::Empty { what })
    })
    .await?;
    let name = One { name: view::name(&sandbox), ..one };
    Ok(Taken { one: name, sandbox: Some(sandbox), deleted: false })
}

async fn delete(session: &Session, one: One, waits: bool) -> Result<Taken, CliError> {
    let (one, (sandbox, deleted)) = named(session, one, async |one| {
        // Its id, while it can still be asked for: that is what a watch keys on.
        let doomed = if waits { Some(get::fetch(session, one).await?) } else { None };
        let request = DeleteSandboxRequest { name: one.name.clone(), workspace: one.workspace() };
        let what = format!("delete sandbox `{}`", one.name);
        let answer = session
            .gateway
            .call(
                what,
                |code| one.hint(code),
                request,
                |mut client, request| async move { client.delete_sandbox(request).await },
            )
            .await?;
        Ok((doomed, answer.deleted))
    })
    .await?;
    Ok(Taken { one, sandbox, deleted })
}

/// Waits when asked to, within what is left of the time for all, and gives what became of it: its name, and JSON.
async fn settle(
    session: &Session,
    taken: Taken,
    change: Change,
    wait: Option<Duration>,
    began: Instant,
) -> (String, Option<Value>, Result<(), CliError>) {
    let Taken { one, mut sandbox, deleted } = taken;
    let mut result = Ok(());
    if let Some(limit) = wait
        && let Some(then) = sandbox.take()
    {
        let (last, outcome) =
            wait::until(session, &one, then, change.goal(), Limit { of: limit, began }).await;
        (sandbox, result) = (Some(last), outcome);
    }
    let document = match (change, &sandbox) {
        (Change::Delete, _) => result.is_ok().then(|| json!({ "name": one.name, "deleted": deleted })),
        (_, Some(sandbox)) => Some(view::json(sandbox)),
        (_, None) => None,
    };
    (one.name, document, result)
}
