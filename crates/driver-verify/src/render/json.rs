//! The verdict as JSON: keys in order, nothing of the clock or the machine in it.

use serde_json::{Map, Value, json};

use crate::verdict::{Control, ControlState, Outcome, Row, Verdict};

impl Verdict {
    /// For machines; `schema` 1.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "schema": 1,
            "subject": self.subject,
            "answer": self.answer().word(),
            "file": self.file,
            "unreadable": self.unreadable.as_ref().map(ToString::to_string),
            "required": self.required.iter().map(|layer| layer.word()).collect::<Vec<_>>(),
            "targets": self.rows.iter().map(row).collect::<Vec<_>>(),
            "controls": self.controls.iter().map(control).collect::<Vec<_>>(),
            "reasons": self.reasons(),
            "notes": self.notes,
            "rejected": self.rejected,
        })
    }
}

fn row(row: &Row) -> Value {
    let layers = row.layers.iter().map(|(layer, seen)| (layer.word().to_owned(), outcome(seen)));
    json!({
        "name": row.target,
        "kind": row.kind,
        "expected": row.expectation,
        "layers": layers.collect::<Map<_, _>>(),
    })
}

fn outcome(outcome: &Outcome) -> Value {
    let word = outcome.word();
    match outcome {
        Outcome::Clean => json!({ "outcome": word }),
        Outcome::Leak(findings) | Outcome::Found(findings) | Outcome::Note(findings) => {
            json!({ "outcome": word, "findings": findings })
        }
        Outcome::Blind(why) | Outcome::NotApplicable(why) => json!({ "outcome": word, "why": why }),
    }
}

fn control(control: &Control) -> Value {
    let (state, why) = match &control.state {
        ControlState::Held => ("held", None),
        ControlState::Failed(why) => ("failed", Some(why)),
        ControlState::NotApplicable(why) => ("not applicable", Some(why)),
    };
    json!({ "name": control.name, "state": state, "why": why, "hint": control.hint })
}
