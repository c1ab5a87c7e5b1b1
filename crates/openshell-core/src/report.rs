//! `openshell-gateway drivers`: every driver of the manifest, whether this build has it, how to name it, and what its
//! probe found. Needs no gateway that runs.

use openshell_driver_api::{ProgramSearch, ProgramSought, Tried};
use serde_json::{Value, json};

use crate::catalog::{Arm, Catalog, DriverEntry, EXTERNAL};
use crate::config::Config;
use crate::detect::{Outcome, Probes, tried_json};

/// The table for people. Ends with a newline.
#[must_use]
pub fn drivers_text(catalog: &Catalog, probes: &Probes, config: &Config) -> String {
    let mut rows: Vec<[String; 4]> = vec![["driver", "in this build", "flag", "probe"].map(str::to_owned)];
    for entry in catalog.drivers {
        let programs = program(catalog, config, entry).as_ref().map_or_else(Vec::new, program_lines);
        let mut found = probe_lines(entry, probes).into_iter().chain(programs);
        let first = found.next().unwrap_or_default();
        rows.push([entry.name.to_owned(), presence(catalog, entry).to_owned(), flag(entry), first]);
        rows.extend(found.map(|line| [String::new(), String::new(), String::new(), line]));
    }
    let widths: Vec<usize> =
        (0..3).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for [name, presence, flag, probe] in &rows {
        let line = format!("{name:0$}  {presence:1$}  {flag:2$}  {probe}", widths[0], widths[1], widths[2]);
        out.push_str(line.trim_end());
        out.push('\n');
    }
    for option in catalog.options {
        let state = if option.compiled { "in this build" } else { "not in this build" };
        out.push_str(&format!("\noption {}: {state} ({})", option.name, option.summary));
    }
    if !catalog.options.is_empty() {
        out.push('\n');
    }
    out
}

/// The same for machines; keys are added to it, never renamed.
#[must_use]
pub fn drivers_json(catalog: &Catalog, probes: &Probes, config: &Config) -> Value {
    let drivers: Vec<Value> = catalog
        .drivers
        .iter()
        .map(|entry| {
            let program = program(catalog, config, entry);
            json!({
                "name": entry.name,
                "summary": entry.summary,
                "kind": entry.kind,
                "compiled_in": catalog.is_compiled_in(entry.name),
                "feature": entry.feature,
                "flag": flag(entry),
                "detect": entry.detect,
                "platforms": entry.platforms,
                "platform_ok": entry.platform_ok,
                "program": entry.program,
                "program_path": program.as_ref().map(|program| &program.path),
                "program_tried": program.as_ref().map(|program| tried_json(&program.tried)),
                "probe": probes.of(entry.name).map(Outcome::to_json),
            })
        })
        .collect();
    let options: Vec<Value> = catalog
        .options
        .iter()
        .map(|option| json!({ "name": option.name, "summary": option.summary, "compiled_in": option.compiled, "env": option.env }))
        .collect();
    let detected = probes.winner().map(|(name, because)| json!({ "name": name, "because": because }));
    json!({ "drivers": drivers, "options": options, "detected": detected })
}

/// Where the program of a driver is that this build starts, or would be.
fn program(catalog: &Catalog, config: &Config, entry: &DriverEntry) -> Option<ProgramSought> {
    let Arm::Process { program, .. } = (catalog.arm)(entry.name)? else { return None };
    let configured = config.driver(entry.name).program_path;
    let search = ProgramSearch { driver: entry.name.to_owned(), program, configured };
    catalog.launcher.map(|launcher| launcher.look(&search))
}

fn program_lines(program: &ProgramSought) -> Vec<String> {
    match &program.path {
        Some(path) => vec![format!("program: {}", path.display())],
        None => {
            let tried = program.tried.iter();
            tried.map(|Tried { candidate, outcome }| format!("no program: {candidate}: {outcome}")).collect()
        }
    }
}

fn presence(catalog: &Catalog, entry: &DriverEntry) -> &'static str {
    match (catalog.is_compiled_in(entry.name), entry.platform_ok) {
        (true, _) => "yes",
        (false, true) => "no",
        (false, false) => "no (platform)",
    }
}

/// What to write on the command line to get it.
fn flag(entry: &DriverEntry) -> String {
    match (entry.kind, entry.socket) {
        ("socket", None) if entry.name == EXTERNAL => "--compute-driver-socket PATH".to_owned(),
        ("socket", None) => format!("--drivers {} --compute-driver-socket PATH", entry.name),
        _ => format!("--drivers {}", entry.name),
    }
}

fn probe_lines(entry: &DriverEntry, probes: &Probes) -> Vec<String> {
    match probes.of(entry.name) {
        // The column beside it says so already.
        Some(Outcome::NotCompiledIn) | None if entry.detect => vec!["-".to_owned()],
        Some(outcome) => outcome.lines(),
        None => vec!["never detected".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openshell_driver_api::{Detection, ProbeEnv, Tried};

    use super::*;
    use crate::detect;
    use crate::testing::{Build, FakeProbe};

    #[test]
    fn every_driver_has_its_row() {
        let build = Build::of(&[("docker", FakeProbe::Absent), ("external", FakeProbe::Absent)]);
        let probes = detect::run_within(&build.catalog(), &ProbeEnv::default(), Duration::from_secs(5));
        assert_eq!(
            drivers_text(&build.catalog(), &probes, &Config::default()),
            "\
driver      in this build  flag                          probe
kubernetes  no             --drivers kubernetes          -
podman      no             --drivers podman              -
docker      yes            --drivers docker              FAKE_HOST: unset
                                                         /run/fake.sock: no such socket
vm          no (platform)  --drivers vm                  never detected
kyma        no             --drivers kyma                never detected
external    yes            --compute-driver-socket PATH  never detected

option telemetry: not in this build (usage events)
"
        );
    }

    #[test]
    fn machines_get_the_same() {
        let build = Build::of(&[("docker", FakeProbe::Absent)]);
        let tried = vec![Tried { candidate: "X".into(), outcome: "unset".into() }];
        let looked = Outcome::Looked(Detection { found: Some("because".into()), tried });
        let json =
            drivers_json(&build.catalog(), &Probes::new(vec![("docker".into(), looked)]), &Config::default());
        assert_eq!(json["detected"], json!({ "name": "docker", "because": "because" }));
        assert_eq!(json["drivers"].as_array().map(Vec::len), Some(6));
        let docker = &json["drivers"][2];
        assert_eq!(docker["compiled_in"], true);
        assert_eq!(docker["feature"], "driver-docker");
        assert_eq!(docker["probe"]["tried"][0], json!({ "candidate": "X", "outcome": "unset" }));
        assert_eq!(json["drivers"][3]["platform_ok"], false);
        assert_eq!(json["drivers"][5]["probe"], Value::Null);
    }
}
