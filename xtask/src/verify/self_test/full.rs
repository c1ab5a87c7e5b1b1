//! The profiles on the real gateway: the first driver that has a crate is left out or in, beside the first other one.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use driver_manifest::{Assembly, Request, Selection};

use super::judging::line;
use super::profile::Profile;
use super::profiles::{Pair, pair};
use super::tables::Profiles;
use crate::build::turn;
use crate::error::{Error, Result};
use crate::selection;
use crate::workspace::Workspace;

/// Builds and judges two gateways a profile; of `only` these profiles, unless there is none.
pub(super) fn gateway(workspace: &Workspace, only: &[String]) -> Result<Profiles> {
    let known = || Profile::STABLE.iter().map(|profile| profile.id);
    if let Some(unknown) = only.iter().find(|name| known().all(|id| id != name.as_str())) {
        let names = known().collect::<Vec<_>>().join(", ");
        return Err(Error::refused(format!("no profile is named `{unknown}`"), format!("--only {names}")));
    }
    let place = workspace.target_dir().join("self-test");
    fs::create_dir_all(&place).map_err(Error::file("create", &place))?;
    let _turn = turn(&place);
    let assembly = workspace.assembly()?;
    let (less, more) = two(&assembly)?;
    let mut pairs: Vec<Pair> = Vec::new();
    let asked = |profile: &&Profile| only.is_empty() || only.iter().any(|name| name == profile.id);
    for profile in Profile::STABLE.iter().filter(asked) {
        eprintln!("self-test: {}: {}", profile.name, line(&more));
        let built = apart(workspace, &place, profile)?;
        pairs.push(pair(&built, &assembly, profile, &less, &more)?);
    }
    let of = format!("the gateway, `{}` and `{}`", less.slug(), more.slug());
    Ok(Profiles::of_gateway(of, pairs))
}

/// A selection without the first driver that has a crate, and the same with it.
fn two(assembly: &Assembly) -> Result<(Selection, Selection)> {
    let driver = assembly.drivers.iter().find(|driver| driver.package().is_some());
    let other = driver.and_then(|driver| assembly.drivers.iter().find(|other| other.name != driver.name));
    let (Some(driver), Some(other)) = (driver, other) else {
        return Err(Error::refused("drivers.toml has no driver that can be left out", "add a second one"));
    };
    let of = |drivers: Vec<&String>| {
        let drivers = drivers.into_iter().cloned().collect();
        selection::select(assembly, &Request { drivers, ..Request::default() })
    };
    Ok((of(vec![&other.name])?, of(vec![&driver.name, &other.name])?))
}

/// The real workspace, built in a profile into a target directory below `place`.
fn apart(workspace: &Workspace, place: &Path, profile: &Profile) -> Result<Workspace> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo"))).unwrap_or_default();
    let registry = home.join("registry/src");
    let indexes = match fs::read_dir(&registry) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => Vec::new(),
    };
    let mut sources: Vec<&Path> = vec![workspace.root()];
    sources.extend(indexes.iter().map(PathBuf::as_path));
    let mut env = profile.env(&sources)?;
    if profile.vendored {
        env.push(("CARGO_HOME".to_owned(), vendored(workspace, place)?));
    }
    Ok(Workspace::apart(workspace.root(), profile.target_dir(&place.join("gateway")), env))
}

/// Copies every source as `cargo vendor` does; gives a home of cargo that takes them from there.
fn vendored(workspace: &Workspace, place: &Path) -> Result<OsString> {
    let (sources, home) = (place.join("vendor"), place.join("vendor-home"));
    let shown = sources.to_string_lossy();
    workspace.cargo_output(&["vendor", "--quiet", "--locked", &shown])?;
    fs::create_dir_all(&home).map_err(Error::file("create", &home))?;
    let config = home.join("config.toml");
    // A string of JSON is one of TOML, too.
    let text = format!(
        "[source.crates-io]\nreplace-with = \"vendored\"\n\n[source.vendored]\ndirectory = {}\n",
        serde_json::Value::String(shown.into_owned())
    );
    fs::write(&config, text).map_err(Error::file("write", &config))?;
    Ok(home.into_os_string())
}
