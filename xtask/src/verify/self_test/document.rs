//! The tables in the documentation, between markers: what the last run measured, without times.

use crate::error::{Error, Result};
use crate::workspace::Workspace;

/// The document.
const PATH: &str = "docs/verification.md";
/// The command that writes the tables.
const COMMAND: &str = "cargo xtask verify-compiled-out --self-test";

/// Its text.
pub(super) struct Document(String);

impl Document {
    pub(super) fn read(workspace: &Workspace) -> Result<Self> {
        Ok(Self(workspace.read(PATH)?))
    }

    /// What stands between the markers of a region; `None` where there are none.
    pub(super) fn region(&self, name: &str) -> Option<&str> {
        driver_codegen::region_body(&self.0, &region(name)).map(|body| body.trim_matches('\n'))
    }

    /// Puts a table between the markers.
    pub(super) fn fill(&mut self, name: &str, table: &str) -> Result<()> {
        let (begin, end) =
            (format!("<!-- gen:{} begin", region(name)), format!("<!-- gen:{} end -->", region(name)));
        let place = self.0.find(&begin).and_then(|at| Some(at + self.0[at..].find('\n')? + 1));
        let place = place.and_then(|from| Some((from, from + self.0[from..].find(&end)?)));
        let Some((from, to)) = place else {
            return Err(Error::refused(
                format!("`{PATH}` has no region `{}`", region(name)),
                format!("add the lines `{begin} (written by `{COMMAND} --write`) -->` and `{end}`"),
            ));
        };
        self.0.replace_range(from..to, &format!("\n{table}\n\n"));
        Ok(())
    }

    pub(super) fn write(&self, workspace: &Workspace) -> Result<()> {
        let path = workspace.path(PATH);
        std::fs::write(&path, &self.0).map_err(Error::file("write", &path))
    }

    /// What is said of a region that does not hold what was measured.
    pub(super) fn stale(name: &str) -> String {
        format!("the table `{}` of {PATH} is not what was measured\nhint: {COMMAND} --write", region(name))
    }
}

fn region(name: &str) -> String {
    format!("self-test-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written_and_the_rest_stays() {
        let text =
            "before\n<!-- gen:self-test-leaks begin (x) -->\n<!-- gen:self-test-leaks end -->\nafter\n";
        let mut document = Document(text.to_owned());
        assert_eq!(document.region("leaks"), Some(""));
        for table in ["| a |\n| b |", "| c |"] {
            document.fill("leaks", table).unwrap();
            assert_eq!(document.region("leaks"), Some(table));
        }
        assert!(document.0.starts_with("before\n") && document.0.ends_with("end -->\nafter\n"));
        assert!(document.fill("profiles", "| d |").is_err());
    }
}
