//! Writes one question, target by target: drivers, options, and what all gateways have.

use std::collections::BTreeSet;
use std::path::Path;

use driver_manifest::{Assembly, Driver, Kind, OptionSwitch};
use driver_verify::{CrateId, Fingerprint, Target, TargetKind};

use super::{Role, Subject};
use crate::verify::graph::{Graph, Id};
use crate::verify::learn::read_sources;
use crate::verify::learned::Learned;
use crate::verify::lock::Lock;

/// Writes one question.
pub(super) struct Author<'a> {
    pub(super) assembly: &'a Assembly,
    pub(super) learned: &'a Learned,
    pub(super) lock: &'a Lock,
    pub(super) subject: &'a Subject,
    pub(super) own: &'a Graph,
    pub(super) programs: &'a Graph,
}

impl Author<'_> {
    /// A driver as what must be there or must not, and for a process driver both: the arm, not the program's code.
    pub(super) fn driver(&self, driver: &Driver, expected: &mut Vec<Target>, forbidden: &mut Vec<Target>) {
        let arm = format!("arm:{}", driver.name);
        let package = driver.package().map(|package| format!("crate:{package}"));
        let is_program_of = self.subject.role == Role::Program(driver.name.clone());
        let has_arm = self.subject.role == Role::Gateway && self.selects(driver);
        let linked = is_program_of || (has_arm && !matches!(driver.kind, Kind::Process { .. }));
        let mut there = Target::new(&driver.name, TargetKind::Driver);
        let mut absent = Target::new(&driver.name, TargetKind::Driver);
        if has_arm { &mut there } else { &mut absent }.markers.push(arm);
        if linked { &mut there } else { &mut absent }.markers.extend(package);
        if linked {
            there.crates = self.own_crates(driver);
            there.fingerprints = self.texts(&driver.evidence, &driver.name, &there.crates);
        } else if driver.package().is_some() {
            absent.crates = self.forbidden_crates(driver);
            absent.fingerprints = self.texts(&driver.evidence, &driver.name, &absent.crates);
        }
        if has_arm && !absent.markers.is_empty() {
            absent.name = format!("{} (its program)", driver.name);
        }
        if is_program_of {
            // A program has no arms, its own driver's neither; that it lacks one is no news.
            absent.markers.clear();
        }
        expected.extend((!there.markers.is_empty()).then_some(there));
        forbidden.extend((!absent.markers.is_empty()).then_some(absent));
    }

    fn selects(&self, driver: &Driver) -> bool {
        self.subject.selection.drivers.contains(&driver.name)
    }

    /// What a driver that is there brings and nothing else does.
    fn own_crates(&self, driver: &Driver) -> Vec<CrateId> {
        let package = driver.package().unwrap_or_default();
        let exclusive = &self.own.closure(package) - &self.own.ids_without(package);
        let owned = |name: &str| name == package || driver.owns.iter().any(|owned| owned == name);
        exclusive.iter().map(|id| self.crate_id(id, owned(&id.0))).collect()
    }

    fn forbidden_crates(&self, driver: &Driver) -> Vec<CrateId> {
        let package = driver.package().unwrap_or_default();
        let brings = &self.programs.closure(package) - &self.own.ids();
        let owned = std::iter::once(package).chain(driver.owns.iter().map(String::as_str));
        self.crates(owned, &brings)
    }

    /// The owned ones, any version; the others by their version.
    fn crates<'b>(&self, owned: impl Iterator<Item = &'b str>, brings: &BTreeSet<Id>) -> Vec<CrateId> {
        let owned: BTreeSet<&str> = owned.filter(|name| !name.is_empty()).collect();
        let others = brings.iter().filter(|(name, _)| !owned.contains(name.as_str()));
        let others = others.map(|id| self.crate_id(id, false));
        owned.iter().map(|name| self.marked(CrateId::new(*name, None).owned())).chain(others).collect()
    }

    fn crate_id(&self, (name, version): &Id, owned: bool) -> CrateId {
        let id = CrateId::new(name, Some(version));
        self.marked(if owned { id.owned() } else { id })
    }

    /// Whether it lies in a directory of ours, and whether its paths were seen where it is.
    fn marked(&self, mut id: CrateId) -> CrateId {
        let directory = self.own.directory(&id.name).or_else(|| self.programs.directory(&id.name));
        id.workspace = directory.is_some();
        id.proven = self.learned.crates.contains(&id.name);
        id.lib = self.learned.libs.get(&id.name).cloned();
        id.checkout = self.lock.checkout(&id.name, id.version.as_deref());
        id
    }

    /// What was learned of the crates of a target. A member's version says nothing of its sources, so a text of one that
    /// does not stand there any more is not proven.
    fn learned(&self, crates: &[CrateId]) -> Vec<Fingerprint> {
        let mut found = Vec::new();
        for id in crates {
            let is_known = |version: &str| self.lock.get(&id.name, version).is_some();
            let texts = self.learned.texts_of(&id.name, id.version.as_deref(), is_known);
            let directory = self.own.directory(&id.name).or_else(|| self.programs.directory(&id.name));
            let source = directory.filter(|_| !texts.is_empty());
            let source = source.map(|directory| read_sources(&Path::new(directory).join("src")));
            found.extend(texts.into_iter().map(|(of, text)| Fingerprint {
                proven: source.as_ref().is_none_or(|source| source.contains(text)),
                ..Fingerprint::learned(text, of)
            }));
        }
        found
    }

    /// What the manifest declares, and what was learned of these crates besides: a text is asked for once.
    fn texts(&self, evidence: &[String], of: &str, crates: &[CrateId]) -> Vec<Fingerprint> {
        let mut texts = self.declared(evidence, of);
        texts.extend(self.learned(crates).into_iter().filter(|text| !evidence.contains(&text.text)));
        texts
    }

    fn declared(&self, texts: &[String], of: &str) -> Vec<Fingerprint> {
        let declared = texts.iter().map(|text| Fingerprint {
            proven: self.learned.texts.contains(text),
            ..Fingerprint::declared(text, of)
        });
        declared.collect()
    }

    /// An option; `brings` is what it alone brings, for one that must not be there.
    pub(super) fn option(&self, option: &OptionSwitch, brings: &BTreeSet<Id>) -> Target {
        let has = self.subject.selection.options.contains(&option.name);
        let mut target = Target::new(&option.name, TargetKind::Option);
        target.crates = if has {
            let there = self.own.ids();
            let owned = there.iter().filter(|(name, _)| option.owns.contains(name));
            owned.map(|id| self.crate_id(id, true)).collect()
        } else {
            self.crates(option.owns.iter().map(String::as_str), &(brings - &self.own.ids()))
        };
        target.fingerprints = self.texts(&option.evidence, &option.name, &target.crates);
        target
    }

    /// All that is there whichever driver is.
    pub(super) fn core(&self, expected: &[Target]) -> Target {
        let special: BTreeSet<&str> = expected
            .iter()
            .flat_map(|target| &target.crates)
            .map(|id| id.name.as_str())
            .chain(self.assembly.drivers.iter().filter_map(Driver::package))
            .collect();
        let mut core = Target::new("core", TargetKind::Core);
        let ids = self.own.ids();
        let ids = ids.iter().filter(|(name, _)| !special.contains(name.as_str()));
        core.crates = ids.map(|id| self.crate_id(id, false)).collect();
        // By texts, too: a build that keeps no paths shows these.
        let members: Vec<CrateId> = core.crates.iter().filter(|id| id.workspace).cloned().collect();
        core.fingerprints = self.learned(&members);
        core
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection;

    const MANIFEST: &str = r#"
[[driver]]
name = "alpha"
summary = "x"
kind = "in-tree"
package = "driver-alpha"
owns = ["sdk"]

[[driver]]
name = "vm"
summary = "x"
kind = "process"
package = "driver-vm"

[[driver]]
name = "external"
summary = "x"
kind = "socket"

[option.trace]
summary = "x"
features = ["core/trace"]
default = false
owns = ["tracer"]
evidence = { texts = ["only a tracer says this"] }
"#;
    /// What the programs bring: `shared` comes with both drivers, and with the core as well.
    const PROGRAMS: &str = "0 openshell-drivers v0.1.0 (/w/p)\n1 driver-alpha v0.1.0 (/w/a)\n2 sdk v2.0.0\n2 shared v1.0.0\n\
                            2 helper v3.0.0\n1 driver-vm v0.1.0 (/w/v)\n2 qemu v1.0.0\n2 shared v1.0.0\n";
    const CORE: &str = "0 openshell-server v0.1.0 (/w/s)\n1 shared v1.0.0\n";

    struct Asked {
        expected: Vec<Target>,
        forbidden: Vec<Target>,
        core: Target,
    }

    /// The question about a file of a selection of these drivers, whose graph is `own`.
    fn ask(drivers: &[&str], role: Role, own: &str) -> Asked {
        let assembly = selection::parse_manifest(MANIFEST.as_bytes()).unwrap();
        let request = driver_manifest::Request {
            drivers: drivers.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let selection = match drivers {
            [] => driver_manifest::Selection::default(),
            _ => assembly.select(&request).unwrap(),
        };
        let subject = Subject { selection, role, target: None };
        let mut learned = Learned::default();
        learned.crates.insert("sdk".to_owned());
        let (own, programs) = (Graph::of(own), Graph::of(PROGRAMS));
        let author = Author {
            assembly: &assembly,
            learned: &learned,
            lock: &Lock::default(),
            subject: &subject,
            own: &own,
            programs: &programs,
        };
        let (mut expected, mut forbidden) = (Vec::new(), Vec::new());
        for driver in &assembly.drivers {
            author.driver(driver, &mut expected, &mut forbidden);
        }
        let tracing = BTreeSet::from([("tracer".to_owned(), "1.0.0".to_owned()), id("exporter")]);
        forbidden.extend(assembly.options.iter().map(|option| author.option(option, &tracing)));
        Asked { core: author.core(&expected), expected, forbidden }
    }

    fn id(name: &str) -> Id {
        (name.to_owned(), "1.0.0".to_owned())
    }

    /// `name: markers | crates`, an owned one with a star.
    fn shown(targets: &[Target]) -> Vec<String> {
        let one = |target: &Target| {
            let crates = target.crates.iter().map(|id| {
                let version = id.version.as_deref().map(|version| format!("@{version}")).unwrap_or_default();
                format!("{}{version}{}", id.name, if id.owned { "*" } else { "" })
            });
            let crates = crates.collect::<Vec<_>>().join(" ");
            format!("{}: {} | {crates}", target.name, target.markers.join(" "))
        };
        targets.iter().map(one).collect()
    }

    #[test]
    fn a_driver_left_out_is_its_marks_what_it_owns_and_what_it_alone_brings() {
        let asked = ask(&["external"], Role::Gateway, CORE);
        assert_eq!(shown(&asked.expected), ["external: arm:external | "]);
        assert_eq!(
            shown(&asked.forbidden),
            [
                "alpha: arm:alpha crate:driver-alpha | driver-alpha* sdk* helper@3.0.0",
                "vm: arm:vm crate:driver-vm | driver-vm* qemu@1.0.0",
                "trace:  | tracer* exporter@1.0.0",
            ]
        );
        let alpha = &asked.forbidden[0].crates;
        assert!(alpha[0].workspace && !alpha[0].proven && !alpha[1].workspace && alpha[1].proven);
        assert_eq!(asked.forbidden[2].fingerprints[0].text, "only a tracer says this");
        assert_eq!(shown(&[asked.core]), ["core:  | openshell-server@0.1.0 shared@1.0.0"]);
    }

    #[test]
    fn a_crate_that_the_core_brings_is_still_asked_for_where_a_driver_owns_it() {
        let asked = ask(&["external"], Role::Gateway, &format!("{CORE}1 sdk v2.0.0\n1 helper v3.0.0\n"));
        assert_eq!(shown(&asked.forbidden)[0], "alpha: arm:alpha crate:driver-alpha | driver-alpha* sdk*");
    }

    #[test]
    fn a_process_drivers_arm_is_there_and_its_code_is_not() {
        let own = format!(
            "{CORE}1 driver-alpha v0.1.0 (/w/a)\n2 sdk v2.0.0\n2 helper v3.0.0\n2 shared v1.0.0 (*)\n"
        );
        let asked = ask(&["alpha", "vm"], Role::Gateway, &own);
        assert_eq!(
            shown(&asked.expected),
            [
                "alpha: arm:alpha crate:driver-alpha | driver-alpha@0.1.0* helper@3.0.0 sdk@2.0.0*",
                "vm: arm:vm | "
            ]
        );
        let forbidden = shown(&asked.forbidden);
        assert_eq!(forbidden[0], "vm (its program): crate:driver-vm | driver-vm* qemu@1.0.0");
        assert_eq!(forbidden[1], "external: arm:external | ");
    }

    #[test]
    fn what_a_process_driver_brings_accuses_a_gateway_that_has_selected_it() {
        let asked = ask(&["vm"], Role::Gateway, &format!("{CORE}1 driver-vm v0.1.0 (/w/v)\n"));
        assert_eq!(
            shown(&asked.forbidden)[1],
            "vm (its program): crate:driver-vm | driver-vm* qemu@1.0.0",
            "the package is its own, whoever brings it"
        );
    }

    #[test]
    fn a_guest_is_no_driver_at_all_and_none_of_what_they_bring() {
        let own = "0 guest v0.1.0 (/w/g)\n1 helper v3.0.0\n";
        let asked = ask(&[], Role::Guest("guest".to_owned()), own);
        assert_eq!(shown(&asked.expected), Vec::<String>::new());
        assert_eq!(
            shown(&asked.forbidden),
            [
                "alpha: arm:alpha crate:driver-alpha | driver-alpha* sdk* shared@1.0.0",
                "vm: arm:vm crate:driver-vm | driver-vm* qemu@1.0.0 shared@1.0.0",
                "external: arm:external | ",
                "trace:  | tracer* exporter@1.0.0",
            ]
        );
        assert_eq!(shown(&[asked.core]), ["core:  | guest@0.1.0 helper@3.0.0"]);
    }

    #[test]
    fn a_program_is_one_driver_without_an_arm() {
        let own = "0 openshell-drivers v0.1.0 (/w/p)\n1 driver-vm v0.1.0 (/w/v)\n2 qemu v1.0.0\n";
        let asked = ask(&["alpha", "vm"], Role::Program("vm".to_owned()), own);
        assert_eq!(shown(&asked.expected), ["vm: crate:driver-vm | driver-vm@0.1.0* qemu@1.0.0"]);
        let forbidden = shown(&asked.forbidden);
        assert_eq!(
            forbidden[0],
            "alpha: arm:alpha crate:driver-alpha | driver-alpha* sdk* helper@3.0.0 shared@1.0.0"
        );
        assert_eq!(forbidden.len(), 3, "{forbidden:?}");
    }
}
