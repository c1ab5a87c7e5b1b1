//! The answer: for every driver and option what each layer saw, which controls held, and what follows from it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::evidence::SelfReport;
use crate::image::Unreadable;
use crate::question::TargetKind;

/// A kind of evidence that can fail alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// What cargo resolves.
    Graph,
    /// What the build compiled.
    Messages,
    /// Which drivers' code left its marker.
    Marker,
    /// Paths and texts in the file.
    Bytes,
    /// Names of functions.
    Symbols,
    /// What the program says of itself.
    SelfReport,
    /// The dependency list of `cargo auditable`.
    Audit,
}

impl Layer {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 7] = [
        Self::Graph,
        Self::Messages,
        Self::Marker,
        Self::Bytes,
        Self::Symbols,
        Self::SelfReport,
        Self::Audit,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Graph => "graph",
            Self::Messages => "messages",
            Self::Marker => "marker",
            Self::Bytes => "bytes",
            Self::Symbols => "symbols",
            Self::SelfReport => "self-report",
            Self::Audit => "audit",
        }
    }

    /// A positive of it is a leak whatever the others say. The graph may list what is not linked, and a report may be
    /// wrong: their positives only keep a file from being certified.
    #[must_use]
    pub fn convicts(self) -> bool {
        matches!(self, Self::Messages | Self::Marker | Self::Bytes | Self::Symbols)
    }
}

/// What a layer saw of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It could have seen it, and did not.
    Clean,
    /// It must not be there, and is.
    Leak(Vec<Finding>),
    /// It must be there, and is.
    Found(Vec<Finding>),
    /// Worth saying, proof of nothing.
    Note(Vec<Finding>),
    /// It could not see, and why.
    Blind(String),
    /// There is nothing to look at or for, and why.
    NotApplicable(String),
}

impl Outcome {
    /// Its word in reports.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Leak(_) => "leak",
            Self::Found(_) => "found",
            Self::Note(_) => "note",
            Self::Blind(_) => "blind",
            Self::NotApplicable(_) => "not applicable",
        }
    }

    /// What was found, of whatever kind.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Leak(findings) | Self::Found(findings) | Self::Note(findings) => findings,
            Self::Clean | Self::Blind(_) | Self::NotApplicable(_) => &[],
        }
    }
}

/// One thing that a layer saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What and where: the crate, the section with its offset, the text.
    pub what: String,
    /// Of which crate (`name@version`), marker or target.
    pub of: String,
    /// The shortest way to it from the package that was built, where the graph knows one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// Where there is none: the way by which it comes into a build that has its target, as [`explain`](crate::explain) found
    /// it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub would: Vec<String>,
}

impl Finding {
    pub(crate) fn new(what: impl Into<String>, of: impl Into<String>) -> Self {
        Self { what: what.into(), of: of.into(), path: Vec::new(), would: Vec::new() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.path.is_empty() {
            write!(f, " ({})", self.path.join(" → "))?;
        }
        Ok(())
    }
}

/// What was hoped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expectation {
    /// It was left out.
    Absent,
    /// It was selected.
    Present,
}

/// One driver or option and what each layer saw of it.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub target: String,
    /// Whether it is a driver or an option.
    pub kind: TargetKind,
    /// Whether it should be there.
    pub expectation: Expectation,
    /// Every layer is among them.
    pub layers: BTreeMap<Layer, Outcome>,
}

impl Row {
    /// One line on how it may have come here: the way of the first crate that is more than the target's own package.
    fn explanation(&self) -> Option<String> {
        let leaks = self.layers.values().filter(|outcome| matches!(outcome, Outcome::Leak(_)));
        let ways = leaks.flat_map(Outcome::findings).map(|finding| &finding.would);
        let says = |way: &[String]| way.len().min(3);
        let way = ways.reduce(|best, way| if says(way) > says(best) { way } else { best })?;
        (!way.is_empty())
            .then(|| format!("{}: builds that have it bring it by {}", self.target, way.join(" → ")))
    }
}

/// Whether a control held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlState {
    /// It did.
    Held,
    /// It did not, and why: the file cannot be certified.
    Failed(String),
    /// There was nothing to check it on, and why.
    NotApplicable(String),
}

/// A check of the checks: with one that failed, "not found" means nothing.
#[derive(Debug, Clone)]
pub struct Control {
    /// What it looks after.
    pub name: &'static str,
    /// Whether it held.
    pub state: ControlState,
    /// What to do next.
    pub hint: Option<String>,
}

/// The control whose failure [`Verdict::unreadable`] tells.
pub(crate) const READABLE: &str = "readable";

/// The answer in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Every required layer looked, and found what it should and nothing else.
    Clean,
    /// Something that must not be there is.
    Leak,
    /// Neither can be said.
    CannotCertify,
}

impl Answer {
    /// Its words in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Leak => "leak",
            Self::CannotCertify => "cannot certify",
        }
    }

    /// 0, 1 or 2.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Leak => 1,
            Self::CannotCertify => 2,
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        [Self::Clean, Self::Leak, Self::CannotCertify].into_iter().find(|answer| answer.word() == word)
    }
}

/// What a file shows of itself.
#[derive(Debug, Clone, Serialize)]
pub struct FileFacts {
    /// `ELF`, `PE` or `Mach-O`.
    pub format: String,
    /// The machine, as the first word of a target triple.
    pub architecture: String,
    /// 32 or 64.
    pub bits: u8,
    /// Bytes.
    pub size: u64,
    /// How many sections it has.
    pub sections: usize,
    /// It has no symbol table.
    pub stripped: bool,
    /// The texts of its marker section.
    pub markers: Vec<String>,
    /// Its report of itself.
    pub report: Option<SelfReport>,
}

/// All that was seen.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// What the file is, for people.
    pub subject: String,
    /// What it shows of itself, unless it is unreadable.
    pub file: Option<FileFacts>,
    /// Why it cannot be read.
    pub unreadable: Option<Unreadable>,
    /// The layers that have to answer before the file is called clean.
    pub required: Vec<Layer>,
    /// Drivers and options: those left out, then those selected.
    pub rows: Vec<Row>,
    /// The checks of the checks.
    pub controls: Vec<Control>,
    /// What else is worth knowing; decides nothing.
    pub notes: Vec<String>,
    /// The paths and texts whose absence proves nothing, a line each; the notes count them.
    pub rejected: Vec<String>,
}

impl Verdict {
    /// The answer: a positive of a layer that convicts is a leak, even when others are blind; clean is what every
    /// required layer and every control says is clean.
    #[must_use]
    pub fn answer(&self) -> Answer {
        if self.leaks().any(|(_, layer, _)| layer.convicts()) {
            Answer::Leak
        } else if self.doubts().is_empty() {
            Answer::Clean
        } else {
            Answer::CannotCertify
        }
    }

    /// The answer as the exit code of a process.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.answer().exit_code()
    }

    /// Everything that must not be there and was seen.
    pub fn leaks(&self) -> impl Iterator<Item = (&Row, Layer, &Finding)> {
        self.rows.iter().flat_map(|row| {
            row.layers.iter().flat_map(move |(&layer, outcome)| {
                match outcome {
                    Outcome::Leak(findings) => findings.as_slice(),
                    _ => &[],
                }
                .iter()
                .map(move |finding| (row, layer, finding))
            })
        })
    }

    /// Why the file is not called clean, a line each; empty when it is. Of what one layer saw of one target the first
    /// few are named, the rest is counted; [`leaks`](Self::leaks) has all.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        const NAMED: usize = 8;
        let mut reasons = Vec::new();
        for row in &self.rows {
            for (layer, outcome) in &row.layers {
                let Outcome::Leak(findings) = outcome else { continue };
                let place = format!("{} · {}", row.target, layer.word());
                reasons.extend(findings.iter().take(NAMED).map(|finding| format!("{place}: {finding}")));
                if findings.len() > NAMED {
                    reasons.push(format!("{place}: and {} more", findings.len() - NAMED));
                }
            }
            reasons.extend(row.explanation());
        }
        reasons.extend(self.doubts());
        reasons
    }

    /// What keeps a file without a leak from being called clean.
    fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if let Some(unreadable) = &self.unreadable {
            doubts.push(format!("the file: {unreadable}"));
        }
        for control in &self.controls {
            if let ControlState::Failed(why) = &control.state
                && !(self.unreadable.is_some() && control.name == READABLE)
            {
                doubts.push(format!("control `{}`: {why}", control.name));
            }
        }
        for row in &self.rows {
            self.doubts_of(row, &mut doubts);
        }
        doubts
    }

    fn doubts_of(&self, row: &Row, doubts: &mut Vec<String>) {
        let leaks =
            |(layer, outcome): (&Layer, &Outcome)| layer.convicts() && matches!(outcome, Outcome::Leak(_));
        let (convicted, mut said) = (row.layers.iter().any(leaks), false);
        for (layer, outcome) in &row.layers {
            let required = self.required.contains(layer);
            match outcome {
                Outcome::Blind(why) if required => {
                    // An unreadable file blinds every layer that reads it: said once, above.
                    if self.unreadable.is_none() || matches!(layer, Layer::Graph | Layer::Messages) {
                        doubts.push(format!("{} · {}: {why}", row.target, layer.word()));
                    }
                    said = true;
                }
                Outcome::Leak(_) if layer.convicts() => said = true,
                Outcome::Leak(_) if convicted => {}
                Outcome::Leak(_) => {
                    doubts.push(format!("{} · {}: the other layers do not see it", row.target, layer.word()));
                    said = true;
                }
                Outcome::Clean | Outcome::Found(_) if required => said = true,
                _ => {}
            }
        }
        if !said && row.kind != TargetKind::Stray {
            doubts.push(format!("{}: no required layer can look for it", row.target));
        }
    }
}
