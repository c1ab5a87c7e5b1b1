//! A selection as people write it in one word: a preset, `default`, `all`, or drivers joined by commas; then options as
//! `+x` and `-x`. The name of a build's folder, where drivers are joined by `-`, is such a word, too.

use driver_manifest::{Assembly, Request, Selection};

use super::select;
use crate::error::{Error, Result};

/// The word for the selection of a plain `cargo build`.
pub(crate) const DEFAULT: &str = "default";
/// The word for every driver.
pub(crate) const ALL: &str = "all";

/// Reads a word. A preset's name wins over what it could mean otherwise.
pub(crate) fn written(assembly: &Assembly, word: &str) -> Result<Selection> {
    let mut request = Request::default();
    let mut base = word.trim();
    while assembly.preset(base).is_none() {
        let Some((rest, option, on)) = last_option(assembly, base) else { break };
        let list = if on { &mut request.with_options } else { &mut request.without_options };
        list.push(option.to_owned());
        base = rest;
    }
    if let Some((rest, option)) = base.rsplit_once('+') {
        let names = assembly.options.iter().map(|option| option.name.as_str()).collect::<Vec<_>>();
        let message = format!("`{rest}+{option}` ends in no option: there are `{}`", names.join("`, `"));
        return Err(Error::refused(message, "cargo xtask list"));
    }
    match base {
        name if assembly.preset(name).is_some() => request.preset = Some(name.to_owned()),
        ALL => request.all = true,
        DEFAULT => {
            let selection = assembly.default_selection();
            if selection.drivers.is_empty() {
                return Err(Error::refused("no driver is a default", "cargo xtask list"));
            }
            request.drivers = selection.drivers;
        }
        names if names.contains(',') || assembly.driver(names).is_some() => {
            request.drivers = names.split(',').map(|name| name.trim().to_owned()).collect();
        }
        // What is wrong with a name is said as it was written.
        names => request.drivers = joined(assembly, names).unwrap_or_else(|| vec![names.to_owned()]),
    }
    select(assembly, &request)
}

/// The option that a word ends with: what is before it, its name, and whether it is on.
fn last_option<'a>(assembly: &'a Assembly, word: &'a str) -> Option<(&'a str, &'a str, bool)> {
    assembly.options.iter().find_map(|option| {
        let before = word.strip_suffix(&option.name)?;
        let (rest, on) = match before.strip_suffix('+') {
            Some(rest) => (rest, true),
            None => (before.strip_suffix('-')?, false),
        };
        Some((rest, option.name.as_str(), on))
    })
}

/// Drivers joined by `-`, though their names may hold one.
fn joined(assembly: &Assembly, names: &str) -> Option<Vec<String>> {
    if names.is_empty() {
        return Some(Vec::new());
    }
    assembly.drivers.iter().find_map(|driver| {
        let rest = names.strip_prefix(&driver.name)?;
        let rest =
            if rest.is_empty() { rest } else { rest.strip_prefix('-').filter(|rest| !rest.is_empty())? };
        let mut found = joined(assembly, rest)?;
        found.insert(0, driver.name.clone());
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse_manifest;
    use super::*;

    const MANIFEST: &str = "[[driver]]\nname = \"one\"\nsummary = \"x\"\nkind = \"in-tree\"\npackage = \"p\"\ndefault = false\n\
                            [[driver]]\nname = \"one-two\"\nsummary = \"x\"\nkind = \"in-tree\"\npackage = \"q\"\n\
                            [[driver]]\nname = \"external\"\nsummary = \"x\"\nkind = \"socket\"\ndefault = true\n\
                            [option.trace]\nsummary = \"x\"\nfeatures = [\"openshell-core/t\"]\ndefault = true\n\
                            [option.otlp]\nsummary = \"x\"\nfeatures = [\"openshell-core/o\"]\ndefault = false\n\
                            [preset.lean]\ndrivers = [\"external\"]\noptions = [\"-trace\"]\n\
                            [preset.lean-trace]\ndrivers = [\"one\"]\n";

    fn slug(word: &str) -> String {
        let assembly = parse_manifest(MANIFEST.as_bytes()).expect("a manifest without a fault");
        written(&assembly, word).map_or_else(|error| error.to_string(), |selection| selection.slug())
    }

    #[test]
    fn the_name_of_every_folder_is_understood() {
        for word in ["one", "one-two", "one-external", "one-one-two-external-trace+otlp", "external+otlp"] {
            assert_eq!(slug(word), word);
        }
    }

    #[test]
    fn presets_words_and_lists_are_understood() {
        assert_eq!(slug("external,one"), "one-external");
        assert_eq!(slug("one, one-two+otlp"), "one-one-two+otlp");
        assert_eq!(slug("lean"), "external-trace");
        assert_eq!(slug("lean+trace"), "external");
        assert_eq!(slug("lean-trace"), "one", "the preset of that name");
        assert_eq!(slug("default-trace"), "one-two-external-trace");
        assert_eq!(slug("all"), "one-one-two-external");
    }

    #[test]
    fn what_is_none_is_refused_by_name() {
        assert!(slug("tow").starts_with("no driver is named `tow`"), "{}", slug("tow"));
        assert!(slug("one+nothing").contains("`one+nothing` ends in no option"), "{}", slug("one+nothing"));
        assert!(slug("").starts_with("no driver is selected"), "{}", slug(""));
        assert!(slug("one+trace-trace").contains("on and off"), "{}", slug("one+trace-trace"));
    }
}
