//! A driver's log in the gateway's: its lines with their level and the driver's name, and the last ones for an error.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tracing::Level;

use super::lines::{Cutter, Rate};

/// How many of its last lines are kept for an error, and how long each may be.
const LAST: (usize, usize) = (12, 400);
/// How long a line of the log may be, in characters.
const LONGEST: usize = 4000;

/// The last lines of a program, for the error that tells of its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    /// The lines, each on one of its own and indented; empty when there are none.
    pub(super) fn indented(&self) -> String {
        self.lines().iter().map(|line| format!("\n  {line}")).collect()
    }

    fn push(&self, text: &str) {
        let mut lines = self.lines();
        if lines.len() == LAST.0 {
            lines.pop_front();
        }
        lines.push_back(shortened(text, LAST.1));
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, VecDeque<String>> {
        // Every change is whole before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a program's log to its end.
pub(super) async fn follow(driver: String, mut log: impl AsyncRead + Unpin, tail: Tail) {
    let (mut cutter, mut rate) = (Cutter::default(), Rate::new(Instant::now()));
    let mut line = |text: &str| {
        let said = Said::read(&driver, text);
        tail.push(&said.text);
        if let Some(dropped) = rate.admit(Instant::now()) {
            tell_dropped(&driver, dropped);
            said.tell(&driver);
        }
    };
    let mut bytes = vec![0; 8 * 1024];
    while let Ok(count @ 1..) = log.read(&mut bytes).await {
        cutter.take(&bytes[..count], &mut line);
    }
    cutter.end(&mut line);
    tell_dropped(&driver, rate.dropped());
}

fn tell_dropped(driver: &str, lines: u64) {
    if lines > 0 {
        tracing::warn!(driver, lines, "the driver logs too fast: so many lines were left out");
    }
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    level: Level,
    text: String,
}

impl Said {
    /// A line of the log in JSON; any other, such as a panic's, is worth a look.
    fn read(driver: &str, line: &str) -> Self {
        let object = serde_json::from_str::<Map<String, Value>>(line).ok();
        let read = object.as_ref().and_then(|object| {
            let level = object.get("level")?.as_str()?.parse().ok()?;
            Some((level, object.get("fields")?.as_object()?))
        });
        let Some((level, fields)) = read else {
            return Self { level: Level::WARN, text: shortened(line, LONGEST) };
        };
        let mut text = fields.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        // Whose line it is stands beside it anyway.
        let new = |(key, value): &(&String, &Value)| {
            *key != "message" && !(*key == "driver" && value.as_str() == Some(driver))
        };
        for (key, value) in fields.iter().filter(new) {
            text.push_str(&format!(" {key}={value}"));
        }
        Self { level, text: shortened(text.trim_start(), LONGEST) }
    }

    fn tell(&self, driver: &str) {
        let text = &self.text;
        // The level of an event is fixed where it is written.
        match self.level {
            Level::ERROR => tracing::error!(target: TARGET, driver, "{text}"),
            Level::WARN => tracing::warn!(target: TARGET, driver, "{text}"),
            Level::INFO => tracing::info!(target: TARGET, driver, "{text}"),
            Level::DEBUG => tracing::debug!(target: TARGET, driver, "{text}"),
            Level::TRACE => tracing::trace!(target: TARGET, driver, "{text}"),
        }
    }
}

/// What our log calls the lines of a driver's. The filter knows our crates by how they begin.
const TARGET: &str = "openshell_driver";

/// At most so many characters, without any that would move a terminal's cursor.
fn shortened(text: &str, longest: usize) -> String {
    let mut characters = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut short: String = characters.by_ref().take(longest).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> (Level, String) {
        let Said { level, text } = Said::read("moon", line);
        (level, text)
    }

    #[test]
    fn a_line_keeps_its_level_and_its_fields() {
        let line = r#"{"timestamp":"t","level":"ERROR","fields":{"message":"no room","path":"/a","left":3},"target":"x"}"#;
        assert_eq!(said(line), (Level::ERROR, "no room left=3 path=\"/a\"".to_owned()));
        let line = r#"{"level":"DEBUG","fields":{"driver":"moon","of":"sun"}}"#;
        assert_eq!(said(line), (Level::DEBUG, "of=\"sun\"".to_owned()));
        let line = r#"{"level":"DEBUG","fields":{"driver":"sun"}}"#;
        assert_eq!(said(line), (Level::DEBUG, "driver=\"sun\"".to_owned()));
    }

    #[test]
    fn what_is_no_line_of_a_log_is_shown_as_it_is_but_for_control_characters() {
        for line in ["thread 'main' panicked", "{\"level\":\"INFO\"}", "{\"level\":7,\"fields\":{}}", "[1]"] {
            assert_eq!(said(line), (Level::WARN, line.to_owned()));
        }
        assert_eq!(said("\u{1b}[2Jgone").1, "\u{fffd}[2Jgone");
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(said(&long).1.chars().count(), LONGEST + 1);
        assert!(said(&long).1.ends_with('…'));
    }

    #[tokio::test]
    async fn the_last_lines_are_kept_for_an_error() {
        let tail = Tail::default();
        let log: String = (0..100).map(|number| format!("line {number}\n")).collect();
        follow("moon".to_owned(), format!("{log}error: no").as_bytes(), tail.clone()).await;
        let kept = tail.indented();
        assert!(kept.starts_with("\n  line 89\n  line 90") && kept.ends_with("\n  error: no"), "{kept}");
    }
}
