//! The verdict for people and for machines: pure functions of it.

mod json;
mod markdown;
mod statement;
mod table;

pub use statement::{Attested, PREDICATE_TYPE, StatementError, Subject, Tool, read_statement, statement};

use crate::verdict::{Expectation, Outcome, Row};

/// The word of a cell.
fn cell(row: &Row, outcome: Option<&Outcome>) -> &'static str {
    match (outcome, row.expectation) {
        (None | Some(Outcome::NotApplicable(_)), _) => "-",
        (Some(outcome), _) => outcome.word(),
    }
}

/// What was hoped for, as a word.
fn hope(row: &Row) -> &'static str {
    match row.expectation {
        Expectation::Absent => "left out",
        Expectation::Present => "selected",
    }
}
