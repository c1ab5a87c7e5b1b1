//! The tables `[preset.<name>]`.

use std::collections::BTreeMap;

use crate::diagnostic::{Code, Sink};
use crate::model::{Assembly, Driver, Preset};
use crate::nearest::{did_you_mean, listed};
use crate::raw::{At, RawManifest, RawPreset};
use crate::words::{Named, shown};

use super::values;
use super::{Known, Owner, required};

/// Every preset.
pub(super) fn check(raw: &RawManifest, base: &Assembly, known: &Known, sink: &mut Sink) -> Vec<Preset> {
    raw.presets
        .iter()
        .map(|preset| {
            if base.preset(&preset.name.value).is_some() {
                sink.error(
                    Code::DuplicateKey,
                    preset.name.span.clone(),
                    format!("the main manifest has a preset `{}` already", preset.name.value),
                )
                .label("again here")
                .hint("give the overlay's preset another name");
            }
            one(preset, known, sink)
        })
        .collect()
}

/// The same preset, its drivers in the order of the manifest.
pub(super) fn in_order(mut preset: Preset, drivers: &[Driver]) -> Preset {
    preset.drivers.sort_by_key(|name| drivers.iter().position(|driver| driver.name == *name));
    preset
}

fn one(preset: &RawPreset, known: &Known, sink: &mut Sink) -> Preset {
    let title = format!("the preset `{}`", shown(&preset.name.value));
    let owner = Owner { title, at: &preset.name.span, whole: preset.whole };
    values::name(Named::Preset, &preset.name, sink);
    required(&preset.drivers, "drivers", &owner, "[\"…\"]", sink);
    if let Some(drivers) = preset.drivers.get().filter(|drivers| drivers.value.is_empty()) {
        sink.error(Code::EmptyList, drivers.span.clone(), format!("{} names no driver", owner.title))
            .label("nothing in it")
            .hint(format!("name one or more of {}", listed(known.drivers.iter().map(String::as_str))));
    }
    let drivers =
        values::unique("drivers", preset.drivers.get().map(|at| at.value.clone()).unwrap_or_default(), sink);
    for name in &drivers {
        driver(name, known, sink);
    }
    Preset {
        name: preset.name.value.clone(),
        drivers: drivers.into_iter().map(|name| name.value).collect(),
        options: options(preset, known, sink),
    }
}

/// A name that has to be a driver's.
pub(super) fn driver(name: &At<String>, known: &Known, sink: &mut Sink) {
    if !known.drivers_complete || known.drivers.contains(&name.value) {
        return;
    }
    let error = sink.error(
        Code::UnknownDriver,
        name.span.clone(),
        format!("no driver is named `{}`", shown(&name.value)),
    );
    let names = || known.drivers.iter().map(String::as_str);
    error
        .hint(did_you_mean(&name.value, names()).unwrap_or_else(|| format!("there are {}", listed(names()))));
}

/// `"x"` is on, `"-x"` is off; both at once is neither.
fn options(preset: &RawPreset, known: &Known, sink: &mut Sink) -> BTreeMap<String, bool> {
    let mut switched: BTreeMap<String, (bool, At<String>)> = BTreeMap::new();
    for word in values::list("options", &preset.options, sink) {
        let (name, on) = match word.value.strip_prefix('-') {
            Some(name) => (name, false),
            None => (word.value.strip_prefix('+').unwrap_or(&word.value), true),
        };
        if known.options_complete && !known.options.iter().any(|option| option == name) {
            let names = || known.options.iter().map(String::as_str);
            let error = sink.error(
                Code::UnknownOption,
                word.span.clone(),
                format!("no option is named `{}`", shown(name)),
            );
            error.hint(did_you_mean(name, names()).unwrap_or_else(|| {
                if known.options.is_empty() {
                    "the manifest has no option".to_owned()
                } else {
                    format!("there are {}", listed(names()))
                }
            }));
        }
        match switched.get(name) {
            Some((before, first)) if *before != on => {
                sink.error(
                    Code::Contradiction,
                    word.span.clone(),
                    format!("the option `{}` is switched on and off", shown(name)),
                )
                .label(if on { "on" } else { "off" })
                .also(first.span.clone(), if *before { "on" } else { "off" })
                .hint("keep one of the two");
            }
            Some((_, first)) => {
                sink.error(
                    Code::DuplicateItem,
                    word.span.clone(),
                    format!("the option `{}` is switched twice", shown(name)),
                )
                .label("again here")
                .also(first.span.clone(), "first here")
                .hint("remove one of the two");
            }
            None => {
                let name = name.to_owned();
                switched.insert(name, (on, word));
            }
        }
    }
    switched.into_iter().map(|(name, (on, _))| (name, on)).collect()
}
