//! What is planted to spoil the check itself: files that nothing can be said about, and questions that mean nothing.

use super::fixture::{Edit, Fixture};
use super::judging::{build, file, folder, gateway, not_static};
use super::plant::{BOTH, CORE, MOON, PROBE, Plant, planted};
use super::profile::Profile;
use super::seen::{End, Eye, Seen};
use super::spoilt;
use crate::error::{Error, Result};
use crate::verify::{Graphs, Query};
use crate::workspace::GATEWAY_BIN;

const SERVER: &str = "crates/openshell-server/src/main.rs";
const OWNS: &str = "owns = [\"sunlight\"]";
const EVIDENCE: &str = "the sun does not answer at";

/// All of them.
pub(super) const FAULTS: &[Plant] = &[
    Plant {
        planted: "a packed file",
        end: End::CannotCertify,
        eyes: &[Eye::Control("readable")],
        named: "packed",
        run: |it| with_bytes(it, BOTH, spoilt::packed),
    },
    Plant {
        planted: "a gzip file",
        end: End::CannotCertify,
        eyes: &[Eye::Sniff],
        named: "a gzip file",
        run: |it| with_bytes(it, BOTH, spoilt::gzip),
    },
    Plant {
        planted: "an empty file",
        end: End::CannotCertify,
        eyes: &[Eye::Sniff],
        named: "it is empty",
        run: |it| with_bytes(it, MOON, |_| Vec::new()),
    },
    Plant {
        planted: "half of a file",
        end: End::CannotCertify,
        eyes: &[Eye::Control("readable")],
        named: "damaged",
        run: |it| with_bytes(it, MOON, spoilt::half),
    },
    Plant {
        planted: "a file of another machine",
        end: End::CannotCertify,
        eyes: &[Eye::Control("machine")],
        named: "was asked for",
        run: |it| {
            it.plant(&[])?;
            let bytes = gateway(it, &Profile::RELEASE, MOON, &[])?;
            let other = if cfg!(target_arch = "aarch64") { "x86_64" } else { "aarch64" };
            file(it, &bytes, MOON, Some(&format!("{other}-unknown-linux-gnu")))
        },
    },
    Plant {
        planted: "a program of somebody else",
        end: End::CannotCertify,
        eyes: &[Eye::Control("scanner")],
        named: "there is no marker section",
        run: |it| {
            it.plant(&[Edit::Write(SERVER, "//! Some other program.\n\nfn main() {}\n")])?;
            let bytes = gateway(it, &Profile::RELEASE, MOON, &[])?;
            file(it, &bytes, MOON, None)
        },
    },
    Plant {
        planted: "a program for the inside of sandboxes that is not linked static",
        end: End::CannotCertify,
        eyes: &[Eye::Control("linked")],
        named: "it is not linked static",
        run: |it| {
            it.plant(&[])?;
            not_static(it, PROBE)
        },
    },
    Plant {
        planted: "a file that lacks a selected driver",
        end: End::CannotCertify,
        eyes: &[Eye::Control("report"), Eye::Control("scanner")],
        named: "it was selected, and `arm:sun`",
        run: |it| {
            it.plant(&[])?;
            let bytes = gateway(it, &Profile::RELEASE, MOON, &[])?;
            file(it, &bytes, BOTH, None)
        },
    },
    Plant {
        planted: "an older file than the one that cargo reported",
        end: End::CannotCertify,
        eyes: &[Eye::Hash],
        named: "is not the file that its build.json tells of",
        run: older,
    },
    Plant {
        planted: "a declared text that has become stale, beside paths that have not",
        end: End::Clean,
        eyes: &[Eye::Rejected],
        named: "the sun was too bright for",
        run: |it| planted(it, &[Edit::Replace("drivers.toml", EVIDENCE, "the sun was too bright for")]),
    },
    Plant {
        planted: "nothing but stale fingerprints",
        end: End::CannotCertify,
        eyes: &[Eye::Control("twin")],
        named: "the sun was too bright for",
        run: |it| {
            it.plant(&[Edit::Replace("drivers.toml", EVIDENCE, "the sun was too bright for")])?;
            it.learn(|learned| {
                learned.crates.retain(|name| !name.contains("sun"));
                learned.of_crates.retain(|name, _| !name.contains("sun"));
            })?;
            build(it, MOON)
        },
    },
    Plant {
        planted: "a misspelt crate in `owns`",
        end: End::CannotCertify,
        eyes: &[Eye::Control("question")],
        named: "`sunligth`",
        run: |it| planted(it, &[Edit::Replace("drivers.toml", OWNS, "owns = [\"sunligth\"]")]),
    },
    Plant {
        planted: "a graph of a package that does not exist",
        end: End::ToolFailed,
        eyes: &[Eye::Cargo],
        named: "cargo tree -p openshell-sever",
        run: |it| {
            it.plant(&[])?;
            let query = Query { package: "openshell-sever".to_owned(), ..Query::default() };
            match Graphs::load(&it.workspace(&Profile::RELEASE)?, true)?.fetch([&query]) {
                Err(error @ (Error::Cargo { .. } | Error::Output { .. })) => {
                    Ok(Seen::refused(&error, Eye::Cargo))
                }
                Err(error) => Err(error),
                Ok(()) => Ok(Seen::nothing()),
            }
        },
    },
];

/// A file of the unchanged fixture that was spoilt afterwards.
fn with_bytes(fixture: &mut Fixture, drivers: &[&str], spoil: fn(Vec<u8>) -> Vec<u8>) -> Result<Seen> {
    fixture.plant(&[])?;
    let bytes = spoil(gateway(fixture, &Profile::RELEASE, drivers, &[])?);
    file(fixture, &bytes, MOON, None)
}

/// The folder of a new build with the file of an old one in it.
fn older(fixture: &mut Fixture) -> Result<Seen> {
    fixture.plant(&[])?;
    let old = gateway(fixture, &Profile::RELEASE, MOON, &[])?;
    fixture.plant(&[Edit::Replace(CORE, "core at", "core, a newer one, at")])?;
    let (workspace, made) = fixture.build(&fixture.selection(MOON, &[])?, &Profile::RELEASE)?;
    let path = made.folder.join(GATEWAY_BIN);
    std::fs::write(&path, old).map_err(Error::file("write", &path))?;
    match folder(&workspace, &fixture.assembly, &made) {
        Err(error @ Error::Unverified { .. }) => Ok(Seen::refused(&error, Eye::Hash)),
        other => other,
    }
}
