//! The row without a driver: it must not compile, and the compiler's error names every feature and the line that builds a
//! gateway.

use std::process::Stdio;

use driver_manifest::{Assembly, Driver};

use super::judge::{Done, Judge};
use crate::build::turn;
use crate::error::Result;
use crate::workspace::spawn;

/// What is wrong with the refusal.
pub(super) fn faults(judge: &Judge<'_>) -> Result<Done> {
    let line = judge.gateway(Vec::new());
    // Should it link, then at the path that the gateway of every selection has.
    let _turn = turn(judge.workspace.root());
    // `check` would refuse as well, having compiled for itself what the other rows cannot use.
    let mut command = judge.workspace.cargo(line.args("build"));
    let output = command.stdout(Stdio::null()).output().map_err(spawn("cargo"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let faults = wrong(judge.assembly, output.status.success(), &said);
    if !faults.is_empty() {
        eprint!("{said}");
    }
    Ok(Done { seen: "does not compile, and says why".to_owned(), faults, ..Done::default() })
}

fn wrong(assembly: &Assembly, compiles: bool, said: &str) -> Vec<String> {
    let mut found = Vec::new();
    if compiles {
        found.push("a gateway without a driver compiles".to_owned());
    }
    let wanted = assembly.drivers.iter().map(Driver::feature);
    for text in wanted.chain(["cargo xtask build --drivers".to_owned()]) {
        if !said.contains(&text) {
            found.push(format!("the error of a build without a driver does not say `{text}`"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::parse_manifest;

    #[test]
    fn the_error_has_to_name_every_feature_and_the_line() {
        let text = "[[driver]]\nname = \"alpha\"\nsummary = \"x\"\nkind = \"in-tree\"\npackage = \"a\"\n\
                    [[driver]]\nname = \"external\"\nsummary = \"x\"\nkind = \"socket\"\n";
        let assembly = parse_manifest(text.as_bytes()).expect("a manifest without a fault");
        let whole = "error: driver-alpha, driver-external: cargo xtask build --drivers alpha";
        assert_eq!(wrong(&assembly, false, whole), Vec::<String>::new());
        assert_eq!(wrong(&assembly, true, whole), ["a gateway without a driver compiles"]);
        assert_eq!(
            wrong(&assembly, false, "error: driver-alpha"),
            [
                "the error of a build without a driver does not say `driver-external`",
                "the error of a build without a driver does not say `cargo xtask build --drivers`"
            ]
        );
    }
}
