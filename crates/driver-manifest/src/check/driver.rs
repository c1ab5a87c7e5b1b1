//! One `[[driver]]` on its own; what it is against the others is checked elsewhere.

use crate::context::Context;
use crate::diagnostic::{Code, Sink};
use crate::model::{Budget, Driver, Kind};
use crate::nearest::{did_you_mean, listed};
use crate::platform;
use crate::raw::{At, Field, RawBudget, RawDriver};
use crate::schema::KINDS;
use crate::words::{Named, shown};

use super::values;
use super::{Owner, required, source};

/// An entry to a driver.
pub(super) fn check(entry: &RawDriver, context: &Context, sink: &mut Sink) -> Driver {
    let owner = owner(entry);
    required(&entry.name, "name", &owner, "\"…\"", sink);
    required(&entry.summary, "summary", &owner, "\"one line for lists and errors\"", sink);
    required(&entry.kind, "kind", &owner, "\"in-tree\"", sink);
    if let Some(name) = entry.name.get() {
        values::name(Named::Driver, name, sink);
    }
    let kind = kind(entry, sink);
    let model = match kind {
        Some(kind) => {
            source::keys_of_other_kinds(entry, kind, &owner, sink);
            source::check(entry, kind, &owner, context, sink)
        }
        None => Kind::Socket { path: None },
    };
    Driver {
        name: entry.name.get().map(|name| name.value.clone()).unwrap_or_default(),
        summary: values::line("summary", &entry.summary, sink),
        docs: values::docs(&entry.docs, &owner, sink),
        default: default(entry, &model),
        detect: detect(entry, kind, &owner, sink),
        platforms: platforms(&entry.platforms, sink),
        guest: source::guests(entry, context, sink),
        owns: values::list("owns", &entry.owns, sink).into_iter().map(|name| name.value).collect(),
        evidence: values::evidence(&entry.evidence, &owner, sink),
        budget: budget(&entry.budget, &owner, sink),
        kind: model,
    }
}

fn owner(entry: &RawDriver) -> Owner<'_> {
    let title = match entry.name.get() {
        Some(name) => format!("the driver `{}`", shown(&name.value)),
        None => "this `[[driver]]`".to_owned(),
    };
    Owner { title, at: &entry.at, whole: entry.whole }
}

/// The word of the kind, if it is one.
fn kind(entry: &RawDriver, sink: &mut Sink) -> Option<&'static str> {
    let kind = entry.kind.get()?;
    let known = KINDS.iter().copied().find(|known| *known == kind.value);
    if known.is_none() {
        let word = shown(&kind.value);
        let error = sink.error(Code::UnknownKind, kind.span.clone(), format!("unknown kind `{word}`"));
        error.hint(
            did_you_mean(&kind.value, KINDS.iter().copied())
                .unwrap_or_else(|| format!("a kind is one of {}", listed(KINDS.iter().copied()))),
        );
    }
    known
}

/// Ours are in the default features unless they say otherwise; others are not.
fn default(entry: &RawDriver, kind: &Kind) -> bool {
    let ours = matches!(kind, Kind::InTree { .. } | Kind::Process { .. });
    entry.default.get().map_or(ours, |default| default.value)
}

fn detect(entry: &RawDriver, kind: Option<&str>, owner: &Owner<'_>, sink: &mut Sink) -> bool {
    let Some(detect) = entry.detect.get() else { return false };
    if let Some(kind @ ("process" | "socket")) = kind
        && detect.value
    {
        let error = sink.error(
            Code::CannotDetect,
            detect.span.clone(),
            format!("{} cannot be detected: a driver of the kind `{kind}` has no probe", owner.title),
        );
        if let Some(kind) = entry.kind.get() {
            error.also(kind.span.clone(), "its kind");
        }
        error.hint("leave `detect` out: it runs when somebody names it");
    }
    detect.value
}

fn platforms(field: &Field<Vec<At<String>>>, sink: &mut Sink) -> Vec<String> {
    let Some(words) = field.get() else { return Vec::new() };
    if words.value.is_empty() {
        sink.error(Code::EmptyList, words.span.clone(), "`platforms` is empty")
            .label("no platform at all")
            .hint("leave `platforms` out for a driver that runs everywhere");
    }
    let mut spelled = Vec::new();
    for word in &words.value {
        match platform::parse(&word.value) {
            Ok(value) => spelled.push(At { value, span: word.span.clone() }),
            Err(bad) => {
                sink.error(Code::BadPlatform, word.span.clone(), bad.message).hint(bad.hint);
            }
        }
    }
    values::unique("platforms", spelled, sink).into_iter().map(|word| word.value).collect()
}

/// What may be spent, by a driver or by the default gateway.
pub(super) fn budget(field: &Field<RawBudget>, owner: &Owner<'_>, sink: &mut Sink) -> Budget {
    let Some(budget) = field.get() else { return Budget::default() };
    let RawBudget { crates, bytes, crates_percent, bytes_percent } = &budget.value;
    let absolute = [("crates", crates), ("bytes", bytes)];
    let relative = [("crates_percent", crates_percent), ("bytes_percent", bytes_percent)];
    let none = absolute.iter().chain(&relative).all(|(_, field)| field.key().is_none());
    if owner.whole && none {
        sink.error(
            Code::MissingKey,
            budget.span.clone(),
            format!("`budget` of {} bounds nothing", owner.title),
        )
        .hint("add `crates = …` or `bytes = …`, or leave `budget` out");
    }
    for (key, field) in absolute {
        if let Some(zero) = field.get().filter(|number| number.value == 0) {
            sink.error(Code::BadBudget, zero.span.clone(), format!("no gateway costs 0 {key}"))
                .hint(format!("leave `{key}` out for no bound"));
        }
    }
    for (key, field) in relative {
        if let Some(wrong) = field.get().filter(|number| !(1..=100).contains(&number.value)) {
            let message = format!("`{key}` is a share of the gateway with every driver, from 1 to 100");
            sink.error(Code::BadBudget, wrong.span.clone(), message)
                .hint(format!("leave `{key}` out for no bound"));
        }
    }
    let value = |field: &Field<u64>| field.get().map(|number| number.value);
    Budget {
        crates: value(crates),
        bytes: value(bytes),
        crates_percent: value(crates_percent),
        bytes_percent: value(bytes_percent),
    }
}
