//! Learning: which texts betray a crate. A text counts once it was seen in builds that have the crate and in none that
//! has not; one that was not is rejected, by name.

use crate::bytes::{Known, Probe, Scanner};
use crate::question::{CrateId, Fingerprint};

/// The shortest text that says anything, in bytes.
const SHORTEST: usize = 12;

/// What was learned.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    /// Seen where they have to be and nowhere else.
    pub kept: Vec<Fingerprint>,
    /// The others, and why.
    pub rejected: Vec<(Fingerprint, Rejected)>,
}

/// Why a text is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// It is in no build that has the crate.
    NotInTwin,
    /// A build without the crate has it as well: its index.
    AlsoWithout(usize),
    /// It is shorter than 12 bytes.
    TooShort,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotInTwin => f.write_str("no build that has it shows it"),
            Self::AlsoWithout(index) => write!(f, "build {index} has it without the crate"),
            Self::TooShort => write!(f, "it is shorter than {SHORTEST} bytes"),
        }
    }
}

/// Keeps the candidates that at least one file of `with` has and no file of `without`: each file is searched once. A
/// file that could not be searched counts as one that has nothing, so give files that [`Image::read`](crate::Image::read)
/// takes.
#[must_use]
pub fn learn(candidates: &[Fingerprint], with: &[&[u8]], without: &[&[u8]]) -> Learned {
    let mut scanner = Scanner::new(Known::default());
    let probes: Vec<usize> =
        candidates.iter().map(|candidate| scanner.add(Probe::Text(candidate.text.clone()))).collect();
    let scan = |file: &&[u8]| scanner.scan(file).unwrap_or_default();
    let with: Vec<_> = with.iter().map(scan).collect();
    let without: Vec<_> = without.iter().map(scan).collect();
    let mut learned = Learned::default();
    for (candidate, probe) in candidates.iter().zip(probes) {
        let has = |seen: &Vec<crate::bytes::Seen>| seen.get(probe).is_some_and(|seen| seen.count > 0);
        let rejected = if candidate.text.len() < SHORTEST {
            Some(Rejected::TooShort)
        } else if !with.iter().any(has) {
            Some(Rejected::NotInTwin)
        } else {
            without.iter().position(has).map(Rejected::AlsoWithout)
        };
        match rejected {
            Some(why) => learned.rejected.push((candidate.clone(), why)),
            None => learned.kept.push(Fingerprint { proven: true, ..candidate.clone() }),
        }
    }
    learned
}

/// Which of these texts are in a file.
#[must_use]
pub fn found<T: AsRef<str>>(texts: &[T], file: &[u8]) -> Vec<bool> {
    let mut scanner = Scanner::new(Known::default());
    let probes: Vec<usize> =
        texts.iter().map(|text| scanner.add(Probe::Text(text.as_ref().to_owned()))).collect();
    let seen = scanner.scan(file).unwrap_or_default();
    probes.into_iter().map(|probe| seen.get(probe).is_some_and(|seen| seen.count > 0)).collect()
}

/// Whose paths are in a file, by the order of `crates`: what makes them [`proven`](CrateId::proven).
#[must_use]
pub fn seen(crates: &[CrateId], file: &[u8]) -> Vec<bool> {
    let names = crates.iter().map(|id| (id.name.as_str(), id.version.as_deref().unwrap_or_default()));
    let mut scanner = Scanner::new(Known::of(names));
    let probes: Vec<usize> = crates
        .iter()
        .map(|id| {
            let probe = Probe::of_crate(id, scanner.known());
            scanner.add(probe)
        })
        .collect();
    let seen = scanner.scan(file).unwrap_or_default();
    probes.into_iter().map(|probe| seen.get(probe).is_some_and(|seen| seen.count > 0)).collect()
}

/// The string literals of a Rust source file, as they may lie in a binary: candidates to learn from. A format string is
/// cut at its placeholders; pieces of less than 12 bytes, and those with escapes that are more than a line's end, are
/// left out. Comments are passed over.
#[must_use]
pub fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'', 'r']) {
        let before = rest[..at].bytes().next_back();
        let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let (here, word) = (&rest[at..], in_word && before != Some(b'b'));
        rest = if let Some(line) = here.strip_prefix("//") {
            line.find('\n').map_or("", |end| &line[end..])
        } else if here.starts_with("/*") {
            after_comment(here)
        } else if let Some((text, after)) = raw(here).filter(|_| !word) {
            pieces(text, &mut found);
            after
        } else if let Some(text) = here.strip_prefix('"') {
            let end = end_of_string(text);
            if let Some(text) = unescape(&text[..end]) {
                pieces(&text, &mut found);
            }
            text.get(end + 1..).unwrap_or("")
        } else if here.starts_with('\'') {
            after_character(here)
        } else {
            &here[1..]
        };
    }
    found
}

/// Behind `/* … */`, which may hold others.
fn after_comment(text: &str) -> &str {
    let (mut depth, mut at) = (0_u32, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let step = match bytes.get(at..at + 2) {
            Some(b"/*") => {
                depth += 1;
                2
            }
            Some(b"*/") => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            return &text[at..];
        }
    }
    ""
}

/// `r"…"`, `r#"…"#`: its text and what follows.
fn raw(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('r')?;
    let hashes = text.bytes().take_while(|byte| *byte == b'#').count();
    let body = text[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close)?;
    Some((&body[..end], &body[end + close.len()..]))
}

/// The index of the closing quote.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    text.bytes()
        .position(|byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        })
        .unwrap_or(text.len())
}

/// Behind `'x'`, `'\n'`, `'\u{1f}'`; of a lifetime only the quote is passed.
fn after_character(text: &str) -> &str {
    let body = &text[1..];
    let end = match body.strip_prefix('\\') {
        Some(escape) => escape.char_indices().skip(1).find(|(_, it)| *it == '\'').map(|(at, _)| at + 1),
        None => body.char_indices().nth(1).filter(|(_, it)| *it == '\'').map(|(at, _)| at),
    };
    end.and_then(|end| body.get(end + 1..)).unwrap_or(body)
}

/// The text that the escapes stand for; `None` for those that are no plain text.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        match chars.next()? {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            '"' => out.push('"'),
            '\\' => out.push('\\'),
            '\'' => out.push('\''),
            // A line that goes on: the white space is dropped.
            '\n' => while chars.next_if(|char| char.is_whitespace()).is_some() {},
            _ => return None,
        }
    }
    Some(out)
}

fn pieces(text: &str, found: &mut Vec<String>) {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = match rest.find(['{', '}']) {
            None => (rest, ""),
            Some(at) => {
                let tail = &rest[at..];
                let skip = if tail.starts_with("{{") || tail.starts_with("}}") {
                    2
                } else {
                    tail.find('}').map_or(1, |end| end + 1)
                };
                (&rest[..at], &tail[skip..])
            }
        };
        if piece.len() >= SHORTEST {
            found.push(piece.to_owned());
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_twins_have_in_common_is_rejected_by_name() {
        let texts = ["only in the driver", "in both of the builds", "in neither of the two", "short"];
        let candidates: Vec<_> = texts.iter().map(|text| Fingerprint::declared(*text, "it")).collect();
        let with: &[u8] = b"..only in the driver..in both of the builds..short";
        let without: &[u8] = b"in both of the builds";
        let learned = learn(&candidates, &[with], &[b"", without]);
        assert_eq!(learned.kept.iter().map(|it| it.text.as_str()).collect::<Vec<_>>(), [texts[0]]);
        assert!(learned.kept[0].proven);
        let rejected: Vec<_> = learned.rejected.iter().map(|(it, why)| (it.text.as_str(), *why)).collect();
        let expected = [
            (texts[1], Rejected::AlsoWithout(1)),
            (texts[2], Rejected::NotInTwin),
            (texts[3], Rejected::TooShort),
        ];
        assert_eq!(rejected, expected);
    }

    #[test]
    fn texts_that_were_found() {
        assert_eq!(found(&["a text", "another", "a text"], b"here is a text"), [true, false, true]);
        assert!(found::<&str>(&[], b"x").is_empty());
    }

    #[test]
    fn paths_that_were_seen() {
        let crates = [CrateId::new("a", Some("1.0.0")), CrateId::new("b", Some("1.0.0"))];
        assert_eq!(seen(&crates, b"/x/b-1.0.0/src/lib.rs"), [false, true]);
    }

    #[test]
    fn literals_of_a_source() {
        let source = r####"
            //! "not this comment"
            /* "nor /* this */ comment" */
            fn f<'a>(x: &'a str) -> char { let q = '"'; let e = '\''; '\u{22}' }
            const A: &str = "a text with \"quotes\"\n";
            const B: &str = r#"a raw "text" of some length"#;
            const C: &[u8] = b"bytes that are long enough";
            const D: String = format!("cannot open the file {path:?}: it is {} bytes too long", 3);
            const E: &str = "goes on \
                             over the line";
            const F: &str = "{{literal braces are cut}}";
            const G: &str = "\x7f not plain text";
            let number = "never";
        "####;
        let expected = [
            "a text with \"quotes\"\n",
            "a raw \"text\" of some length",
            "bytes that are long enough",
            "cannot open the file ",
            " bytes too long",
            "goes on over the line",
            "literal braces are cut",
        ];
        assert_eq!(literals(source), expected);
    }
}
