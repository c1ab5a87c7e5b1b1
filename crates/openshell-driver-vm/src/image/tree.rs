//! A root file system as a directory of the host, written to by archives that nobody vouches for.
//!
//! Nothing is ever done by a path: each step opens one directory in another, and no step follows a symbolic link, so that
//! whatever an archive says stays below the directory, which only the driver's user can enter. What the driver's user may not give
//! away, owners where it is not root, is remembered for the disk ([`Tree::script`]).

mod node;
mod script;

use std::collections::{BTreeMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, mkdirat, openat};
use rustix::io::Errno;

use self::node::Meta;
use super::disk::{BLOCK, INODE_RATIO};
use super::tar::{Archive, Entry, Kind, Source};
use super::trouble::{Trouble, shown};

/// How deep a tree is at most: each level is an open directory.
const DEEPEST: usize = 200;
/// The longest name of a file.
const LONGEST: usize = 255;

/// What marks, in a layer, that something of the layers below is gone.
///
/// Source: "OCI Image Format Specification", "Whiteouts".
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Where a whole path is told by its parts.
type Parts<'a> = Vec<&'a [u8]>;

/// A tree that is being written.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// The directories that lead to the last entry's, from the root on.
    walk: Vec<(Vec<u8>, OwnedFd)>,
    /// What is to be set once nothing more is written: directories' times, and where the driver is not root all owners.
    later: BTreeMap<Vec<u8>, Meta>,
    /// What the present layer has put where it is; whiteouts are about the layers below.
    here: HashSet<Vec<u8>>,
    layers: usize,
    is_root: bool,
    /// The disk's size, and what of it the tree takes so far.
    size: u64,
    taken: u64,
    nodes: u64,
}

impl Tree {
    /// An empty tree in `directory`, which is there and empty, for a disk of `size` bytes.
    pub(super) fn new(directory: &Path, size: u64) -> Result<Self, Trouble> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let root =
            openat(CWD, directory, flags, Mode::empty()).map_err(host("open the directory of a tree"))?;
        let is_root = rustix::process::geteuid().is_root();
        let later = BTreeMap::from([(Vec::new(), Meta::ROOT)]);
        let (walk, here) = (Vec::new(), HashSet::new());
        Ok(Self { root, walk, later, here, layers: 0, is_root, size, taken: 0, nodes: 0 })
    }

    /// Writes a layer over those that are there; the archive of a whole file system is one that takes nothing away.
    pub(super) fn apply<R: Source>(&mut self, archive: &mut Archive<R>, whole: bool) -> Result<(), Trouble> {
        self.here.clear();
        while let Some(entry) = archive.next()? {
            let parts = inside(&entry.path)?;
            match parts.last().and_then(|name| name.strip_prefix(WHITEOUT)) {
                Some(gone) if !whole => self.whiteout(&entry, &parts, gone)?,
                _ => self.put(&entry, &parts, archive)?,
            }
        }
        self.layers += 1;
        Ok(())
    }

    /// Sets what could not be set while things were written.
    pub(super) fn finish(&mut self) -> Result<(), Trouble> {
        self.walk.clear();
        let later = std::mem::take(&mut self.later);
        for (path, meta) in later.iter().filter(|(_, meta)| meta.is_directory()) {
            let parts: Parts<'_> = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
            if let Some((name, above)) = parts.split_last() {
                let parent = self.enter(path, above)?;
                meta.set_times(parent, name).map_err(host_at("set the time of", path))?;
            }
        }
        self.later = later;
        self.walk.clear();
        // What mke2fs copies from: its own user has to get in, and the root of a file system is everybody's.
        fchmod(&self.root, Mode::from_raw_mode(0o755)).map_err(host("set the mode of a tree"))
    }

    fn put<R: Source>(
        &mut self,
        entry: &Entry,
        parts: &[&[u8]],
        archive: &mut Archive<R>,
    ) -> Result<(), Trouble> {
        let Some((name, above)) = parts.split_last() else {
            // The root itself: it stays everybody's, whatever the directory was that an archive was made of.
            return match entry.kind {
                Kind::Directory => Ok(()),
                _ => Err(Trouble::entry(&entry.path, "is the root and no directory")),
            };
        };
        let path = parts.join(&b'/');
        let meta = Meta::of(entry, self.is_root);
        let parent = self.enter_or_make(&entry.path, above)?;
        match entry.kind {
            Kind::Directory => self.directory(entry, parent, name, &path)?,
            Kind::File => self.file(entry, parent, name, &path, archive)?,
            Kind::HardLink => self.hard_link(entry, parent, name, &path)?,
            Kind::Symlink | Kind::Fifo => self.special(entry, parent, name, &path)?,
            Kind::Device => {
                let problem = "is a device node, which an image has no use for: sandboxes get their own /dev";
                return Err(Trouble::entry(&entry.path, problem));
            }
        }
        if entry.kind == Kind::Directory || !self.is_root && entry.kind != Kind::HardLink {
            self.later.insert(path, meta);
        }
        self.came(parts);
        Ok(())
    }

    /// Remembers that this layer has put something at a path, and so means the directories that lead there to be.
    fn came(&mut self, parts: &[&[u8]]) {
        for length in (1..=parts.len()).rev() {
            if !self.here.insert(parts[..length].join(&b'/')) {
                return;
            }
        }
    }

    fn hard_link(&mut self, entry: &Entry, parent: At, name: &[u8], path: &[u8]) -> Result<(), Trouble> {
        let target = shown(&entry.link);
        let fault =
            |problem: &str| Trouble::entry(&entry.path, format!("is a hard link to `{target}`, {problem}"));
        let parts = inside(&entry.link).map_err(|_| fault("which is not inside of the image"))?;
        let (Some((last, above)), true) = (parts.split_last(), parts.join(&b'/') != *path) else {
            return Err(fault("which cannot be linked to"));
        };
        let missing = |errno: Errno| match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => fault("which did not come before it"),
            errno => host("open a directory")(errno),
        };
        let mut from = self.root.try_clone().map_err(Trouble::host("open a directory"))?;
        for part in above {
            from = node::open_directory(from.as_fd(), part).map_err(missing)?;
        }
        let parent = self.at(parent);
        let found = node::stat(from.as_fd(), last).map_err(missing)?;
        if node::is_directory(&found) {
            return Err(fault("which is a directory"));
        }
        let link = || rustix::fs::linkat(from.as_fd(), *last, parent, name, AtFlags::empty());
        match link() {
            Err(Errno::EXIST) => {
                let freed = node::remove(parent, name).map_err(host_at("replace", &entry.path))?;
                link().map_err(host_at("link", &entry.path))?;
                self.forget(path, freed);
            }
            other => other.map_err(|errno| match errno {
                Errno::MLINK => fault("which has as many names as a file can have"),
                errno => host_at("link", &entry.path)(errno),
            })?,
        }
        // Its owner is the file's, which the other name has on record.
        Ok(())
    }

    /// Takes away what layers below have put: one thing, or everything in a directory.
    fn whiteout(&mut self, entry: &Entry, parts: &[&[u8]], gone: &[u8]) -> Result<(), Trouble> {
        let (last, above) = parts.split_last().map_or((&[][..], &[][..]), |(last, above)| (*last, above));
        if self.layers == 0 {
            return Ok(());
        }
        let opaque = last == OPAQUE;
        // Marks of a file system that had other ones beside these.
        if !opaque && gone.starts_with(WHITEOUT) {
            return Ok(());
        }
        if gone.is_empty() || matches!(gone, b"." | b"..") {
            return Err(Trouble::entry(&entry.path, "takes away nothing that has a name"));
        }
        let parent = match self.enter(&entry.path, above) {
            Ok(parent) => parent.try_clone_to_owned().map_err(Trouble::host("open a directory"))?,
            // Nothing is there, so nothing is left.
            Err(Trouble::Entry { .. }) => return Ok(()),
            Err(trouble) => return Err(trouble),
        };
        let path = |name: &[u8]| [above, &[name]].concat().join(&b'/');
        let names = if opaque {
            node::names(parent.as_fd()).map_err(host_at("read the directory of", &entry.path))?
        } else {
            vec![gone.to_vec()]
        };
        for name in names {
            let path = path(&name);
            self.wipe(parent.as_fd(), &name, &path).map_err(host_at("take away", &path))?;
        }
        Ok(())
    }

    /// Removes what is below a path and was not put by this layer.
    fn wipe(&mut self, parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<(), Errno> {
        let found = match node::stat(parent, name) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        if node::is_directory(&found) && self.here.contains(path) {
            let inner = node::open_directory(parent, name)?;
            for name in node::names(inner.as_fd())? {
                self.wipe(inner.as_fd(), &name, &[path, &name].join(&b'/'))?;
            }
        } else if !self.here.contains(path) {
            let freed = node::remove(parent, name)?;
            self.forget(path, freed);
        }
        Ok(())
    }

    /// Directories on the way that no entry is about are made, everybody's to enter.
    fn enter_or_make(&mut self, entry: &[u8], above: &[&[u8]]) -> Result<At, Trouble> {
        let common = self.common(above);
        self.walk.truncate(common);
        for (depth, part) in above.iter().enumerate().skip(common) {
            let parent = self.at(At(depth));
            let inner = match node::open_directory(parent, part) {
                Err(Errno::NOENT) => {
                    mkdirat(parent, *part, Mode::from_raw_mode(0o700))
                        .map_err(host_at("make a directory for", entry))?;
                    let inner =
                        node::open_directory(parent, part).map_err(host_at("open a directory for", entry))?;
                    fchmod(&inner, Mode::from_raw_mode(0o755)).map_err(host_at("set the mode for", entry))?;
                    if !self.is_root {
                        self.later.insert(above[..=depth].join(&b'/'), Meta::IMPLIED);
                    }
                    self.take(entry, BLOCK)?;
                    inner
                }
                other => other.map_err(|errno| self.behind(entry, &above[..=depth], errno))?,
            };
            self.walk.push((part.to_vec(), inner));
        }
        Ok(At(above.len()))
    }

    /// The directory at a path, which has to be there.
    fn enter(&mut self, entry: &[u8], above: &[&[u8]]) -> Result<BorrowedFd<'_>, Trouble> {
        let common = self.common(above);
        self.walk.truncate(common);
        for (depth, part) in above.iter().enumerate().skip(common) {
            let inner = node::open_directory(self.at(At(depth)), part)
                .map_err(|errno| self.behind(entry, &above[..=depth], errno))?;
            self.walk.push((part.to_vec(), inner));
        }
        Ok(self.at(At(above.len())))
    }

    fn common(&self, above: &[&[u8]]) -> usize {
        self.walk.iter().zip(above).take_while(|((name, _), part)| name.as_slice() == **part).count()
    }

    fn at(&self, at: At) -> BorrowedFd<'_> {
        match at.0.checked_sub(1).and_then(|last| self.walk.get(last)) {
            Some((_, directory)) => directory.as_fd(),
            None => self.root.as_fd(),
        }
    }

    fn behind(&self, entry: &[u8], above: &[&[u8]], errno: Errno) -> Trouble {
        let above = shown(&above.join(&b'/'));
        match errno {
            Errno::NOTDIR | Errno::LOOP => Trouble::entry(
                entry,
                format!("lies behind `{above}`, which is a link or a file and no directory"),
            ),
            Errno::NOENT => Trouble::entry(entry, format!("lies behind `{above}`, which is not there")),
            errno => host_at("open the directory of", entry)(errno),
        }
    }

    /// Counts what a node takes of the disk before it is written.
    fn take(&mut self, entry: &[u8], bytes: u64) -> Result<(), Trouble> {
        let too_large = |what: String| Trouble::TooLarge { size: self.size, what };
        let taken = self.taken.saturating_add(bytes.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX));
        if taken > self.size {
            return Err(too_large(format!("its entry `{}` does not fit any more", shown(entry))));
        }
        let most = self.size / INODE_RATIO;
        if self.nodes >= most {
            return Err(too_large(format!(
                "it holds more than the {most} files that such a disk has room for"
            )));
        }
        (self.taken, self.nodes) = (taken, self.nodes + 1);
        Ok(())
    }

    /// Takes back what was counted for what is at a path, and below.
    fn forget(&mut self, path: &[u8], freed: node::Freed) {
        self.taken = self.taken.saturating_sub(freed.bytes);
        self.nodes = self.nodes.saturating_sub(freed.nodes);
        self.later.remove(path);
        let below = [path, b"/"].concat();
        let beyond = [path, b"0"].concat();
        let gone: Vec<Vec<u8>> = self.later.range(below..beyond).map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.later.remove(&path);
        }
    }
}

/// A place in the walk, by its depth.
#[derive(Debug, Clone, Copy)]
struct At(usize);

/// The parts of an entry's name, when it stays where it belongs.
fn inside(path: &[u8]) -> Result<Parts<'_>, Trouble> {
    let fault = |problem: &str| Err(Trouble::entry(path, problem));
    if path.starts_with(b"/") {
        return fault("has an absolute name");
    }
    let parts: Parts<'_> =
        path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    if parts.contains(&&b".."[..]) {
        return fault("has `..` in its name");
    }
    if path.is_empty() {
        return fault("has no name");
    }
    if parts.len() > DEEPEST {
        return fault("lies deeper than 200 directories");
    }
    if parts.iter().any(|part| part.len() > LONGEST) {
        return fault("has a part of more than 255 bytes in its name");
    }
    Ok(parts)
}

/// A call that failed, and what it was for.
fn host(what: &'static str) -> impl FnOnce(Errno) -> Trouble {
    move |errno| Trouble::Host { what: what.to_owned(), error: errno.into() }
}

/// A call that failed, and the entry that it was for.
fn host_at(what: &'static str, entry: &[u8]) -> impl FnOnce(Errno) -> Trouble {
    move |errno| Trouble::Host { what: format!("{what} `{}`", shown(entry)), error: errno.into() }
}

#[cfg(test)]
mod tests;
