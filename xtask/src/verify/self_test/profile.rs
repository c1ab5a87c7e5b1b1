//! The profiles that both tables go through: what packagers do to a build, as variables that cargo takes, so that the
//! fixture and the real gateway are built alike and no manifest is touched.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// One way to build.
#[derive(Debug, Clone, Copy)]
pub(super) struct Profile {
    /// A word for the command line.
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    /// Settings of the release profile, by cargo's names.
    settings: &'static [(&'static str, &'static str)],
    /// Paths are cut at the directories of the sources.
    remapped: bool,
    /// No place of a source is kept at all.
    without_locations: bool,
    /// Sources lie in directories without a version.
    pub(super) vendored: bool,
    /// How the SDK of the fixture's driver betrays itself in the bytes: that the profile did what it says.
    pub(super) shows: &'static str,
}

const STRIPPED: &[(&str, &str)] = &[("STRIP", "symbols")];
const SMALL: &[(&str, &str)] =
    &[("STRIP", "symbols"), ("LTO", "fat"), ("OPT_LEVEL", "z"), ("PANIC", "abort"), ("CODEGEN_UNITS", "1")];

impl Profile {
    /// Nothing is taken away: every layer has something to look at.
    pub(super) const RELEASE: Self = Self {
        id: "release",
        name: "release",
        settings: &[("STRIP", "none")],
        remapped: false,
        without_locations: false,
        vendored: false,
        shows: "`sunlight-1.0.0/src/lib.rs`",
    };
    /// No symbols.
    pub(super) const STRIPPED: Self =
        Self { id: "stripped", name: "strip = symbols", settings: STRIPPED, ..Self::RELEASE };
    const SMALL: Self = Self {
        id: "small",
        name: "strip, fat LTO, panic = abort, opt-level = z",
        settings: SMALL,
        ..Self::RELEASE
    };
    const REMAPPED: Self =
        Self { id: "remapped", name: "strip, remapped paths", remapped: true, ..Self::STRIPPED };
    const VENDORED: Self = Self {
        id: "vendored",
        name: "strip, vendored sources",
        vendored: true,
        shows: "`sunlight/src/lib.rs`",
        ..Self::STRIPPED
    };
    const WITHOUT_LOCATIONS: Self = Self {
        id: "without-locations",
        name: "strip, location-detail = none",
        without_locations: true,
        shows: "`the sun does not answer at`",
        ..Self::STRIPPED
    };

    /// Those that the fixture goes through.
    pub(super) const ALL: [Self; 6] =
        [Self::RELEASE, Self::STRIPPED, Self::SMALL, Self::REMAPPED, Self::WITHOUT_LOCATIONS, Self::VENDORED];
    /// Those that the real gateway goes through: what a stable toolchain offers.
    pub(super) const STABLE: [Self; 5] =
        [Self::RELEASE, Self::STRIPPED, Self::SMALL, Self::REMAPPED, Self::VENDORED];

    /// Its target directory: cargo takes a crate of the same version for the same one wherever its source lies, so that what
    /// was compiled from elsewhere would be found compiled.
    pub(super) fn target_dir(&self, plain: &Path) -> PathBuf {
        if self.vendored { plain.with_extension("vendored") } else { plain.to_owned() }
    }

    /// The variables of cargo's calls; `sources` are the directories that a remapped build does not show, the outer
    /// first, since the last that fits counts.
    pub(super) fn env(&self, sources: &[&Path]) -> Result<Vec<(String, OsString)>> {
        let settings = self.settings.iter();
        let mut env: Vec<(String, OsString)> = settings
            .map(|(key, value)| (format!("CARGO_PROFILE_RELEASE_{key}"), OsString::from(value)))
            .collect();
        let mut flags = Vec::new();
        if self.remapped {
            for source in sources {
                let source = source.to_str().ok_or_else(|| {
                    let message = format!("`{}` is not UTF-8, so it cannot be remapped", source.display());
                    Error::refused(message, "build in a directory that is")
                })?;
                flags.push(format!("--remap-path-prefix={source}="));
            }
        }
        if self.without_locations {
            // Not stable yet; what it leaves of a file is to be judged all the same.
            env.push(("RUSTC_BOOTSTRAP".to_owned(), OsString::from("1")));
            flags.push("-Zlocation-detail=none".to_owned());
        }
        if !flags.is_empty() {
            env.push(("CARGO_ENCODED_RUSTFLAGS".to_owned(), OsString::from(flags.join("\u{1f}"))));
        }
        Ok(env)
    }
}
