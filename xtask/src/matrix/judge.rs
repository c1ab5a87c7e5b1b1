//! One row: what it does, and what is wrong with what came of it.

use std::time::Duration;

use driver_codegen::matrix::{Does, Row};
use driver_manifest::Assembly;

use super::{evidence, refusal, zero};
use crate::build::{CargoArgs, CargoLine, Job, Made, check};
use crate::error::{Error, Result};
use crate::workspace::{GATEWAY_BIN, GATEWAY_PACKAGE, Workspace};

/// What rows are judged with.
pub(super) struct Judge<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) assembly: &'a Assembly,
    pub(super) cargo: CargoArgs,
}

/// How a row ended.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Whoever goes through the rows has the clock.
    pub(super) took: Duration,
    /// The length and the crates of the gateway or the program, where one was built.
    pub(super) size: Option<u64>,
    pub(super) crates: Option<usize>,
    /// In few words, what was seen.
    pub(super) seen: String,
    /// What is wrong; empty for a row that is green.
    pub(super) faults: Vec<String>,
}

impl Done {
    /// Of a row that came to no end; what led to it is said at once.
    pub(super) fn of_error(error: Error) -> Self {
        error.print();
        Self { faults: vec![error.to_string()], ..Self::default() }
    }
}

impl Judge<'_> {
    /// Does what a row says.
    pub(super) fn row(&self, row: &Row) -> Result<Done> {
        match row.does {
            Does::Refuse => zero::faults(self),
            Does::Check => self.check(row),
            Does::Build => self.judge(row, Job::gateway(self.assembly, row.selection.clone(), &self.cargo)),
            Does::Program => {
                let job = Job::program(self.assembly, row.selection.clone(), &self.cargo)?;
                self.judge(row, job.apart(&row.name))
            }
        }
    }

    /// The line of a gateway with these features.
    pub(super) fn gateway(&self, features: Vec<String>) -> CargoLine {
        CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, features, &self.cargo)
    }

    /// Builds and verifies as `xtask build` does, and looks at what that does not: warnings, every text that betrays an
    /// option, and the gateway's answer to a driver that it lacks.
    fn judge(&self, row: &Row, job: Job) -> Result<Done> {
        let Made { folder, record, warnings, .. } = job.run(self.workspace, Some(self.assembly))?;
        let mut faults = warned(&warnings);
        let guests = self.assembly.guests();
        for file in &record.files {
            let path = folder.join(&file.file);
            // What runs inside a sandbox has no option.
            let options = if guests.contains(&file.package) { &[][..] } else { &row.selection.options };
            faults.extend(evidence::faults(&self.assembly.options, options, &path)?);
        }
        let mut seen = format!("{} clean", files(record.files.len()));
        if row.does == Does::Build {
            let refused = refusal::faults(self.assembly, &row.selection, &folder.join(GATEWAY_BIN))?;
            let absent = self.assembly.drivers.len() - row.selection.drivers.len();
            if absent > 0 && refused.is_empty() {
                seen.push_str(&format!(", {absent} refused"));
            }
            faults.extend(refused);
        }
        let first = record.files.first();
        let (size, crates) = (first.map(|file| file.size), first.map(|file| file.crates.len()));
        Ok(Done { size, crates, seen, faults, ..Done::default() })
    }

    /// Compiles and does not link.
    fn check(&self, row: &Row) -> Result<Done> {
        let compiled = check(self.workspace, &self.gateway(row.selection.features()))?;
        let faults = warned(&compiled.warnings);
        Ok(Done { seen: "compiles".to_owned(), faults, ..Done::default() })
    }
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// A warning is a fault: nobody sees it in a selection that only a machine builds.
fn warned(warnings: &[String]) -> Vec<String> {
    let first = |warning: &String| {
        let line = warning.lines().next().unwrap_or_default();
        line.strip_prefix("warning: ").unwrap_or(line).to_owned()
    };
    match warnings {
        [] => Vec::new(),
        [one] => vec![format!("compiles with a warning: {}", first(one))],
        [one, ..] => vec![format!("compiles with {} warnings: {}", warnings.len(), first(one))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_counted_and_the_first_is_shown() {
        let warning = |text: &str| format!("warning: {text}\n  --> src/main.rs\n");
        assert!(warned(&[]).is_empty());
        assert_eq!(warned(&[warning("unused")]), ["compiles with a warning: unused"]);
        assert_eq!(warned(&[warning("unused"), warning("dead")]), ["compiles with 2 warnings: unused"]);
    }
}
