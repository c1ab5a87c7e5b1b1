//! The second stage: what the file says, checked, as a model that cannot be wrong.
//!
//! Each check reports what it finds and returns what it can. A value that an earlier stage reported is skipped; the
//! caller drops the assembly when anything at all was an error, so what stands in for it is never seen.

mod claims;
mod defaults;
mod driver;
mod options;
mod order;
mod presets;
mod source;
mod values;

use crate::context::Context;
use crate::diagnostic::{Code, Sink, Span};
use crate::model::{Assembly, Budget, Driver, EXTERNAL, OptionSwitch};
use crate::nearest::{listed, nearest};
use crate::raw::{At, Field, RawDriver, RawManifest};
use crate::schema::KINDS;
use crate::words::shown;

/// The entry that every manifest has.
const EXTERNAL_ENTRY: &str =
    "add `[[driver]]` with `name = \"external\"`, `summary = \"…\"`, `kind = \"socket\"`, `default = true`";

/// A file with nothing in it.
pub(crate) fn empty(sink: &mut Sink) {
    sink.error(Code::EmptyManifest, 0..0, "the manifest is empty")
        .label("no driver here")
        .hint(EXTERNAL_ENTRY)
        .hint("`git restore drivers.toml` brings the committed one back");
}

/// The file to the model. To be used only if the sink has no error afterwards.
pub(crate) fn check(raw: &RawManifest, context: &Context, sink: &mut Sink) -> Assembly {
    let base = context.base().cloned().unwrap_or_default();
    let mut drivers: Vec<Driver> =
        raw.drivers.iter().map(|entry| driver::check(entry, context, sink)).collect();
    names(raw, &base, sink);
    external(raw, context, sink);
    claims::check(raw, &base, context, sink);
    let options = options::check(raw, &base, context, sink);
    let budget = default_budget(raw, &base, sink);

    let known = Known::of(raw, &base);
    let presets = presets::check(raw, &base, &known, sink);
    let order = order::check(raw, &base, context, &known, sink);
    let mut all = base.drivers.clone();
    all.append(&mut drivers);
    let mut options: Vec<OptionSwitch> = base.options.iter().cloned().chain(options).collect();
    defaults::check(raw, context, &mut all, &mut options, sink);
    let is_default = all.iter().any(|driver| driver.default);
    if let (Some(first), false, false) = (raw.drivers.first(), is_default, sink.has_errors()) {
        sink.warning(Code::NothingDefault, first.at.clone(), "no driver is in the default features")
            .hint("a plain `cargo build` will have nothing to build: say `default = true` for one");
    }

    if let Some(order) = order {
        all.sort_by_key(|driver| order.iter().position(|name| *name == driver.name));
    }
    Assembly {
        presets: base
            .presets
            .into_iter()
            .chain(presets)
            .map(|preset| presets::in_order(preset, &all))
            .collect(),
        options,
        drivers: all,
        budget,
    }
}

/// What the gateway of the default features may cost. An overlay's word goes over the main manifest's.
fn default_budget(raw: &RawManifest, base: &Assembly, sink: &mut Sink) -> Budget {
    let Some(given) = raw.budget.get() else { return base.budget };
    let owner = Owner { title: "the default gateway".to_owned(), at: &given.span, whole: raw.whole };
    driver::budget(&raw.budget, &owner, sink)
}

/// The names that may be referred to.
struct Known {
    drivers: Vec<String>,
    options: Vec<String>,
    /// Whether these are all drivers: one whose name could not be read may be the one that somebody refers to.
    drivers_complete: bool,
    options_complete: bool,
}

impl Known {
    fn of(raw: &RawManifest, base: &Assembly) -> Self {
        let given = raw.drivers.iter().filter_map(|entry| entry.name.get());
        Self {
            drivers: base
                .drivers
                .iter()
                .map(|driver| driver.name.clone())
                .chain(given.map(|name| name.value.clone()))
                .collect(),
            options: base
                .options
                .iter()
                .map(|option| option.name.clone())
                .chain(raw.options.iter().map(|option| option.name.value.clone()))
                .collect(),
            drivers_complete: raw.whole && raw.drivers.iter().all(|entry| entry.name.get().is_some()),
            options_complete: raw.whole,
        }
    }
}

/// Names of drivers against each other.
fn names(raw: &RawManifest, base: &Assembly, sink: &mut Sink) {
    let mut seen: Vec<&At<String>> = Vec::new();
    for name in raw.drivers.iter().filter_map(|entry| entry.name.get()) {
        if let Some(first) = seen.iter().find(|first| first.value == name.value) {
            sink.error(
                Code::DuplicateDriver,
                name.span.clone(),
                format!("two drivers are named `{}`", shown(&name.value)),
            )
            .label("again here")
            .also(first.span.clone(), "first here")
            .hint("remove one of the two entries, or give it another name");
            continue;
        }
        if base.driver(&name.value).is_some() {
            sink.error(
                Code::DuplicateDriver,
                name.span.clone(),
                format!("the main manifest has a driver `{}` already", name.value),
            )
            .label("again here")
            .hint("give the overlay's driver another name");
        }
        for (what, is_taken) in [
            ("an option", base.option(&name.value).is_some()),
            ("a preset", base.preset(&name.value).is_some()),
        ] {
            if is_taken {
                let message = format!("the main manifest has {what} `{}`", name.value);
                sink.error(Code::AmbiguousName, name.span.clone(), message)
                    .label("the driver")
                    .hint("give the overlay's driver another name");
            }
        }
        seen.push(name);
    }
    let of_base = base.drivers.iter().map(|driver| (driver.name.as_str(), None));
    let of_text = seen.iter().map(|name| (name.value.as_str(), Some(name.span.clone())));
    ambiguous(&of_base.chain(of_text).collect::<Vec<_>>(), sink);
}

/// A name, and where it is in the text, if it is.
type Placed<'n> = (&'n str, Option<Span>);

/// Names that others make when they are joined: two selections would have one name, and one directory.
fn ambiguous(names: &[Placed<'_>], sink: &mut Sink) {
    for (index, whole) in names.iter().enumerate() {
        let others: Vec<Placed<'_>> = [&names[..index], &names[index + 1..]].concat();
        let Some(parts) = joined(whole.0, &others) else { continue };
        let mut places =
            std::iter::once(whole).chain(&parts).filter_map(|(name, at)| at.clone().map(|at| (*name, at)));
        // Names that are all of the main manifest are its own affair.
        let Some((_, first)) = places.next() else { continue };
        let list = listed(parts.iter().map(|(name, _)| *name));
        let error = sink.error(
            Code::AmbiguousName,
            first,
            format!("`{}` is also the name of the selection of {list}", shown(whole.0)),
        );
        error.label("a build of either would land in the same directory");
        for (name, at) in places {
            error.also(at, format!("`{name}` is one of them"));
        }
        error.hint("give it another name");
    }
}

/// The names, two or more and in order, that make `whole` when joined by `-`.
fn joined<'n>(whole: &str, names: &[Placed<'n>]) -> Option<Vec<Placed<'n>>> {
    for (index, name) in names.iter().enumerate() {
        let Some(rest) = whole.strip_prefix(name.0).and_then(|rest| rest.strip_prefix('-')) else { continue };
        let later = &names[index + 1..];
        let last = later.iter().find(|name| name.0 == rest).map(|name| vec![name.clone()]);
        if let Some(tail) = last.or_else(|| joined(rest, later)) {
            return Some(std::iter::once(name.clone()).chain(tail).collect());
        }
    }
    None
}

/// The word of the schema: one entry, of kind `socket`, without a path.
fn external(raw: &RawManifest, context: &Context, sink: &mut Sink) {
    let entries: Vec<&RawDriver> = raw
        .drivers
        .iter()
        .filter(|entry| entry.name.get().is_some_and(|name| name.value == EXTERNAL))
        .collect();
    for entry in &entries {
        if let Some(kind) = entry.kind.get().filter(|kind| KINDS.contains(&kind.value.as_str()))
            && kind.value != "socket"
        {
            sink.error(
                Code::BadExternal,
                kind.span.clone(),
                format!("`external` is any driver behind a socket, not `{}`", kind.value),
            )
            .hint("say `kind = \"socket\"`, or give the driver another name");
        } else if let Some(key) = entry.socket.key() {
            sink.error(Code::BadExternal, key.clone(), "`external` has no socket of its own")
                .label("the operator names the socket when the gateway starts")
                .hint("leave `socket` out, or give the driver another name");
        }
    }
    let complete = raw.whole && raw.drivers.iter().all(|entry| entry.name.get().is_some());
    if !entries.is_empty() || !complete || context.base().is_some() {
        return;
    }
    let misspelt = raw
        .drivers
        .iter()
        .filter_map(|entry| entry.name.get())
        .find(|name| nearest(&name.value, [EXTERNAL]).is_some());
    let (at, label, hint) = match (misspelt, raw.drivers.last()) {
        (Some(name), _) => (name.span.clone(), "the nearest name", "did you mean `external`?"),
        (None, Some(last)) => (last.at.clone(), "the last of the drivers", EXTERNAL_ENTRY),
        (None, None) => (0..0, "no driver at all", EXTERNAL_ENTRY),
    };
    sink.error(Code::MissingExternal, at, "no driver is named `external`").label(label).hint(hint);
}

/// Reports that a required key is not there, if all of the table was read.
fn required<T>(field: &Field<T>, key: &str, owner: &Owner<'_>, example: &str, sink: &mut Sink) {
    if field.key().is_none() && owner.whole {
        sink.error(Code::MissingKey, owner.at.clone(), format!("{} has no `{key}`", owner.title))
            .hint(format!("add `{key} = {example}`"));
    }
}

/// The table that a key belongs to, for messages.
struct Owner<'r> {
    title: String,
    at: &'r Span,
    whole: bool,
}
