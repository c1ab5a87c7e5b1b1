//! The list of dependencies in `.dep-v0`. It records more than is linked, so it accuses nobody.

use super::{Ways, of_crates};
use crate::image::{AuditedPackage, Image, Unreadable};
use crate::question::Target;
use crate::verdict::{Expectation, Finding, Outcome};

#[derive(Debug)]
pub(crate) struct AuditLayer<'s> {
    packages: Option<Result<Vec<AuditedPackage>, String>>,
    ways: &'s Ways<'s>,
}

impl<'s> AuditLayer<'s> {
    pub(crate) fn new(image: Result<&Image<'_>, &Unreadable>, ways: &'s Ways<'s>) -> Self {
        Self { packages: image.ok().and_then(Image::audit), ways }
    }

    pub(crate) fn see(&self, target: &Target, expectation: Expectation) -> Outcome {
        let packages = match &self.packages {
            None => return Outcome::NotApplicable("there is no section `.dep-v0`".to_owned()),
            Some(Err(why)) => return Outcome::Blind(format!("the section `.dep-v0` is unreadable: {why}")),
            Some(Ok(packages)) => packages,
        };
        let outcome = of_crates(target, expectation, |id| {
            let listed = packages
                .iter()
                .filter(|package| package.kind == "runtime" && id.is(&package.name, &package.version));
            let findings = listed.map(|package| {
                let label = format!("{}@{}", package.name, package.version);
                Finding { path: self.ways.way_to(id), ..Finding::new(format!("{label} is listed"), label) }
            });
            findings.collect()
        });
        match outcome {
            Outcome::Leak(findings) => Outcome::Note(findings),
            outcome => outcome,
        }
    }
}
