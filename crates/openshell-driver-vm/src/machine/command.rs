//! QEMU's command line, and that of the `setpriv` before it: what they are given and what they are denied.
//!
//! Everything of the host that a machine uses is an open file, so that QEMU's own user needs to be able to read nothing but
//! what QEMU's package ships. Paths like `/proc/self/fd/5` open the file anew, by its own mode alone; `/dev/fdset/1` is
//! QEMU's own way to use the very file that it was given, which also keeps the lock that is on it.

use std::ffi::OsString;
use std::path::Path;

use openshell_vm_init::protocol;

use crate::guest::{self, Board};

/// A file that a machine inherits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    Kernel,
    Initramfs,
    Console,
    Agent,
    Supervisor,
    /// Only held, for its lock.
    Slot,
    Overlay,
    Base,
}

impl File {
    /// The descriptor's number in QEMU, after the standard streams.
    pub(super) const fn number(self) -> i32 {
        3 + self as i32
    }
}

/// What a machine's command line depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan<'a> {
    /// What QEMU is called in lists of processes.
    pub(super) name: &'a str,
    pub(super) board: Board,
    pub(super) kvm: bool,
    pub(super) cpus: u32,
    /// In MiB.
    pub(super) memory: u64,
    /// Whether there are the base and the overlay; a probe has none.
    pub(super) disk: bool,
    /// Whether there is a network interface.
    pub(super) network: bool,
    /// Whether there is a port for a supervisor.
    pub(super) supervisor: bool,
}

/// The user that QEMU runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    /// One more group: that of `/dev/kvm`.
    pub(super) group: Option<u32>,
}

/// `setpriv`'s arguments, the last of which is the program that it becomes; without a user, one's own is kept.
pub(super) fn setpriv(user: Option<User>, qemu: &Path) -> Vec<OsString> {
    let mut arguments =
        Vec::from(["--pdeathsig", "KILL", "--no-new-privs", "--inh-caps=-all"].map(OsString::from));
    if let Some(user) = user {
        arguments.push("--bounding-set=-all".into());
        arguments.push(format!("--reuid={}", user.uid).into());
        arguments.push(format!("--regid={}", user.uid).into());
        arguments.push(match user.group {
            Some(group) => format!("--groups={group}").into(),
            None => "--clear-groups".into(),
        });
    }
    arguments.push("--".into());
    arguments.push(qemu.into());
    arguments
}

/// QEMU's arguments.
pub(super) fn qemu(plan: &Plan<'_>) -> Vec<OsString> {
    let mut line = Line::default();
    line.add("-name", format!("openshell-{}", plan.name));
    // Nothing that is not asked for: no configuration of the host's, no devices by default, no window, no monitor.
    line.flag("-nodefaults").flag("-no-user-config");
    line.add("-display", "none");
    // A guest that resets itself ends: that is how it powers off, and how a panic is seen.
    line.flag("-no-reboot");
    line.add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    // Devices that a guest of ours never drives.
    line.add(
        "-machine",
        match plan.board {
            Board::Microvm => "microvm,usb=off,dump-guest-core=off,mem-merge=off",
            Board::Q35 => "q35,usb=off,vmport=off,sata=off,smbus=off,dump-guest-core=off,mem-merge=off",
        },
    );
    if plan.kvm {
        line.add("-accel", "kvm").add("-cpu", "host");
    } else {
        // The default is a gibibyte of translated code a machine.
        line.add("-accel", "tcg,tb-size=64").add("-cpu", "max");
    }
    line.add("-smp", plan.cpus.to_string());
    line.add("-m", format!("{}M", plan.memory));
    line.add("-kernel", reopened(File::Kernel));
    line.add("-initrd", reopened(File::Initramfs));
    line.add("-append", guest::command_line(plan.board));
    line.add("-chardev", format!("socket,id=console,fd={}", File::Console.number()));
    line.add("-serial", "chardev:console");
    line.add("-chardev", format!("socket,id=agent,fd={}", File::Agent.number()));
    // Its first port is for a console, which there is none of.
    line.device(plan.board, "virtio-serial", if plan.supervisor { "max_ports=3" } else { "max_ports=2" });
    line.add("-device", format!("virtserialport,chardev=agent,name={}", protocol::PORT));
    if plan.supervisor {
        line.add("-chardev", format!("socket,id=supervisor,fd={}", File::Supervisor.number()));
        line.add(
            "-device",
            format!("virtserialport,chardev=supervisor,name={}", openshell_vm_init::line::PORT),
        );
    }
    line.add("-object", "rng-builtin,id=random");
    line.device(plan.board, "virtio-rng", "rng=random");
    if plan.disk {
        disk(&mut line, plan.board);
    }
    if plan.network {
        line.add("-netdev", "user,id=net,ipv6=off");
        line.device(plan.board, "virtio-net", "netdev=net");
    }
    line.0
}

/// The base that is only read, and the overlay that stands on it.
fn disk(line: &mut Line, board: Board) {
    line.add("-add-fd", format!("fd={},set=1", File::Base.number()));
    line.add("-add-fd", format!("fd={},set=2", File::Overlay.number()));
    line.add("-blockdev", "driver=file,node-name=base-file,filename=/dev/fdset/1,read-only=on");
    line.add("-blockdev", "driver=raw,node-name=base,file=base-file,read-only=on");
    // Holes that the guest makes become holes of the file.
    line.add(
        "-blockdev",
        "driver=file,node-name=overlay-file,filename=/dev/fdset/2,locking=on,discard=unmap",
    );
    line.add("-blockdev", "driver=qcow2,node-name=overlay,file=overlay-file,backing=base,discard=unmap");
    // QEMU's own way with a full disk of the host is to pause the guest, which nobody could tell from one that hangs.
    line.device(board, "virtio-blk", "drive=overlay,werror=report,rerror=report");
}

fn reopened(file: File) -> String {
    format!("/proc/self/fd/{}", file.number())
}

#[derive(Debug, Default)]
struct Line(Vec<OsString>);

impl Line {
    fn flag(&mut self, flag: &str) -> &mut Self {
        self.0.push(flag.into());
        self
    }

    fn add(&mut self, flag: &str, value: impl Into<OsString>) -> &mut Self {
        self.0.push(flag.into());
        self.0.push(value.into());
        self
    }

    /// A virtio device on whatever bus the board has.
    fn device(&mut self, board: Board, kind: &str, options: &str) {
        let bus = match board {
            Board::Microvm => "device",
            Board::Q35 => "pci",
        };
        self.add("-device", format!("{kind}-{bus},{options}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan<'static> = Plan {
        name: "sb-1",
        board: Board::Q35,
        kvm: false,
        cpus: 2,
        memory: 512,
        disk: true,
        network: false,
        supervisor: false,
    };

    fn text(plan: &Plan<'_>) -> String {
        qemu(plan).join(" ".as_ref()).into_string().expect("text")
    }

    #[test]
    fn a_user_is_taken_with_nothing_but_the_group_it_needs() {
        let qemu = Path::new("/usr/bin/qemu");
        let line = |user| setpriv(user, qemu).join(" ".as_ref()).into_string().expect("text");
        let drop = "--pdeathsig KILL --no-new-privs --inh-caps=-all";
        assert_eq!(line(None), format!("{drop} -- /usr/bin/qemu"));
        assert_eq!(
            line(Some(User { uid: 7000, group: None })),
            format!("{drop} --bounding-set=-all --reuid=7000 --regid=7000 --clear-groups -- /usr/bin/qemu")
        );
        assert_eq!(
            line(Some(User { uid: 7000, group: Some(104) })),
            format!("{drop} --bounding-set=-all --reuid=7000 --regid=7000 --groups=104 -- /usr/bin/qemu")
        );
    }

    #[test]
    fn there_is_a_network_only_when_it_was_asked_for() {
        assert!(!text(&PLAN).contains("net"), "{}", text(&PLAN));
        assert!(text(&Plan { network: true, ..PLAN }).contains("-device virtio-net-pci,netdev=net"));
    }

    #[test]
    fn a_supervisor_has_a_port_of_its_own() {
        assert!(!text(&PLAN).contains("supervisor"), "{}", text(&PLAN));
        let line = text(&Plan { supervisor: true, ..PLAN });
        for part in [
            "virtio-serial-pci,max_ports=3",
            "socket,id=supervisor,fd=",
            "virtserialport,chardev=supervisor,name=org.openshell.supervisor",
        ] {
            assert!(line.contains(part), "`{part}` is not in {line}");
        }
    }

    #[test]
    fn devices_are_on_the_bus_that_the_board_has() {
        let microvm = text(&Plan { board: Board::Microvm, kvm: true, ..PLAN });
        assert!(microvm.contains("virtio-blk-device,") && !microvm.contains("-pci"), "{microvm}");
        assert!(microvm.contains("-accel kvm -cpu host"), "{microvm}");
    }

    #[test]
    fn qemu_s_own_sandbox_is_on_and_nothing_is_named_by_a_path_of_the_host() {
        let line = text(&PLAN);
        assert!(
            line.contains("-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
        );
        let paths: Vec<&str> = line.split([' ', '=', ',']).filter(|word| word.starts_with('/')).collect();
        assert!(
            paths.iter().all(|path| path.starts_with("/proc/self/fd/") || path.starts_with("/dev/fdset/"))
        );
        assert_eq!(paths.len(), 4, "{line}");
    }
}
