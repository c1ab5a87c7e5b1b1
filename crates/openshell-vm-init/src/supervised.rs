//! What a guest has for its supervisor: its program, and the socket at which it reaches its gateway.
//!
//! ```text
//!   /supervisor of the initramfs ─ bound, read-only ─▶ /run/openshell/supervisor
//!   /run/openshell/gateway/       a file system of its own, root's, read-only once the socket is in it: nobody puts
//!     gateway.sock                another one in its place
//! ```

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use openshell_vm_init::line::PORT;
use openshell_vm_init::protocol::Supervisor;
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};

use crate::door::Door;
use crate::failure::{During, Failure};
use crate::port;

const STEP: &str = "deliver the supervisor";
/// Where the initramfs has the program.
const PROGRAM: &str = "/supervisor";

/// What was found of it before the root changes: both are out of everybody's reach after that.
pub(crate) struct Supervised {
    program: File,
    port: File,
    /// Where the program and the socket are to be.
    target: PathBuf,
    socket: PathBuf,
}

impl Supervised {
    /// Looks for the program and the port.
    pub(crate) fn find(supervisor: &Supervisor) -> Result<Self, Failure> {
        Ok(Self {
            program: File::open(PROGRAM).during(STEP, PROGRAM)?,
            port: port::open(PORT)?,
            target: PathBuf::from(&supervisor.program),
            socket: PathBuf::from(&supervisor.socket),
        })
    }

    /// Puts the program and the socket into their places; the root is the sandbox's.
    pub(crate) fn deliver(self) -> Result<Door, Failure> {
        let Self { program, port, target, socket } = self;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent(&target)?)
            .during(STEP, target.display())?;
        // What is bound over a file needs a file.
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o444)
            .open(&target)
            .during(STEP, target.display())?;
        // The program's own file: a copy would take its memory twice.
        mount_bind(format!("/proc/self/fd/{}", program.as_raw_fd()), &target)
            .during(STEP, target.display())?;
        mount_remount(&target, flags | MountFlags::BIND | MountFlags::RDONLY, c"")
            .during(STEP, target.display())?;

        let directory = parent(&socket)?;
        let flags = flags | MountFlags::NOEXEC;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .during(STEP, directory.display())?;
        mount("tmpfs", directory, "tmpfs", flags, c"mode=700,size=64k").during(STEP, directory.display())?;
        let listener = UnixListener::bind(&socket).during(STEP, socket.display())?;
        mount_remount(directory, flags | MountFlags::BIND | MountFlags::RDONLY, c"")
            .during(STEP, directory.display())?;
        Ok(Door::new(listener, port))
    }
}

fn parent(path: &Path) -> Result<&Path, Failure> {
    path.parent()
        .filter(|parent| path.is_absolute() && *parent != Path::new("/"))
        .ok_or_else(|| Failure::new(STEP, format!("`{}` is no absolute path in a directory", path.display())))
}
