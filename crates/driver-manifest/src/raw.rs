//! The first stage: a struct that mirrors the file, each value with its place, types checked and nothing else.

use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Code, Sink, Span};
use crate::schema::{self, Key};
use crate::syntax::Broken;
use crate::table::Table;

/// A value and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// A key of the schema in one table.
#[derive(Debug, Clone)]
pub(crate) enum Field<T> {
    /// Not there.
    Absent,
    /// There, but of no use, which has been reported.
    Broken { key: Span },
    /// There.
    Given { key: Span, at: At<T> },
}

impl<T> Field<T> {
    pub(crate) fn get(&self) -> Option<&At<T>> {
        match self {
            Self::Given { at, .. } => Some(at),
            Self::Absent | Self::Broken { .. } => None,
        }
    }

    /// Where the key is, if it is there at all.
    pub(crate) fn key(&self) -> Option<&Span> {
        match self {
            Self::Given { key, .. } | Self::Broken { key } => Some(key),
            Self::Absent => None,
        }
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct RawManifest {
    pub(crate) drivers: Vec<RawDriver>,
    pub(crate) budget: Field<RawBudget>,
    pub(crate) options: Vec<RawOption>,
    pub(crate) presets: Vec<RawPreset>,
    /// `[defaults]`.
    pub(crate) defaults: Option<RawDefaults>,
    /// Whether all that is in the text was read, so that what is not there is missing.
    pub(crate) whole: bool,
}

/// `[[driver]]`.
#[derive(Debug)]
pub(crate) struct RawDriver {
    /// The header.
    pub(crate) at: Span,
    /// Whether all of the table was read.
    pub(crate) whole: bool,
    pub(crate) name: Field<String>,
    pub(crate) summary: Field<String>,
    pub(crate) docs: Field<RawDocs>,
    pub(crate) kind: Field<String>,
    pub(crate) package: Field<String>,
    pub(crate) path: Field<String>,
    pub(crate) version: Field<String>,
    pub(crate) git: Field<String>,
    pub(crate) rev: Field<String>,
    pub(crate) socket: Field<String>,
    pub(crate) detect: Field<bool>,
    pub(crate) before: Field<String>,
    pub(crate) after: Field<String>,
    pub(crate) default: Field<bool>,
    pub(crate) platforms: Field<Vec<At<String>>>,
    pub(crate) owns: Field<Vec<At<String>>>,
    pub(crate) guest: Field<Vec<At<String>>>,
    pub(crate) supervisor: Field<bool>,
    pub(crate) evidence: Field<RawEvidence>,
    pub(crate) budget: Field<RawBudget>,
}

/// `[defaults]`.
#[derive(Debug)]
pub(crate) struct RawDefaults {
    /// The table's own key.
    pub(crate) key: Span,
    /// What it says, by name, in the order of the text.
    pub(crate) flags: Vec<(At<String>, bool)>,
}

/// `docs`, as a text or as a table.
#[derive(Debug, Clone)]
pub(crate) enum RawDocs {
    Text(At<String>),
    Table { runs: Field<String>, boundary: Field<String> },
}

/// `evidence`.
#[derive(Debug, Clone)]
pub(crate) struct RawEvidence {
    pub(crate) texts: Field<Vec<At<String>>>,
}

/// `budget`.
#[derive(Debug, Clone)]
pub(crate) struct RawBudget {
    pub(crate) crates: Field<u64>,
    pub(crate) bytes: Field<u64>,
    pub(crate) crates_percent: Field<u64>,
    pub(crate) bytes_percent: Field<u64>,
}

/// `[option.<name>]`.
#[derive(Debug)]
pub(crate) struct RawOption {
    pub(crate) name: At<String>,
    pub(crate) whole: bool,
    pub(crate) summary: Field<String>,
    pub(crate) features: Field<Vec<At<String>>>,
    pub(crate) env: Field<String>,
    pub(crate) default: Field<bool>,
    pub(crate) owns: Field<Vec<At<String>>>,
    pub(crate) evidence: Field<RawEvidence>,
}

/// `[preset.<name>]`.
#[derive(Debug)]
pub(crate) struct RawPreset {
    pub(crate) name: At<String>,
    pub(crate) whole: bool,
    pub(crate) drivers: Field<Vec<At<String>>>,
    pub(crate) options: Field<Vec<At<String>>>,
}

/// The tree of a text to the struct that mirrors it.
pub(crate) fn read(tree: &DeTable<'_>, broken: &Broken, sink: &mut Sink) -> RawManifest {
    let file = Table::open("the manifest", tree, schema::MANIFEST, broken, sink);
    let (drivers, whole) = drivers(&file, sink);
    RawManifest {
        drivers,
        budget: budget(&file, schema::DEFAULT_BUDGET, sink),
        options: named(&file, "option", sink)
            .into_iter()
            .map(|(name, table, at)| {
                option(name, &Table::open(at, table, schema::OPTION, broken, sink), sink)
            })
            .collect(),
        presets: named(&file, "preset", sink)
            .into_iter()
            .map(|(name, table, at)| {
                preset(name, &Table::open(at, table, schema::PRESET, broken, sink), sink)
            })
            .collect(),
        defaults: defaults(&file, sink),
        whole: whole && !broken.hides_tables(),
    }
}

/// The entries, and whether these are all.
fn drivers(file: &Table<'_, '_>, sink: &mut Sink) -> (Vec<RawDriver>, bool) {
    const EXPECTED: &str = "a list of tables";
    const HINT: &str = "write `[[driver]]`, and its keys below";
    let Some((key, value)) = file.find("driver") else { return (Vec::new(), true) };
    let mut whole = !file.is_split("driver");
    let mut found = Vec::new();
    let mut entry = |span: Span, table: &DeTable<'_>, sink: &mut Sink| {
        let table = Table::open("`[[driver]]`", table, schema::DRIVER, file.broken, sink);
        found.push(driver(span, &table, sink));
    };
    match value.get_ref() {
        DeValue::Array(elements) => {
            for element in elements {
                if let DeValue::Table(table) = element.get_ref() {
                    entry(element.span(), table, sink);
                } else {
                    whole = false;
                    file.wrong_type("driver", EXPECTED, element, HINT, sink);
                }
            }
        }
        DeValue::Table(table) => {
            sink.error(Code::WrongType, key.clone(), "`driver` takes a list of tables, not a table")
                .label("a table")
                .hint("write `[[driver]]`, with two brackets");
            entry(key, table, sink);
        }
        _ => {
            whole = false;
            file.wrong_type("driver", EXPECTED, value, HINT, sink);
        }
    }
    (found, whole)
}

/// The tables below `[option]` or `[preset]`, in the order of the text.
fn named<'r, 't>(
    file: &Table<'r, 't>,
    key: &'static str,
    sink: &mut Sink,
) -> Vec<(At<String>, &'r DeTable<'t>, String)> {
    let Some((_, value)) = file.find(key) else { return Vec::new() };
    let hint = format!("write `[{key}.<name>]`");
    let DeValue::Table(tables) = value.get_ref() else {
        file.wrong_type(key, "a table of tables", value, &hint, sink);
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, value) in tables.iter() {
        let at = At { value: name.get_ref().to_string(), span: name.span() };
        match value.get_ref() {
            DeValue::Table(table) => {
                let place = format!("`[{key}.{}]`", at.value);
                found.push((at, table, place));
            }
            _ => file.wrong_type(&format!("{key}.{}", at.value), "a table", value, &hint, sink),
        }
    }
    found.sort_by_key(|(name, ..)| name.span.start);
    found
}

/// The flags of `[defaults]`.
fn defaults(file: &Table<'_, '_>, sink: &mut Sink) -> Option<RawDefaults> {
    let (key, value) = file.find("defaults")?;
    let DeValue::Table(table) = value.get_ref() else {
        file.wrong_type("defaults", "a table", value, "write `[defaults]`, and `name = true` below", sink);
        return None;
    };
    let mut flags = Vec::new();
    for (name, value) in table.iter() {
        let at = At { value: name.get_ref().to_string(), span: name.span() };
        match value.get_ref() {
            DeValue::Boolean(flag) => flags.push((at, *flag)),
            _ => {
                let hint = "write `true` or `false`, without quotes";
                file.wrong_type(&format!("defaults.{}", at.value), "`true` or `false`", value, hint, sink);
            }
        }
    }
    flags.sort_by_key(|(name, _)| name.span.start);
    Some(RawDefaults { key, flags })
}

fn driver(at: Span, table: &Table<'_, '_>, sink: &mut Sink) -> RawDriver {
    RawDriver {
        whole: !table.broken.table(at.start),
        at,
        name: table.text("name", sink),
        summary: table.text("summary", sink),
        docs: docs(table, sink),
        kind: table.text("kind", sink),
        package: table.text("package", sink),
        path: table.text("path", sink),
        version: table.text("version", sink),
        git: table.text("git", sink),
        rev: table.text("rev", sink),
        socket: table.text("socket", sink),
        detect: table.flag("detect", sink),
        before: table.text("before", sink),
        after: table.text("after", sink),
        default: table.flag("default", sink),
        platforms: table.list("platforms", sink),
        owns: table.list("owns", sink),
        guest: table.list("guest", sink),
        supervisor: table.flag("supervisor", sink),
        evidence: evidence(table, sink),
        budget: budget(table, schema::BUDGET, sink),
    }
}

fn docs(table: &Table<'_, '_>, sink: &mut Sink) -> Field<RawDocs> {
    let hint = "write `docs = { runs = \"…\", boundary = \"…\" }`";
    table.read("docs", "a text or a table", hint, sink, |value, span, sink| match value {
        DeValue::String(text) => Some(RawDocs::Text(At { value: text.to_string(), span })),
        DeValue::Table(inner) => {
            let inner = Table::open("`docs`", inner, schema::DOCS, table.broken, sink);
            Some(RawDocs::Table { runs: inner.text("runs", sink), boundary: inner.text("boundary", sink) })
        }
        _ => None,
    })
}

fn evidence(table: &Table<'_, '_>, sink: &mut Sink) -> Field<RawEvidence> {
    table.read("evidence", "a table", "write `evidence = { texts = [\"…\"] }`", sink, |value, _, sink| {
        let DeValue::Table(inner) = value else { return None };
        let inner = Table::open("`evidence`", inner, schema::EVIDENCE, table.broken, sink);
        Some(RawEvidence { texts: inner.list("texts", sink) })
    })
}

fn budget(table: &Table<'_, '_>, known: &'static [Key], sink: &mut Sink) -> Field<RawBudget> {
    table.read(
        "budget",
        "a table",
        "write `budget = { crates = 40, bytes = 2_000_000 }`",
        sink,
        |value, _, sink| {
            let DeValue::Table(inner) = value else { return None };
            let inner = Table::open("`budget`", inner, known, table.broken, sink);
            Some(RawBudget {
                crates: inner.number("crates", sink),
                bytes: inner.number("bytes", sink),
                crates_percent: inner.number("crates_percent", sink),
                bytes_percent: inner.number("bytes_percent", sink),
            })
        },
    )
}

fn option(name: At<String>, table: &Table<'_, '_>, sink: &mut Sink) -> RawOption {
    RawOption {
        whole: !table.broken.table(name.span.start),
        name,
        summary: table.text("summary", sink),
        features: table.list("features", sink),
        env: table.text("env", sink),
        default: table.flag("default", sink),
        owns: table.list("owns", sink),
        evidence: evidence(table, sink),
    }
}

fn preset(name: At<String>, table: &Table<'_, '_>, sink: &mut Sink) -> RawPreset {
    RawPreset {
        whole: !table.broken.table(name.span.start),
        name,
        drivers: table.list("drivers", sink),
        options: table.list("options", sink),
    }
}
