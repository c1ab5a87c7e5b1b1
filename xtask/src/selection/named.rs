//! The selections that have names of their own: the default, the presets. Each selection once, under all its names.

use driver_manifest::{Assembly, Request, Selection};

use super::{DEFAULT, select};
use crate::error::Result;

/// A selection and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// The selection.
    pub(crate) selection: Selection,
    /// For people: `default`, `preset x`.
    pub(crate) names: Vec<String>,
}

/// The default and the presets, and whatever else is given with its name.
pub(crate) fn named(
    assembly: &Assembly,
    others: impl IntoIterator<Item = (String, Selection)>,
) -> Result<Vec<Named>> {
    let default = assembly.default_selection();
    let mut all: Vec<(String, Selection)> = Vec::new();
    if !default.drivers.is_empty() {
        all.push((DEFAULT.to_owned(), default));
    }
    for preset in &assembly.presets {
        let request = Request { preset: Some(preset.name.clone()), ..Request::default() };
        all.push((format!("preset {}", preset.name), select(assembly, &request)?));
    }
    all.extend(others);
    let mut found: Vec<Named> = Vec::new();
    for (name, selection) in all {
        match found.iter_mut().find(|named| named.selection.slug() == selection.slug()) {
            Some(known) => known.names.push(name),
            None => found.push(Named { selection, names: vec![name] }),
        }
    }
    Ok(found)
}
