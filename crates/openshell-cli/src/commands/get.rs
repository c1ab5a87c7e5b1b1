//! `sandbox get`.

use openshell_proto::openshell::v1::{GetSandboxRequest, PlatformEvent, Sandbox};

use super::several::{Asked, Failures};
use super::{events, watch};
use crate::args::{Form, GetArgs};
use crate::error::CliError;
use crate::resolve::named;
use crate::session::{One, Session};
use crate::{output, text, view};

/// How many of the latest events are shown with a sandbox.
const EVENTS: u32 = 10;

/// Shows sandboxes.
pub(crate) async fn run(session: &Session, args: &GetArgs) -> Result<(), CliError> {
    if args.watch {
        let [name] = args.names.as_slice() else {
            return Err(CliError::Usage("--watch follows one sandbox".to_owned()));
        };
        return watch::again(session, session.one(name, &args.place)).await;
    }
    let mut shown = Vec::new();
    let asked = Asked::names(args.names.len());
    let mut failures = Failures::new(asked);
    for name in &args.names {
        match show(session, session.one(name, &args.place)).await {
            Ok((sandbox, events)) => shown.push((sandbox, events)),
            Err(error) => {
                if !failures.push(error) {
                    break;
                }
            }
        }
    }
    print(session, asked, &shown)?;
    failures.end()
}

/// A sandbox and the latest of what its backend said, where that is to be shown.
async fn show(session: &Session, one: One) -> Result<(Sandbox, Vec<PlatformEvent>), CliError> {
    let (one, sandbox) = named(session, one, async |one| fetch(session, one).await).await?;
    let events = match session.printer.form {
        // A gateway that cannot tell has told what was asked for all the same.
        Form::Table | Form::Wide => events::latest(session, &one, &sandbox, EVENTS).await.unwrap_or_default(),
        Form::Json | Form::Name => Vec::new(),
    };
    Ok((sandbox, events))
}

fn print(session: &Session, asked: Asked, shown: &[(Sandbox, Vec<PlatformEvent>)]) -> Result<(), CliError> {
    match session.printer.form {
        Form::Name => session.printer.names(shown.iter().map(|(sandbox, _)| view::name(sandbox))),
        Form::Json => asked.print(shown.iter().map(|(sandbox, _)| view::json(sandbox)).collect()),
        Form::Table | Form::Wide => {
            let now = text::now_ms();
            let texts =
                shown.iter().map(|(sandbox, events)| view::details(&session.printer, sandbox, events, now));
            output::text(&texts.collect::<Vec<_>>().join("\n"))
        }
    }
}

/// Asks for one sandbox.
pub(crate) async fn fetch(session: &Session, one: &One) -> Result<Sandbox, CliError> {
    let what = format!("get sandbox `{}`", one.name);
    let request = GetSandboxRequest { name: one.name.clone(), workspace: one.workspace() };
    let answer = session
        .gateway
        .call(
            what.as_str(),
            |code| one.hint(code),
            request,
            |mut client, request| async move { client.get_sandbox(request).await },
        )
        .await?;
    answer.sandbox.ok_or(CliError::Empty { what })
}
