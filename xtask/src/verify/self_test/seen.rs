//! What came of one judgement, short enough for a cell of a table: the answer, and which eyes saw something.

use std::fmt;

use driver_verify::{Answer, ControlState, Layer, Outcome, Verdict};

use crate::error::Error;
use crate::verify::TOOL_FAILED;

/// How a judgement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Clean,
    Leak,
    CannotCertify,
    /// The tool gave up before there was anything to judge, and said so.
    ToolFailed,
}

impl End {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Clean => Answer::Clean.word(),
            Self::Leak => Answer::Leak.word(),
            Self::CannotCertify => Answer::CannotCertify.word(),
            Self::ToolFailed => "refused",
        }
    }

    /// The exit code of `verify-compiled-out`.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Leak => 1,
            Self::CannotCertify => 2,
            Self::ToolFailed => TOOL_FAILED,
        }
    }
}

impl From<Answer> for End {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Clean => Self::Clean,
            Answer::Leak => Self::Leak,
            Answer::CannotCertify => Self::CannotCertify,
        }
    }
}

/// Who can see something that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Eye {
    /// A layer found what must not be there.
    Layer(Layer),
    /// A layer had something to say that decides nothing.
    Note(Layer),
    /// A clue was rejected by name, and the rest was enough.
    Rejected,
    /// A control failed, by its name.
    Control(&'static str),
    /// What was to be judged is not what was built.
    Hash,
    /// The first bytes of a file tell that it is no program.
    Sniff,
    /// Cargo did not answer for what it was asked.
    Cargo,
}

impl fmt::Display for Eye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer(layer) => f.write_str(layer.word()),
            Self::Note(layer) => write!(f, "a note of {}", layer.word()),
            Self::Rejected => f.write_str("a note of the control `twin`"),
            Self::Control(name) => write!(f, "control `{name}`"),
            Self::Hash => f.write_str("hash"),
            Self::Sniff => f.write_str("first bytes"),
            Self::Cargo => f.write_str("cargo's answer"),
        }
    }
}

/// What was seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) end: End,
    /// In the order of the layers, each once.
    pub(super) eyes: Vec<Eye>,
    /// Everything that was said, for people and for a look at names.
    pub(super) said: Vec<String>,
}

impl Seen {
    /// What a verdict shows. Controls are of interest only where no layer convicts.
    pub(super) fn of(verdict: &Verdict) -> Self {
        let end = End::from(verdict.answer());
        let mut eyes: Vec<Eye> = verdict.leaks().map(|(_, layer, _)| Eye::Layer(layer)).collect();
        for (layer, outcome) in verdict.rows.iter().flat_map(|row| &row.layers) {
            if matches!(outcome, Outcome::Note(_)) {
                eyes.push(Eye::Note(*layer));
            }
        }
        if end == End::CannotCertify {
            let failed = |state: &ControlState| matches!(state, ControlState::Failed(_));
            let controls = verdict.controls.iter().filter(|control| failed(&control.state));
            eyes.extend(controls.map(|control| Eye::Control(control.name)));
        }
        if end == End::Clean && !verdict.rejected.is_empty() {
            eyes.push(Eye::Rejected);
        }
        eyes.sort();
        eyes.dedup();
        let said = [verdict.reasons(), verdict.notes.clone(), verdict.rejected.clone()].concat();
        Self { end, eyes, said }
    }

    /// Where an error had to come and did not.
    pub(super) fn nothing() -> Self {
        Self { end: End::Clean, eyes: Vec::new(), said: Vec::new() }
    }

    /// What an error shows that came before there was a verdict; `eye` is what it was meant to be seen by.
    pub(super) fn refused(error: &Error, eye: Eye) -> Self {
        let end = match error {
            Error::Unverified { code: 1, .. } => End::Leak,
            Error::Unverified { .. } => End::CannotCertify,
            _ => End::ToolFailed,
        };
        Self { end, eyes: vec![eye], said: vec![error.to_string()] }
    }

    /// The eyes, as a cell.
    pub(super) fn by(&self) -> String {
        list(&self.eyes)
    }
}

/// Eyes as a cell.
pub(super) fn list(eyes: &[Eye]) -> String {
    eyes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
