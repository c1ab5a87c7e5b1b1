//! What an option leaves in a binary: the texts that `drivers.toml` calls its evidence are in every file that has the
//! option, which shows that they can be found at all, and in none that lacks it. The verification accuses by them; that
//! none has gone stale is seen here.

use std::collections::BTreeSet;
use std::path::Path;

use aho_corasick::AhoCorasick;
use driver_manifest::OptionSwitch;

use crate::error::{Error, Result};

/// What is wrong with a file that was built with the options `on` and without the others.
pub(super) fn faults(options: &[OptionSwitch], on: &[String], file: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(file).map_err(Error::file("read", file))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    judge(options, on, &name, &bytes).map_err(|error| Error::output("drivers.toml", error))
}

fn judge(
    options: &[OptionSwitch],
    on: &[String],
    name: &str,
    bytes: &[u8],
) -> std::result::Result<Vec<String>, aho_corasick::BuildError> {
    let texts: Vec<(&OptionSwitch, &str)> = options
        .iter()
        .flat_map(|option| option.evidence.iter().map(move |text| (option, text.as_str())))
        .collect();
    let scanner = AhoCorasick::new(texts.iter().map(|(_, text)| text))?;
    // One text may be a part of another.
    let there: BTreeSet<usize> =
        scanner.find_overlapping_iter(bytes).map(|found| found.pattern().as_usize()).collect();
    let mut found = Vec::new();
    for (place, (option, text)) in texts.iter().enumerate() {
        let has = on.contains(&option.name);
        if there.contains(&place) != has {
            let (is, although) = if has { ("is not", "has") } else { ("is", "was built without") };
            found.push(format!("`{text}` {is} in `{name}`, which {although} option `{}`", option.name));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(name: &str, texts: &[&str]) -> OptionSwitch {
        OptionSwitch {
            name: name.to_owned(),
            summary: String::new(),
            features: Vec::new(),
            env: None,
            default: true,
            owns: Vec::new(),
            evidence: texts.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn presence_and_absence_are_both_held_to() {
        let options = [option("o", &["TEXT", "TEXT, longer"]), option("p", &["other"]), option("q", &[])];
        let wrong = |on: &[&str], bytes: &[u8]| {
            let on: Vec<String> = on.iter().map(ToString::to_string).collect();
            judge(&options, &on, "b", bytes).expect("a scanner")
        };
        assert!(wrong(&["o", "q"], b"\0TEXT, longer").is_empty());
        assert!(wrong(&["p"], b"TEX other").is_empty());
        assert_eq!(wrong(&["o"], b"a TEXT"), ["`TEXT, longer` is not in `b`, which has option `o`"]);
        assert_eq!(
            wrong(&["o"], b"TEXT, longer than another"),
            ["`other` is in `b`, which was built without option `p`"]
        );
        assert_eq!(wrong(&[], b"TEXT"), ["`TEXT` is in `b`, which was built without option `o`"]);
    }
}
