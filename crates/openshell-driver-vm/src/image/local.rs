//! Images that the operator's table names: what a path holds is found out by looking into it, never by its name.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::layers::{Check, Found, Layer, Stop};
use super::layout::{self, Files};
use super::manifest::Runs;
use super::stream::{Hashed, Leaps, Packing, Slice, Stream, packing};
use super::tar::{self, Archive, Kind, Source};
use super::trouble::Trouble;

/// How many files an archive of an image holds at most; it has a handful a layer.
const MAX_FILES: usize = 10_000;

/// How far one link of an archive leads to another.
const LINKS: usize = 8;

/// A path of the table, opened.
#[derive(Debug)]
pub(super) struct Local {
    path: PathBuf,
    what: What,
}

#[derive(Debug)]
enum What {
    Directory,
    File { file: Arc<File>, length: u64 },
}

/// What a file was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) text: String,
    /// Whether it was changed so long ago that it cannot be changed again within the same tick of its clock.
    pub(super) settled: bool,
}

impl Local {
    /// Opens a path.
    ///
    /// # Errors
    /// When it is not there, may not be read, or is neither a file nor a directory.
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        let failed = |error| Trouble::Source { path: path.to_owned(), error };
        let (file, metadata) = open(path).map_err(failed)?;
        let what = if metadata.is_dir() {
            What::Directory
        } else {
            What::File { file: Arc::new(file), length: metadata.len() }
        };
        Ok(Self { path: path.to_owned(), what })
    }

    /// What tells this state of the file from any other without reading it; `None` for a directory.
    pub(super) fn state(&self) -> Result<Option<State>, Trouble> {
        let What::File { file, .. } = &self.what else { return Ok(None) };
        let failed = |error| Trouble::Source { path: self.path.clone(), error };
        let metadata = file.metadata().map_err(failed)?;
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let settled = i64::try_from(now).unwrap_or(i64::MAX).saturating_sub(metadata.ctime()) >= 2;
        let (ino, size) = (metadata.ino(), metadata.len());
        let (dev, seconds, nanos) = (metadata.dev(), metadata.ctime(), metadata.ctime_nsec());
        Ok(Some(State { text: format!("{dev}:{ino}:{size}:{seconds}.{nanos}"), settled }))
    }

    /// The image of an OCI layout in a directory.
    pub(super) fn layout(&self, reference: &str) -> Result<Found, Trouble> {
        let directory = Directory(self.path.clone());
        if directory.open("oci-layout")?.is_none() {
            let path = self.path.display();
            let problem = format!("`{path}` is a directory and no OCI layout: it has no `oci-layout`");
            return Err(Trouble::Image(problem));
        }
        layout::oci(&directory, reference)
    }

    /// Finds out what it is. An archive of an image that is packed as a whole is unpacked into `scratch`, a directory, for a disk of
    /// `size` bytes.
    pub(super) fn find(
        &self,
        reference: &str,
        scratch: &Path,
        size: u64,
        stop: &Stop,
    ) -> Result<Found, Trouble> {
        match &self.what {
            What::Directory => self.layout(reference),
            What::File { file, length } => {
                let slice = Slice::new(Arc::clone(file), 0, *length);
                self.file(slice, reference, scratch, size, stop).map_err(|trouble| match trouble {
                    Trouble::Image(problem) => {
                        Trouble::Image(format!("`{}`: {problem}", self.path.display()))
                    }
                    other => other,
                })
            }
        }
    }

    fn file(
        &self,
        slice: Slice,
        reference: &str,
        scratch: &Path,
        size: u64,
        stop: &Stop,
    ) -> Result<Found, Trouble> {
        let mut first = [0; 4];
        let count =
            slice.peek(&mut first).map_err(|error| Trouble::Source { path: self.path.clone(), error })?;
        let whole = |bytes: Slice| {
            let layers = vec![Layer { bytes, check: Check::Whole }];
            Found { digest: None, runs: Runs::default(), layers }
        };
        let archive = if packing(&first[..count]) == Packing::Plain {
            slice.clone()
        } else {
            // The first entry tells whether it can be an image's archive at all; most are not, and are unpacked just once.
            let stream = Stream::open(slice.clone(), Hashed::Packed, u64::MAX, size, stop.clone())?;
            if !begins_an_image(&mut Archive::new(stream, false))? {
                return Ok(whole(slice));
            }
            unpacked(&slice, scratch, size, stop)?
        };
        match Members::read(&archive, stop)? {
            Some(members) if members.has("manifest.json") => layout::docker_save(&members, reference),
            Some(members) if members.has("oci-layout") && members.has("index.json") => {
                layout::oci(&members, reference)
            }
            _ => Ok(whole(slice)),
        }
    }
}

/// Opens a file or a directory; nothing that could make whoever opens it wait.
fn open(path: &Path) -> io::Result<(File, std::fs::Metadata)> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(openat(CWD, path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if metadata.is_file() || metadata.is_dir() {
        return Ok((file, metadata));
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a file nor a directory"))
}

/// An OCI layout as a directory.
struct Directory(PathBuf);

impl Files for Directory {
    fn open(&self, name: &str) -> Result<Option<Slice>, Trouble> {
        let path = self.0.join(name);
        match open(&path) {
            Ok((file, metadata)) => Ok(Some(Slice::new(Arc::new(file), 0, metadata.len()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Trouble::Source { path, error }),
        }
    }
}

/// The files of an archive, each by where it lies.
struct Members {
    archive: Slice,
    members: HashMap<String, Member>,
}

enum Member {
    File { at: u64, length: u64 },
    Link(String),
}

impl Members {
    /// Looks through a plain archive without reading what is in its files; `None` when it holds something that no image's
    /// archive does.
    fn read(slice: &Slice, stop: &Stop) -> Result<Option<Self>, Trouble> {
        let mut members = HashMap::new();
        let mut archive = Archive::new(Leaps::new(slice.clone()), false);
        while let Some(entry) = archive.next()? {
            stop.check()?;
            let Some(name) = name(&entry.path) else { return Ok(None) };
            let member = match entry.kind {
                Kind::Directory => continue,
                Kind::File => Member::File { at: archive.source().position(), length: entry.size },
                // Layers that are the same are in the archive once.
                Kind::Symlink | Kind::HardLink => {
                    let from = if entry.kind == Kind::Symlink {
                        name.rsplit_once('/').map_or("", |(above, _)| above)
                    } else {
                        ""
                    };
                    match linked(from, &entry.link) {
                        Some(to) => Member::Link(to),
                        None => return Ok(None),
                    }
                }
                Kind::Fifo | Kind::Device => return Ok(None),
            };
            if !is_of_an_image(&name) || members.len() >= MAX_FILES {
                return Ok(None);
            }
            members.insert(name, member);
        }
        Ok(Some(Self { archive: slice.clone(), members }))
    }

    fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }
}

impl Files for Members {
    fn open(&self, name: &str) -> Result<Option<Slice>, Trouble> {
        let mut name = name;
        for _ in 0..LINKS {
            match self.members.get(name) {
                None => return Ok(None),
                Some(Member::Link(to)) => name = to,
                Some(Member::File { at, length }) => {
                    // What was cut off is seen here: the archive's own end was never read.
                    if at.checked_add(*length).is_none_or(|end| end > self.archive.end()) {
                        return Err(Trouble::Image(
                            "it ends in the middle of an entry: it is truncated".into(),
                        ));
                    }
                    return Ok(Some(Slice::new(self.archive.file(), *at, *length)));
                }
            }
        }
        Err(Trouble::Image("its links lead in a circle".into()))
    }
}

/// An entry's name as it is referred to; `None` for one that is no file below the archive's root.
fn name(path: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(path).ok()?;
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!text.starts_with('/') && !parts.contains(&"..")).then(|| parts.join("/"))
}

/// Where a link leads that stands in the directory `from`.
fn linked(from: &str, to: &[u8]) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    for part in std::str::from_utf8(to).ok()?.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Whether a name is one of those in an image's archive: an OCI layout's, or files called after digests.
fn is_of_an_image(name: &str) -> bool {
    let first = name.split_once('/').map_or(name, |(first, _)| first);
    let stem = first.split_once('.').map_or(first, |(stem, _)| stem);
    let digest = stem.strip_prefix("sha256:").unwrap_or(stem);
    matches!(name, "oci-layout" | "index.json" | "manifest.json" | "repositories")
        || first == "blobs"
        || digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the first file of an archive is one of an image.
fn begins_an_image<R: Source>(archive: &mut Archive<R>) -> Result<bool, Trouble> {
    while let Some(entry) = archive.next()? {
        match name(&entry.path) {
            Some(name) if name.is_empty() => {}
            Some(name) => return Ok(is_of_an_image(&name)),
            None => return Ok(false),
        }
    }
    Ok(false)
}

/// An archive that is packed as a whole, unpacked: its files are wanted in another order than they have.
fn unpacked(slice: &Slice, scratch: &Path, size: u64, stop: &Stop) -> Result<Slice, Trouble> {
    let failed = || Trouble::host("unpack an archive");
    let path = scratch.join("archive.tar");
    let mut stream = Stream::open(slice.clone(), Hashed::Packed, size.saturating_mul(4), size, stop.clone())?;
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).map_err(failed())?;
    // It is used through this descriptor alone.
    std::fs::remove_file(&path).map_err(failed())?;
    let length = io::copy(&mut stream, &mut file).map_err(tar::reading)?;
    Ok(Slice::new(Arc::new(file), 0, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_archives() {
        let digest = "0123456789abcdef".repeat(4);
        for name in [
            "oci-layout".into(),
            "blobs/sha256/aa".into(),
            format!("{digest}/layer.tar"),
            format!("{digest}.json"),
            format!("sha256:{digest}"),
            format!("{digest}.tar.gz"),
        ] {
            assert!(is_of_an_image(&name), "{name}");
        }
        for name in ["etc/passwd", "manifest.json/a", "blob", "", "deadbeef/layer.tar"] {
            assert!(!is_of_an_image(name), "{name}");
        }
    }

    #[test]
    fn links_of_an_archive_stay_in_it() {
        assert_eq!(linked("a", b"../b/layer.tar").as_deref(), Some("b/layer.tar"));
        assert_eq!(linked("a", b"../../etc/shadow"), None);
        assert_eq!(linked("", b"b/layer.tar").as_deref(), Some("b/layer.tar"));
    }
}
