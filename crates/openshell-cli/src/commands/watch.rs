//! `sandbox watch`, and the stream that `--wait` follows too.

use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use openshell_proto::openshell::v1::{Sandbox, SandboxStreamEvent, WatchSandboxRequest};
use serde_json::json;
use tonic::{Code, Streaming};

use super::get;
use crate::args::{Form, WatchArgs};
use crate::error::CliError;
use crate::resolve::named;
use crate::session::{One, Session};
use crate::{output, text, view};

/// Follows one sandbox until it is gone.
pub(crate) async fn run(session: &Session, args: &WatchArgs) -> Result<(), CliError> {
    let one = session.one(&args.name, &args.place);
    let (one, sandbox) = named(session, one, async |one| get::fetch(session, one).await).await?;
    let json = session.printer.json();
    let request = WatchSandboxRequest {
        id: view::id(&sandbox),
        follow_status: true,
        follow_events: args.events,
        stop_on_terminal: args.stop_on_terminal,
        ..WatchSandboxRequest::default()
    };
    let mut watch = Watch::open(session, &one, request).await?;
    let mut shown = None;
    while let Some(payload) = watch.next().await? {
        match payload {
            Payload::Sandbox(sandbox) => {
                let line = status_line(&sandbox);
                if json {
                    output::json_line(&json!({ "sandbox": view::json(&sandbox) }))?;
                } else if shown.as_ref() != Some(&line) {
                    output::line(&format!("{}  {line}", text::time(text::now_ms())))?;
                }
                shown = Some(line);
            }
            Payload::Event(event) if json => {
                output::json_line(&json!({ "event": view::event_json(&event) }))?
            }
            Payload::Event(event) => {
                let said = text::clean(&format!("{} {}: {}", event.source, event.reason, event.message));
                output::line(&format!("{}  event  {said}", text::time(event.timestamp_ms)))?;
            }
            Payload::Warning(warning) => {
                output::complain(&format!("warning: {}\n", text::clean(&warning.message)));
            }
            // Not asked for.
            Payload::Log(_) | Payload::DraftPolicyUpdate(_) => {}
        }
    }
    if args.stop_on_terminal || json {
        return Ok(());
    }
    output::line(&format!("{}  gone", text::time(text::now_ms())))
}

/// Shows all of one sandbox, and again whenever that changes, until it is gone: `get --watch`.
pub(crate) async fn again(session: &Session, one: One) -> Result<(), CliError> {
    let (one, sandbox) = named(session, one, async |one| get::fetch(session, one).await).await?;
    let request =
        WatchSandboxRequest { id: view::id(&sandbox), follow_status: true, ..WatchSandboxRequest::default() };
    let mut watch = Watch::open(session, &one, request).await?;
    let mut shown: Option<Sandbox> = None;
    while let Some(payload) = watch.next().await? {
        let Payload::Sandbox(sandbox) = payload else { continue };
        if shown.as_ref() == Some(&sandbox) {
            continue;
        }
        match session.printer.form {
            Form::Json => output::json_line(&view::json(&sandbox))?,
            Form::Name => output::line(&view::name(&sandbox))?,
            Form::Table | Form::Wide => {
                let gap = if shown.is_some() { "\n" } else { "" };
                let details = view::details(&session.printer, &sandbox, &[], text::now_ms());
                output::text(&format!("{gap}{details}"))?;
            }
        }
        shown = Some(sandbox);
    }
    Ok(())
}

fn status_line(sandbox: &Sandbox) -> String {
    let phase = view::phase_word(view::phase(sandbox));
    match view::why(sandbox) {
        Some(why) => format!("{phase:<12}  {why}"),
        None => phase.to_owned(),
    }
}

/// A watch that comes back when the gateway cuts it for being slow: the first event is the present state again, so
/// nothing that matters is lost.
pub(crate) struct Watch<'a> {
    session: &'a Session,
    one: &'a One,
    request: WatchSandboxRequest,
    stream: Option<Streaming<SandboxStreamEvent>>,
    first: Option<Payload>,
    /// Whether it may come back when it is cut.
    again: bool,
    progressed: bool,
}

impl<'a> Watch<'a> {
    /// Opens it, and waits for the first event within the deadline of a call.
    pub(crate) async fn open(
        session: &'a Session,
        one: &'a One,
        request: WatchSandboxRequest,
    ) -> Result<Self, CliError> {
        let mut watch =
            Self { session, one, request, stream: None, first: None, again: true, progressed: false };
        watch.reopen().await?;
        Ok(watch)
    }

    /// The same for one that does not come back when it is cut: what it begins with would be told twice.
    pub(crate) async fn once(
        session: &'a Session,
        one: &'a One,
        request: WatchSandboxRequest,
    ) -> Result<Self, CliError> {
        Ok(Self { again: false, ..Self::open(session, one, request).await? })
    }

    async fn reopen(&mut self) -> Result<(), CliError> {
        let mut client = self.session.gateway.client();
        let request = self.request.clone();
        let opened = self
            .session
            .gateway
            .within(self.what(), |code| self.one.hint(code), async {
                let mut stream = client.watch_sandbox(request).await?.into_inner();
                let first = stream.message().await?;
                Ok((stream, first))
            })
            .await;
        match opened {
            Ok((stream, first)) => {
                // A stream that ends without an event is over; it is not asked again.
                self.stream = first.is_some().then_some(stream);
                self.first = first.and_then(|event| event.payload);
                Ok(())
            }
            // Gone before we could look.
            Err(error) if error.refusal() == Some(Code::NotFound) => {
                self.stream = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The next event; none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Payload>, CliError> {
        loop {
            if let Some(first) = self.first.take() {
                return Ok(Some(first));
            }
            let Some(stream) = &mut self.stream else { return Ok(None) };
            match stream.message().await {
                Ok(None) => return Ok(None),
                Ok(Some(SandboxStreamEvent { payload: Some(payload) })) => {
                    self.progressed = true;
                    return Ok(Some(payload));
                }
                // A kind of event that this program does not know.
                Ok(Some(SandboxStreamEvent { payload: None })) => {}
                // Only when we read anything: a gateway that cuts at once is not asked for ever.
                Err(status) if status.code() == Code::ResourceExhausted && self.again && self.progressed => {
                    self.progressed = false;
                    self.reopen().await?;
                }
                Err(status) => {
                    return Err(self.session.gateway.failed(self.what(), |code| self.one.hint(code), status));
                }
            }
        }
    }

    fn what(&self) -> String {
        format!("watch sandbox `{}`", self.one.name)
    }
}
