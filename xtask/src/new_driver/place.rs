//! Where a new driver goes: a directory that is free, and files that are there all at once or not at all.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::templates::File;
use crate::error::{Error, Result};

/// A directory of a person's choice, absolute, that is empty or not there, and not in this workspace.
pub(super) fn free_directory(root: &Path, directory: &Path) -> Result<PathBuf> {
    let shown = directory.display();
    let target = real(directory)?;
    if target.starts_with(real(root)?) {
        let hint = "give a directory beside it, or leave --out-of-tree out for a crate of this workspace";
        return Err(Error::refused(format!("`{shown}` is inside of this workspace"), hint));
    }
    match fs::read_dir(&target).map(Iterator::count) {
        Ok(0) => Ok(target),
        Ok(_) => {
            Err(Error::refused(format!("`{shown}` is not empty"), "give a directory that is not there yet"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(target),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(Error::refused(
            format!("`{shown}` is not a directory"),
            "give a directory that is not there yet",
        )),
        Err(error) => Err(Error::file("read", &target)(error)),
    }
}

/// An absolute path without links and dots, although its end may not be there.
fn real(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(Error::file("find", path))?;
    let mut there = absolute.as_path();
    let mut rest = Vec::new();
    loop {
        match fs::canonicalize(there) {
            Ok(mut found) => {
                for part in rest.iter().rev() {
                    match part {
                        Component::ParentDir => drop(found.pop()),
                        part => found.push(part),
                    }
                }
                return Ok(found);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let (Some(parent), Some(last)) = (there.parent(), there.components().next_back()) else {
                    return Err(Error::file("find", path)(error));
                };
                rest.push(last);
                there = parent;
            }
            // What is wrong with it is said by whoever looks into it.
            Err(_) => return Ok(absolute),
        }
    }
}

/// The way from a directory to another, with `/`, for a manifest.
pub(crate) fn way(from: &Path, to: &Path) -> Result<String> {
    let to = real(to)?;
    let common = from.components().zip(to.components()).take_while(|(one, other)| one == other).count();
    let up = from.components().skip(common).map(|_| "..".to_owned());
    let down = to.components().skip(common).map(|part| part.as_os_str().to_string_lossy().into_owned());
    let way = up.chain(down).collect::<Vec<_>>().join("/");
    if to.to_str().is_none() || way.contains(['"', '\\', '{', '}', '\n']) {
        let message = format!("the way to this workspace, `{way}`, cannot be written into a manifest");
        return Err(Error::refused(message, "move one of the two to a path of ordinary characters"));
    }
    Ok(way)
}

/// Writes the files into a directory in `beside`, which is then renamed to `target`.
pub(super) fn write(beside: &Path, target: &Path, files: &[File]) -> Result<()> {
    let draft = beside.join(format!(".new-driver-{}", std::process::id()));
    let done = draw_up(&draft, files)
        .and_then(|()| fs::rename(&draft, target).map_err(Error::file("create", target)));
    if done.is_err() {
        // It may not be there at all.
        let _ = fs::remove_dir_all(&draft);
    }
    done
}

fn draw_up(draft: &Path, files: &[File]) -> Result<()> {
    fs::create_dir(draft).map_err(Error::file("create", draft))?;
    for file in files {
        let path = draft.join(file.path);
        let directory = path.parent().unwrap_or(draft);
        fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
        fs::write(&path, &file.text).map_err(Error::file("write", &path))?;
        if file.is_program {
            make_program(&path).map_err(Error::file("write", &path))?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn make_program(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path)?.permissions().mode();
    // Whoever may read it may run it.
    fs::set_permissions(path, fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))
}

#[cfg(not(unix))]
fn make_program(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_goes_up_and_down() {
        let home = tempfile::tempdir().expect("a directory");
        let root = home.path().join("a/main");
        fs::create_dir_all(&root).expect("made");
        let from = |path: &str| way(&real(&home.path().join(path)).expect("real"), &root).expect("a way");
        assert_eq!(from("a/driver"), "../main");
        assert_eq!(from("b/c/driver"), "../../../a/main");
        assert_eq!(from("b/../a/driver"), "../main");
    }

    #[test]
    fn what_cannot_be_written_whole_is_not_there() {
        let home = tempfile::tempdir().expect("a directory");
        let target = home.path().join("taken");
        fs::create_dir_all(target.join("inside")).expect("made");
        let file = |path| File { path, text: String::new(), is_program: false };
        // The rename meets a directory that is not empty; before it, a file that is a directory.
        assert!(write(home.path(), &target, &[file("a")]).is_err());
        assert!(write(home.path(), &home.path().join("new"), &[file("a"), file("a/b")]).is_err());
        let left: Vec<_> = fs::read_dir(home.path()).expect("listed").collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
