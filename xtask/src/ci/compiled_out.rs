//! The judge itself: the gateway of every driver, called a gateway of fewer, is a leak. That what is built is clean is
//! the matrix's to say.

use driver_verify::Answer;

use super::checks::{cargo_args, failures};
use super::{Ci, Outcome};
use crate::build::{CargoLine, run_cargo, turn};
use crate::error::Result;
use crate::matrix;
use crate::selection;
use crate::verify::{Bytes, Role, Subject, Verifier, units_of};
use crate::workspace::{GATEWAY_BIN, GATEWAY_PACKAGE};

/// Judges one file as what it is, and as everything that it is not.
pub(super) fn verify(ci: &Ci) -> Result<Outcome> {
    let mut verifier = Verifier::new(&ci.workspace, &ci.assembly, false)?;
    let everything = selection::everything(&ci.assembly)?;
    let mut fewer = selection::subsets(&ci.assembly)?;
    fewer.retain(|selection| selection.drivers != everything.drivers);
    let line =
        CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, everything.features(), &cargo_args(matrix::PROFILE));
    // Cargo gives the gateway of every selection the same path.
    let _turn = turn(ci.workspace.root());
    println!("{}", line.shell());
    let compiled = run_cargo(&ci.workspace, &line)?;
    let bytes = Bytes::read(&compiled.executable)?;
    let mut found = Vec::new();
    let mut hold = |selection, units, expected: Answer| -> Result<()> {
        let subject = Subject { selection, role: Role::Gateway, target: None };
        let verdict = verifier.judge(&subject, &bytes, units)?;
        let answer = verdict.answer();
        if answer != expected {
            print!("{}", verdict.table(false));
            let reason = verdict.reasons().into_iter().next().unwrap_or_default();
            let (subject, answer, expected) = (&verdict.subject, answer.word(), expected.word());
            found.push(format!("`{subject}` is {answer}, not {expected}: {reason}"));
        }
        Ok(())
    };
    hold(everything, Some(units_of(&compiled)), Answer::Clean)?;
    let controls = fewer.len();
    for selection in fewer {
        hold(selection, None, Answer::Leak)?;
    }
    Ok(failures(found, format!("{controls} controls")))
}
