//! `sandbox logs`: what a sandbox's main process and its supervisor wrote.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use openshell_proto::openshell::v1::{GetSandboxLogsRequest, SandboxLogLine, WatchSandboxRequest};

use super::exec::find;
use super::watch::Watch;
use crate::args::{Form, LogLevel, LogSource, LogsArgs};
use crate::error::CliError;
use crate::session::{One, Session, Way};
use crate::{output, text, view};

/// The main process's lines, which are shown as they are.
const MAIN: &str = "main";
/// How long a gateway that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much is asked for again after a break, in milliseconds: lines of different sources are not in the order of their times.
const OVERLAP: i64 = 10_000;
/// How many lines are remembered, so that they are not shown twice.
const REMEMBERED: usize = 65_536;

/// Shows what a sandbox wrote.
pub(crate) async fn run(session: Session, args: &LogsArgs, way: &Way) -> Result<(), CliError> {
    let (one, id) = find(&session, &args.which).await?;
    let asked = Asked::of(args);
    if args.follow {
        return follow(session, &one, &id, args, asked, way).await;
    }
    let request = GetSandboxLogsRequest {
        sandbox_id: id,
        lines: asked.tail,
        since_ms: asked.since_ms,
        sources: asked.sources,
        min_level: asked.level,
        workspace: one.workspace(),
    };
    let what = what(&one);
    let answer = session
        .gateway
        .call(
            what,
            |code| one.hint(code),
            request,
            |mut client, request| async move { client.get_sandbox_logs(request).await },
        )
        .await?;
    for line in &answer.logs {
        print(&session, args, line)?;
    }
    Ok(())
}

/// What of the logs is asked for.
#[derive(Debug, Clone)]
struct Asked {
    tail: u32,
    since_ms: i64,
    sources: Vec<String>,
    level: String,
}

impl Asked {
    fn of(args: &LogsArgs) -> Self {
        let since = args.since.map(|since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Self {
            // As many as there are.
            tail: args.tail.unwrap_or(u32::MAX),
            since_ms: since.map_or(0, |since| text::now_ms().saturating_sub(since).max(1)),
            sources: args.source.iter().map(|source| source_word(*source).to_owned()).collect(),
            level: args.level.map(level_word).unwrap_or_default().to_owned(),
        }
    }
}

fn source_word(source: LogSource) -> &'static str {
    match source {
        LogSource::Main => MAIN,
        LogSource::Supervisor => "supervisor",
    }
}

fn level_word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

fn what(one: &One) -> String {
    format!("read the logs of sandbox `{}`", one.name)
}

/// Goes on until the sandbox is gone; a gateway that goes away is waited for.
async fn follow(
    session: Session,
    one: &One,
    id: &str,
    args: &LogsArgs,
    mut asked: Asked,
    way: &Way,
) -> Result<(), CliError> {
    let mut session = session;
    let mut seen = Seen::default();
    loop {
        let broken = match read(&session, one, id, args, &asked, &mut seen).await {
            Err(error @ (CliError::Lost { .. } | CliError::Silent { .. })) => error,
            Err(error) if error.refusal() == Some(tonic::Code::ResourceExhausted) => error,
            outcome => return outcome,
        };
        // From where it broke on, and a little before that: what was shown already is known.
        seen.again();
        if let Some(last) = seen.last_ms {
            asked.since_ms = asked.since_ms.max(last.saturating_sub(OVERLAP));
            asked.tail = u32::MAX;
        }
        output::complain("warning: the gateway went away; waiting for it\n");
        session = way.again(PATIENCE).await.map_err(|_| broken)?;
    }
}

/// Shows lines until the stream ends.
async fn read(
    session: &Session,
    one: &One,
    id: &str,
    args: &LogsArgs,
    asked: &Asked,
    seen: &mut Seen,
) -> Result<(), CliError> {
    let request = WatchSandboxRequest {
        id: id.to_owned(),
        // The first state comes at once, so that a gateway that says nothing is told from a sandbox that does.
        follow_status: true,
        follow_logs: true,
        log_tail_lines: asked.tail,
        log_since_ms: asked.since_ms,
        log_sources: asked.sources.clone(),
        log_min_level: asked.level.clone(),
        ..WatchSandboxRequest::default()
    };
    let mut watch = Watch::once(session, one, request).await?;
    while let Some(payload) = watch.next().await? {
        match payload {
            Payload::Log(line) if seen.is_new(&line) => print(session, args, &line)?,
            Payload::Warning(warning) => {
                output::complain(&format!("warning: {}\n", text::clean(&warning.message)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The lines that were shown last, so that none is shown again after a break.
#[derive(Debug, Default)]
struct Seen {
    /// Their times, and what they were.
    lines: VecDeque<(i64, u64)>,
    /// Those of them that may come again.
    expected: Vec<u64>,
    last_ms: Option<i64>,
}

impl Seen {
    /// Whether a line was not shown before the last break.
    fn is_new(&mut self, line: &SandboxLogLine) -> bool {
        let mut hasher = DefaultHasher::new();
        (line.timestamp_ms, &line.level, &line.target, &line.message, &line.source).hash(&mut hasher);
        let hash = hasher.finish();
        // The same line may have been written twice, so each counts once.
        if let Some(at) = self.expected.iter().position(|expected| *expected == hash) {
            self.expected.swap_remove(at);
            return false;
        }
        let last = self.last_ms.map_or(line.timestamp_ms, |last| last.max(line.timestamp_ms));
        self.last_ms = Some(last);
        self.lines.push_back((line.timestamp_ms, hash));
        while self.lines.len() > REMEMBERED
            || self.lines.front().is_some_and(|(then, _)| *then < last.saturating_sub(OVERLAP))
        {
            self.lines.pop_front();
        }
        true
    }

    /// The stream broke, and the lines of before may come again.
    fn again(&mut self) {
        self.expected = self.lines.iter().map(|(_, hash)| *hash).collect();
    }
}

fn print(session: &Session, args: &LogsArgs, line: &SandboxLogLine) -> Result<(), CliError> {
    match session.printer.form {
        Form::Json => output::json_line(&view::log_json(line)),
        Form::Name => output::line(&text::clean(&line.source)),
        Form::Table | Form::Wide => {
            let time = match args.timestamps || session.printer.wide() {
                true => format!("{}  ", text::time(line.timestamp_ms)),
                false => String::new(),
            };
            // Colours of a program are for a terminal; what else a terminal obeys is not.
            let message = if session.printer.screen.width.is_some() {
                text::shown(&line.message)
            } else {
                line.message.clone()
            };
            let head = match line.source.as_str() {
                MAIN | "" => String::new(),
                source => text::clean(&format!("[{source}] {} {}: ", line.level, line.target)),
            };
            output::line(&format!("{time}{head}{message}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(timestamp_ms: i64, message: &str) -> SandboxLogLine {
        SandboxLogLine { timestamp_ms, message: message.to_owned(), ..SandboxLogLine::default() }
    }

    #[test]
    fn a_line_is_shown_once_for_each_time_that_it_was_written() {
        let mut seen = Seen::default();
        // Before a break everything is new, also the same line at the same time.
        for (ms, message) in [(1, "a"), (2, "b"), (2, "b")] {
            assert!(seen.is_new(&line(ms, message)), "{message}");
        }
        seen.again();
        let after = [
            (2, "b", false),
            (1, "a", false),
            (2, "b", false),
            (2, "b", true),
            (2, "c", true),
            (1, "d", true),
        ];
        for (ms, message, new) in after {
            assert_eq!(seen.is_new(&line(ms, message)), new, "{ms} {message}");
        }
        // What lies too far back is not asked for again, and not remembered.
        assert!(seen.is_new(&line(OVERLAP + 100, "late")));
        seen.again();
        assert_eq!(seen.expected.len(), 1);
    }
}
