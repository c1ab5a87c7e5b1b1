//! A manifest's text as its entries and what lies between them. An entry is its header, its keys and tables, and the
//! comment that stands right above or below; what a blank line sets apart belongs to the place, not to the entry.
//!
//! ```text
//!   gap 0 (the head of the file) │ entry 0 │ gap 1 │ entry 1 │ … │ last gap (options, presets)
//! ```
//!
//! Entries are moved as the bytes that they are: nothing inside of one is ever written anew.

use toml_edit::{ArrayOfTables, Document, Item, Table};

use super::EditError;

/// The pieces of a text, without a loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blocks {
    /// One more than there are entries.
    gaps: Vec<String>,
    /// Name and text.
    entries: Vec<(String, String)>,
}

impl Blocks {
    /// Takes a text apart.
    pub(super) fn of(text: &str) -> Result<Self, EditError> {
        let document = Document::parse(text).map_err(|error| EditError::Syntax(Box::new(error)))?;
        let mut headers = Vec::new();
        collect(document.as_table(), &mut headers);
        headers.sort_unstable();
        let drivers = match document.as_table().get("driver") {
            None => &ArrayOfTables::new(),
            Some(Item::ArrayOfTables(drivers)) => drivers,
            Some(_) => return Err(EditError::Inline),
        };
        let starts: Vec<usize> =
            drivers.iter().filter_map(|driver| driver.span()).map(|at| at.start).collect();
        let mut blocks = Self { gaps: Vec::new(), entries: Vec::new() };
        let mut done = 0;
        for (driver, start) in drivers.iter().zip(&starts) {
            // An entry's own tables (`[driver.budget]`) come before the next header that is none of them.
            let own = own_headers(driver);
            let next = headers.iter().find(|header| *header > start && !own.contains(header));
            let from = with_comment_above(text, *start).max(done);
            let until = next.map_or(text.len(), |next| with_comment_above(text, *next));
            let end = start + content(&text[*start..until]);
            blocks.gaps.push(text[done..from].to_owned());
            blocks
                .entries
                .push((super::name_of(driver).unwrap_or_default().to_owned(), line(&text[from..end])));
            done = end;
        }
        blocks.gaps.push(text[done..].to_owned());
        Ok(blocks)
    }

    /// The text again.
    pub(super) fn text(&self) -> String {
        let mut text = self.gaps[0].clone();
        for ((_, entry), gap) in self.entries.iter().zip(&self.gaps[1..]) {
            text.push_str(entry);
            text.push_str(gap);
        }
        text
    }

    /// The entries' names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// Where the entry of a name is.
    pub(super) fn position(&self, name: &str) -> Result<usize, EditError> {
        self.names().position(|known| known == name).ok_or_else(|| {
            let names = self.names().map(ToOwned::to_owned).collect();
            EditError::NotThere { name: name.to_owned(), names }
        })
    }

    /// Puts an entry at a position. `follows` says which neighbour it is put to: the one before it, or the one that makes
    /// room. What stood between the two stays with the other.
    pub(super) fn insert(&mut self, position: usize, follows: bool, name: &str, text: &str) {
        let count = self.entries.len();
        self.entries.insert(position, (name.to_owned(), line(text)));
        if count == 0 {
            let head = &mut self.gaps[0];
            if !head.is_empty() {
                *head = format!("{}\n\n", head.trim_end_matches('\n'));
            }
            self.gaps.push(String::new());
        } else {
            self.gaps.insert(if follows { position } else { position + 1 }, "\n".to_owned());
        }
    }

    /// Takes an entry out, with one of the blank lines around it.
    pub(super) fn remove(&mut self, position: usize) {
        self.entries.remove(position);
        let after = self.gaps.remove(position + 1);
        let before = &mut self.gaps[position];
        let (blank_before, blank_after) = (before.trim().is_empty(), after.trim().is_empty());
        *before = match () {
            () if after.is_empty() && blank_before => String::new(),
            () if blank_after => before.clone(),
            () if before.is_empty() => after.trim_start_matches('\n').to_owned(),
            () if blank_before => after,
            () => format!("{}\n{after}", before.trim_end_matches('\n')),
        };
    }

    /// Moves an entry to where another one is; what lies between entries stays where it is.
    pub(super) fn shift(&mut self, from: usize, to: usize) {
        let entry = self.entries.remove(from);
        self.entries.insert(to, entry);
    }
}

/// Where the headers of all tables begin.
fn collect(table: &Table, headers: &mut Vec<usize>) {
    for (_, item) in table.iter() {
        match item {
            Item::Table(table) => one(table, headers),
            Item::ArrayOfTables(tables) => tables.iter().for_each(|table| one(table, headers)),
            Item::None | Item::Value(_) => {}
        }
    }
}

fn one(table: &Table, headers: &mut Vec<usize>) {
    // Dotted keys and tables that only their children imply have no header.
    if !table.is_dotted() && !table.is_implicit() {
        headers.extend(table.span().map(|at| at.start));
    }
    collect(table, headers);
}

/// Where the headers of an entry's own tables begin.
fn own_headers(driver: &Table) -> Vec<usize> {
    let mut own = Vec::new();
    collect(driver, &mut own);
    own
}

/// Where the comment begins that stands right above a header.
fn with_comment_above(text: &str, header: usize) -> usize {
    let mut start = text[..header].rfind('\n').map_or(0, |newline| newline + 1);
    while start > 0 {
        let above = text[..start - 1].rfind('\n').map_or(0, |newline| newline + 1);
        if !text[above..start].trim_start().starts_with('#') {
            break;
        }
        start = above;
    }
    start
}

/// How much of a region is an entry's: up to its last line with a key or a value, and the comment right below that.
fn content(region: &str) -> usize {
    let (mut end, mut at) = (0, 0);
    let mut open = true;
    for line in region.split_inclusive('\n') {
        at += line.len();
        let trimmed = line.trim();
        if trimmed.is_empty() {
            open = false;
        } else if !trimmed.starts_with('#') {
            open = true;
            end = at;
        } else if open {
            end = at;
        }
    }
    end
}

/// A text that ends its last line.
fn line(text: &str) -> String {
    if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}
