//! What a kind needs and what it refuses: packages, where foreign crates come from, sockets.

use std::collections::BTreeMap;
use std::str::FromStr;

use semver::VersionReq;

use crate::context::{Context, DRIVER_API, PackageFacts};
use crate::diagnostic::{Code, Sink, Span};
use crate::model::{CrateSource, Kind};
use crate::nearest::{did_you_mean, listed};
use crate::raw::{At, Field, RawDriver};
use crate::words::{self, shown};

use super::{Owner, required, values};

/// Keys that not every kind takes, and the kinds that do.
const KEYS: &[(&str, &[&str])] = &[
    ("package", &["in-tree", "process", "crate"]),
    ("path", &["crate"]),
    ("version", &["crate"]),
    ("git", &["crate"]),
    ("rev", &["crate"]),
    ("socket", &["socket"]),
    ("owns", &["in-tree", "process", "crate"]),
    ("guest", &["in-tree", "process", "crate"]),
    ("supervisor", &["process"]),
    ("evidence", &["in-tree", "process", "crate"]),
];

/// What the address of a Unix socket holds on every platform, in bytes.
const LONGEST_SOCKET: usize = 103;

/// Refuses keys that mean nothing for this kind.
pub(super) fn keys_of_other_kinds(entry: &RawDriver, kind: &str, owner: &Owner<'_>, sink: &mut Sink) {
    for (key, kinds) in KEYS {
        // `external` has rules of its own for its socket.
        let Some(span) = key_span(entry, key).filter(|_| !kinds.contains(&kind)) else { continue };
        let error = sink.error(
            Code::KeyOfOtherKind,
            span.clone(),
            format!("`{key}` means nothing for {}, whose kind is `{kind}`", owner.title),
        );
        let word = if kinds.len() == 1 { "kind" } else { "kinds" };
        error.label(format!("for the {word} {}", listed(kinds.iter().copied())));
        if let Some(kind) = entry.kind.get() {
            error.also(kind.span.clone(), "its kind");
        }
        error.hint(match (*key, kind) {
            ("path" | "version" | "git" | "rev", "in-tree" | "process") => {
                "leave it out: a package of this workspace is found by its name; a foreign crate is `kind = \"crate\"`"
                    .to_owned()
            }
            ("owns" | "evidence", _) => "leave it out: nothing of the driver is in a gateway".to_owned(),
            ("guest", _) => "leave it out: whoever runs the driver brings what it puts into its sandboxes".to_owned(),
            ("supervisor", "socket") => "leave it out: the operator says `supervisor = \"driver\"` where it brings one".to_owned(),
            ("supervisor", _) => "leave it out: the driver's own code says it, `DriverFactory::delivers_supervisor`".to_owned(),
            ("socket", "process") => "leave it out: the gateway starts the program and makes its socket".to_owned(),
            _ if kinds.len() == 1 => format!("leave it out, or say `kind = \"{}\"`", kinds[0]),
            _ => "leave it out, or choose another kind".to_owned(),
        });
    }
}

fn key_span<'r>(entry: &'r RawDriver, key: &str) -> Option<&'r Span> {
    match key {
        "package" => entry.package.key(),
        "path" => entry.path.key(),
        "version" => entry.version.key(),
        "git" => entry.git.key(),
        "rev" => entry.rev.key(),
        "socket" => entry.socket.key(),
        "owns" => entry.owns.key(),
        "guest" => entry.guest.key(),
        "supervisor" => entry.supervisor.key(),
        "evidence" => entry.evidence.key(),
        _ => None,
    }
}

/// The kind with what it carries.
pub(super) fn check(
    entry: &RawDriver,
    kind: &str,
    owner: &Owner<'_>,
    context: &Context,
    sink: &mut Sink,
) -> Kind {
    match kind {
        "socket" => Kind::Socket { path: socket(entry, sink) },
        "crate" => {
            let package = package(entry, owner, sink);
            if let Some(facts) = context.foreign.get(&package) {
                driver_api(entry, facts, sink);
            }
            Kind::Crate { package, source: crate_source(entry, owner, context, sink) }
        }
        _ => {
            let package = package(entry, owner, sink);
            member(entry, context, sink);
            if kind == "process" {
                let supervisor = entry.supervisor.get().is_some_and(|flag| flag.value);
                Kind::Process { package, supervisor }
            } else {
                Kind::InTree { package }
            }
        }
    }
}

/// The package's name, as far as a name says.
fn package(entry: &RawDriver, owner: &Owner<'_>, sink: &mut Sink) -> String {
    let example = match entry.name.get() {
        Some(name) if words::is_name(&name.value) => format!("\"openshell-driver-{}\"", name.value),
        _ => "\"openshell-driver-…\"".to_owned(),
    };
    required(&entry.package, "package", owner, &example, sink);
    let Some(package) = entry.package.get() else { return String::new() };
    if !words::is_package(&package.value) {
        sink.error(
            Code::BadPackage,
            package.span.clone(),
            format!("`{}` is not the name of a package", shown(&package.value)),
        )
        .hint("it is the `name` under `[package]` in the crate's Cargo.toml");
    } else if words::is_common_package(&package.value) {
        sink.error(
            Code::BadPackage,
            package.span.clone(),
            format!("the package `{}` cannot be a driver's: every build needs it", package.value),
        )
        .hint(format!("a driver has a crate of its own: `package = {example}`"));
    }
    package.value.clone()
}

/// The package against those of the workspace.
fn member(entry: &RawDriver, context: &Context, sink: &mut Sink) {
    let (Some(package), Some(packages)) = (entry.package.get(), &context.packages) else { return };
    if !words::is_package(&package.value) {
        return;
    }
    match packages.get(&package.value) {
        Some(facts) => driver_api(entry, facts, sink),
        None => {
            unknown_package(package, packages, &format!("cargo new --lib crates/{}", package.value), sink)
        }
    }
}

/// The packages of `guest`, each a name that the workspace has.
pub(super) fn guests(entry: &RawDriver, context: &Context, sink: &mut Sink) -> Vec<String> {
    let guests = values::list("guest", &entry.guest, sink);
    for guest in &guests {
        if !words::is_package(&guest.value) {
            let message = format!("`{}` is not the name of a package", shown(&guest.value));
            sink.error(Code::BadPackage, guest.span.clone(), message)
                .hint("it is the `name` under `[package]` in the Cargo.toml of what runs inside a sandbox");
        } else if let Some(packages) = &context.packages
            && !packages.contains_key(&guest.value)
        {
            unknown_package(guest, packages, &format!("cargo new --bin crates/{}", guest.value), sink);
        }
    }
    guests.into_iter().map(|guest| guest.value).collect()
}

/// A package that the workspace does not have; `make` is the command that would begin it.
fn unknown_package(
    package: &At<String>,
    packages: &BTreeMap<String, PackageFacts>,
    make: &str,
    sink: &mut Sink,
) {
    let message = format!("the package `{}` is not in this workspace", package.value);
    sink.error(Code::UnknownPackage, package.span.clone(), message).hint(
        did_you_mean(&package.value, packages.keys().map(String::as_str))
            .unwrap_or_else(|| format!("make it with `{make}`")),
    );
}

/// The driver API that the crate says it speaks.
fn driver_api(entry: &RawDriver, facts: &PackageFacts, sink: &mut Sink) {
    let Some(package) = entry.package.get().filter(|package| !words::is_common_package(&package.value))
    else {
        return;
    };
    let name = &package.value;
    match facts.driver_api.as_deref() {
        Some(DRIVER_API) => {}
        Some(other) => {
            sink.error(
                Code::DriverApiMismatch,
                package.span.clone(),
                format!("the driver API `{other}` of the crate `{name}` does not fit: this toolchain speaks `{DRIVER_API}`"),
            )
            .hint(format!("use a version of `{name}` for the driver API `{DRIVER_API}`"));
        }
        None => {
            sink.error(
                Code::NoDriverApi,
                package.span.clone(),
                format!("the crate `{name}` does not say which driver API it speaks"),
            )
            .hint(format!(
                "add to its Cargo.toml: `[package.metadata.openshell-driver]` and below it `api = \"{DRIVER_API}\"`"
            ));
        }
    }
}

/// Where a foreign crate comes from: exactly one way.
fn crate_source(entry: &RawDriver, owner: &Owner<'_>, context: &Context, sink: &mut Sink) -> CrateSource {
    let ways = [("path", &entry.path), ("version", &entry.version), ("git", &entry.git)];
    let given: Vec<(&str, &Span)> =
        ways.iter().filter_map(|(key, field)| field.key().map(|span| (*key, span))).collect();
    match given.as_slice() {
        [] if owner.whole => {
            let git = if context.is_overlay() { ", or `git` and `rev`" } else { "" };
            sink.error(
                Code::MissingKey,
                owner.at.clone(),
                format!("{} does not say where its crate is", owner.title),
            )
            .hint(format!("add `path = \"…\"`, or `version = \"…\"` of the registry{git}"));
        }
        [(first, first_span), others @ ..] if !others.is_empty() => {
            for (key, span) in others {
                sink.error(
                    Code::ConflictingKeys,
                    (*span).clone(),
                    format!("{} says twice where its crate is: `{first}` and `{key}`", owner.title),
                )
                .label("again here")
                .also((*first_span).clone(), "first here")
                .hint("keep one of the two");
            }
        }
        _ => {}
    }
    if let Some(path) = entry.path.get() {
        crate_path(path, context, sink);
    }
    if let Some(version) = entry.version.get() {
        crate_version(version, sink);
    }
    git(entry, owner, context, sink);

    let value = |field: &Field<String>| field.get().map(|at| at.value.trim().to_owned());
    match (value(&entry.path), value(&entry.version), value(&entry.git)) {
        (Some(path), ..) => CrateSource::Path(path.trim_end_matches('/').to_owned()),
        (_, Some(version), _) => CrateSource::Registry(version),
        (.., url) => CrateSource::Git {
            url: url.unwrap_or_default(),
            rev: value(&entry.rev).unwrap_or_default().to_ascii_lowercase(),
        },
    }
}

fn crate_path(path: &At<String>, context: &Context, sink: &mut Sink) {
    let value = path.value.trim();
    let mut bad = |message: String, hint: &str| {
        sink.error(Code::BadPath, path.span.clone(), message).hint(hint);
    };
    let inside = "a crate outside of the workspace belongs into an overlay, which copies it";
    if value.is_empty() {
        bad("`path` is empty".to_owned(), "name the directory of the crate's Cargo.toml");
    } else if value.contains('\\') || value.chars().any(char::is_control) {
        bad(
            format!("`{}` does not mean the same on every platform", shown(value)),
            "separate directories with `/`",
        );
    } else if value.trim_end_matches('/').ends_with("Cargo.toml") {
        bad(format!("`{}` is a file", shown(value)), "name the directory of the crate's Cargo.toml");
    } else if context.is_overlay() {
        // An overlay is a build's own: it copies what its paths name.
    } else if value.starts_with('/') || value.get(1..2) == Some(":") || value.starts_with('~') {
        bad(format!("`{}` holds on this machine alone", shown(value)), inside);
    } else if depth(value).is_none_or(|depth| depth == 0) {
        bad(format!("`{}` is not a directory inside the workspace", shown(value)), inside);
    }
}

/// How many directories below its start a path ends; `None`: it leaves it on its way.
fn depth(path: &str) -> Option<usize> {
    path.split('/').try_fold(0_usize, |depth, part| match part {
        "" | "." => Some(depth),
        ".." => depth.checked_sub(1),
        _ => Some(depth + 1),
    })
}

fn crate_version(version: &At<String>, sink: &mut Sink) {
    let value = version.value.trim();
    let error = match VersionReq::from_str(value) {
        Ok(requirement) if !requirement.comparators.is_empty() => return,
        Ok(_) => "it holds for every version".to_owned(),
        Err(error) => error.to_string(),
    };
    sink.error(
        Code::BadVersion,
        version.span.clone(),
        format!("`{}` is not a version requirement", shown(value)),
    )
    .label(error)
    .hint("write it as in a Cargo.toml: `1.2`, or `=1.2.3`");
}

/// `git` and `rev`: in overlays, together, and pinned.
fn git(entry: &RawDriver, owner: &Owner<'_>, context: &Context, sink: &mut Sink) {
    let pair = [("git", &entry.git), ("rev", &entry.rev)];
    if !context.is_overlay() {
        for (key, field) in pair {
            if let Some(span) = field.key() {
                sink.error(Code::OverlayOnly, span.clone(), format!("`{key}` is for overlays"))
                    .label("the main lock needs no more than the registry")
                    .hint("say `version = \"…\"`, or build the driver from an overlay");
            }
        }
        return;
    }
    for (key, field, other) in [("git", &entry.git, &entry.rev), ("rev", &entry.rev, &entry.git)] {
        if let (None, Some(span), true) = (field.key(), other.key(), owner.whole) {
            let given = if key == "git" { "rev" } else { "git" };
            let hint = match key {
                "rev" => "`git ls-remote URL HEAD` prints the commit's id: `rev = \"…\"`",
                _ => "add `git = \"https://…\"`",
            };
            sink.error(Code::MissingKey, span.clone(), format!("`{given}` without `{key}`")).hint(hint);
        }
    }
    if let Some(url) = entry.git.get() {
        let value = url.value.trim();
        let schemes = ["https://", "ssh://", "file://", "git@"];
        let is_url = schemes.iter().any(|scheme| value.len() > scheme.len() && value.starts_with(scheme));
        if !is_url || value.contains(char::is_whitespace) {
            sink.error(
                Code::BadGit,
                url.span.clone(),
                format!("`{}` is not the address of a git repository", shown(value)),
            )
            .hint("it begins with `https://`, `ssh://` or `file://`");
        }
    }
    if let Some(rev) = entry.rev.get() {
        let value = rev.value.trim();
        if !matches!(value.len(), 40 | 64) || !value.chars().all(|c| c.is_ascii_hexdigit()) {
            sink.error(
                Code::BadGit,
                rev.span.clone(),
                format!("`{}` is not the full id of a commit", shown(value)),
            )
            .label("a branch, a tag or a short id may mean another commit tomorrow")
            .hint("`git rev-parse HEAD` in the repository prints the full id");
        }
    }
}

fn socket(entry: &RawDriver, sink: &mut Sink) -> Option<String> {
    let socket = entry.socket.get()?;
    let value = socket.value.as_str();
    let mut bad = |message: String, hint: &str| {
        sink.error(Code::BadSocket, socket.span.clone(), message).hint(hint);
    };
    if value.trim().is_empty() {
        bad("`socket` is empty".to_owned(), "leave it out where the operator gives the path");
    } else if !value.starts_with('/') {
        bad(
            format!("`{}` is not an absolute path", shown(value)),
            "a gateway runs in any directory and nothing is expanded: begin with `/`, or leave `socket` out and let the operator give it",
        );
    } else if value.len() > LONGEST_SOCKET {
        bad(
            format!("the path of the socket is {} bytes long", value.len()),
            &format!("an address holds {LONGEST_SOCKET} bytes: choose a shorter path"),
        );
    } else if value.ends_with('/') || value.split('/').any(|part| matches!(part, "." | "..")) {
        bad(
            format!("`{}` is not the plain path of a file", shown(value)),
            "write it without `.`, `..` and a `/` at the end",
        );
    } else if value.chars().any(char::is_control) {
        bad(
            "the path of the socket has a control character in it".to_owned(),
            "choose a path that can be typed",
        );
    }
    Some(value.to_owned())
}
