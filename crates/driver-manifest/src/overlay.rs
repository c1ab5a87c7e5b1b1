//! A driver that a command line adds to a manifest: held to the rules of an overlay's entries, told in words alone, since
//! there is no line of a file to show.

use crate::context::{Context, Role};
use crate::diagnostic::Severity;
use crate::edit::NewDriver;
use crate::model::{Assembly, CrateSource};

/// A foreign crate that is to be compiled in under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct With<'a> {
    /// The driver.
    pub name: &'a str,
    /// One line about it.
    pub summary: &'a str,
    /// The crate.
    pub package: &'a str,
    /// Where cargo finds it: a directory, or a version of the registry.
    pub source: &'a CrateSource,
}

/// Why it cannot be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hints: Vec<String>,
}

/// `base` with one more driver, the last of the order and in nobody's default. The facts of `context` are used, its role is
/// not.
///
/// # Errors
///
/// Everything that an overlay with this entry would be refused for.
pub fn with_crate(base: &Assembly, with: &With<'_>, context: &Context) -> Result<Assembly, Vec<Misfit>> {
    let (path, version) = match with.source {
        CrateSource::Path(path) => (Some(path.as_str()), None),
        CrateSource::Registry(version) => (None, Some(version.as_str())),
        CrateSource::Git { .. } => (None, None),
    };
    let entry = NewDriver {
        name: with.name,
        summary: with.summary,
        kind: "crate",
        package: Some(with.package),
        path,
        version,
        ..NewDriver::default()
    };
    let context = Context { role: Role::OverlayOn(Box::new(base.clone())), ..context.clone() };
    let outcome = crate::read("--with", entry.text().as_bytes(), &context);
    outcome.into_result().map_err(|report| {
        let errors = report.diagnostics().iter().filter(|found| found.severity == Severity::Error);
        errors.map(|found| Misfit { message: found.message.clone(), hints: found.hints.clone() }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::PackageFacts;

    const MAIN: &str = "[[driver]]\nname = \"docker\"\nsummary = \"x\"\nkind = \"in-tree\"\npackage = \"d\"\n\
                        [[driver]]\nname = \"external\"\nsummary = \"x\"\nkind = \"socket\"\n\
                        [option.telemetry]\nsummary = \"x\"\n[preset.lean]\ndrivers = [\"docker\"]\n";

    fn added(name: &str, package: &str, api: Option<&str>) -> Result<Assembly, Vec<Misfit>> {
        let base =
            crate::read("drivers.toml", MAIN.as_bytes(), &Context::default()).into_result().expect("right");
        let facts = PackageFacts { driver_api: api.map(str::to_owned), ..PackageFacts::default() };
        let context = Context { foreign: [(package.to_owned(), facts)].into(), ..Context::default() };
        let source = CrateSource::Path("../acme".to_owned());
        with_crate(&base, &With { name, summary: "x", package, source: &source }, &context)
    }

    #[test]
    fn it_is_the_last_and_no_default() {
        let both = added("acme", "acme-driver", Some("1")).expect("it fits");
        assert_eq!(both.names(), ["docker", "external", "acme"]);
        assert!(both.driver("acme").is_some_and(|driver| !driver.default && !driver.detect));
        assert_eq!(both.presets.len(), 1);
    }

    #[test]
    fn what_does_not_fit_is_told_in_words() {
        for (name, package, api, said) in [
            ("docker", "acme-driver", Some("1"), "has a driver `docker` already"),
            ("telemetry", "acme-driver", Some("1"), "has an option `telemetry`"),
            ("lean", "acme-driver", Some("1"), "has a preset `lean`"),
            ("remote", "acme-driver", Some("1"), "`remote`"),
            ("Acme", "acme-driver", Some("1"), "`Acme`"),
            ("acme", "d", Some("1"), "`d` is the crate of the driver `docker` already"),
            ("acme", "openshell-core", Some("1"), "every build needs it"),
            ("acme", "acme-driver", Some("2"), "the driver API `2` of the crate `acme-driver` does not fit"),
            ("acme", "acme-driver", None, "does not say which driver API it speaks"),
        ] {
            let misfits = added(name, package, api).expect_err(said);
            let found =
                misfits.iter().any(|misfit| misfit.message.contains(said) && !misfit.hints.is_empty());
            assert!(found, "{said}: {misfits:?}");
        }
    }
}
