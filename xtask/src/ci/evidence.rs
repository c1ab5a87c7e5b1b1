//! What an option leaves in a binary: the texts that `drivers.toml` calls its evidence are in every file that has the
//! option, which shows that they can be found at all, and in none that lacks it.

use std::io::BufRead;

use driver_manifest::{OptionSwitch, Selection};

use super::checks::{cargo_args, failures};
use super::{Ci, Outcome};
use crate::build::{self, CargoLine, run_cargo};
use crate::error::{Error, Result};
use crate::selection;
use crate::workspace::{GATEWAY_BIN, GATEWAY_PACKAGE};

/// Nothing is optimised away in it: what is absent here was not compiled.
const PROFILE: &str = "dev";

/// Builds the gateway of every driver, and every program, with and without each option, and looks.
pub(super) fn options(ci: &Ci) -> Result<Outcome> {
    let everything = selection::everything(&ci.assembly)?;
    let (mut found, mut files) = (Vec::new(), 0);
    for option in ci.assembly.options.iter().filter(|option| !option.evidence.is_empty()) {
        for has in [true, false] {
            let selection = selection::switched(&ci.assembly, &everything, &option.name, has)?;
            for line in lines(ci, &selection) {
                println!("{}", line.shell());
                let executable = run_cargo(&ci.workspace, &line)?.executable;
                let bytes = std::fs::read(&executable).map_err(Error::file("read", &executable))?;
                found.extend(faults(option, has, &line, &bytes));
                files += 1;
            }
        }
    }
    Ok(failures(found, format!("{files} files")))
}

/// The gateway and the programs.
fn lines(ci: &Ci, selection: &Selection) -> Vec<CargoLine> {
    let cargo = cargo_args(PROFILE);
    let gateway = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, selection.features(), &cargo);
    let programs =
        ci.assembly.drivers.iter().filter_map(|driver| {
            Some(build::program_line(selection, &driver.name, &driver.program()?, &cargo))
        });
    std::iter::once(gateway).chain(programs).collect()
}

fn faults(option: &OptionSwitch, has: bool, line: &CargoLine, bytes: &[u8]) -> Vec<String> {
    let wrong = option.evidence.iter().filter(|text| contains(bytes, text.as_bytes()) != has);
    let (is, although) = if has { ("is not", "has") } else { ("is", "was built without") };
    wrong
        .map(|text| {
            let (name, bin) = (&option.name, line.bin());
            format!("`{text}` {is} in `{bin}`, which {although} option `{name}`")
        })
        .collect()
}

/// Whether the bytes hold the text. By leaps from one first byte to the next: xtask is not optimised, the standard
/// library's search for a byte is.
fn contains(bytes: &[u8], text: &[u8]) -> bool {
    let Some((first, tail)) = text.split_first() else { return true };
    let mut rest = bytes;
    while let Ok(1..) = rest.skip_until(*first) {
        let at_first = bytes[bytes.len() - rest.len() - 1] == *first;
        if at_first && rest.starts_with(tail) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_wherever_they_are() {
        for bytes in [&b"abc"[..], b"xabc", b"aabc", b"ab\0abcx"] {
            assert!(contains(bytes, b"abc"), "{bytes:?}");
        }
        for bytes in [&b""[..], b"a", b"ab", b"ab\0c", b"xbc"] {
            assert!(!contains(bytes, b"abc"), "{bytes:?}");
        }
        assert!(contains(b"xa", b"a") && !contains(b"x", b"a"));
    }

    #[test]
    fn presence_and_absence_are_both_held_to() {
        let option = OptionSwitch {
            name: "o".to_owned(),
            summary: String::new(),
            features: Vec::new(),
            env: None,
            default: true,
            owns: Vec::new(),
            evidence: vec!["TEXT".to_owned()],
        };
        let line = CargoLine::new("p", "b", Vec::new(), &cargo_args(PROFILE));
        assert!(faults(&option, true, &line, b"a TEXT").is_empty());
        assert!(faults(&option, false, &line, b"a").is_empty());
        assert_eq!(faults(&option, true, &line, b"a"), ["`TEXT` is not in `b`, which has option `o`"]);
        assert_eq!(
            faults(&option, false, &line, b"TEXT"),
            ["`TEXT` is in `b`, which was built without option `o`"]
        );
    }
}
