//! A report as text for people, as JSON for scripts, as JUnit XML for CI services.

use std::fmt::Write as _;

use serde_json::json;

use crate::case::Level;
use crate::report::{Outcome, Report, Verdict};

/// One case as a line, with what to do about a failure below it. Ends with a newline.
pub(crate) fn line(outcome: &Outcome) -> String {
    let Outcome { case, verdict, took } = outcome;
    let millis = took.as_millis();
    match verdict {
        Verdict::Passed => format!("pass  {:<36} {millis:>6} ms\n", case.id),
        Verdict::Skipped(why) => format!("skip  {:<36} {why}\n", case.id),
        Verdict::Failed(text) => {
            let word = if case.level == Level::Required { "FAIL" } else { "warn" };
            format!(
                "{word}  {:<36} {millis:>6} ms  ({})\n      checks: {}\n      found:  {text}\n      why:    {}\n      mend:   {}\n",
                case.id, case.level, case.checks, case.why, case.mend
            )
        }
    }
}

/// The last lines.
pub(crate) fn summary(report: &Report) -> String {
    let (passed, failed, skipped) = report.counts();
    let (name, version) = &report.driver;
    let required = report.failed().filter(|case| case.level == Level::Required).count();
    let is_open = |outcome: &&Outcome| {
        outcome.case.level == Level::Required && matches!(outcome.verdict, Verdict::Skipped(_))
    };
    let verdict = match required {
        0 => match report.outcomes.iter().filter(is_open).count() {
            0 => "it keeps the contract".to_owned(),
            open => format!("it keeps the contract as far as that was tested ({open} required skipped)"),
        },
        1 => "1 required case failed".to_owned(),
        more => format!("{more} required cases failed"),
    };
    format!("\n{passed} passed, {failed} failed, {skipped} skipped; driver `{name}` {version}: {verdict}\n")
}

/// All of it as one JSON object, with a newline.
pub(crate) fn json(report: &Report) -> String {
    let (passed, failed, skipped) = report.counts();
    let cases: Vec<_> = report
        .outcomes
        .iter()
        .map(|Outcome { case, verdict, took }| {
            let (word, text) = parts(verdict);
            json!({
                "id": case.id, "group": case.group().name(), "level": case.level.name(), "verdict": word,
                "found": text, "checks": case.checks, "why": case.why, "mend": case.mend,
                "millis": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            })
        })
        .collect();
    let (name, version) = &report.driver;
    let whole = json!({
        "target": report.target, "driver_name": name, "driver_version": version, "holds": report.holds(),
        "passed": passed, "failed": failed, "skipped": skipped, "cases": cases,
    });
    format!("{whole:#}\n")
}

fn parts(verdict: &Verdict) -> (&'static str, Option<&str>) {
    match verdict {
        Verdict::Passed => ("passed", None),
        Verdict::Failed(text) => ("failed", Some(text)),
        Verdict::Skipped(text) => ("skipped", Some(text)),
    }
}

/// All of it as JUnit XML. A case that is not required and failed counts as skipped there: CI services know no middle.
pub(crate) fn junit(report: &Report) -> String {
    let broken = report.failed().filter(|case| case.level == Level::Required).count();
    let (passed, _, _) = report.counts();
    let skipped = report.outcomes.len() - passed - broken;
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"openshell-driver-conformance\" tests=\"{}\" \
         failures=\"{broken}\" skipped=\"{skipped}\">\n",
        report.outcomes.len()
    );
    for Outcome { case, verdict, took } in &report.outcomes {
        let _ = write!(
            out,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            case.group(),
            case.id,
            took.as_secs_f64()
        );
        let _ = match verdict {
            Verdict::Passed => writeln!(out, "/>"),
            Verdict::Failed(text) if case.level == Level::Required => writeln!(
                out,
                ">\n    <failure message=\"{}\">{}</failure>\n  </testcase>",
                escaped(text),
                escaped(&format!("{} {}", case.why, case.mend))
            ),
            Verdict::Failed(text) => writeln!(
                out,
                ">\n    <skipped message=\"{} and failed: {}\"/>\n  </testcase>",
                case.level,
                escaped(text)
            ),
            Verdict::Skipped(text) => {
                writeln!(out, ">\n    <skipped message=\"{}\"/>\n  </testcase>", escaped(text))
            }
        };
    }
    out.push_str("</testsuite>\n");
    out
}

/// A text in an attribute or an element; what XML cannot hold is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(' '),
            c if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report() -> Report {
        let case = |id| crate::cases().find(|case| case.id == id).expect("the case");
        let outcome = |id, verdict| Outcome { case: case(id), verdict, took: Duration::from_millis(7) };
        Report {
            target: "/run/x.sock".to_owned(),
            driver: ("x".to_owned(), "1".to_owned()),
            outcomes: vec![
                outcome("handshake.capabilities", Verdict::Passed),
                outcome("lifecycle.create-twice", Verdict::Failed("`<a>` & \"b\"\u{1}".to_owned())),
                outcome("errors.known-reasons", Verdict::Failed("odd".to_owned())),
                outcome("lifecycle.stop", Verdict::Skipped("cannot".to_owned())),
            ],
        }
    }

    #[test]
    fn every_form_says_what_failed_and_how_much_it_counts() {
        let report = report();
        assert!(!report.holds());
        assert!(line(&report.outcomes[1]).starts_with("FAIL  lifecycle.create-twice"));
        assert!(line(&report.outcomes[2]).starts_with("warn  errors.known-reasons"));
        assert_eq!(
            summary(&report),
            "\n1 passed, 2 failed, 1 skipped; driver `x` 1: 1 required case failed\n"
        );
        let mut open = report.clone();
        open.outcomes.retain(|outcome| !matches!(outcome.verdict, Verdict::Failed(_)));
        let said = summary(&open);
        assert!(
            said.ends_with("it keeps the contract as far as that was tested (1 required skipped)\n"),
            "{said}"
        );
        let parsed: serde_json::Value = serde_json::from_str(&json(&report)).expect("JSON");
        assert_eq!((&parsed["holds"], &parsed["cases"][1]["verdict"]), (&json!(false), &json!("failed")));
        let xml = junit(&report);
        assert!(xml.contains("tests=\"4\" failures=\"1\" skipped=\"2\""), "{xml}");
        assert!(xml.contains("message=\"`&lt;a&gt;` &amp; &quot;b&quot;\u{fffd}\""), "{xml}");
    }
}
