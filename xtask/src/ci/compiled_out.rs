//! What the job `selections` built is judged, file by file, and nothing is built for it; then the judge itself: the gateway
//! of every driver, called a gateway of fewer, is a leak.

use driver_manifest::Selection;
use driver_verify::{Answer, Verdict};

use super::checks::{Shipped, failures, shipped};
use super::{Ci, Outcome};
use crate::build::{run_cargo, turn};
use crate::error::Result;
use crate::selection;
use crate::verify::{Bytes, Subject, Verifier, units_of};

/// Judges every file of every selection.
pub(super) fn verify(ci: &Ci) -> Result<Outcome> {
    let mut verifier = Verifier::new(&ci.workspace, &ci.assembly, false)?;
    let everything = selection::everything(&ci.assembly)?;
    let selections = selection::subsets(&ci.assembly)?;
    let fewer: Vec<Selection> =
        selections.into_iter().filter(|selection| selection.drivers != everything.drivers).collect();
    let (mut found, mut files, mut anew, mut controls) = (Vec::new(), 0, 0, 0);
    // Cargo gives the gateway of every selection the same path.
    let _turn = turn(ci.workspace.root());
    for Shipped { selection, program, line } in shipped(ci)? {
        println!("{}", line.shell());
        let compiled = run_cargo(&ci.workspace, &line)?;
        let bytes = Bytes::read(&compiled.executable)?;
        files += 1;
        anew += usize::from(!compiled.anew.is_empty());
        let is_everything = program.is_none() && selection == everything;
        let subject = Subject { selection, program, target: None };
        let verdict = verifier.judge(&subject, &bytes, Some(units_of(&compiled)))?;
        found.extend(wrong(&verdict, Answer::Clean));
        if !is_everything {
            continue;
        }
        for selection in &fewer {
            controls += 1;
            let subject = Subject { selection: selection.clone(), program: None, target: None };
            found.extend(wrong(&verifier.judge(&subject, &bytes, None)?, Answer::Leak));
        }
    }
    Ok(failures(found, format!("{files} files ({anew} built for it), {controls} controls")))
}

/// What is wrong with a verdict.
fn wrong(verdict: &Verdict, expected: Answer) -> Option<String> {
    let answer = verdict.answer();
    if answer == expected {
        return None;
    }
    print!("{}", verdict.table(false));
    let reason = verdict.reasons().into_iter().next().unwrap_or_default();
    Some(format!("`{}` is {}, not {}: {reason}", verdict.subject, answer.word(), expected.word()))
}
