//! The initramfs: the guest's first program, the modules that it loads before it can reach a disk, and the supervisor.
//!
//! The same for every sandbox, with nothing secret in it. Not compressed: under TCG the kernel would take longer to
//! unpack it than QEMU takes to copy it.

use std::fs;
use std::path::Path;

use super::Programs;
use super::cpio::Archive;
use super::error::GuestError;
use super::modules::Modules;

/// The archive for a kernel. `modules` is its module directory, nothing for a kernel that has built in all that is `wanted`.
///
/// # Errors
/// What cannot be read, and which module was not found where.
pub(crate) fn build(
    programs: &Programs,
    modules: Option<&Path>,
    wanted: &[&str],
) -> Result<Vec<u8>, GuestError> {
    let init = read(&programs.init, "the guest's first program")?;
    let mut archive = Archive::default();
    for directory in ["dev", "proc", "sys", "cgroup", "root", "modules"] {
        archive.directory(directory);
    }
    // The kernel opens it for the first program before anything is mounted.
    archive.character_device("dev/console", 5, 1);
    archive.file("init", 0o755, &init);
    if let Some(path) = &programs.supervisor {
        archive.file("supervisor", 0o555, &read(path, "the supervisor")?);
    }
    if let Some(modules) = modules {
        let mut list = String::new();
        for file in Modules::open(modules)?.resolve(wanted)? {
            let bytes = fs::read(&file).map_err(|error| GuestError::Read { path: file.clone(), error })?;
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            archive.file(&format!("modules/{name}"), 0o600, &bytes);
            list.push_str(&name);
            list.push('\n');
        }
        archive.file("modules/list", 0o600, list.as_bytes());
    }
    Ok(archive.finish())
}

fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, GuestError> {
    fs::read(path).map_err(|error| GuestError::Program { what, path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let failed = |init: &str, supervisor: Option<&str>| {
            let programs = Programs { init: init.into(), supervisor: supervisor.map(Into::into) };
            build(&programs, None, &[]).expect_err("no program").to_string()
        };
        assert_eq!(
            failed("/none/init", None),
            "cannot read the guest's first program `/none/init`: No such file or directory (os error 2)"
        );
        assert_eq!(
            failed("/bin/sh", Some("/none/supervisor")),
            "cannot read the supervisor `/none/supervisor`: No such file or directory (os error 2)"
        );
    }
}
