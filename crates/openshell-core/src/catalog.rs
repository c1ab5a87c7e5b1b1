//! What a build knows of drivers: the generated tables' types. The tables themselves are in the `generated/` of the
//! composition (`openshell-server`, `openshell-drivers`); core holds no list.

use openshell_driver_api::{Dialer, Launcher, Registration};

/// The reserved name of the one entry that stands for any driver behind a socket; a word of the manifest's schema.
pub const EXTERNAL: &str = "external";
/// The kind of drivers that are programs of ours, which the gateway starts; a word of the manifest's schema.
pub const PROCESS: &str = "process";

/// Everything generated that the hand-written code needs.
#[derive(Clone, Copy)]
pub struct Catalog {
    /// Every driver of the manifest, compiled in or not, in its order, which is the auto-detect order.
    pub drivers: &'static [DriverEntry],
    /// Every option of the manifest.
    pub options: &'static [OptionEntry],
    /// The dispatch: the arm of a driver that is compiled in, `None` for any other name.
    pub arm: fn(&str) -> Option<Arm>,
    /// What dials a driver behind a socket, in builds that have external drivers.
    pub dialer: Option<&'static dyn Dialer>,
    /// What starts a driver that is a program of ours, in builds that have one.
    pub launcher: Option<&'static dyn Launcher>,
}

/// One driver of the manifest.
#[derive(Debug, Clone, Copy)]
pub struct DriverEntry {
    /// Its name.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// `in-tree`, `process`, `socket` or `crate`.
    pub kind: &'static str,
    /// The cargo feature that brings it: `driver-<name>`.
    pub feature: &'static str,
    /// The socket of a named socket driver, when the manifest gives one.
    pub socket: Option<&'static str>,
    /// Whether it takes part in auto-detection.
    pub detect: bool,
    /// The platforms it runs on, as cfg words; empty means all.
    pub platforms: &'static [&'static str],
    /// Whether this build's platform is one of them.
    pub platform_ok: bool,
    /// The name of its program, for the kinds that have one (`openshell-driver-<name>`).
    pub program: Option<&'static str>,
}

/// One option of the manifest.
#[derive(Debug, Clone, Copy)]
pub struct OptionEntry {
    /// Its name and feature.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// The variable that says whether present code acts.
    pub env: Option<&'static str>,
    /// Whether this build has it.
    pub compiled: bool,
}

/// How a compiled-in driver is reached.
#[derive(Clone, Copy)]
pub enum Arm {
    /// Its crate is linked in.
    Crate {
        /// What the crate exports.
        registration: &'static Registration,
        /// The bytes in the section `.osdrv`.
        marker: &'static [u8],
    },
    /// A program of ours, which the gateway starts.
    Process {
        /// The program's file name.
        program: &'static str,
        /// Whether it puts the gateway's supervisor into its sandboxes, where it is told of one.
        supervisor: bool,
        /// The bytes in the section `.osdrv`.
        marker: &'static [u8],
    },
    /// A program that somebody else runs, behind a socket.
    Socket {
        /// The bytes in the section `.osdrv`.
        marker: &'static [u8],
    },
}

impl Catalog {
    /// The entry of a name.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&'static DriverEntry> {
        self.drivers.iter().find(|entry| entry.name == name)
    }

    /// Whether the driver of that name is in this build.
    #[must_use]
    pub fn is_compiled_in(&self, name: &str) -> bool {
        (self.arm)(name).is_some()
    }

    /// The drivers of this build, in order.
    pub fn compiled_in(&self) -> impl Iterator<Item = &'static DriverEntry> + '_ {
        self.drivers.iter().filter(|entry| self.is_compiled_in(entry.name))
    }

    /// Whether this build can dial a driver behind a socket.
    #[must_use]
    pub fn has_external(&self) -> bool {
        self.is_compiled_in(EXTERNAL)
    }
}
