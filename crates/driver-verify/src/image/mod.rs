//! A program file: its sections, markers, report, dependency list and symbols. The file is not trusted.
//!
//! `object` checks every offset; on top of that a file whose tables reach beyond its end, claim more sections than a
//! linker makes, or name the same bytes over and over is refused, so that time and memory stay in proportion to its size.

mod attach;
mod audit;
mod sniff;
mod unreadable;

use object::read::elf::{ElfFile, FileHeader, ProgramHeader as _};
use object::{
    Architecture, BinaryFormat, FileKind, Object, ObjectKind, ObjectSection, ObjectSegment, ObjectSymbol,
};

use crate::evidence::SelfReport;
use crate::verdict::FileFacts;

pub use attach::{NotAttached, attach, detach};
pub use audit::{AuditedPackage, audit_section};
pub use sniff::{FILE_LIMIT, sniff};
pub use unreadable::Unreadable;

/// Programs have some tens; a section a function, which linkers undo, some ten thousand.
const MOST_SECTIONS: usize = 1 << 16;
/// Markers and reports are a few hundred bytes.
const SMALL: u64 = 64 << 10;

/// The sections of ours, by their names on ELF and PE and on Mach-O, and that of `cargo auditable`.
const MARKERS: &[&str] = &[".osdrv", "__osdrv"];
const REPORT: &[&str] = &[".osgw", "__osgw"];
const AUDIT: &[&str] = &[AUDIT_SECTION];
const AUDIT_SECTION: &str = ".dep-v0";

/// A readable program file.
#[derive(Debug)]
pub struct Image<'a> {
    data: &'a [u8],
    file: object::File<'a>,
    /// Those that have bytes in the file, by offset.
    sections: Vec<Section<'a>>,
}

/// A section that has bytes in the file.
#[derive(Debug, Clone)]
pub struct Section<'a> {
    /// Its name, without the segment's.
    pub name: String,
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes.
    pub data: &'a [u8],
}

impl Section<'_> {
    fn end(&self) -> u64 {
        self.offset + self.data.len() as u64
    }
}

/// What the marker sections hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Markers {
    /// There is such a section, with bytes in it.
    pub section: bool,
    /// The texts, in the order of the file, without the NUL.
    pub texts: Vec<String>,
    /// What is no marker, printable.
    pub malformed: Vec<String>,
}

impl<'a> Image<'a> {
    /// Reads the tables of a file.
    ///
    /// # Errors
    ///
    /// When it cannot be judged.
    pub fn read(data: &'a [u8]) -> Result<Self, Unreadable> {
        sniff(&data[..data.len().min(4096)], data.len() as u64)?;
        let kind = FileKind::parse(data).map_err(|_| sniff::unknown(data))?;
        match kind {
            FileKind::Elf32
            | FileKind::Elf64
            | FileKind::Pe32
            | FileKind::Pe64
            | FileKind::MachO32
            | FileKind::MachO64 => {}
            FileKind::MachOFat32 | FileKind::MachOFat64 => return Err(Unreadable::Universal),
            FileKind::Coff | FileKind::CoffBig | FileKind::CoffImport => {
                return Err(Unreadable::NotAProgram("an object file"));
            }
            _ => return Err(sniff::unknown(data)),
        }
        let file = object::File::parse(data).map_err(Unreadable::damaged)?;
        let sections = sections(data, &file)?;
        match file.kind() {
            ObjectKind::Executable | ObjectKind::Dynamic => {}
            ObjectKind::Relocatable => return Err(Unreadable::NotAProgram("an object file")),
            ObjectKind::Core => return Err(Unreadable::NotAProgram("a core dump")),
            _ => return Err(Unreadable::NotAProgram("something else")),
        }
        Ok(Self { data, file, sections })
    }

    /// The whole file.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The sections that have bytes in the file, by offset.
    #[must_use]
    pub fn sections(&self) -> &[Section<'a>] {
        &self.sections
    }

    /// The section that an offset lies in.
    #[must_use]
    pub fn section_at(&self, offset: u64) -> Option<&Section<'a>> {
        // Hostile files have sections that overlap: the last one that begins before the offset is as good as any.
        let after = self.sections.partition_point(|section| section.offset <= offset);
        self.sections[..after].last().filter(|section| offset < section.end())
    }

    /// The machine, as the first word of a target triple.
    #[must_use]
    pub fn architecture(&self) -> &'static str {
        architecture(self.file.architecture())
    }

    /// `ELF`, `PE` or `Mach-O`.
    #[must_use]
    pub fn format(&self) -> &'static str {
        match self.file.format() {
            BinaryFormat::Elf => "ELF",
            BinaryFormat::Pe => "PE",
            BinaryFormat::MachO => "Mach-O",
            _ => "unknown",
        }
    }

    /// The loader that a program names which needs libraries from elsewhere; `None` for one that needs none, and for what
    /// is no ELF file.
    ///
    /// # Errors
    ///
    /// When its tables do not tell.
    pub fn interpreter(&self) -> Result<Option<String>, String> {
        match &self.file {
            object::File::Elf32(elf) => interpreter(elf),
            object::File::Elf64(elf) => interpreter(elf),
            _ => Ok(None),
        }
    }

    /// What the marker sections hold.
    #[must_use]
    pub fn markers(&self) -> Markers {
        let mut markers = Markers::default();
        for section in self.named(MARKERS) {
            markers.section |= !section.data.is_empty();
            if section.data.len() as u64 > SMALL {
                markers.malformed.push(format!("{} bytes", section.data.len()));
                continue;
            }
            for text in section.data.split(|&byte| byte == 0).filter(|text| !text.is_empty()) {
                match std::str::from_utf8(text) {
                    Ok(text) if is_marker(text) => markers.texts.push(text.to_owned()),
                    _ => markers.malformed.push(text.escape_ascii().to_string().chars().take(80).collect()),
                }
            }
        }
        markers
    }

    /// The program's report of itself; `None` where there is no such section.
    ///
    /// # Errors
    ///
    /// When the section holds something else, or several.
    pub fn report(&self) -> Option<Result<SelfReport, String>> {
        let mut sections = self.named(REPORT).filter(|section| !section.data.is_empty());
        let section = sections.next()?;
        if sections.next().is_some() {
            return Some(Err("there are several such sections".to_owned()));
        }
        if section.data.len() as u64 > SMALL {
            return Some(Err(format!("it has {} bytes", section.data.len())));
        }
        let mut texts = section.data.split(|&byte| byte == 0).filter(|text| !text.is_empty());
        let text = texts.next()?;
        if texts.next().is_some() {
            return Some(Err("it holds several reports".to_owned()));
        }
        let report: Result<SelfReport, _> = serde_json::from_slice(text);
        Some(report.map_err(|error| error.to_string()).and_then(|report| match report.schema {
            1 => Ok(report),
            other => Err(format!("its schema is {other}; 1 is known")),
        }))
    }

    /// The packages of the section `.dep-v0`; `None` where there is none.
    ///
    /// # Errors
    ///
    /// When the section holds something else.
    pub fn audit(&self) -> Option<Result<Vec<AuditedPackage>, String>> {
        self.named(AUDIT).next().map(|section| audit::read(section.data))
    }

    /// Calls `each` with the raw name of every symbol; gives how many there are.
    ///
    /// # Errors
    ///
    /// When the table names the same bytes so often that reading it would not end.
    pub(crate) fn symbols(&self, mut each: impl FnMut(&[u8])) -> Result<usize, String> {
        let mut budget = 4 * self.data.len() + (1 << 20);
        let mut count = 0;
        for symbol in self.file.symbols() {
            let Ok(name) = symbol.name_bytes() else { continue };
            budget = budget
                .checked_sub(name.len() + 1)
                .ok_or("the symbol table names the same bytes over and over")?;
            if !name.is_empty() {
                count += 1;
                each(name);
            }
        }
        Ok(count)
    }

    /// What the file shows of itself.
    #[must_use]
    pub fn facts(&self) -> FileFacts {
        FileFacts {
            format: self.format().to_owned(),
            architecture: self.architecture().to_owned(),
            bits: if self.file.is_64() { 64 } else { 32 },
            size: self.data.len() as u64,
            sections: self.sections.len(),
            stripped: self.file.symbols().next().is_none(),
            markers: self.markers().texts,
            report: self.report().and_then(Result::ok),
        }
    }

    /// Bytes behind everything that the tables name: what an installer or a packer appends.
    pub(crate) fn overlay(&self) -> u64 {
        let tables = self.file.segments().map(|segment| segment.file_range());
        let tables = tables.map(|(offset, size)| offset.saturating_add(size));
        let named = self.sections.iter().map(Section::end).chain(tables).max().unwrap_or(0);
        (self.data.len() as u64).saturating_sub(named)
    }

    fn named(&self, names: &'static [&'static str]) -> impl Iterator<Item = &Section<'a>> {
        self.sections.iter().filter(|section| names.contains(&section.name.as_str()))
    }
}

/// What `PT_INTERP` names.
fn interpreter<Elf: FileHeader>(elf: &ElfFile<'_, Elf>) -> Result<Option<String>, String> {
    for header in elf.elf_program_headers() {
        let named = header.interpreter(elf.endian(), elf.data()).map_err(|error| error.to_string())?;
        if let Some(path) = named {
            return Ok(Some(path[..path.len().min(256)].escape_ascii().to_string()));
        }
    }
    Ok(None)
}

/// `kind:name`, as the macros leave it.
fn is_marker(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    text.len() <= 256 && text.split_once(':').is_some_and(|(kind, name)| word(kind) && word(name))
}

fn sections<'a>(data: &'a [u8], file: &object::File<'a>) -> Result<Vec<Section<'a>>, Unreadable> {
    let size = data.len() as u64;
    let fits = |what: &dyn Fn() -> String, offset: u64, length: u64| {
        let end = offset.saturating_add(length);
        if end > size { Err(Unreadable::Truncated { what: what(), end, size }) } else { Ok(()) }
    };
    for (index, segment) in file.segments().take(MOST_SECTIONS).enumerate() {
        let (offset, length) = segment.file_range();
        fits(&|| format!("segment {index}"), offset, length)?;
    }
    let mut budget = 4 * data.len();
    let (mut sections, mut seen) = (Vec::new(), 0);
    for section in file.sections() {
        seen += 1;
        if seen > MOST_SECTIONS {
            return Err(Unreadable::Damaged(format!("it names more than {MOST_SECTIONS} sections")));
        }
        let name = section.name_bytes().map_err(Unreadable::damaged)?;
        budget = budget
            .checked_sub(name.len() + 1)
            .ok_or_else(|| Unreadable::Damaged("its section names overlap".to_owned()))?;
        let name: String = String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned();
        let Some((offset, length)) = section.file_range() else { continue };
        fits(&|| format!("section `{name}`"), offset, length)?;
        let data = section.data().map_err(Unreadable::damaged)?;
        sections.push(Section { name, offset, data });
    }
    sections.sort_by_key(|section| section.offset);
    if seen == 0 || packed_names(&sections) {
        let head = &data[..data.len().min(4096)];
        let upx = head.windows(4).any(|window| window == b"UPX!") || packed_names(&sections);
        return Err(if upx { Unreadable::Packed("UPX") } else { Unreadable::NoSectionTable });
    }
    Ok(sections)
}

fn packed_names(sections: &[Section<'_>]) -> bool {
    sections.iter().any(|section| section.name.starts_with("UPX") || section.name.starts_with("__XHDR"))
}

/// As in target triples.
fn architecture(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Aarch64 | Architecture::Aarch64_Ilp32 => "aarch64",
        Architecture::Arm => "arm",
        Architecture::I386 => "i686",
        Architecture::X86_64 | Architecture::X86_64_X32 => "x86_64",
        Architecture::LoongArch64 => "loongarch64",
        Architecture::Mips => "mips",
        Architecture::Mips64 | Architecture::Mips64_N32 => "mips64",
        Architecture::PowerPc => "powerpc",
        Architecture::PowerPc64 => "powerpc64",
        Architecture::Riscv32 => "riscv32",
        Architecture::Riscv64 => "riscv64",
        Architecture::S390x => "s390x",
        Architecture::Sparc64 => "sparc64",
        _ => "unknown",
    }
}
