//! What happens while something is waited for: one line that is written over on a terminal, else a line a change.
//!
//! It goes to standard error, so that standard output holds what was asked for and nothing else.

mod transfer;

use std::collections::BTreeMap;
use std::time::Instant;

use openshell_proto::openshell::v1::{PlatformEvent, Sandbox};

pub(crate) use self::transfer::Transfer;
use crate::screen::Screen;
use crate::text::{bytes, clean};
use crate::{output, view};

/// The width of a full bar.
const BAR: usize = 24;

/// Shows how a sandbox gets on.
#[derive(Debug)]
pub(crate) struct Progress {
    name: String,
    mode: Mode,
    /// What was told last, so that nothing is told twice.
    told: String,
    /// The phase as it was told last, which an event does not make old news of.
    phase: String,
    began: Instant,
    /// Whether a line stands there that has to go.
    drawn: bool,
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    Silent,
    Lines,
    Live { width: usize },
}

/// How far an image is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Pull {
    image: String,
    layers: u64,
    layers_done: u64,
    bytes: u64,
    bytes_total: u64,
}

impl Pull {
    /// Metadata is text, and may lack anything.
    fn of(metadata: &BTreeMap<String, String>) -> Self {
        let number = |key: &str| metadata.get(key).and_then(|text| text.parse().ok()).unwrap_or(0);
        Self {
            image: metadata.get("image").map(|image| clean(image)).unwrap_or_default(),
            layers: number("layers"),
            layers_done: number("layers_done"),
            bytes: number("bytes"),
            bytes_total: number("bytes_total"),
        }
    }

    /// What changes often.
    fn amount(&self) -> String {
        let mut parts = Vec::new();
        match (self.bytes, self.bytes_total) {
            (0, 0) => {}
            (done, 0) => parts.push(bytes(done)),
            (done, total) => parts.push(format!("{}/{}", bytes(done), bytes(total))),
        }
        if self.layers > 0 {
            parts.push(format!("{}/{} layers", self.layers_done, self.layers));
        }
        parts.join(", ")
    }

    fn bar(&self) -> Option<String> {
        // Bytes say more than layers where they are known.
        let (done, total) = if self.bytes_total > 0 {
            (self.bytes, self.bytes_total)
        } else {
            (self.layers_done, self.layers)
        };
        if total == 0 {
            return None;
        }
        Some(bar(done, total))
    }
}

/// A bar, full when all is done.
fn bar(done: u64, total: u64) -> String {
    let full = u128::from(done.min(total)) * BAR as u128 / u128::from(total.max(1));
    let full = usize::try_from(full).unwrap_or(BAR);
    format!("[{}{}]", "#".repeat(full), ".".repeat(BAR - full))
}

impl Progress {
    /// For one sandbox; `quiet` says nothing at all.
    pub(crate) fn new(name: &str, screen: &Screen, quiet: bool) -> Self {
        let mode = match screen.live {
            _ if quiet => Mode::Silent,
            Some(width) => Mode::Live { width },
            None => Mode::Lines,
        };
        Self {
            name: name.to_owned(),
            mode,
            told: String::new(),
            phase: String::new(),
            began: Instant::now(),
            drawn: false,
        }
    }

    /// Its state.
    pub(crate) fn state(&mut self, sandbox: &Sandbox) {
        let mut phase = view::phase_word(view::phase(sandbox)).to_owned();
        if let Some(why) = view::why(sandbox) {
            phase += &format!("  {why}");
        }
        if phase != self.phase {
            self.phase.clone_from(&phase);
            self.tell(&phase, &phase);
        }
    }

    /// What its backend says.
    pub(crate) fn event(&mut self, event: &PlatformEvent) {
        let pull = Pull::of(&event.metadata);
        let image = if pull.image.is_empty() { "the image".to_owned() } else { pull.image.clone() };
        match event.reason.as_str() {
            "ImagePulling" => self.tell(&format!("pulling {image}"), &format!("pulling {image}")),
            "ImagePullProgress" => {
                let amount = pull.amount();
                let live = [format!("pulling {image}"), pull.bar().unwrap_or_default(), amount];
                let live =
                    live.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("  ");
                // A log is told of layers, not of bytes: few lines, and each one is news.
                let line = match pull.layers {
                    0 => String::new(),
                    layers => format!("pulling {image}  {}/{layers} layers", pull.layers_done),
                };
                self.tell(&live, &line);
            }
            "ImagePulled" => self.tell(&format!("pulled {image}"), &format!("pulled {image}")),
            reason => {
                let said = match clean(&event.message) {
                    message if message.is_empty() => clean(reason),
                    message => format!("{}: {message}", clean(reason)),
                };
                self.tell(&said, &said);
            }
        }
    }

    /// Writes what is news, in the form that the screen takes.
    fn tell(&mut self, live: &str, line: &str) {
        match self.mode {
            Mode::Silent => {}
            Mode::Lines if line.is_empty() || line == self.told => {}
            Mode::Lines => {
                self.told = line.to_owned();
                output::complain(&format!("{}: {line}\n", self.name));
            }
            Mode::Live { width } => {
                let whole = format!("{}: {live}  {}s", self.name, self.began.elapsed().as_secs());
                // A line that wraps could not be written over.
                let fits: String = whole.chars().take(width.saturating_sub(1)).collect();
                output::complain(&format!("\r{fits}\u{1b}[K"));
                self.drawn = true;
            }
        }
    }

    /// Takes the line away: what follows begins where it was.
    fn wipe(&mut self) {
        if std::mem::take(&mut self.drawn) {
            output::complain("\r\u{1b}[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(pairs: &[(&str, &str)]) -> Pull {
        Pull::of(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_pull_says_what_it_knows() {
        for (pairs, amount, bar) in [
            (&[][..], "", None),
            (&[("layers", "4"), ("layers_done", "1")], "1/4 layers", Some("[######..................]")),
            (
                &[("bytes", "1048576"), ("bytes_total", "2097152"), ("layers", "4"), ("layers_done", "0")],
                "1.0 MiB/2.0 MiB, 0/4 layers",
                Some("[############............]"),
            ),
            (&[("bytes", "300"), ("bytes_total", "-5")], "300 B", None),
            (&[("bytes", "9"), ("bytes_total", "3")], "9 B/3 B", Some("[########################]")),
        ] {
            let pull = pull(pairs);
            assert_eq!((pull.amount().as_str(), pull.bar().as_deref()), (amount, bar), "{pairs:?}");
        }
    }
}
