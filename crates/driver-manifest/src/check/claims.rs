//! What only one may have: packages, sockets, and the crates that drivers and options own.

use std::collections::BTreeMap;

use crate::context::Context;
use crate::diagnostic::{Code, Sink, Span};
use crate::model::{Assembly, Kind};
use crate::nearest::did_you_mean;
use crate::raw::{At, Field, RawManifest};
use crate::words::{crate_key, is_package, shown};

/// Who claims something, and where; a claim of the main manifest has no place in an overlay's text.
struct Claim {
    by: String,
    at: Option<Span>,
}

/// All claims against each other and against what is known of the workspace.
pub(super) fn check(raw: &RawManifest, base: &Assembly, context: &Context, sink: &mut Sink) {
    packages(raw, base, sink);
    guests(raw, base, sink);
    sockets(raw, base, sink);
    owns(raw, base, context, sink);
}

fn packages(raw: &RawManifest, base: &Assembly, sink: &mut Sink) {
    let mut claims: BTreeMap<String, Claim> = BTreeMap::new();
    for driver in &base.drivers {
        if let Some(package) = driver.package() {
            claims
                .insert(crate_key(package), Claim { by: format!("the driver `{}`", driver.name), at: None });
        }
    }
    for entry in &raw.drivers {
        let Some(package) = entry.package.get().filter(|package| is_package(&package.value)) else {
            continue;
        };
        let by = driver_title(&entry.name);
        if let Some(first) = claims.get(&crate_key(&package.value)) {
            let error = sink.error(
                Code::DuplicatePackage,
                package.span.clone(),
                format!("the package `{}` is the crate of {} already", package.value, first.by),
            );
            error.label("again here");
            if let Some(at) = &first.at {
                error.also(at.clone(), "first here");
            }
            error.hint("each driver has a crate of its own, or leaving one out would leave nothing out");
        } else {
            claims.insert(crate_key(&package.value), Claim { by, at: Some(package.span.clone()) });
        }
    }
}

/// What runs inside a sandbox is a program of its own: a driver in it would be where no driver belongs.
fn guests(raw: &RawManifest, base: &Assembly, sink: &mut Sink) {
    let of_base = base.drivers.iter().filter_map(|driver| {
        Some((crate_key(driver.package()?), Claim { by: format!("the driver `{}`", driver.name), at: None }))
    });
    let of_text = raw.drivers.iter().filter_map(|entry| {
        let package = entry.package.get()?;
        let claim = Claim { by: driver_title(&entry.name), at: Some(package.span.clone()) };
        Some((crate_key(&package.value), claim))
    });
    let drivers: BTreeMap<String, Claim> = of_base.chain(of_text).collect();
    for guest in raw.drivers.iter().filter_map(|entry| entry.guest.get()).flat_map(|at| &at.value) {
        let Some(driver) = drivers.get(&crate_key(&guest.value)) else { continue };
        let error = sink.error(
            Code::BadPackage,
            guest.span.clone(),
            format!("the package `{}` is the crate of {}, and no guest", shown(&guest.value), driver.by),
        );
        if let Some(at) = &driver.at {
            error.also(at.clone(), "the driver's crate");
        }
        error.hint("what runs inside a sandbox is a program of its own, in a package of its own");
    }
}

/// Two programs cannot listen at one path.
fn sockets(raw: &RawManifest, base: &Assembly, sink: &mut Sink) {
    let mut claims: BTreeMap<&str, Claim> = BTreeMap::new();
    for driver in &base.drivers {
        if let Kind::Socket { path: Some(path) } = &driver.kind {
            claims.insert(path, Claim { by: format!("the driver `{}`", driver.name), at: None });
        }
    }
    for entry in &raw.drivers {
        let Some(socket) = entry.socket.get().filter(|socket| !socket.value.is_empty()) else { continue };
        if let Some(first) = claims.get(socket.value.as_str()) {
            let error = sink.error(
                Code::BadSocket,
                socket.span.clone(),
                format!("{} listens at `{}` already", first.by, shown(&socket.value)),
            );
            error.label("again here");
            if let Some(at) = &first.at {
                error.also(at.clone(), "first here");
            }
            error.hint("give each driver a socket of its own");
        } else {
            let claim = Claim { by: driver_title(&entry.name), at: Some(socket.span.clone()) };
            claims.insert(&socket.value, claim);
        }
    }
}

fn owns(raw: &RawManifest, base: &Assembly, context: &Context, sink: &mut Sink) {
    let mut claims: BTreeMap<String, Claim> = BTreeMap::new();
    let drivers = base.drivers.iter().map(|driver| (format!("the driver `{}`", driver.name), &driver.owns));
    let options = base.options.iter().map(|option| (format!("the option `{}`", option.name), &option.owns));
    for (by, owned) in drivers.chain(options) {
        for name in owned {
            claims.insert(crate_key(name), Claim { by: by.clone(), at: None });
        }
    }

    let mut claim = |by: &str, field: &Field<Vec<At<String>>>, sink: &mut Sink| {
        for name in field.get().into_iter().flat_map(|at| &at.value) {
            if !is_package(&name.value) {
                sink.error(
                    Code::BadOwns,
                    name.span.clone(),
                    format!("`{}` is not the name of a crate", shown(&name.value)),
                )
                .hint("write the crate's name alone, as Cargo.lock has it");
                continue;
            }
            match claims.get(&crate_key(&name.value)) {
                // Twice in one list is said where the list is read.
                Some(first) if first.by == by => {}
                Some(first) => {
                    let error = sink.error(
                        Code::OwnedTwice,
                        name.span.clone(),
                        format!("{by} claims the crate `{}`, and {} does too", name.value, first.by),
                    );
                    error.label("again here");
                    if let Some(at) = &first.at {
                        error.also(at.clone(), "first here");
                    }
                    error
                        .hint("a crate that two bring in is nobody's: leave it out of both, or split it off");
                }
                None => {
                    facts(by, name, context, sink);
                    let claim = Claim { by: by.to_owned(), at: Some(name.span.clone()) };
                    claims.insert(crate_key(&name.value), claim);
                }
            }
        }
    };
    for entry in &raw.drivers {
        claim(&driver_title(&entry.name), &entry.owns, sink);
    }
    for option in &raw.options {
        claim(&format!("the option `{}`", option.name.value), &option.owns, sink);
    }
}

/// A claimed crate against the workspace and its lock.
fn facts(by: &str, name: &At<String>, context: &Context, sink: &mut Sink) {
    if context.packages.as_ref().is_some_and(|packages| packages.contains_key(&name.value)) {
        sink.error(
            Code::BadOwns,
            name.span.clone(),
            format!("`{}` is a package of this workspace, which {by} cannot claim", name.value),
        )
        .hint("`owns` is for crates from elsewhere: a driver's own package is its own anyway");
    } else if let Some(locked) = context.locked.as_ref().filter(|locked| !locked.contains(&name.value)) {
        sink.error(
            Code::NotLocked,
            name.span.clone(),
            format!("the crate `{}` is not in Cargo.lock", name.value),
        )
        .label("a check for it would be void")
        .hint(did_you_mean(&name.value, locked.iter().map(String::as_str)).unwrap_or_else(|| {
            format!("`cargo tree -i {}` finds nothing: remove it, or add the dependency first", name.value)
        }));
    }
}

fn driver_title(name: &Field<String>) -> String {
    name.get().map_or_else(|| "a driver".to_owned(), |name| format!("the driver `{}`", shown(&name.value)))
}
