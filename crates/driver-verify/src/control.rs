//! The controls: checks of the checks. When one fails, "not found" means nothing, and the file is not certified.

use std::collections::BTreeSet;

use crate::bytes::Known;
use crate::evidence::SelfReport;
use crate::image::{Image, Unreadable};
use crate::layers::{BytesLayer, MarkerLayer, Rejected, ReportLayer};
use crate::question::{Question, Target, TargetKind};
use crate::verdict::{Control, ControlState, Outcome, READABLE, Row};

/// The command that learns fingerprints anew.
const LEARN: &str = "cargo xtask learn";

/// What is asked makes sense: every forbidden crate exists, and none is one that has to be there.
pub(crate) fn question(question: &Question) -> Control {
    let known = Known::new(&question.known);
    let forbidden =
        || question.forbidden.iter().flat_map(|target| target.crates.iter().map(move |id| (target, id)));
    let control =
        |state, hint: Option<&str>| Control { name: "question", state, hint: hint.map(str::to_owned) };
    let allowed = question.expected.iter().chain([&question.core]).flat_map(|target| &target.crates);
    let allowed: BTreeSet<(&str, Option<&str>)> =
        allowed.map(|id| (id.name.as_str(), id.version.as_deref())).collect();
    for (target, id) in forbidden() {
        let by_name = allowed.range((id.name.as_str(), None)..).take_while(|(name, _)| *name == id.name);
        if by_name.into_iter().any(|(_, version)| id.owned || id.version.as_deref() == *version) {
            let why = format!(
                "`{}` is to be absent with `{}`, and core or a selected driver has it",
                id.label(),
                target.name
            );
            return control(
                ControlState::Failed(why),
                Some("owns in drivers.toml claims a crate that others need"),
            );
        }
    }
    if known.is_empty() {
        return control(ControlState::NotApplicable("no Cargo.lock is at hand".to_owned()), None);
    }
    let unknown: BTreeSet<String> = forbidden()
        .filter(|(_, id)| match &id.version {
            Some(version) if !id.owned => !known.has(&id.name, version),
            _ => known.versions(&id.name).is_empty(),
        })
        .map(|(target, id)| format!("`{}` of `{}`", id.label(), target.name))
        .collect();
    if unknown.is_empty() {
        return control(ControlState::Held, None);
    }
    let unknown: Vec<_> = unknown.into_iter().collect();
    let why = format!("Cargo.lock does not have {}: misspelt, and never found", unknown.join(", "));
    control(ControlState::Failed(why), Some("correct owns in drivers.toml"))
}

/// The file can be read, and is not packed.
pub(crate) fn readable(image: Result<&Image<'_>, &Unreadable>) -> Control {
    let (state, hint) = match image {
        Ok(_) => (ControlState::Held, None),
        Err(why) => (ControlState::Failed(why.to_string()), why.hint().map(str::to_owned)),
    };
    Control { name: READABLE, state, hint }
}

/// The file is of the machine that was asked for.
pub(crate) fn machine(question: &Question, image: Result<&Image<'_>, &Unreadable>) -> Control {
    let state = match (&question.triple, image) {
        (None, _) => ControlState::NotApplicable("any machine may be meant".to_owned()),
        (_, Err(_)) => ControlState::NotApplicable("the file cannot be read".to_owned()),
        (Some(triple), Ok(image)) => {
            let wanted = (machine_of(triple), format_of(triple));
            let found = (image.architecture(), image.format());
            if wanted == found {
                ControlState::Held
            } else {
                let why = format!(
                    "{} {} was asked for ({triple}), this is {} {}",
                    wanted.1, wanted.0, found.1, found.0
                );
                ControlState::Failed(why)
            }
        }
    };
    let hint = matches!(state, ControlState::Failed(_)).then(|| "name the file's own --target".to_owned());
    Control { name: "machine", state, hint }
}

/// What runs inside a sandbox needs nothing that is not in it: whatever image the sandbox is made of, its libraries are
/// other ones, or none.
pub(crate) fn linked(image: Result<&Image<'_>, &Unreadable>) -> Control {
    let state = match image {
        Err(_) => ControlState::NotApplicable("the file cannot be read".to_owned()),
        Ok(image) if image.format() != "ELF" => {
            ControlState::Failed(format!("it is {}, and runs in a sandbox on Linux", image.format()))
        }
        Ok(image) => match image.interpreter() {
            Ok(None) => ControlState::Held,
            Ok(Some(loader)) => ControlState::Failed(format!(
                "it is not linked static: the kernel would start it by `{loader}`, which no sandbox has to have"
            )),
            Err(why) => ControlState::Failed(format!("nobody can say whether it is linked static: {why}")),
        },
    };
    let hint = matches!(state, ControlState::Failed(_)).then(|| {
        "cargo rustc -p PACKAGE --bin PACKAGE --release -- -C target-feature=+crt-static".to_owned()
    });
    Control { name: "linked", state, hint }
}

/// The first word of a triple, as the file's header can tell it.
fn machine_of(triple: &str) -> &str {
    let word = triple.split('-').next().unwrap_or(triple);
    match word {
        "i386" | "i486" | "i586" => "i686",
        "arm64" | "aarch64_be" => "aarch64",
        "x86_64h" => "x86_64",
        "mipsel" | "mipsisa32r6" => "mips",
        "mips64el" | "mipsisa64r6" => "mips64",
        "powerpc64le" => "powerpc64",
        _ if word.starts_with("arm") || word.starts_with("thumb") => "arm",
        _ if word.starts_with("riscv32") => "riscv32",
        _ if word.starts_with("riscv64") => "riscv64",
        word => word,
    }
}

fn format_of(triple: &str) -> &'static str {
    if triple.contains("-apple-") {
        "Mach-O"
    } else if triple.contains("-windows") {
        "PE"
    } else {
        "ELF"
    }
}

/// Core and every selected driver were found by the eyes that found nothing of the others.
pub(crate) fn scanner(
    question: &Question,
    bytes: &BytesLayer<'_>,
    expected: &[Row],
    readable: bool,
) -> Control {
    let control =
        |state, hint: Option<&str>| Control { name: "scanner", state, hint: hint.map(str::to_owned) };
    if !readable {
        return control(ControlState::NotApplicable("the file cannot be read".to_owned()), None);
    }
    if question.core.crates.is_empty() && question.core.fingerprints.is_empty() {
        return control(ControlState::Failed("nothing was named that every build has".to_owned()), None);
    }
    if !bytes.sees() {
        let why = "no path and no text is found of what every build has".to_owned();
        return control(
            ControlState::Failed(why),
            Some("encrypted, packed, or not a program of this workspace"),
        );
    }
    let found = |row: &Row| row.layers.values().any(|outcome| matches!(outcome, Outcome::Found(_)));
    let missing: Vec<_> =
        expected.iter().filter(|row| !found(row)).map(|row| format!("`{}`", row.target)).collect();
    if missing.is_empty() {
        return control(ControlState::Held, None);
    }
    let why = format!("{} was selected, and no layer finds it", missing.join(", "));
    control(ControlState::Failed(why), Some("this may be the file of another selection"))
}

/// Every clue was seen in a build that has its target; what was not is rejected, and a target that has nothing else cannot
/// be cleared.
pub(crate) fn twin(
    question: &Question,
    bytes: &BytesLayer<'_>,
    rejections: &mut Vec<(Rejected, String)>,
) -> Control {
    let mut unprovable = Vec::new();
    for target in &question.forbidden {
        let rejected = bytes.rejected(target);
        let clues = target.crates.len() + target.fingerprints.len();
        if clues > 0 && rejected.len() == clues {
            unprovable.push(format!("`{}`", target.name));
        }
        let named = rejected.into_iter().map(|(kind, why)| (kind, format!("`{}`: {why}", target.name)));
        rejections.extend(named);
    }
    let (state, hint) = if unprovable.is_empty() {
        (ControlState::Held, None)
    } else {
        let why = format!(
            "nothing by which {} is known was ever seen in a build that has it",
            unprovable.join(", ")
        );
        (ControlState::Failed(why), Some(LEARN.to_owned()))
    };
    Control { name: "twin", state, hint }
}

/// One line for everything that was rejected, with the command that helps where one does.
pub(crate) fn count(rejected: &[(Rejected, String)]) -> Option<String> {
    let of = |kind| rejected.iter().filter(|(other, _)| *other == kind).count();
    let parts = [
        (of(Rejected::Path), "crates whose paths no build has shown", ""),
        (of(Rejected::Text), "texts that no build has shown", ""),
        (of(Rejected::Stale), "texts of versions that Cargo.lock does not have", LEARN),
    ];
    let parts = parts.into_iter().filter(|(count, ..)| *count > 0).map(|(count, what, hint)| match hint {
        "" => format!("{what}: {count}"),
        hint => format!("{what}: {count} (`{hint}`)"),
    });
    let parts: Vec<String> = parts.collect();
    let all = "these prove nothing by their absence (--json names them)";
    (!parts.is_empty()).then(|| format!("{all}: {}", parts.join("; ")))
}

/// The marker section holds markers, and only those that were asked about.
pub(crate) fn markers(markers: &MarkerLayer) -> Control {
    let strays: Vec<_> = markers.strays.iter().map(|stray| format!("`{}`", stray.name)).collect();
    let (state, hint) = if strays.is_empty() {
        (ControlState::Held, None)
    } else {
        let why = format!("nobody asked about the marker {}", strays.join(", "));
        (
            ControlState::Failed(why),
            Some("name the driver with --drivers, or its entry in drivers.toml".to_owned()),
        )
    };
    Control { name: "markers", state, hint }
}

/// The report names what was selected and nothing else.
pub(crate) fn report(question: &Question, layer: &ReportLayer<'_>) -> Control {
    let control = |state| Control { name: "report", state, hint: None };
    if let Err(why) = &layer.section {
        return control(ControlState::NotApplicable(why.clone()));
    }
    let mut reports = layer.reports().peekable();
    if reports.peek().is_none() {
        return control(ControlState::NotApplicable("there is no section `.osgw`".to_owned()));
    }
    for (place, report) in reports {
        if let Some(why) = differs(&question.expected, report) {
            return control(ControlState::Failed(format!("{place} {why}")));
        }
    }
    control(ControlState::Held)
}

fn differs(expected: &[Target], report: &SelfReport) -> Option<String> {
    let selected = |kind| -> BTreeSet<&str> {
        expected.iter().filter(|target| target.kind == kind).map(|target| target.name.as_str()).collect()
    };
    let said = [
        ("drivers", selected(TargetKind::Driver), &report.drivers),
        ("options", selected(TargetKind::Option), &report.options),
    ];
    said.into_iter().find_map(|(what, selected, said)| {
        let said: BTreeSet<&str> = said.iter().map(String::as_str).collect();
        let list = |names: &BTreeSet<&str>| match names.len() {
            0 => "none".to_owned(),
            _ => names.iter().copied().collect::<Vec<_>>().join(", "),
        };
        (said != selected)
            .then(|| format!("names the {what} {}, and {} was selected", list(&said), list(&selected)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_of_triples() {
        let cases = [
            ("x86_64-unknown-linux-gnu", "x86_64", "ELF"),
            ("i686-pc-windows-msvc", "i686", "PE"),
            ("aarch64-apple-darwin", "aarch64", "Mach-O"),
            ("armv7-unknown-linux-gnueabihf", "arm", "ELF"),
            ("riscv64gc-unknown-linux-gnu", "riscv64", "ELF"),
            ("powerpc64le-unknown-linux-gnu", "powerpc64", "ELF"),
        ];
        for (triple, machine, format) in cases {
            assert_eq!((machine_of(triple), format_of(triple)), (machine, format), "{triple}");
        }
    }
}
