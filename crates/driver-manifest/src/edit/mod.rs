//! Edits of a manifest's text that keep its comments, its layout and its line ends: text to text. Whether the result means
//! anything is for the reader to say; what is certain is that no other entry changes.

mod blocks;
mod entry;

use toml_edit::{Array, DocumentMut, Item, Table, TomlError};

use self::blocks::Blocks;
pub use self::entry::NewDriver;
use crate::nearest::{listed, nearest};

/// Why an edit was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The text is not TOML.
    #[error("the manifest cannot be edited while it is not valid TOML")]
    Syntax(#[source] Box<TomlError>),
    /// The entries are not written as tables of their own.
    #[error("the drivers are not written as `[[driver]]` tables")]
    Inline,
    /// The text of an entry is not one `[[driver]]`.
    #[error("a new entry has to be one `[[driver]]` with a `name`")]
    NotAnEntry,
    /// A driver of that name is there.
    #[error("a driver named `{0}` is in the manifest already")]
    Exists(String),
    /// No driver of that name is there.
    #[error("no driver named `{name}` is in the manifest")]
    NotThere {
        /// The name.
        name: String,
        /// Those that are there.
        names: Vec<String>,
    },
    /// An entry was to go before or behind itself.
    #[error("`{0}` cannot be put before or after itself")]
    Itself(String),
}

impl EditError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax(_) => Some("`cargo xtask gen --check` shows every fault with its place".to_owned()),
            Self::Inline => Some("write each as `[[driver]]`, its keys below".to_owned()),
            Self::NotAnEntry | Self::Itself(_) => None,
            Self::Exists(name) => Some(format!(
                "choose another name, or take that one out first: cargo xtask edit remove {name}"
            )),
            Self::NotThere { name, names } => Some(match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", listed(names.iter().map(String::as_str))),
            }),
        }
    }
}

/// Where an entry goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// Behind the last one.
    #[default]
    Last,
    /// Before the driver of that name.
    Before(String),
    /// Behind the driver of that name.
    After(String),
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

/// Adds `entry`, the text of one `[[driver]]`, with the comment above it if it has one.
///
/// # Errors
///
/// When one of the texts is not what it has to be, the name is taken, or the neighbour is not there.
pub fn add_driver(text: &str, entry: &str, place: &Place) -> Result<String, EditError> {
    edited(text, |text| {
        let mut addition = parse(entry)?;
        let Some(Item::ArrayOfTables(new)) = addition.remove("driver") else {
            return Err(EditError::NotAnEntry);
        };
        let (Some(table), 1, true) = (new.get(0), new.len(), addition.is_empty()) else {
            return Err(EditError::NotAnEntry);
        };
        let name = name_of(table).ok_or(EditError::NotAnEntry)?;
        let mut blocks = Blocks::of(text)?;
        if blocks.names().any(|known| known == name) {
            return Err(EditError::Exists(name.to_owned()));
        }
        let (position, follows) = match place {
            Place::Last => (blocks.names().count(), true),
            Place::Before(other) => (blocks.position(other)?, false),
            Place::After(other) => (blocks.position(other)? + 1, true),
        };
        blocks.insert(position, follows, name, entry.trim_start());
        Ok(blocks.text())
    })
}

/// Moves the driver of that name with its comments; what blank lines set apart from entries stays where it is.
///
/// # Errors
///
/// When the text is not TOML or has no such driver or neighbour.
pub fn move_driver(text: &str, name: &str, place: &Place) -> Result<String, EditError> {
    edited(text, |text| {
        let mut blocks = Blocks::of(text)?;
        let from = blocks.position(name)?;
        let to = match place {
            Place::Last => blocks.names().count() - 1,
            Place::Before(other) | Place::After(other) if other == name => {
                return Err(EditError::Itself(name.to_owned()));
            }
            // Counted without the entry that moves.
            Place::Before(other) => blocks.position(other).map(|at| at - usize::from(at > from))?,
            Place::After(other) => blocks.position(other).map(|at| at + 1 - usize::from(at > from))?,
        };
        blocks.shift(from, to);
        Ok(blocks.text())
    })
}

/// Removes the driver of that name with its comments, and takes it out of the presets.
///
/// # Errors
///
/// When the text is not TOML or has no such driver.
pub fn remove_driver(text: &str, name: &str) -> Result<Removed, EditError> {
    let mut removed =
        Removed { text: String::new(), changed_presets: Vec::new(), removed_presets: Vec::new() };
    removed.text = edited(text, |text| {
        let mut blocks = Blocks::of(text)?;
        blocks.remove(blocks.position(name)?);
        let rest = blocks.text();
        let mut document = parse(&rest)?;
        leave_presets(&mut document, name, &mut removed);
        Ok(if removed.changed_presets.is_empty() && removed.removed_presets.is_empty() {
            rest
        } else {
            document.to_string()
        })
    })?;
    Ok(removed)
}

/// An edit of a text with the line ends of Unix and no byte order mark; both come back as they were.
fn edited(text: &str, edit: impl FnOnce(&str) -> Result<String, EditError>) -> Result<String, EditError> {
    let (mark, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let new = if body.contains("\r\n") {
        edit(&body.replace("\r\n", "\n"))?.replace('\n', "\r\n")
    } else {
        edit(body)?
    };
    Ok(format!("{mark}{new}"))
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
        let new = add_driver(TEXT, "# New.\n[[driver]]\nname = \"kyma\"\nkind = \"socket\"\n", &Place::Last)
            .expect("added");
        let (before, after) = TEXT.split_at(TEXT.find("\n[option").expect("it is there"));
        assert_eq!(new, format!("{before}\n# New.\n[[driver]]\nname = \"kyma\"\nkind = \"socket\"\n{after}"));
    }

    #[test]
    fn an_entry_can_be_the_first() {
        let entry = "[[driver]]\nname = \"kyma\"\n";
        assert_eq!(add_driver("", entry, &Place::Last).expect("added"), entry);
    }

    #[test]
    fn what_is_added_is_one_new_entry() {
        assert!(matches!(
            add_driver(TEXT, "[[driver]]\nname = \"docker\"\n", &Place::Last),
            Err(EditError::Exists(_))
        ));
        for bad in ["", "[[driver]]\n", "[driver]\nname = \"x\"", "a = 1\n[[driver]]\nname = \"x\""] {
            assert!(matches!(add_driver(TEXT, bad, &Place::Last), Err(EditError::NotAnEntry)), "{bad}");
        }
        assert!(matches!(
            add_driver("=", "[[driver]]\nname = \"x\"\n", &Place::Last),
            Err(EditError::Syntax(_))
        ));
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
        assert!(matches!(remove_driver(TEXT, "nobody"), Err(EditError::NotThere { .. })));
    }

    #[test]
    fn adding_and_removing_gives_the_same_text() {
        let new = add_driver(TEXT, "# New.\n[[driver]]\nname = \"kyma\"\n", &Place::Last).expect("added");
        assert_eq!(remove_driver(&new, "kyma").expect("removed").text, TEXT);
    }

    const ENTRY: &str = "[[driver]]\nname = \"kyma\"\n";

    fn names(text: &str) -> Vec<String> {
        Blocks::of(text).expect("TOML").names().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn an_entry_has_its_place_and_goes_again_without_a_trace() {
        for (place, expected) in [
            (Place::Before("docker".to_owned()), ["kyma", "docker", "external"]),
            (Place::After("docker".to_owned()), ["docker", "kyma", "external"]),
            (Place::Before("external".to_owned()), ["docker", "kyma", "external"]),
            (Place::After("external".to_owned()), ["docker", "external", "kyma"]),
        ] {
            let new = add_driver(TEXT, ENTRY, &place).expect("added");
            assert_eq!(names(&new), expected);
            assert_eq!(remove_driver(&new, "kyma").expect("removed").text, TEXT, "{place:?}");
        }
        let error = add_driver(TEXT, ENTRY, &Place::Before("dokcer".to_owned())).expect_err("nobody");
        assert_eq!(error.hint().as_deref(), Some("did you mean `docker`?"));
        assert_eq!(error.to_string(), "no driver named `dokcer` is in the manifest");
    }

    #[test]
    fn a_move_takes_comments_and_tables_along_and_nothing_else() {
        let text = "\
# Of the file.

# One.
[[driver]]
name = \"one\"
texts = \"\"\"

# no comment
\"\"\"
# detect = true

# --- a heading ---

[[driver]]
name = \"two\"
[driver.budget] # small
crates = 1
[[driver]] # three
name = \"three\"

# Of options.
[option.x]
";
        let moved = move_driver(text, "one", &Place::Last).expect("moved");
        let one =
            "# One.\n[[driver]]\nname = \"one\"\ntexts = \"\"\"\n\n# no comment\n\"\"\"\n# detect = true\n";
        let two = "[[driver]]\nname = \"two\"\n[driver.budget] # small\ncrates = 1\n";
        let three = "[[driver]] # three\nname = \"three\"\n";
        let expected = format!(
            "# Of the file.\n\n{two}\n# --- a heading ---\n\n{three}{one}\n# Of options.\n[option.x]\n"
        );
        assert_eq!(moved, expected);
        let back = move_driver(&moved, "one", &Place::Before("two".to_owned())).expect("moved");
        assert_eq!(back, text);
        for (name, place, expected) in [
            ("one", Place::After("two".to_owned()), ["two", "one", "three"]),
            ("one", Place::Before("three".to_owned()), ["two", "one", "three"]),
            ("three", Place::After("one".to_owned()), ["one", "three", "two"]),
            ("two", Place::After("one".to_owned()), ["one", "two", "three"]),
        ] {
            assert_eq!(names(&move_driver(text, name, &place).expect("moved")), expected, "{name} {place:?}");
        }
        let itself = move_driver(text, "one", &Place::After("one".to_owned()));
        assert!(matches!(itself, Err(EditError::Itself(_))));
    }

    #[test]
    fn line_ends_and_the_mark_at_the_beginning_stay() {
        let windows = format!("\u{feff}{}", TEXT.replace('\n', "\r\n"));
        let new = add_driver(&windows, ENTRY, &Place::Last).expect("added");
        assert_eq!(new.matches('\n').count(), new.matches("\r\n").count());
        assert_eq!(remove_driver(&new, "kyma").expect("removed").text, windows);
        let without = remove_driver(&windows, "docker").expect("removed").text;
        assert_eq!(without.matches('\n').count(), without.matches("\r\n").count());
    }

    #[test]
    fn what_is_not_written_as_tables_is_not_touched() {
        let error = add_driver("driver = [{ name = \"a\" }]\n", ENTRY, &Place::Last).expect_err("inline");
        assert!(matches!(error, EditError::Inline), "{error}");
    }
}
