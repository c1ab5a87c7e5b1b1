//! What every machine boots from: the kernel and the initramfs, as open files that any user of the host may open anew.
//!
//! QEMU opens both by `/proc/self/fd/…`, which asks for the file's own mode and nothing of the directories above it. A
//! kernel that only root may read, and the initramfs, are files in memory, sealed so that no machine changes them for
//! the next one.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use openshell_driver_api::{DriverError, ErrorKind};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::error::blocking;
use crate::guest::{self, Board, initramfs};

pub(super) use crate::guest::Programs;

const OPERATION: &str = "open the boot files";

/// The guest program's name, where it lies beside the driver's.
const INIT: &str = "openshell-vm-init";

/// The kernel and what the initramfs is built of.
#[derive(Debug)]
pub(super) struct Files {
    kernel: File,
    programs: Programs,
    modules: Option<PathBuf>,
    /// Made once for each set of modules that is asked for: there are two in the life of a driver at most.
    built: Mutex<Vec<(Kind, Arc<File>)>>,
}

/// What an initramfs depends on: the board, and whether there is a network interface.
type Kind = (Board, bool);

impl Files {
    /// Opens the kernel and looks for the rest. `anybody`: whether QEMU runs as another user.
    ///
    /// # Errors
    /// `FailedPrecondition`: what is not there, or not what it should be.
    pub(super) fn open(
        kernel: Option<&Path>,
        modules: Option<&Path>,
        programs: Programs,
        anybody: bool,
    ) -> Result<Self, DriverError> {
        let Some(path) = kernel else {
            return Err(refused("no kernel is configured").with_hint("kernel = \"/boot/vmlinuz-…\""));
        };
        let trouble = |error: io::Error| {
            let text = format!("the kernel `{}`: {error}", path.display());
            refused(text).with_hint("`kernel` is to be a file that the driver may read").with_source(error)
        };
        let file = File::open(path).map_err(trouble)?;
        let version = kernel_version(&file, path)?;
        let mode = file.metadata().map_err(trouble)?.permissions().mode();
        let kernel = if anybody && mode & 0o004 == 0 {
            in_memory("kernel", |copy| io::copy(&mut &file, copy).map(|_| ())).map_err(trouble)?
        } else {
            file
        };
        let modules = modules.map(|dir| tree(dir, &version)).transpose()?;
        Ok(Self { kernel, programs, modules, built: Mutex::default() })
    }

    /// The kernel.
    pub(super) fn kernel(&self) -> io::Result<File> {
        self.kernel.try_clone()
    }

    /// The initramfs for a board.
    ///
    /// # Errors
    /// `FailedPrecondition`: a module is missing, or a file cannot be read.
    pub(super) async fn initramfs(&self, board: Board, interface: bool) -> Result<Arc<File>, DriverError> {
        if let Some(file) = self.kept((board, interface)) {
            return Ok(file);
        }
        let (programs, modules) = (self.programs.clone(), self.modules.clone());
        let file = blocking(OPERATION, move || {
            let archive = initramfs::build(&programs, modules.as_deref(), &guest::modules(board, interface))
                .map_err(|error| {
                    refused(error.to_string()).with_hint("see `modules` in docs/vm.md").with_source(error)
                })?;
            in_memory("initramfs", |file| file.write_all(&archive))
                .map_err(|error| DriverError::new(ErrorKind::Internal, OPERATION, error.to_string()))
        })
        .await?;
        let file = Arc::new(file);
        self.lock().push(((board, interface), Arc::clone(&file)));
        Ok(file)
    }

    fn kept(&self, kind: Kind) -> Option<Arc<File>> {
        self.lock().iter().find(|(of, _)| *of == kind).map(|(_, file)| Arc::clone(file))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Kind, Arc<File>)>> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(message: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::FailedPrecondition, OPERATION, message)
}

/// The version that a bzImage says it is. Source: the Linux kernel, `Documentation/arch/x86/boot.rst`.
fn kernel_version(file: &File, path: &Path) -> Result<String, DriverError> {
    let mut header = [0; 0x210];
    let read = file.read_exact_at(&mut header, 0);
    if read.is_err() || header[0x1fe..0x200] != [0x55, 0xaa] || &header[0x202..0x206] != b"HdrS" {
        let what = if header.starts_with(b"\x7fELF") { ": it is an uncompressed `vmlinux`" } else { "" };
        return Err(refused(format!("the kernel `{}` is no bzImage of x86{what}", path.display()))
            .with_hint("`kernel` is to be what a distribution installs as `/boot/vmlinuz-…`"));
    }
    let mut text = [0; 128];
    let at = 0x200 + u64::from(u16::from_le_bytes([header[0x20e], header[0x20f]]));
    let length = file.read_at(&mut text, at).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    Ok(text.split(|end: char| end.is_whitespace() || end == '\0').next().unwrap_or_default().to_owned())
}

/// The modules of this very kernel: `dir` itself, or the directory of that version in it.
fn tree(dir: &Path, version: &str) -> Result<PathBuf, DriverError> {
    let within = dir.join(version);
    if !version.is_empty() && within.is_dir() {
        return Ok(within);
    }
    if !dir.is_dir() {
        return Err(refused(format!("no modules: `{}` is no directory", dir.display()))
            .with_hint(format!("modules = \"/lib/modules/{version}\"")));
    }
    Ok(dir.to_owned())
}

impl Programs {
    /// Looks for the first program: what the key says, else the file beside the driver's own. `supervisor` was found by the
    /// gateway.
    ///
    /// # Errors
    /// `FailedPrecondition`: it is not there.
    pub(super) fn find(init: Option<&Path>, supervisor: Option<&Path>) -> Result<Self, DriverError> {
        Ok(Self { init: find_init(init)?, supervisor: supervisor.map(Path::to_owned) })
    }
}

fn find_init(configured: Option<&Path>) -> Result<PathBuf, DriverError> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(INIT)));
    let looked = configured.map(Path::to_owned).or(beside);
    if let Some(path) = looked.as_ref().filter(|path| path.is_file()) {
        return Ok(path.clone());
    }
    let place = looked.unwrap_or_else(|| INIT.into());
    Err(refused(format!("the guest's first program is not at `{}`", place.display()))
        .with_hint("it is built with the driver's program, beside which it belongs; or set `init_path`"))
}

/// A sealed file in memory.
fn in_memory(name: &str, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    fill(&mut file)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn programs() -> Programs {
        Programs::find(Some(Path::new("/bin/sh")), None).expect("a program")
    }

    fn message(kernel: Option<&Path>, modules: Option<&Path>) -> String {
        Files::open(kernel, modules, programs(), true).expect_err("refused").message().to_owned()
    }

    /// A file that says it is the kernel `6.1.0-test`.
    fn kernel(dir: &Path, mode: u32) -> PathBuf {
        let mut image = vec![0; 0x400];
        image[0x1fe..0x206].copy_from_slice(b"\x55\xaa\0\0HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..0x313].copy_from_slice(b"6.1.0-test (x@y) #1");
        let path = dir.join("vmlinuz");
        std::fs::write(&path, image).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("a mode");
        path
    }

    #[test]
    fn what_is_no_kernel_is_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let elf = dir.path().join("vmlinux");
        std::fs::write(&elf, [b"\x7fELF".as_slice(), &[0; 0x300]].concat()).expect("written");
        let shown = elf.display();
        assert_eq!(message(None, None), "no kernel is configured");
        assert_eq!(
            message(Some(&elf), None),
            format!("the kernel `{shown}` is no bzImage of x86: it is an uncompressed `vmlinux`")
        );
        assert_eq!(
            message(Some(Path::new("/none")), None),
            "the kernel `/none`: No such file or directory (os error 2)"
        );
        assert_eq!(message(Some(Path::new("/")), None), "the kernel `/` is no bzImage of x86");
    }

    #[test]
    fn modules_are_those_of_the_kernel() {
        let dir = tempfile::tempdir().expect("a directory");
        let kernel = kernel(dir.path(), 0o644);
        assert_eq!(message(Some(&kernel), Some(Path::new("/none"))), "no modules: `/none` is no directory");
        std::fs::create_dir(dir.path().join("6.1.0-test")).expect("made");
        assert_eq!(tree(dir.path(), "6.1.0-test").expect("found"), dir.path().join("6.1.0-test"));
        assert_eq!(tree(dir.path(), "6.2.0").expect("taken as it is"), dir.path());
    }

    #[test]
    fn a_kernel_that_only_root_reads_is_handed_on_as_a_sealed_copy() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = kernel(dir.path(), 0o600);
        let files = Files::open(Some(&path), None, programs(), true).expect("files");
        let copy = files.kernel().expect("a file");
        let anew = format!("/proc/self/fd/{}", copy.as_raw_fd());
        assert_eq!(std::fs::read(&anew).expect("read"), std::fs::read(&path).expect("read"));
        assert_eq!(std::fs::metadata(&anew).expect("there").permissions().mode() & 0o444, 0o444);
        let written = File::options().write(true).open(&anew).and_then(|mut file| file.write_all(b"x"));
        assert!(written.is_err(), "a machine could change what the next one boots");
    }
}
