//! Small operations on `toml_edit` tables that keep comments where a person put them.

use toml_edit::{Array, DocumentMut, Item, Key, Table, Value};

use super::CargoTomlError;

/// Longest line before an array is written one element a line.
const WIDTH: usize = 110;

/// The table at `path`, made where it is not there; the tables on the way are implicit.
pub(super) fn table_mut<'a>(
    document: &'a mut DocumentMut,
    path: &[&str],
) -> Result<&'a mut Table, CargoTomlError> {
    let mut table = document.as_table_mut();
    for (depth, key) in path.iter().enumerate() {
        let last = depth + 1 == path.len();
        let item = table.entry_format(&written(key)).or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(!last);
            Item::Table(table)
        });
        table = item.as_table_mut().ok_or_else(|| CargoTomlError::NotATable(path[..=depth].join(".")))?;
    }
    Ok(table)
}

/// A key as cargo's documentation writes it: bare where it can be, else between single quotes.
fn written(key: &str) -> Key {
    let quoted = if key.contains(['(', ' ']) { format!("'{key}'") } else { key.to_owned() };
    quoted.parse().unwrap_or_else(|_| Key::new(key))
}

/// The table at `path`, when it is there.
pub(super) fn table<'a>(document: &'a DocumentMut, path: &[&str]) -> Option<&'a Table> {
    path.iter().try_fold(document.as_table(), |table, key| table.get(key)?.as_table())
}

/// Removes a key. A comment above it stays: above the next key, or above what follows the table.
pub(super) fn remove(document: &mut DocumentMut, path: &[&str], key: &str) -> Result<(), CargoTomlError> {
    let table = table_mut(document, path)?;
    let comment = comment_above(table, key);
    let next = table.iter().map(|(key, _)| key.to_owned()).skip_while(|name| name != key).nth(1);
    let position = table.position();
    table.remove(key);
    if comment.trim().is_empty() {
        return Ok(());
    }
    match next.as_deref().and_then(|next| table.key_mut(next)) {
        Some(mut next) => {
            let prefix = format!("{comment}{}", text(next.leaf_decor().prefix()));
            next.leaf_decor_mut().set_prefix(prefix);
        }
        None => attach_after(document, position, &comment),
    }
    Ok(())
}

/// Removes a table that has become empty, with the empty ones above it. What was written above its header stays.
pub(super) fn remove_if_empty(document: &mut DocumentMut, path: &[&str]) -> Result<(), CargoTomlError> {
    let [parents @ .., key] = path else { return Ok(()) };
    let Some(table) = table(document, path).filter(|table| table.is_empty()) else { return Ok(()) };
    let comment = text(table.decor().prefix());
    let position = table.position();
    match parents {
        [] => document.as_table_mut().remove(key),
        parents => table_mut(document, parents)?.remove(key),
    };
    if !comment.trim().is_empty() {
        attach_after(document, position, &comment);
    }
    remove_if_empty(document, parents)
}

/// Puts the values of a table into the order of `keys`; a key that is not listed stays behind its neighbours.
pub(super) fn reorder(table: &mut Table, keys: &[String]) {
    let index = |key: &str| keys.iter().position(|name| name == key).unwrap_or(usize::MAX);
    table.sort_values_by(|left, _, right, _| index(left.get()).cmp(&index(right.get())));
}

/// An array of texts, one element a line where one line would be too long for `key`.
pub(super) fn array(key: &str, texts: &[String]) -> Value {
    let mut array: Array = texts.iter().map(String::as_str).collect();
    if key.len() + " = ".len() + array.to_string().len() > WIDTH {
        for value in array.iter_mut() {
            value.decor_mut().set_prefix("\n    ");
        }
        array.set_trailing("\n");
        array.set_trailing_comma(true);
    }
    array.into()
}

/// The texts of an array; `None` when it is none, or holds anything else.
pub(super) fn texts(item: &Item) -> Option<Vec<String>> {
    item.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

/// Sets a value and keeps the comment behind the old one.
pub(super) fn set(table: &mut Table, key: &str, mut value: Value) {
    match table.get_mut(key) {
        Some(Item::Value(old)) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        Some(other) => *other = Item::Value(value),
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

fn comment_above(table: &Table, key: &str) -> String {
    match table.get(key) {
        Some(Item::Table(table)) => text(table.decor().prefix()),
        _ => table.key(key).map(|key| text(key.leaf_decor().prefix())).unwrap_or_default(),
    }
}

fn attach_after(document: &mut DocumentMut, position: Option<isize>, comment: &str) {
    let after = position.unwrap_or(isize::MAX);
    let next = positions(document.as_table()).into_iter().filter(|position| *position > after).min();
    let found = next.is_some_and(|next| prepend(document.as_table_mut(), next, comment));
    if !found {
        let trailing = format!("{comment}{}", document.trailing().as_str().unwrap_or_default());
        document.set_trailing(trailing);
    }
}

fn positions(table: &Table) -> Vec<isize> {
    let mut found = Vec::new();
    for (_, item) in table.iter() {
        match item {
            Item::Table(table) => {
                found.extend(table.position());
                found.extend(positions(table));
            }
            Item::ArrayOfTables(tables) => {
                for table in tables.iter() {
                    found.extend(table.position());
                    found.extend(positions(table));
                }
            }
            Item::None | Item::Value(_) => {}
        }
    }
    found
}

fn prepend(table: &mut Table, position: isize, comment: &str) -> bool {
    table.iter_mut().any(|(_, item)| match item {
        Item::Table(table) => prepend_here(table, position, comment),
        Item::ArrayOfTables(tables) => tables.iter_mut().any(|table| prepend_here(table, position, comment)),
        Item::None | Item::Value(_) => false,
    })
}

fn prepend_here(table: &mut Table, position: isize, comment: &str) -> bool {
    if table.position() == Some(position) {
        let prefix = format!("{comment}{}", text(table.decor().prefix()));
        table.decor_mut().set_prefix(prefix);
        return true;
    }
    prepend(table, position, comment)
}

fn text(raw: Option<&toml_edit::RawString>) -> String {
    raw.and_then(toml_edit::RawString::as_str).unwrap_or_default().to_owned()
}
