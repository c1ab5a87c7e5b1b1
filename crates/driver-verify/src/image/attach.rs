//! The section `.dep-v0`, appended to an ELF file that is linked already, and taken off again.
//!
//! ```text
//!  the file as it was, but for two fields of its header │ list │ names of sections │ section table │ where the old one is
//! ```
//!
//! Nothing that is loaded is moved or changed: the new section is not allocated, and no segment covers it. The old table
//! stays where it was, and a last word says where, so that the original can be had back byte for byte, which is how the copy
//! is checked.

use thiserror::Error;

use super::AUDIT_SECTION;

/// Why a file gets no section. It is shipped as it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotAttached {
    /// Mach-O, PE, or nothing that is known.
    #[error("not written: only ELF files get a section after they are linked")]
    NotElf,
    /// Built by `cargo auditable`, say.
    #[error("not written: the file has a section `{AUDIT_SECTION}` already")]
    AlreadyThere,
    /// No section table, or one that says nothing sound.
    #[error("not written: the section table of the file {0}")]
    Table(&'static str),
}

/// Where things are in the headers, by the width of a word and the order of bytes.
#[derive(Debug, Clone, Copy)]
struct Form {
    wide: bool,
    big: bool,
}

/// What an ELF header says of the section table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Table {
    offset: usize,
    entries: usize,
    /// The entry of the section that holds the names.
    names: usize,
}

impl Form {
    fn of(file: &[u8]) -> Option<Self> {
        let form = match file.get(..7)? {
            [0x7f, b'E', b'L', b'F', class @ 1..=2, order @ 1..=2, 1] => {
                Self { wide: *class == 2, big: *order == 2 }
            }
            _ => return None,
        };
        (file.len() >= form.header()).then_some(form)
    }

    fn header(self) -> usize {
        if self.wide { 64 } else { 52 }
    }

    fn entry(self) -> usize {
        if self.wide { 64 } else { 40 }
    }

    fn word(self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    fn get(self, bytes: &[u8], at: usize, width: usize) -> Option<usize> {
        let field = bytes.get(at..at.checked_add(width)?)?;
        let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let number = if self.big { field.iter().fold(0, fold) } else { field.iter().rev().fold(0, fold) };
        usize::try_from(number).ok()
    }

    fn put(self, bytes: &mut [u8], at: usize, width: usize, number: usize) {
        let number = (number as u64).to_be_bytes();
        for (place, byte) in number[8 - width..].iter().enumerate() {
            let place = if self.big { place } else { width - 1 - place };
            bytes[at + place] = *byte;
        }
    }

    /// Where `e_shoff` is, and `e_shnum`, which `e_shstrndx` follows.
    fn fields(self) -> (usize, usize) {
        if self.wide { (40, 60) } else { (32, 48) }
    }

    fn table(self, file: &[u8]) -> Option<Table> {
        let (offset, count) = self.fields();
        Some(Table {
            offset: self.get(file, offset, self.word())?,
            entries: self.get(file, count, 2)?,
            names: self.get(file, count + 2, 2)?,
        })
    }

    fn write(self, file: &mut [u8], table: Table) {
        let (offset, count) = self.fields();
        self.put(file, offset, self.word(), table.offset);
        self.put(file, count, 2, table.entries);
        self.put(file, count + 2, 2, table.names);
    }

    /// Offset and size of a section's bytes, by its entry.
    fn range(self, entry: &[u8]) -> Option<(usize, usize)> {
        let at = 8 + 2 * self.word();
        Some((self.get(entry, at, self.word())?, self.get(entry, at + self.word(), self.word())?))
    }

    fn set_range(self, entry: &mut [u8], offset: usize, size: usize) {
        let at = 8 + 2 * self.word();
        self.put(entry, at, self.word(), offset);
        self.put(entry, at + self.word(), self.word(), size);
    }
}

/// A copy of an ELF file with a section `.dep-v0` that holds `list`.
///
/// # Errors
///
/// When the file is none that a section can be appended to.
pub fn attach(file: &[u8], list: &[u8]) -> Result<Vec<u8>, NotAttached> {
    let form = Form::of(file).ok_or(NotAttached::NotElf)?;
    let unsound = || NotAttached::Table("names bytes that are not in it");
    let table = form.table(file).ok_or_else(unsound)?;
    if table.offset == 0 || table.entries == 0 {
        return Err(NotAttached::Table("is not there"));
    }
    // Where the numbers do not fit into the header, the first entry holds them; no program of ours comes near.
    if table.names >= table.entries || table.entries >= 0xff00 - 1 {
        return Err(NotAttached::Table("is of a form that is not known here"));
    }
    let length = table.entries * form.entry();
    let end = table.offset.checked_add(length).ok_or_else(unsound)?;
    let mut entries = file.get(table.offset..end).ok_or_else(unsound)?.to_vec();
    let own = table.names * form.entry()..(table.names + 1) * form.entry();
    let (offset, size) = form.range(&entries[own.clone()]).ok_or_else(unsound)?;
    let end = offset.checked_add(size).ok_or_else(unsound)?;
    let mut names = file.get(offset..end).ok_or_else(unsound)?.to_vec();
    if names.windows(AUDIT_SECTION.len() + 1).any(|name| name == [AUDIT_SECTION.as_bytes(), b"\0"].concat()) {
        return Err(NotAttached::AlreadyThere);
    }
    let name = names.len();
    names.extend(AUDIT_SECTION.as_bytes());
    names.push(0);

    let mut out = Vec::with_capacity(file.len() + list.len() + names.len() + length + 128);
    out.extend_from_slice(file);
    let aligned = |out: &mut Vec<u8>| {
        out.resize(out.len().next_multiple_of(8), 0);
        out.len()
    };
    let list_at = aligned(&mut out);
    out.extend_from_slice(list);
    let names_at = aligned(&mut out);
    out.extend_from_slice(&names);
    form.set_range(&mut entries[own], names_at, names.len());
    let mut entry = vec![0; form.entry()];
    form.put(&mut entry, 0, 4, name);
    // SHT_PROGBITS: bytes that mean something to the program alone. No flags: not loaded.
    form.put(&mut entry, 4, 4, 1);
    form.set_range(&mut entry, list_at, list.len());
    form.put(&mut entry, form.entry() - 2 * form.word(), form.word(), 1);
    let offset = aligned(&mut out);
    out.extend(entries);
    out.extend(entry);
    let end = out.len();
    out.resize(end + form.word(), 0);
    form.put(&mut out, end, form.word(), table.offset);
    form.write(&mut out, Table { offset, entries: table.entries + 1, ..table });
    Ok(out)
}

/// The file of `size` bytes that [`attach`] made `file` from, and nothing else could have been: appending its list to
/// it gives `file` again. `None` where there is no such file.
#[must_use]
pub fn detach(file: &[u8], size: usize) -> Option<Vec<u8>> {
    let form = Form::of(file)?;
    let table = form.table(file)?;
    let last = table.offset.checked_add(table.entries.checked_sub(1)?.checked_mul(form.entry())?)?;
    let (list_at, length) = form.range(file.get(last..)?)?;
    let list = file.get(list_at..list_at.checked_add(length)?)?;
    let mut original = file.get(..size)?.to_vec();
    if size < form.header() {
        return None;
    }
    let entries = table.entries - 1;
    let offset = form.get(file, file.len().checked_sub(form.word())?, form.word())?;
    form.write(&mut original, Table { offset, entries, ..table });
    (attach(&original, list).ok()? == file).then_some(original)
}
