//! The symbols, where the file still has them: functions and types of the target's crates.
//!
//! A symbol names crates without their versions, and the standard library has some of them in it: only a name that can
//! mean nothing else is looked for.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;

use aho_corasick::AhoCorasick;

use super::{Ways, nothing_to_see};
use crate::bytes::Known;
use crate::image::Image;
use crate::question::{CrateId, Question, Target};
use crate::verdict::{Expectation, Finding, Outcome};

/// Crates that the standard library brings into every program; of them symbols say nothing.
const OF_STD: &[&str] = &[
    "addr2line",
    "adler2",
    "alloc",
    "backtrace",
    "cfg_if",
    "compiler_builtins",
    "core",
    "dlmalloc",
    "fortanix_sgx_abi",
    "getopts",
    "gimli",
    "hashbrown",
    "hermit_abi",
    "libc",
    "memchr",
    "miniz_oxide",
    "object",
    "panic_abort",
    "panic_unwind",
    "proc_macro",
    "r_efi",
    "r_efi_alloc",
    "rustc_demangle",
    "rustc_literal_escaper",
    "std",
    "std_detect",
    "test",
    "unwind",
    "unwinding",
    "vex_sdk",
    "wasi",
    "windows_link",
    "windows_targets",
];
/// How many symbols of one crate are kept; the rest is not looked at.
const KEPT: usize = 3;
/// The longest symbol that is read to its end, and how much is read of all, in bytes of readable text.
const LONGEST: usize = 16 << 10;
const READ: usize = 64 << 20;

#[derive(Debug)]
enum State {
    Stripped,
    Unreadable(String),
    /// Symbols by the crate that they are of or speak of.
    Read(BTreeMap<String, Vec<String>>),
}

#[derive(Debug)]
pub(crate) struct SymbolsLayer<'s> {
    state: State,
    ways: &'s Ways<'s>,
    known: Known<'s>,
    /// Module names of core and of the selected, but for those of crates that somebody else owns.
    allowed: HashSet<String>,
    /// One of core's crates was seen.
    sees: bool,
}

impl<'s> SymbolsLayer<'s> {
    pub(crate) fn new(question: &'s Question, image: Result<&Image<'_>, String>, ways: &'s Ways<'s>) -> Self {
        let modules =
            |targets: &'s [Target]| targets.iter().flat_map(|target| &target.crates).map(CrateId::module);
        let core: HashSet<String> = modules(std::slice::from_ref(&question.core)).collect();
        // What somebody owns leaks through core as well.
        let forbidden = question.forbidden.iter().flat_map(|target| &target.crates);
        let owned: HashSet<&str> = forbidden.filter(|id| id.owned).map(|id| id.name.as_str()).collect();
        let others = question.expected.iter().chain([&question.core]).flat_map(|target| &target.crates);
        let others = others.filter(|id| !owned.contains(id.name.as_str()));
        let allowed: HashSet<String> = others.map(CrateId::module).collect();
        let wanted: BTreeSet<String> = modules(&question.forbidden)
            .chain(modules(&question.expected))
            .chain(core.iter().cloned())
            .collect();
        let state = match image {
            Ok(image) => read(image, &wanted.into_iter().collect::<Vec<_>>()),
            Err(why) => State::Unreadable(why),
        };
        let sees = matches!(&state, State::Read(seen) if seen.keys().any(|name| core.contains(name)));
        Self { state, ways, known: Known::new(&question.known), allowed, sees }
    }

    /// Whether the crate's name can mean nothing else.
    fn usable(&self, id: &CrateId, expectation: Expectation) -> bool {
        let module = id.module();
        let sole = id.owned || self.known.is_empty() || self.known.is_sole(&id.name);
        let free = expectation == Expectation::Present || !self.allowed.contains(&module);
        !OF_STD.contains(&module.as_str()) && sole && free
    }

    pub(crate) fn see(&self, target: &Target, expectation: Expectation) -> Outcome {
        let seen = match &self.state {
            State::Stripped => return nothing_to_see(false, "stripped: it has no symbol table"),
            State::Unreadable(why) => return Outcome::Blind(why.clone()),
            State::Read(seen) => seen,
        };
        let ids: Vec<_> = target.crates.iter().filter(|id| self.usable(id, expectation)).collect();
        if ids.is_empty() {
            return Outcome::NotApplicable("no crate is its own by name".to_owned());
        }
        let findings = ids.iter().flat_map(|id| {
            let symbols = seen.get(&id.module()).map_or(&[][..], Vec::as_slice);
            let path = self.ways.way_to(id);
            symbols.iter().map(move |symbol| Finding {
                path: path.clone(),
                ..Finding::new(format!("symbol `{symbol}`"), id.label())
            })
        });
        let findings: Vec<Finding> = findings.collect();
        match expectation {
            Expectation::Absent if !findings.is_empty() => Outcome::Leak(findings),
            Expectation::Present if !findings.is_empty() => Outcome::Found(findings),
            _ if !self.sees => Outcome::Blind("no symbol is of a crate that every build has".to_owned()),
            Expectation::Absent => Outcome::Clean,
            Expectation::Present => {
                Outcome::NotApplicable("none of its functions has a symbol of its own".to_owned())
            }
        }
    }
}

fn read(image: &Image<'_>, wanted: &[String]) -> State {
    // The names lie in a mangled symbol as they are; only symbols that hold one are worth reading.
    let automaton = match AhoCorasick::new(wanted) {
        Ok(automaton) => automaton,
        Err(error) => return State::Unreadable(error.to_string()),
    };
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut budget = READ;
    let mut text = Limited(String::new());
    let count = image.symbols(|raw| {
        let open = automaton.find_overlapping_iter(raw).any(|found| {
            seen.get(&wanted[found.pattern().as_usize()]).is_none_or(|symbols| symbols.len() < KEPT)
        });
        if !open || budget == 0 {
            return;
        }
        let Ok(raw) = std::str::from_utf8(raw) else { return };
        let Ok(symbol) = rustc_demangle::try_demangle(raw) else { return };
        text.0.clear();
        // An error says that the text reached its limit; what there is of it is read.
        let _ = write!(text, "{symbol:#}");
        budget = budget.saturating_sub(text.0.len() + raw.len());
        for name in roots(&text.0) {
            if wanted.binary_search_by(|wanted| wanted.as_str().cmp(name)).is_ok() {
                let symbols = seen.entry(name.to_owned()).or_default();
                if symbols.len() < KEPT {
                    symbols.push(text.0.chars().take(120).collect());
                }
            }
        }
    });
    match count {
        Err(why) => State::Unreadable(why),
        Ok(_) if budget == 0 => State::Unreadable("its symbols are too long to be read".to_owned()),
        Ok(0) => State::Stripped,
        Ok(_) => State::Read(seen),
    }
}

/// Text that does not grow beyond a limit: a hostile symbol is short and reads long.
struct Limited(String);

impl std::fmt::Write for Limited {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > LONGEST {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// The crates that a readable symbol names: identifiers that begin a path, each once.
fn roots(symbol: &str) -> BTreeSet<&str> {
    let bytes = symbol.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let (mut roots, mut at) = (BTreeSet::new(), 0);
    while at < bytes.len() {
        if !is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let length = bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
        let end = at + length;
        if bytes[end..].starts_with(b"::") && !bytes[..at].ends_with(b"::") {
            roots.insert(&symbol[at..end]);
        }
        at = end;
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_what_begins_a_path() {
        let cases: &[(&str, &[&str])] = &[
            ("bollard::docker::Docker::new", &["bollard"]),
            ("<bollard::Docker as core::fmt::Debug>::fmt", &["bollard", "core"]),
            ("core::ptr::drop_in_place::<bollard::Docker>", &["bollard", "core"]),
            ("my_bollard::docker", &["my_bollard"]),
            ("fake::bollard::docker", &["fake"]),
            ("<&mut (a::B, [c::D; 3])>::e", &["a", "c"]),
            ("main", &[]),
        ];
        for (symbol, expected) in cases {
            assert_eq!(roots(symbol).into_iter().collect::<Vec<_>>(), *expected, "{symbol}");
        }
    }

    #[test]
    fn both_ways_of_mangling_are_read() {
        for symbol in [
            "_ZN7bollard6docker6Docker3new17h0123456789abcdefE",
            "_RNvMNtCs1234_7bollard6dockerNtB2_6Docker3new",
        ] {
            let text = format!("{:#}", rustc_demangle::demangle(symbol));
            assert!(roots(&text).contains("bollard"), "{symbol}: {text}");
        }
    }

    #[test]
    fn the_names_of_std_are_in_order() {
        assert!(OF_STD.is_sorted());
    }
}
