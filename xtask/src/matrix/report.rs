//! What came of the rows: a line while they run, a table and JSON at the end.

use std::time::{Duration, Instant};

use driver_codegen::matrix::Row;
use serde_json::{Value, json};

use super::judge::Done;
use crate::table::Table;

/// The rows and what came of them; `None` for one that was not gone through.
#[derive(Debug)]
pub(super) struct Report {
    profile: String,
    started: Instant,
    pub(super) rows: Vec<(Row, Option<Done>)>,
    /// Whether somebody ended it.
    pub(super) stopped: bool,
}

impl Done {
    fn verdict(&self) -> &'static str {
        if self.faults.is_empty() { "ok" } else { "FAILED" }
    }

    /// The row in one line.
    pub(super) fn line(&self) -> String {
        let mut line = format!("{}, {}", self.verdict(), seconds(self.took));
        line.extend(self.size.map(|size| format!(", {}", megabytes(size))));
        line.extend(self.crates.map(|crates| format!(", {crates} crates")));
        match self.faults.as_slice() {
            [] => line.push_str(&format!(", {}", self.seen)),
            faults => line.extend(faults.iter().map(|fault| format!("\n  {fault}"))),
        }
        line
    }
}

impl Report {
    /// Of rows that are yet to be gone through.
    pub(super) fn new(profile: &str, rows: Vec<Row>) -> Self {
        let rows = rows.into_iter().map(|row| (row, None)).collect();
        Self { profile: profile.to_owned(), started: Instant::now(), rows, stopped: false }
    }

    /// Whether all rows are green.
    pub(super) fn passed(&self) -> bool {
        self.rows.iter().all(|(_, done)| done.as_ref().is_some_and(|done| done.faults.is_empty()))
    }

    /// The table and the sum.
    pub(super) fn text(&self) -> String {
        let mut table = Table::new(["row", "does", "seconds", "size", "crates", "verdict", ""]);
        for (row, done) in &self.rows {
            let absent = || "-".to_owned();
            let Some(done) = done else {
                table.row([&titled(row), row.does.word(), "-", "-", "-", "not run", ""]);
                continue;
            };
            let size = done.size.map_or_else(absent, megabytes);
            let crates = done.crates.map_or_else(absent, |crates| crates.to_string());
            let note =
                done.faults.first().map_or(done.seen.as_str(), |fault| fault.lines().next().unwrap_or(""));
            let seconds = format!("{:.1}", done.took.as_secs_f64());
            table.row([&titled(row), row.does.word(), &seconds, &size, &crates, done.verdict(), note]);
        }
        let red = self.rows.iter().flat_map(|(_, done)| done).filter(|done| !done.faults.is_empty()).count();
        let run = self.rows.iter().filter(|(_, done)| done.is_some()).count();
        let (rows, took) = (self.rows.len(), seconds(self.started.elapsed()));
        let ended = if self.stopped { "interrupted: " } else { "" };
        let profile = &self.profile;
        let sum = format!("{ended}{run} of {rows} rows in profile `{profile}`, {red} failed, {took}\n");
        table.render() + "\n" + &sum
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(row, done)| {
            let done = done.as_ref();
            json!({
                "name": row.name,
                "also": row.also,
                "does": row.does.word(),
                "drivers": row.selection.drivers,
                "options": row.selection.options,
                "verdict": done.map_or("not run", Done::verdict),
                "seconds": done.map(|done| done.took.as_secs_f64()),
                "bytes": done.and_then(|done| done.size),
                "crates": done.and_then(|done| done.crates),
                "faults": done.map(|done| done.faults.as_slice()).unwrap_or_default(),
            })
        });
        json!({
            "schema_version": 1,
            "profile": self.profile,
            "passed": self.passed(),
            "interrupted": self.stopped,
            "seconds": self.started.elapsed().as_secs_f64(),
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

/// The rows without having gone through them.
pub(super) fn list(rows: &[Row]) -> String {
    let mut table = Table::new(["row", "does", "drivers", "options"]);
    for row in rows {
        let names = |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(",") };
        let (drivers, options) = (names(&row.selection.drivers), names(&row.selection.options));
        table.row([&titled(row), row.does.word(), &drivers, &options]);
    }
    table.render()
}

/// `[3/9] docker: …`.
pub(super) fn progress(place: usize, of: usize, row: &Row, said: &str) -> String {
    format!("[{}/{of}] {}: {said}", place + 1, titled(row))
}

/// The row's name, and its others in brackets.
fn titled(row: &Row) -> String {
    match row.also.as_slice() {
        [] => row.name.clone(),
        also => format!("{} ({})", row.name, also.join(", ")),
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

/// Decimal, as the budgets are.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use driver_codegen::matrix::{Wanted, rows};

    use super::*;
    use crate::selection::parse_manifest;

    /// Three rows: a green one, a red one, and one that was not gone through.
    fn report() -> Report {
        let text = "[[driver]]\nname = \"alpha\"\nsummary = \"x\"\nkind = \"in-tree\"\npackage = \"a\"\ndefault = true\n\
                    [[driver]]\nname = \"external\"\nsummary = \"x\"\nkind = \"socket\"\n";
        let assembly = parse_manifest(text.as_bytes()).expect("a manifest without a fault");
        let mut report = Report::new("dev", rows(&assembly, Wanted::default()).expect("rows"));
        report.rows.truncate(3);
        let took = Duration::from_millis(1250);
        let green =
            Done { took, size: None, crates: None, seen: "does not compile".to_owned(), faults: vec![] };
        let (size, crates) = (Some(41_260_000), Some(151));
        let faults = vec!["one\nin detail".to_owned(), "two".to_owned()];
        report.rows[0].1 = Some(green);
        report.rows[1].1 = Some(Done { took, size, crates, seen: "1 file clean".to_owned(), faults });
        report
    }

    #[test]
    fn the_table_says_what_was_run_and_what_was_not() {
        let text = report().text();
        let expected = "\
row              does    seconds  size     crates  verdict
none             refuse  1.2      -        -       ok       does not compile
default (alpha)  build   1.2      41.2 MB  151     FAILED   one
external         build   -        -        -       not run

2 of 3 rows in profile `dev`, 1 failed, 0.0 s
";
        assert_eq!(text, expected);
        let stopped = Report { stopped: true, ..report() };
        assert!(stopped.text().contains("\ninterrupted: 2 of 3 rows"), "{}", stopped.text());
    }

    #[test]
    fn only_rows_that_were_all_run_and_are_all_green_have_passed() {
        let mut report = report();
        assert!(!report.passed());
        report.rows.truncate(1);
        assert!(report.passed());
        report.rows[0].1 = None;
        assert!(!report.passed());
    }

    #[test]
    fn a_progress_line_has_all_faults() {
        let report = report();
        let line = |place: usize| {
            let (row, done) = &report.rows[place];
            progress(place, 3, row, &done.as_ref().map(Done::line).unwrap_or_default())
        };
        assert_eq!(line(0), "[1/3] none: ok, 1.2 s, does not compile");
        assert_eq!(
            line(1),
            "[2/3] default (alpha): FAILED, 1.2 s, 41.2 MB, 151 crates\n  one\nin detail\n  two"
        );
    }

    #[test]
    fn json_has_the_same() {
        let json = report().json();
        assert_eq!(json["rows"][1]["faults"][1], "two");
        assert_eq!(json["rows"][1]["bytes"], 41_260_000);
        assert_eq!(json["rows"][2]["verdict"], "not run");
        assert_eq!((&json["passed"], &json["profile"]), (&json!(false), &json!("dev")));
    }
}
