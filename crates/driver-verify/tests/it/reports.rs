//! The verdict as table, JSON, Markdown and statement.

use driver_verify::{
    Answer, Attested, Evidence, Fingerprint, PREDICATE_TYPE, StatementError, Subject, Tool, judge,
    read_statement, statement,
};

use crate::scene::{clean, of_file, question};

const LEAKY: &str = "
                 graph  messages  marker*  bytes*  symbols  self-report*  audit
sun    left out  -      -         leak     clean   -        clean         -
echo   left out  -      -         -        clean   -        clean         -
moon   selected  -      -         found    found   -        found         -
trace  selected  -      -         -        found   -        found         -

moon: leak
  sun · marker: `arm:sun` in the marker section
";

#[test]
fn the_table_is_of_drivers_and_layers() {
    let verdict = of_file(&clean().marker("arm:sun").elf());
    assert_eq!(format!("\n{}", verdict.table(false)), LEAKY);
    let coloured = verdict.table(true);
    assert!(coloured.contains("\x1b[1;31mleak\x1b[0m"), "{coloured}");
    let mut plain = coloured;
    for code in ["\x1b[32m", "\x1b[1;31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"] {
        plain = plain.replace(code, "");
    }
    let trimmed: Vec<_> = std::iter::once("").chain(plain.lines()).map(str::trim_end).collect();
    assert_eq!(trimmed, LEAKY.lines().collect::<Vec<_>>());
}

#[test]
fn a_file_that_cannot_be_read_is_told_once() {
    let table = of_file(b"").table(false);
    assert!(table.ends_with("moon: cannot certify\n  the file: it is empty\n"), "{table}");
}

#[test]
fn a_control_that_failed_says_what_to_do() {
    let table = of_file(&clean().marker("arm:pluto").elf()).table(false);
    assert!(table.contains("control failed: markers\n  hint: name the driver"), "{table}");
    assert!(table.contains("  control `markers`: nobody asked about the marker `arm:pluto`"), "{table}");
}

#[test]
fn many_findings_are_counted_and_all_are_in_the_json() {
    let mut question = question();
    for number in 0..20 {
        let text = format!("a text of the sun, number {number:02}");
        question.forbidden[0].fingerprints.push(Fingerprint::learned(text, "driver-sun@0.1.0"));
    }
    let texts: String =
        question.forbidden[0].fingerprints.iter().map(|it| format!("{}. ", it.text)).collect();
    let file = clean().text(&texts).report(&["moon", "sun"], &["trace"]).elf();
    let verdict = judge(&question, &Evidence::of_file(&file));
    let reasons = verdict.reasons();
    let bytes: Vec<_> = reasons.iter().filter(|reason| reason.starts_with("sun · bytes: ")).collect();
    assert_eq!(bytes.len(), 9);
    assert_eq!(bytes[8], "sun · bytes: and 14 more");
    assert!(!reasons.iter().any(|reason| reason.contains("the other layers do not see it")), "{reasons:?}");
    let json = verdict.json();
    assert_eq!(json["targets"][0]["layers"]["bytes"]["findings"].as_array().unwrap().len(), 22);
}

#[test]
fn json_has_every_layer_of_every_target() {
    let json = of_file(&clean().marker("arm:sun").elf()).json();
    assert_eq!(json["answer"], "leak");
    assert_eq!(json["file"]["format"], "ELF");
    assert_eq!(json["file"]["architecture"], "x86_64");
    let targets = json["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 4);
    for target in targets {
        assert_eq!(target["layers"].as_object().unwrap().len(), 7);
    }
    assert_eq!(targets[0]["layers"]["marker"]["findings"][0]["of"], "arm:sun");
    assert_eq!(json["controls"].as_array().unwrap().len(), 7);
}

#[test]
fn markdown_takes_no_markup_from_a_file() {
    let text = "/x/sunlight-2.1.0/src/<b>|`x";
    let markdown = of_file(&clean().text(text).elf()).markdown();
    assert!(markdown.starts_with("### moon: leak\n\n|  |  | graph |"), "{markdown}");
    assert!(markdown.contains("| sun | left out | - | - | clean | **leak** |"), "{markdown}");
    assert!(!markdown.contains("<b>"), "{markdown}");
}

#[test]
fn a_statement_is_tied_to_its_file() {
    let verdict = of_file(&clean().elf());
    let (hash, other) = ("ab".repeat(32), "cd".repeat(32));
    let subject = Subject { name: "openshell-gateway", sha256: &hash, size: 7 };
    let tool = Tool { version: "0.1.0", time: "2026-01-02T03:04:05Z", question_sha256: &other };
    let value = statement(&verdict, &subject, &tool);
    assert_eq!(value["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(value["predicateType"], PREDICATE_TYPE);
    assert_eq!(value["subject"][0]["digest"]["sha256"], hash);
    let read = read_statement(&value.to_string()).unwrap();
    let expected = Attested {
        name: "openshell-gateway".to_owned(),
        sha256: hash.clone(),
        size: 7,
        answer: Answer::Clean,
        version: "0.1.0".to_owned(),
        time: "2026-01-02T03:04:05Z".to_owned(),
        question_sha256: other.clone(),
    };
    assert_eq!(read, expected);
    assert_eq!(read.is_of(&hash.to_uppercase()), Ok(()));
    assert_eq!(read.is_of(&other), Err(StatementError::OtherFile { stated: hash, found: other }));
}

#[test]
fn what_is_no_statement_of_ours_is_refused() {
    let verdict = of_file(&clean().elf());
    let subject = Subject { name: "x", sha256: "00", size: 0 };
    let tool = Tool { version: "0", time: "", question_sha256: "" };
    let good = statement(&verdict, &subject, &tool);
    let changed = |path: &str, value: serde_json::Value| {
        let mut statement = good.clone();
        *statement.pointer_mut(path).unwrap() = value;
        read_statement(&statement.to_string()).unwrap_err()
    };
    assert!(matches!(changed("/_type", "x".into()), StatementError::OtherType(_)));
    assert!(matches!(changed("/predicateType", "x".into()), StatementError::OtherType(_)));
    assert!(matches!(changed("/predicate/answer", "fine".into()), StatementError::Malformed(_)));
    assert!(matches!(changed("/subject", serde_json::json!([])), StatementError::Malformed(_)));
    assert!(matches!(read_statement("{}"), Err(StatementError::Malformed(_))));
}
