//! The program's report of itself: its section, and what it printed where it was run.

use super::nothing_to_see;
use crate::evidence::SelfReport;
use crate::image::{Image, Unreadable};
use crate::question::{Target, TargetKind};
use crate::verdict::{Expectation, Finding, Outcome};

#[derive(Debug)]
pub(crate) struct ReportLayer<'s> {
    /// `Ok(None)`: there is no such section.
    pub(crate) section: Result<Option<SelfReport>, String>,
    run: Option<&'s SelfReport>,
    required: bool,
}

impl<'s> ReportLayer<'s> {
    pub(crate) fn new(
        image: Result<&Image<'_>, &Unreadable>,
        run: Option<&'s SelfReport>,
        required: bool,
    ) -> Self {
        let section = match image {
            Ok(image) => image.report().transpose().map_err(|why| format!("its report is unreadable: {why}")),
            Err(why) => Err(format!("the file cannot be read: {why}")),
        };
        Self { section, run, required }
    }

    /// The reports at hand, and where each was.
    pub(crate) fn reports(&self) -> impl Iterator<Item = (&'static str, &SelfReport)> {
        let section = self.section.as_ref().ok().and_then(Option::as_ref);
        let section = section.map(|report| ("section `.osgw`", report));
        section.into_iter().chain(self.run.map(|report| ("its own output", report)))
    }

    pub(crate) fn see(&self, target: &Target, expectation: Expectation) -> Outcome {
        let names = |report: &SelfReport| match target.kind {
            TargetKind::Driver => report.drivers.contains(&target.name),
            TargetKind::Option => report.options.contains(&target.name),
            TargetKind::Core | TargetKind::Stray => false,
        };
        let findings = self.reports().filter(|(_, report)| names(report));
        let findings: Vec<Finding> = findings
            .map(|(place, _)| Finding::new(format!("`{}` in {place}", target.name), &target.name))
            .collect();
        if !findings.is_empty() {
            return match expectation {
                Expectation::Absent => Outcome::Leak(findings),
                Expectation::Present => Outcome::Found(findings),
            };
        }
        match (&self.section, expectation) {
            (Err(why), _) => Outcome::Blind(why.clone()),
            (Ok(None), _) if self.run.is_none() => {
                nothing_to_see(self.required, "there is no section `.osgw`")
            }
            (Ok(_), Expectation::Absent) => Outcome::Clean,
            (Ok(_), Expectation::Present) => {
                Outcome::Blind("it was selected, and the report does not name it".to_owned())
            }
        }
    }
}
