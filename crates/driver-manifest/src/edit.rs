//! Edits of a manifest's text that keep its comments and its layout. The result is to be read again: nothing is checked
//! here.

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, TomlError};

/// Why an edit was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The text is not TOML.
    #[error("the manifest cannot be edited while it is not valid TOML")]
    Syntax(#[source] Box<TomlError>),
    /// The text of an entry is not one `[[driver]]`.
    #[error("a new entry has to be one `[[driver]]` with a `name`")]
    NotAnEntry,
    /// A driver of that name is there.
    #[error("a driver named `{0}` is in the manifest already")]
    Exists(String),
    /// No driver of that name is there.
    #[error("no driver named `{0}` is in the manifest")]
    NotThere(String),
}

/// What became of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The new text.
    pub text: String,
    /// Presets that named the driver and do no more.
    pub changed_presets: Vec<String>,
    /// Presets that named nothing else and are gone.
    pub removed_presets: Vec<String>,
}

/// Adds `entry`, the text of one `[[driver]]`, behind the last one.
///
/// # Errors
///
/// When one of the texts is not what it has to be, or the name is taken.
pub fn add_driver(text: &str, entry: &str) -> Result<String, EditError> {
    let mut document = parse(text)?;
    let mut addition = parse(entry)?;
    let Some(Item::ArrayOfTables(new)) = addition.remove("driver") else { return Err(EditError::NotAnEntry) };
    let (Some(table), 1, true) = (new.get(0), new.len(), addition.is_empty()) else {
        return Err(EditError::NotAnEntry);
    };
    let name = name_of(table).ok_or(EditError::NotAnEntry)?.to_owned();
    let mut table = table.clone();

    let drivers = document.entry("driver").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let Item::ArrayOfTables(drivers) = drivers else { return Err(EditError::NotAnEntry) };
    if drivers.iter().any(|driver| name_of(driver) == Some(&name)) {
        return Err(EditError::Exists(name));
    }
    // Behind its neighbour, wherever that is; and a blank line between the two.
    let position = drivers.iter().last().and_then(Table::position);
    table.set_position(position);
    let prefix =
        table.decor().prefix().and_then(|raw| raw.as_str()).unwrap_or_default().trim_start().to_owned();
    table.decor_mut().set_prefix(if text.trim().is_empty() { prefix } else { format!("\n{prefix}") });
    drivers.push(table);
    Ok(document.to_string())
}

/// Removes the driver of that name with the comment above it, and takes it out of the presets.
///
/// # Errors
///
/// When the text is not TOML or has no such driver.
pub fn remove_driver(text: &str, name: &str) -> Result<Removed, EditError> {
    let mut document = parse(text)?;
    let Some(drivers) = document.get_mut("driver").and_then(Item::as_array_of_tables_mut) else {
        return Err(EditError::NotThere(name.to_owned()));
    };
    let Some(index) = drivers.iter().position(|driver| name_of(driver) == Some(name)) else {
        return Err(EditError::NotThere(name.to_owned()));
    };
    let header = drivers.get(index).map(|table| file_header(table, text)).unwrap_or_default();
    drivers.remove(index);
    if drivers.is_empty() {
        document.remove("driver");
    }
    let mut removed =
        Removed { text: String::new(), changed_presets: Vec::new(), removed_presets: Vec::new() };
    leave_presets(&mut document, name, &mut removed);
    let rest = document.to_string();
    removed.text =
        if header.is_empty() { rest } else { format!("{header}{}", rest.trim_start_matches('\n')) };
    Ok(removed)
}

/// The comment at the top of the file, which stands above the first entry and is about all of them: it ends at the last
/// blank line.
fn file_header(table: &Table, text: &str) -> String {
    let prefix = table.decor().prefix().and_then(|raw| raw.as_str()).unwrap_or_default();
    if prefix.is_empty() || !text.starts_with(prefix) {
        return String::new();
    }
    prefix.rfind("\n\n").map(|blank| prefix[..blank + 2].to_owned()).unwrap_or_default()
}

fn leave_presets(document: &mut DocumentMut, name: &str, removed: &mut Removed) {
    let Some(presets) = document.get_mut("preset").and_then(Item::as_table_like_mut) else { return };
    let mut emptied = Vec::new();
    for (preset, item) in presets.iter_mut() {
        let Some(drivers) = item.get_mut("drivers").and_then(Item::as_array_mut) else { continue };
        let before = drivers.len();
        drivers.retain(|driver| driver.as_str() != Some(name));
        if drivers.len() == before {
            continue;
        }
        if drivers.is_empty() {
            emptied.push(preset.to_string());
        } else {
            tidy(drivers);
            removed.changed_presets.push(preset.to_string());
        }
    }
    for preset in &emptied {
        presets.remove(preset);
    }
    removed.removed_presets = emptied;
}

/// An array of one line, without the blank that its first element would keep.
fn tidy(array: &mut Array) {
    if let Some(first) = array.get_mut(0)
        && first.decor().prefix().and_then(|raw| raw.as_str()) == Some(" ")
    {
        first.decor_mut().set_prefix("");
    }
}

fn name_of(table: &Table) -> Option<&str> {
    table.get("name").and_then(Item::as_str)
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|error| EditError::Syntax(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# The list.

# Runs containers.
[[driver]]
name = \"docker\" # the first
kind = \"in-tree\"

# Anything else.
[[driver]]
name = \"external\"
kind = \"socket\"

[option.telemetry]
default = true

[preset.both]
drivers = [\"docker\", \"external\"] # two

[preset.one]
drivers = [\"docker\"]
";

    #[test]
    fn an_entry_goes_behind_the_last_and_nothing_else_moves() {
        let new =
            add_driver(TEXT, "# New.\n[[driver]]\nname = \"kyma\"\nkind = \"socket\"\n").expect("added");
        let (before, after) = TEXT.split_at(TEXT.find("\n[option").expect("it is there"));
        assert_eq!(new, format!("{before}\n# New.\n[[driver]]\nname = \"kyma\"\nkind = \"socket\"\n{after}"));
    }

    #[test]
    fn an_entry_can_be_the_first() {
        let entry = "[[driver]]\nname = \"kyma\"\n";
        assert_eq!(add_driver("", entry).expect("added"), entry);
    }

    #[test]
    fn what_is_added_is_one_new_entry() {
        assert!(matches!(add_driver(TEXT, "[[driver]]\nname = \"docker\"\n"), Err(EditError::Exists(_))));
        for bad in ["", "[[driver]]\n", "[driver]\nname = \"x\"", "a = 1\n[[driver]]\nname = \"x\""] {
            assert!(matches!(add_driver(TEXT, bad), Err(EditError::NotAnEntry)), "{bad}");
        }
        assert!(matches!(add_driver("=", "[[driver]]\nname = \"x\"\n"), Err(EditError::Syntax(_))));
    }

    #[test]
    fn an_entry_goes_with_its_comment_and_out_of_the_presets() {
        let removed = remove_driver(TEXT, "docker").expect("removed");
        assert_eq!(
            removed.text,
            "# The list.\n\n# Anything else.\n[[driver]]\nname = \"external\"\nkind = \"socket\"\n\n\
             [option.telemetry]\ndefault = true\n\n[preset.both]\ndrivers = [\"external\"] # two\n"
        );
        assert_eq!(removed.changed_presets, ["both"]);
        assert_eq!(removed.removed_presets, ["one"]);
        assert!(matches!(remove_driver(TEXT, "nobody"), Err(EditError::NotThere(_))));
    }

    #[test]
    fn adding_and_removing_gives_the_same_text() {
        let new = add_driver(TEXT, "# New.\n[[driver]]\nname = \"kyma\"\n").expect("added");
        assert_eq!(remove_driver(&new, "kyma").expect("removed").text, TEXT);
    }
}
