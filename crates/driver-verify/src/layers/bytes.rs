//! The bytes: paths, module paths and texts that only the target's crates leave.
//!
//! Absence counts only where it could have been seen otherwise: a build that keeps no paths (`location-detail=none`)
//! shows none of core's either, and then paths clear nobody, while texts still may.

use super::Ways;
use crate::bytes::{Known, Probe, Scanner, Seen};
use crate::image::Image;
use crate::question::{CrateId, Fingerprint, How, Question, Target};
use crate::verdict::{Expectation, Finding, Outcome};

/// What of core and of the selected was seen: the same would show of the others.
#[derive(Debug, Clone, Copy, Default)]
struct Visible {
    registry: bool,
    workspace: bool,
    texts: bool,
}

impl Visible {
    fn any(self) -> bool {
        self.registry || self.workspace || self.texts
    }
}

#[derive(Debug)]
pub(crate) struct BytesLayer<'s> {
    scanner: Scanner<'s>,
    ways: &'s Ways<'s>,
    image: Option<&'s Image<'s>>,
    /// By probe; or why there was no scan.
    seen: Result<Vec<Seen>, String>,
    visible: Visible,
}

/// One thing that a target is known by.
enum Clue<'t> {
    Crate(&'t CrateId),
    Text(&'t Fingerprint),
}

/// What kind of clue proves nothing by its absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The paths of a crate, which no build has shown.
    Path,
    /// A text that no build has shown.
    Text,
    /// A text of a version that is gone.
    Stale,
}

impl Clue<'_> {
    fn probe(&self, known: &Known<'_>) -> Probe {
        match self {
            Self::Crate(id) => Probe::of_crate(id, known),
            Self::Text(text) => Probe::Text(text.text.clone()),
        }
    }

    fn of(&self) -> String {
        match self {
            Self::Crate(id) => id.label(),
            Self::Text(text) => text.of.clone(),
        }
    }

    /// Why its absence proves nothing in any file.
    fn rejected(&self, known: &Known<'_>) -> Option<(Rejected, String)> {
        match self {
            Self::Crate(id) if !id.proven => {
                let why = format!("paths of {} were never seen in a build that has it", id.label());
                Some((Rejected::Path, why))
            }
            Self::Text(text) if is_stale(text, known) => {
                let why =
                    format!("`{}` was learned from {}, which Cargo.lock does not have", text.text, text.of);
                Some((Rejected::Stale, why))
            }
            Self::Text(text) if !text.proven => {
                let why = format!("`{}` ({}) was never seen in a build that has it", text.text, text.of);
                Some((Rejected::Text, why))
            }
            _ => None,
        }
    }
}

fn is_stale(text: &Fingerprint, known: &Known<'_>) -> bool {
    let Some((name, version)) = text.of.split_once('@') else { return false };
    text.how == How::Learned && !known.is_empty() && !known.has(name, version)
}

fn clues(target: &Target) -> impl Iterator<Item = Clue<'_>> {
    let texts = target.fingerprints.iter().map(Clue::Text);
    target.crates.iter().map(Clue::Crate).chain(texts)
}

impl<'s> BytesLayer<'s> {
    pub(crate) fn new(
        question: &'s Question,
        file: &[u8],
        image: Option<&'s Image<'s>>,
        ways: &'s Ways<'s>,
    ) -> Self {
        let mut scanner = Scanner::new(Known::new(&question.known));
        for target in question.forbidden.iter().chain(&question.expected).chain([&question.core]) {
            for clue in clues(target) {
                let probe = clue.probe(scanner.known());
                scanner.add(probe);
            }
        }
        let seen = scanner.scan(file);
        let mut layer = Self { scanner, ways, image, seen, visible: Visible::default() };
        layer.visible = layer.look(question);
        layer
    }

    fn look(&mut self, question: &Question) -> Visible {
        let mut visible = Visible::default();
        for clue in question.expected.iter().chain([&question.core]).flat_map(clues) {
            let seen = self.seen(&clue).is_some_and(|seen| seen.count > 0);
            match clue {
                Clue::Crate(id) if id.workspace => visible.workspace |= seen,
                Clue::Crate(_) => visible.registry |= seen,
                Clue::Text(_) => visible.texts |= seen,
            }
        }
        visible
    }

    fn seen(&mut self, clue: &Clue<'_>) -> Option<&Seen> {
        let probe = clue.probe(self.scanner.known());
        let index = self.scanner.add(probe);
        self.seen.as_ref().ok()?.get(index)
    }

    /// Whether anything that must be there was seen at all.
    pub(crate) fn sees(&self) -> bool {
        self.visible.any()
    }

    /// Clues that prove nothing by their absence, and why.
    pub(crate) fn rejected(&self, target: &Target) -> Vec<(Rejected, String)> {
        clues(target).filter_map(|clue| clue.rejected(self.scanner.known())).collect()
    }

    pub(crate) fn see(&mut self, target: &Target, expectation: Expectation) -> Outcome {
        if let Err(why) = &self.seen {
            return Outcome::Blind(format!("the file was not searched: {why}"));
        }
        let (mut findings, mut could, mut seeable, mut count) = (Vec::new(), false, false, 0);
        for clue in clues(target) {
            count += 1;
            let effective = clue.rejected(self.scanner.known()).is_none();
            let visible = match &clue {
                Clue::Crate(id) if id.workspace => self.visible.workspace,
                Clue::Crate(_) => self.visible.registry,
                Clue::Text(_) => self.visible.texts,
            };
            seeable |= effective;
            could |= effective && visible;
            let path = match &clue {
                Clue::Crate(id) => self.ways.way_to(id),
                Clue::Text(text) => self.way_of(&text.of),
            };
            let of = clue.of();
            let Some(seen) = self.seen(&clue).cloned() else { continue };
            findings.extend(self.findings(&seen, &of, &path));
        }
        match expectation {
            Expectation::Absent if !findings.is_empty() => Outcome::Leak(findings),
            Expectation::Present if !findings.is_empty() => Outcome::Found(findings),
            _ if count == 0 => Outcome::NotApplicable("no path and no text is its own".to_owned()),
            Expectation::Absent if could => Outcome::Clean,
            Expectation::Absent if !seeable => Outcome::Blind(format!(
                "none of its {count} paths and texts was ever seen in a build that has it"
            )),
            Expectation::Absent => Outcome::Blind(
                "nothing of core is seen by the kind of path or text that it is known by".to_owned(),
            ),
            Expectation::Present if could => {
                Outcome::Blind("it was selected, and none of its paths and texts is there".to_owned())
            }
            Expectation::Present => {
                Outcome::NotApplicable("it has no path or text that must be seen".to_owned())
            }
        }
    }

    /// The way to the crate of a text's `name@version`.
    fn way_of(&self, of: &str) -> Vec<String> {
        let crate_id = of.split_once('@').map(|(name, version)| CrateId::new(name, Some(version)));
        crate_id.map(|id| self.ways.way_to(&id)).unwrap_or_default()
    }

    fn findings(&self, seen: &Seen, of: &str, path: &[String]) -> Vec<Finding> {
        let hits = seen.hits.iter().enumerate().map(|(number, hit)| {
            let place = self.image.and_then(|image| image.section_at(hit.offset)).map_or_else(
                || "outside of every section".to_owned(),
                |section| format!("{}+{:#x}", section.name, hit.offset - section.offset),
            );
            let more = match seen.count - seen.hits.len() {
                more if more > 0 && number + 1 == seen.hits.len() => format!(", and {more} more"),
                _ => String::new(),
            };
            let what = format!("`{}` at {place} (offset {:#x}){more}", hit.text, hit.offset);
            Finding { path: path.to_vec(), ..Finding::new(what, of) }
        });
        hits.collect()
    }
}
