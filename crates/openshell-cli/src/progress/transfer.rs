//! How far files are on their way: a bar, the rate of the last seconds, and the time that is left at that rate. On a
//! terminal only: a log is not told of bytes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::bar;
use crate::output;
use crate::screen::Screen;
use crate::text::{bytes, clean};

/// Over how long the rate is taken.
const WINDOW: Duration = Duration::from_secs(5);
/// What takes less time than this needs no bar.
const PATIENCE: Duration = Duration::from_millis(300);

/// Shows how a transfer gets on.
#[derive(Debug)]
pub(crate) struct Transfer {
    name: String,
    /// How wide the line may be; nothing where nobody looks.
    width: Option<usize>,
    began: Instant,
    /// When how much was done, within the window.
    past: VecDeque<(Instant, u64)>,
    drawn: bool,
}

impl Transfer {
    /// For one transfer; `quiet` says nothing at all.
    pub(crate) fn new(name: &str, screen: &Screen, quiet: bool) -> Self {
        let width = screen.live.filter(|_| !quiet);
        Self { name: clean(name), width, began: Instant::now(), past: VecDeque::new(), drawn: false }
    }

    /// So much is done, of so much when that is known.
    pub(crate) fn show(&mut self, done: u64, total: Option<u64>) {
        let Some(width) = self.width else { return };
        let now = Instant::now();
        self.past.push_back((now, done));
        while self.past.front().is_some_and(|(then, _)| now - *then > WINDOW) {
            self.past.pop_front();
        }
        if now - self.began < PATIENCE {
            return;
        }
        let rate = match self.past.front() {
            Some((then, before)) => rate(done.saturating_sub(*before), now - *then),
            None => 0,
        };
        let whole = format!("{}: {}", self.name, line(done, total, rate));
        // A line that wraps could not be written over.
        let fits: String = whole.chars().take(width.saturating_sub(1)).collect();
        output::complain(&format!("\r{fits}\u{1b}[K"));
        self.drawn = true;
    }

    /// Takes the line away: what follows begins where it was.
    pub(crate) fn wipe(&mut self) {
        if std::mem::take(&mut self.drawn) {
            output::complain("\r\u{1b}[K");
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Bytes in a second.
fn rate(count: u64, time: Duration) -> u64 {
    let milliseconds = time.as_millis().max(1);
    u64::try_from(u128::from(count) * 1000 / milliseconds).unwrap_or(u64::MAX)
}

fn line(done: u64, total: Option<u64>, rate: u64) -> String {
    let rate_text = format!("{}/s", bytes(rate));
    let Some(total) = total else { return format!("{}  {rate_text}", bytes(done)) };
    // A file may have grown since it was counted.
    let left =
        total.saturating_sub(done).checked_div(rate).map(|seconds| format!("  {} left", clock(seconds)));
    let bar = bar(done, total);
    format!("{bar}  {}/{}  {rate_text}{}", bytes(done), bytes(total), left.unwrap_or_default())
}

/// Seconds as a clock shows them.
fn clock(seconds: u64) -> String {
    match seconds {
        0..3_600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known() {
        let mib = 1 << 20;
        for (done, total, rate, expected) in [
            (mib, None, mib, "1.0 MiB  1.0 MiB/s"),
            (
                mib,
                Some(4 * mib),
                mib / 30,
                "[######..................]  1.0 MiB/4.0 MiB  34.1 KiB/s  1:30 left",
            ),
            (0, Some(4), 0, "[........................]  0 B/4 B  0 B/s"),
            (9, Some(4), 3, "[########################]  9 B/4 B  3 B/s  0:00 left"),
        ] {
            assert_eq!(line(done, total, rate), expected);
        }
        assert_eq!((clock(59), clock(3_725)), ("0:59".to_owned(), "1:02:05".to_owned()));
        assert_eq!(rate(500, Duration::from_millis(250)), 2_000);
    }
}
