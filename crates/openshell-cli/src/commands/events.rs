//! `sandbox events`, and the latest of them for `get`.

use std::time::Duration;

use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use openshell_proto::openshell::v1::{PlatformEvent, Sandbox, WatchSandboxRequest};
use serde_json::Value;

use super::get;
use super::watch::Watch;
use crate::args::{EventsArgs, Form};
use crate::error::CliError;
use crate::resolve::named;
use crate::session::{One, Session};
use crate::{output, text, view};

/// The gateway does not say where the events of the past end. They come at once, so a silence this long is the end.
const SILENCE: Duration = Duration::from_millis(150);

/// Shows what the backend said of a sandbox.
pub(crate) async fn run(session: &Session, args: &EventsArgs) -> Result<(), CliError> {
    let one = session.one(&args.name, &args.place);
    let (one, sandbox) = named(session, one, async |one| get::fetch(session, one).await).await?;
    if !args.follow {
        let events = latest(session, &one, &sandbox, args.tail).await?;
        return match session.printer.form {
            Form::Json => output::json(&Value::Array(events.iter().map(view::event_json).collect())),
            Form::Name => session.printer.names(events.iter().map(|event| text::clean(&event.reason))),
            Form::Table | Form::Wide => {
                let mut table = session.printer.table(HEADERS);
                for event in &events {
                    table.push(view::event_row(event, text::time(event.timestamp_ms)));
                }
                output::text(&table.render(&session.printer.screen))
            }
        };
    }
    let mut watch = Watch::open(session, &one, request(&sandbox, args.tail, false)).await?;
    // As wide as the usual words, since rows come one by one.
    let mut table = session.printer.table(HEADERS).at_least([20, 7, 10, 17]);
    while let Some(payload) = watch.next().await? {
        let Payload::Event(event) = payload else { continue };
        match session.printer.form {
            Form::Json => output::json_line(&view::event_json(&event))?,
            Form::Name => output::line(&text::clean(&event.reason))?,
            Form::Table | Form::Wide => {
                table.push(view::event_row(&event, text::time(event.timestamp_ms)));
                output::text(&table.render(&session.printer.screen))?;
                table.clear();
            }
        }
    }
    Ok(())
}

const HEADERS: [&str; 5] = ["TIME", "TYPE", "SOURCE", "REASON", "MESSAGE"];

fn request(sandbox: &Sandbox, tail: u32, ends: bool) -> WatchSandboxRequest {
    WatchSandboxRequest {
        id: view::id(sandbox),
        follow_events: true,
        event_tail: tail,
        stop_on_terminal: ends,
        ..WatchSandboxRequest::default()
    }
}

/// The latest events, the oldest first.
pub(crate) async fn latest(
    session: &Session,
    one: &One,
    sandbox: &Sandbox,
    tail: u32,
) -> Result<Vec<PlatformEvent>, CliError> {
    let most = usize::try_from(tail).unwrap_or(usize::MAX);
    let mut events = Vec::new();
    // It ends by itself when the sandbox is ready or has failed.
    let mut watch = Watch::open(session, one, request(sandbox, tail, true)).await?;
    while events.len() < most {
        match tokio::time::timeout(SILENCE, watch.next()).await {
            Ok(payload) => match payload? {
                Some(Payload::Event(event)) => events.push(event),
                Some(_) => {}
                None => break,
            },
            Err(_) => break,
        }
    }
    Ok(events)
}
