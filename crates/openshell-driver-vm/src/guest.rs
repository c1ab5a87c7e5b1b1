//! What runs inside a machine: the kernel's command line, the modules it needs, the initramfs they are in.
//!
//! Nothing here starts anything; [`crate::machine`] does. What the first program of the guest does is in the package
//! `openshell-vm-init`.

#[cfg(test)]
pub(crate) mod boot;
mod cpio;
mod error;
pub(crate) mod initramfs;
mod modules;

use std::path::PathBuf;

/// The programs that every guest is given with its initramfs.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// Its first.
    pub(crate) init: PathBuf,
    /// The supervisor, where sandboxes have one.
    pub(crate) supervisor: Option<PathBuf>,
}

/// The board that QEMU plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Board {
    /// `-machine microvm`: virtio-mmio, no PCI bus, no firmware to wait for.
    Microvm,
    /// `-machine q35`: virtio-pci.
    Q35,
}

/// The modules that a guest on a board loads; `interface`: whether it has a network interface.
pub(crate) fn modules(board: Board, interface: bool) -> Vec<&'static str> {
    let transport = match board {
        Board::Microvm => "virtio_mmio",
        Board::Q35 => "virtio_pci",
    };
    let mut modules = vec![transport, "virtio_console", "virtio_blk", "virtio_rng", "ext4"];
    if interface {
        modules.push("virtio_net");
    }
    modules
}

/// The kernel's command line.
///
/// The guest ends by a reset, which QEMU's `-no-reboot` makes the end of the machine: `reboot=t` has it at once on every board,
/// a microvm has no other way; after a panic it comes without a wait. What an error of the kernel leaves is no machine to
/// go on with, hence `oops=panic`. The rest is time: no tests of the kernel's own ciphers, no waiting for grace periods that
/// nobody needs, and no check of a timer that an emulated board with a busy host can fail.
pub(crate) fn command_line(board: Board) -> String {
    let mut words = vec![
        "console=ttyS0 quiet panic=-1 oops=panic reboot=t",
        "cryptomgr.notests rcupdate.rcu_expedited=1 no_timer_check 8250.nr_uarts=1",
    ];
    match board {
        Board::Microvm => {}
        // A keyboard that nobody has; to look for it takes longer than to boot the rest of the board.
        Board::Q35 => words.push("i8042.noaux i8042.nokbd"),
    }
    words.join(" ")
}
