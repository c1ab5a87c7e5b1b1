//! The tables `[option.<name>]`.

use std::collections::BTreeMap;

use crate::context::Context;
use crate::diagnostic::{Code, Sink, Span};
use crate::model::{Assembly, OptionSwitch};
use crate::nearest::did_you_mean;
use crate::raw::{At, RawManifest, RawOption};
use crate::words::{self, Named, shown};

use super::values;
use super::{Owner, required};

/// Every option, and what two of them cannot share.
pub(super) fn check(
    raw: &RawManifest,
    base: &Assembly,
    context: &Context,
    sink: &mut Sink,
) -> Vec<OptionSwitch> {
    clashes(raw, base, sink);
    let variables = base.options.iter().filter_map(|option| option.env.as_deref());
    let mut variables = Shared::new(variables);
    let mut features =
        Shared::new(base.options.iter().flat_map(|option| &option.features).map(String::as_str));
    raw.options
        .iter()
        .map(|option| {
            if let Some(env) = option.env.get()
                && let Some(first) = variables.claim(env)
            {
                let message = format!("another option has the variable `{}` already", shown(&env.value));
                taken(sink, Code::BadEnv, env, message, first);
            }
            for feature in option.features.get().into_iter().flat_map(|at| &at.value) {
                if let Some(first) = features.claim_for(feature, &option.name.value) {
                    let message = format!("another option turns `{}` on already", shown(&feature.value));
                    taken(sink, Code::BadFeature, feature, message, first);
                }
            }
            one(option, context, sink)
        })
        .collect()
}

fn taken(sink: &mut Sink, code: Code, at: &At<String>, message: String, first: Option<Span>) {
    let error = sink.error(code, at.span.clone(), message);
    error.label("again here");
    if let Some(first) = first {
        error.also(first, "first here");
    }
    error.hint("switching one of the two off would not switch it off: give it to one of them");
}

/// Values that one option alone may have.
struct Shared {
    seen: BTreeMap<String, (String, Option<Span>)>,
}

impl Shared {
    fn new<'a>(base: impl Iterator<Item = &'a str>) -> Self {
        Self { seen: base.map(|value| (value.to_owned(), (String::new(), None))).collect() }
    }

    /// Where it was claimed first, if it was.
    fn claim(&mut self, at: &At<String>) -> Option<Option<Span>> {
        self.claim_for(at, "")
    }

    /// The same, but none competes with itself.
    fn claim_for(&mut self, at: &At<String>, by: &str) -> Option<Option<Span>> {
        if let Some((owner, first)) = self.seen.get(&at.value) {
            let is_its_own = first.is_some() && !by.is_empty() && owner == by;
            return (!is_its_own).then(|| first.clone());
        }
        self.seen.insert(at.value.clone(), (by.to_owned(), Some(at.span.clone())));
        None
    }
}

/// An option's name against those of drivers, with which it shares a directory's name, and of the main manifest.
fn clashes(raw: &RawManifest, base: &Assembly, sink: &mut Sink) {
    for option in &raw.options {
        let name = &option.name;
        let driver =
            raw.drivers.iter().filter_map(|entry| entry.name.get()).find(|driver| driver.value == name.value);
        if driver.is_some() || base.driver(&name.value).is_some() {
            let error = sink.error(
                Code::AmbiguousName,
                name.span.clone(),
                format!("`{}` is the name of a driver and of an option", name.value),
            );
            error.label("the option");
            if let Some(driver) = driver {
                error.also(driver.span.clone(), "the driver");
            }
            error.hint("give one of the two another name");
        }
        if base.option(&name.value).is_some() {
            sink.error(
                Code::DuplicateKey,
                name.span.clone(),
                format!("the main manifest has an option `{}` already", name.value),
            )
            .label("again here")
            .hint("give the overlay's option another name");
        }
    }
}

fn one(option: &RawOption, context: &Context, sink: &mut Sink) -> OptionSwitch {
    let title = format!("the option `{}`", shown(&option.name.value));
    let owner = Owner { title, at: &option.name.span, whole: option.whole };
    values::name(Named::Option, &option.name, sink);
    required(&option.summary, "summary", &owner, "\"one line for lists\"", sink);
    let features = values::list("features", &option.features, sink);
    for named in &features {
        feature(named, context, sink);
    }
    if let Some(env) = option.env.get().filter(|env| !words::is_variable(&env.value)) {
        sink.error(
            Code::BadEnv,
            env.span.clone(),
            format!("`{}` is not the name of a variable", shown(&env.value)),
        )
        .hint("upper-case letters, digits and `_`: `OPENSHELL_…`");
    }
    OptionSwitch {
        name: option.name.value.clone(),
        summary: values::line("summary", &option.summary, sink),
        features: features.into_iter().map(|feature| feature.value).collect(),
        env: option.env.get().map(|env| env.value.clone()),
        default: option.default.get().is_some_and(|default| default.value),
        owns: values::list("owns", &option.owns, sink).into_iter().map(|name| name.value).collect(),
        evidence: values::evidence(&option.evidence, &owner, sink),
    }
}

/// `package/feature`.
fn feature(named: &At<String>, context: &Context, sink: &mut Sink) {
    let value = &named.value;
    let parts = value
        .split_once('/')
        .filter(|(package, feature)| words::is_package(package) && words::is_feature(feature));
    let Some((package, feature)) = parts else {
        sink.error(
            Code::BadFeature,
            named.span.clone(),
            format!("`{}` is not a `package/feature`", shown(value)),
        )
        .hint("name one of our crates and one of its features: `openshell-core/telemetry`");
        return;
    };
    if feature.starts_with("driver-") || feature == "default" {
        sink.error(Code::BadFeature, named.span.clone(), format!("an option cannot turn `{value}` on"))
            .label(if feature == "default" {
                "nobody could say what that brings"
            } else {
                "only the choice of a driver brings a driver"
            })
            .hint("give the crate a feature of the option's own");
        return;
    }
    let Some(packages) = &context.packages else { return };
    match packages.get(package) {
        None => {
            sink.error(
                Code::UnknownPackage,
                named.span.clone(),
                format!("the package `{package}` is not in this workspace"),
            )
            .hints(did_you_mean(package, packages.keys().map(String::as_str)));
        }
        Some(facts) => {
            if let Some(features) = facts.features.as_ref().filter(|features| !features.contains(feature)) {
                sink.error(
                    Code::UnknownFeature,
                    named.span.clone(),
                    format!("the package `{package}` has no feature `{feature}`"),
                )
                .hint(
                    did_you_mean(feature, features.iter().map(String::as_str))
                        .unwrap_or_else(|| format!("add `{feature} = []` to `[features]` of `{package}`")),
                );
            }
        }
    }
}
