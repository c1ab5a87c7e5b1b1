//! What the compiler has to say of a driver from elsewhere, as one line. All of it lies in a file beside, for whoever has to
//! mend it.

use std::path::Path;

use cargo_metadata::CompilerMessage;
use cargo_metadata::diagnostic::DiagnosticLevel;

use super::adopt::{MACRO, REGISTRATION, no_registration};
use crate::error::Error;
use crate::workspace::Workspace;

/// Where all of it is, in the overlay's target directory.
const FILE: &str = "errors.txt";

/// The error of a build that failed: the first thing that the compiler said, in the words of who asked for the driver.
pub(crate) fn told(workspace: &Workspace, line: &str, code: u8, said: &[CompilerMessage]) -> Error {
    let errors = || said.iter().filter(|message| message.message.level == DiagnosticLevel::Error);
    let all: Vec<&str> = errors().filter_map(|message| message.message.rendered.as_deref()).collect();
    let Some(first) = errors().find(|message| !message.message.spans.is_empty()).or_else(|| errors().next())
    else {
        return Error::Cargo { line: line.to_owned(), code };
    };
    let path = workspace.target_dir().join(FILE);
    let hint = match std::fs::write(&path, all.join("\n")) {
        Ok(()) => format!("all of it is in `{}`", path.display()),
        Err(_) => format!("`cd {} && {line}` shows all of it", workspace.root().display()),
    };
    let code = first.message.code.as_ref().map_or("", |code| code.code.as_str());
    let message = first.message.message.lines().next().unwrap_or_default();
    let package = package(first);
    one_line(code, message, &package, &place(first)).unwrap_or_else(|message| Error::refused(message, hint))
}

/// The errors that have words of their own, else the line for any other.
fn one_line(code: &str, message: &str, package: &str, place: &str) -> Result<Error, String> {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let of = quoted.iter().find(|word| **word != REGISTRATION).copied().unwrap_or_default();
    match code {
        "E0425" | "E0433" | "E0432" if quoted.contains(&REGISTRATION) => {
            Ok(no_registration(&of.replace('_', "-")))
        }
        "E0603" if quoted.contains(&REGISTRATION) => Ok(Error::refused(
            format!("the `{REGISTRATION}` of the driver's crate is not for others to see ({place})"),
            format!("write `{MACRO}(…);` in the root of the crate, `src/lib.rs`"),
        )),
        "E0277" if quoted.iter().any(|word| word.contains("DriverFactory")) => {
            Err(format!("the crate `{package}` registers what is no driver: {message} ({place})"))
        }
        "" => Err(format!("the crate `{package}` does not compile: {message} ({place})")),
        code => Err(format!("the crate `{package}` does not compile: {code}, {message} ({place})")),
    }
}

/// The package's name of a message.
fn package(message: &CompilerMessage) -> String {
    crate::build::package(&message.package_id.repr)
        .map_or_else(|| message.target.name.clone(), |package| package.name)
}

/// The file and line of a message: of a macro where it is called, which is where somebody has to mend it.
fn place(message: &CompilerMessage) -> String {
    let spans = &message.message.spans;
    let mut span = spans.iter().find(|span| span.is_primary).or_else(|| spans.first());
    while let Some(expansion) = span.and_then(|span| span.expansion.as_ref()) {
        span = Some(&expansion.span);
    }
    span.map_or_else(
        || "it does not say where".to_owned(),
        |span| format!("{}:{}", Path::new(&span.file_name).display(), span.line_start),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: &str, message: &str) -> String {
        match one_line(code, message, "acme-driver", "crates/acme-driver/src/lib.rs:7") {
            Ok(error) => error.to_string(),
            Err(line) => line,
        }
    }

    #[test]
    fn what_is_no_driver_is_one_line_of_our_own_words() {
        let none = said("E0425", "cannot find value `REGISTRATION` in crate `acme_driver`");
        assert!(none.starts_with("the crate `acme-driver` exports no `REGISTRATION`"), "{none}");
        let private = said("E0603", "static `REGISTRATION` is private");
        assert!(private.contains("not for others to see"), "{private}");
        let bound = said("E0277", "the trait bound `Factory: DriverFactory` is not satisfied");
        assert!(bound.starts_with("the crate `acme-driver` registers what is no driver"), "{bound}");
        let other = said("E0308", "mismatched types");
        assert_eq!(
            other,
            "the crate `acme-driver` does not compile: E0308, mismatched types (crates/acme-driver/src/lib.rs:7)"
        );
    }
}
