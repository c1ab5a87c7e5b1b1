//! The end of the machine.

use rustix::fs::sync;
use rustix::mount::{MountFlags, mount_remount};
use rustix::system::{RebootCommand, reboot};

/// Brings the disk into order and ends the machine. Comes back only if the kernel refuses.
pub(crate) fn off() {
    // Out of the serial port's buffer first: these may be the lines that say what happened.
    let _ = rustix::termios::tcdrain(std::io::stdout());
    sync();
    // Fails before the switch, where the root is memory, and where a process that cannot die holds a file: the sync has been.
    let _ = mount_remount("/", MountFlags::RDONLY, c"");
    // Not `PowerOff`: a microvm has nothing to power off with and would halt for ever. QEMU is started with `-no-reboot`, so
    // that it ends here on every board, and `reboot=t` on the command line makes it immediate.
    let _ = reboot(RebootCommand::Restart);
}
