//! `verify.json`: the verdict as an in-toto Statement v1, so that a release can carry it and existing signers sign it.
//!
//! The form is <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>.

use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::verdict::{Answer, Verdict};

/// What the statement states.
pub const PREDICATE_TYPE: &str = "urn:openshell:compiled-out:v1";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The file that was judged.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its name, without a directory.
    pub name: &'a str,
    /// Its SHA-256, in lower-case hex.
    pub sha256: &'a str,
    /// Bytes.
    pub size: u64,
}

/// Who judged it.
#[derive(Debug, Clone, Copy)]
pub struct Tool<'a> {
    /// The tool's version.
    pub version: &'a str,
    /// When, as RFC 3339 in UTC.
    pub time: &'a str,
    /// A hash of what was asked: the same file with another question needs another answer.
    pub question_sha256: &'a str,
}

/// The statement of a verdict.
#[must_use]
pub fn statement(verdict: &Verdict, subject: &Subject<'_>, tool: &Tool<'_>) -> Value {
    json!({
        "_type": STATEMENT_TYPE,
        "subject": [{ "name": subject.name, "digest": { "sha256": subject.sha256 } }],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "verifier": { "id": "cargo xtask verify-compiled-out", "version": tool.version },
            "timeVerified": tool.time,
            "size": subject.size,
            "questionDigest": { "sha256": tool.question_sha256 },
            "answer": verdict.answer().word(),
            "verdict": verdict.json(),
        },
    })
}

/// What a statement says, without the details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// The file's name.
    pub name: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// The answer.
    pub answer: Answer,
    /// The tool's version.
    pub version: String,
    /// When it was judged.
    pub time: String,
    /// The hash of what was asked.
    pub question_sha256: String,
}

/// Why a statement says nothing about a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StatementError {
    /// Not such a statement.
    #[error("it is no statement of `verify-compiled-out`: {0}")]
    Malformed(String),
    /// Of another kind.
    #[error("it is a statement of type `{0}`, not `{PREDICATE_TYPE}`")]
    OtherType(String),
    /// About another file.
    #[error("it is about the file with SHA-256 {stated}, not {found}")]
    OtherFile {
        /// The hash in the statement.
        stated: String,
        /// The hash of the file.
        found: String,
    },
}

impl Attested {
    /// Whether the statement is about the file with this SHA-256.
    ///
    /// # Errors
    ///
    /// When it is about another.
    pub fn is_of(&self, sha256: &str) -> Result<(), StatementError> {
        if self.sha256.eq_ignore_ascii_case(sha256) {
            Ok(())
        } else {
            Err(StatementError::OtherFile { stated: self.sha256.clone(), found: sha256.to_owned() })
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<RawSubject>,
    predicate_type: String,
    predicate: Value,
}

#[derive(Deserialize)]
struct RawSubject {
    name: String,
    digest: Digest,
}

#[derive(Deserialize)]
struct Digest {
    sha256: String,
}

#[derive(Deserialize)]
struct Verifier {
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    verifier: Verifier,
    time_verified: String,
    size: u64,
    question_digest: Digest,
    answer: String,
}

/// Reads a statement.
///
/// # Errors
///
/// When the text is none of ours, or is about more than one file.
pub fn read_statement(text: &str) -> Result<Attested, StatementError> {
    let malformed = |error: serde_json::Error| StatementError::Malformed(error.to_string());
    let raw: Raw = serde_json::from_str(text).map_err(malformed)?;
    if raw.kind != STATEMENT_TYPE {
        return Err(StatementError::OtherType(raw.kind));
    }
    if raw.predicate_type != PREDICATE_TYPE {
        return Err(StatementError::OtherType(raw.predicate_type));
    }
    let predicate: Predicate = serde_json::from_value(raw.predicate).map_err(malformed)?;
    let [subject] = <[RawSubject; 1]>::try_from(raw.subject)
        .map_err(|subjects| StatementError::Malformed(format!("it has {} subjects", subjects.len())))?;
    let answer = Answer::of_word(&predicate.answer)
        .ok_or_else(|| StatementError::Malformed(format!("its answer is `{}`", predicate.answer)))?;
    Ok(Attested {
        name: subject.name,
        sha256: subject.digest.sha256,
        size: predicate.size,
        answer,
        version: predicate.verifier.version,
        time: predicate.time_verified,
        question_sha256: predicate.question_digest.sha256,
    })
}
