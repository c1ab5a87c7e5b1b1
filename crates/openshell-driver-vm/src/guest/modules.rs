//! Which files of a kernel's module directory a guest needs, in the order in which they can be loaded.
//!
//! `modules.dep` says what needs what; a directory that was only unpacked has none, and then each module's own word
//! counts, the `depends=` of its `.modinfo`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::GuestError;

/// The endings of a module's file; the kernel unpacks the compressed ones itself.
const ENDINGS: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/// A kernel's modules.
#[derive(Debug)]
pub(crate) struct Modules {
    tree: PathBuf,
    /// By name, with `_` for `-`, which mean the same.
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
    /// What `modules.dep` says, by name.
    needs: Option<BTreeMap<String, Vec<String>>>,
}

impl Modules {
    /// Looks at a directory of modules, or at one that has a single such directory in it.
    pub(crate) fn open(path: &Path) -> Result<Self, GuestError> {
        let tree = tree(path)?;
        let built_in = lines(&tree.join("modules.builtin"))?.unwrap_or_default();
        let built_in = built_in.lines().filter_map(|line| name(Path::new(line))).collect();
        let (mut files, mut needs) = (BTreeMap::new(), None);
        if let Some(text) = lines(&tree.join("modules.dep"))? {
            let mut known = BTreeMap::new();
            for (file, rest) in text.lines().filter_map(|line| line.split_once(':')) {
                let Some(module) = name(Path::new(file)) else { continue };
                let rest = rest.split_whitespace().filter_map(|file| name(Path::new(file)));
                known.insert(module.clone(), rest.collect());
                files.insert(module, tree.join(file));
            }
            needs = Some(known);
        } else {
            walk(&tree, &mut files)?;
        }
        Ok(Self { tree, files, built_in, needs })
    }

    /// The files of the wanted modules and of all that they need, each after what it needs.
    pub(crate) fn resolve(&self, wanted: &[&str]) -> Result<Vec<PathBuf>, GuestError> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for module in wanted {
            self.visit(&plain(module), &mut seen, &mut order)?;
        }
        Ok(order)
    }

    fn visit(
        &self,
        module: &str,
        seen: &mut BTreeSet<String>,
        order: &mut Vec<PathBuf>,
    ) -> Result<(), GuestError> {
        // Seen before its dependencies are: a circle, which no kernel has, ends.
        if self.built_in.contains(module) || !seen.insert(module.to_owned()) {
            return Ok(());
        }
        let Some(file) = self.files.get(module) else {
            return Err(GuestError::NoModule { name: module.to_owned(), tree: self.tree.clone() });
        };
        for needed in self.needs(module, file)? {
            self.visit(&needed, seen, order)?;
        }
        order.push(file.clone());
        Ok(())
    }

    fn needs(&self, module: &str, file: &Path) -> Result<Vec<String>, GuestError> {
        if let Some(needs) = &self.needs {
            return Ok(needs.get(module).cloned().unwrap_or_default());
        }
        if file.extension().is_none_or(|ending| ending != "ko") {
            return Err(GuestError::Compressed { file: file.to_owned(), tree: self.tree.clone() });
        }
        let bytes = fs::read(file).map_err(|error| GuestError::Read { path: file.to_owned(), error })?;
        depends(&bytes).ok_or_else(|| GuestError::NotAModule(file.to_owned()))
    }
}

/// The directory that the modules are in: kernel packages name it after the version.
fn tree(path: &Path) -> Result<PathBuf, GuestError> {
    let is_tree = |path: &Path| ["modules.dep", "modules.order"].iter().any(|name| path.join(name).exists());
    if is_tree(path) {
        return Ok(path.to_owned());
    }
    let mut below = entries(path)?.into_iter().filter(|path| is_tree(path));
    match (below.next(), below.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(GuestError::NoTree(path.to_owned())),
    }
}

fn entries(path: &Path) -> Result<Vec<PathBuf>, GuestError> {
    let read = || fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    read().map_err(|error| GuestError::Read { path: path.to_owned(), error })
}

/// Every module below a directory. Links are passed over: `build` and `source` lead to a kernel's sources.
fn walk(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<(), GuestError> {
    for path in entries(directory)? {
        let kind = fs::symlink_metadata(&path)
            .map_err(|error| GuestError::Read { path: path.clone(), error })?
            .file_type();
        if kind.is_dir() {
            walk(&path, files)?;
        } else if let Some(name) = name(&path).filter(|_| kind.is_file()) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// A text file, or nothing where there is none.
fn lines(path: &Path) -> Result<Option<String>, GuestError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(GuestError::Read { path: path.to_owned(), error }),
    }
}

/// The module's name, if this is the file of one.
fn name(file: &Path) -> Option<String> {
    let file = file.file_name()?.to_str()?;
    ENDINGS.iter().find_map(|ending| file.strip_suffix(ending)).map(plain)
}

fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// What a module says that it needs; nothing if the bytes are no module.
fn depends(module: &[u8]) -> Option<Vec<String>> {
    let text = section(module, b".modinfo")?;
    let value = text.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"depends="));
    let value = String::from_utf8_lossy(value.unwrap_or_default());
    Some(value.split(',').filter(|name| !name.is_empty()).map(plain).collect())
}

/// A section of a 64-bit little-endian ELF file ("ELF-64 Object File Format", sections 3 and 5).
fn section<'a>(file: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    if file.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = long(file, 0x28)?;
    let (size, count, names) = (short(file, 0x3a)?, short(file, 0x3c)?, short(file, 0x3e)?);
    let header = |index: usize| file.get(table.checked_add(index.checked_mul(size)?)?..);
    let content = |header: &[u8]| {
        let start = long(header, 0x18)?;
        file.get(start..start.checked_add(long(header, 0x20)?)?)
    };
    let names = content(header(names)?)?;
    (0..count).filter_map(header).find_map(|header| {
        let offset = u32::from_le_bytes(*header.first_chunk()?);
        let name = names.get(usize::try_from(offset).ok()?..)?;
        (name.strip_prefix(wanted)?.first() == Some(&0)).then(|| content(header)).flatten()
    })
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with a `.modinfo` that holds `text`.
    fn module(text: &[u8]) -> Vec<u8> {
        let names = b"\0.shstrtab\0.modinfo\0";
        let mut file = vec![0; 0x40];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let (at_names, at_text) = (file.len(), file.len() + names.len());
        file.extend_from_slice(names);
        file.extend_from_slice(text);
        let table = file.len();
        for (name, start, length) in [(0_u32, 0, 0), (1, at_names, names.len()), (11, at_text, text.len())] {
            let mut header = [0; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[0x18..0x20].copy_from_slice(&(start as u64).to_le_bytes());
            header[0x20..0x28].copy_from_slice(&(length as u64).to_le_bytes());
            file.extend_from_slice(&header);
        }
        file[0x28..0x30].copy_from_slice(&(table as u64).to_le_bytes());
        file[0x3a] = 64;
        file[0x3c] = 3;
        file[0x3e] = 1;
        file
    }

    /// A directory of modules: name of the file, what it needs.
    fn tree_of(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("kernel/drivers")).expect("directories");
        fs::write(root.path().join("modules.order"), "").expect("a file");
        fs::write(root.path().join("modules.builtin"), "kernel/fs/ext4/ext4.ko\n").expect("a file");
        for (name, needs) in files {
            let text = format!("license=GPL\0depends={needs}\0name=x\0");
            fs::write(root.path().join("kernel/drivers").join(name), module(text.as_bytes()))
                .expect("a file");
        }
        root
    }

    fn names(files: &[PathBuf]) -> Vec<&str> {
        files.iter().filter_map(|file| file.file_name()?.to_str()).collect()
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let root = tree_of(&[
            ("virtio_blk.ko", "virtio,virtio_ring"),
            ("virtio.ko", "virtio-ring"),
            ("virtio-ring.ko", ""),
            ("other.ko", ""),
        ]);
        let modules = Modules::open(root.path()).expect("modules");
        let order = modules.resolve(&["virtio_blk", "ext4", "virtio"]).expect("an order");
        assert_eq!(names(&order), ["virtio-ring.ko", "virtio.ko", "virtio_blk.ko"]);
    }

    #[test]
    fn modules_dep_is_believed_where_it_is() {
        let root = tree_of(&[]);
        let text = "kernel/a/virtio_blk.ko.xz: kernel/b/virtio.ko.xz kernel/c/virtio_ring.ko.xz\n\
                    kernel/b/virtio.ko.xz: kernel/c/virtio_ring.ko.xz\nkernel/c/virtio_ring.ko.xz:\n";
        fs::write(root.path().join("modules.dep"), text).expect("a file");
        let order = Modules::open(root.path()).expect("modules").resolve(&["virtio_blk"]).expect("an order");
        assert_eq!(names(&order), ["virtio_ring.ko.xz", "virtio.ko.xz", "virtio_blk.ko.xz"]);
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let root = tree_of(&[("a.ko", "b"), ("c.ko.zst", "")]);
        let shown = root.path().display();
        let modules = Modules::open(root.path()).expect("modules");
        let error = |wanted: &str| modules.resolve(&[wanted]).expect_err("no order").to_string();
        assert_eq!(
            error("a"),
            format!(
                "the guest needs the kernel module `b`, which is neither built in (`{shown}/modules.builtin`) nor a file \
                 (`b.ko`, `.ko.gz`, `.ko.xz`, `.ko.zst`) below `{shown}`"
            )
        );
        assert_eq!(
            error("c"),
            format!(
                "`{shown}/kernel/drivers/c.ko.zst` is compressed, and `{shown}` has no `modules.dep` that says what it \
                 needs: run `depmod`"
            )
        );
        fs::write(root.path().join("kernel/drivers/d.ko"), "\x7fELF").expect("a file");
        let modules = Modules::open(root.path()).expect("modules");
        let error = modules.resolve(&["d"]).expect_err("no module").to_string();
        assert!(error.ends_with("is no kernel module: it has no section `.modinfo`"), "{error}");
        let empty = tempfile::tempdir().expect("a directory");
        assert!(matches!(Modules::open(empty.path()), Err(GuestError::NoTree(_))));
        assert!(matches!(Modules::open(&empty.path().join("none")), Err(GuestError::Read { .. })));
    }

    #[test]
    fn a_cut_module_is_no_module() {
        let whole = module(b"depends=a,b-c\0");
        assert_eq!(depends(&whole), Some(vec!["a".to_owned(), "b_c".to_owned()]));
        // The last header's last fields are of no interest here.
        for length in 0..whole.len() - 24 {
            assert_eq!(depends(&whole[..length]), None, "cut at {length}");
        }
    }

    #[test]
    fn the_directory_above_will_do() {
        let root = tree_of(&[]);
        let above = tempfile::tempdir().expect("a directory");
        fs::rename(root.path(), above.path().join("6.1.0")).expect("moved");
        assert_eq!(tree(above.path()).expect("a tree"), above.path().join("6.1.0"));
    }
}
