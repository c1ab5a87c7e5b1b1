//! The table `[openshell.drivers.vm]`: every key, its default, and every fault of a table at once.

mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use openshell_driver_api::{ConfigError, Table};
use openshell_driver_common::config::{Reader, absolute};
use openshell_driver_common::container::posture::{PIDS_LIMIT, PIDS_MOST};
use openshell_driver_common::container::values::{self as common, PullPolicy};

pub(crate) use self::values::{Accelerator, MachineType, Network, Uids, network};

/// The least memory that a guest's kernel, its initramfs and a program fit into.
pub(crate) const LEAST_MEMORY: u64 = 96 << 20;
/// The least disk that ext4 with a journal makes sense on.
pub(crate) const LEAST_DISK: u64 = 16 << 20;
/// The largest disk: what ext4 with blocks of 4 KiB holds.
pub(crate) const MOST_DISK: u64 = 16 << 40;

/// The settings of a driver; see `docs/vm.md` for what each means to an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// `qemu-system-x86_64`; `None` looks for it on the path.
    pub(crate) qemu_path: Option<PathBuf>,
    /// `setpriv` of util-linux; `None` looks for it on the path.
    pub(crate) setpriv_path: Option<PathBuf>,
    /// `mke2fs` of e2fsprogs; `None` looks for it on the path.
    pub(crate) mke2fs_path: Option<PathBuf>,
    /// The guests' kernel. There is no default: a driver without one does not open.
    pub(crate) kernel: Option<PathBuf>,
    /// The kernel's modules, the directory with `modules.dep`; `None` is a kernel that has built in all that is needed.
    pub(crate) modules: Option<PathBuf>,
    /// The program that is `/init` in a guest; `None` is the one beside the driver's own program.
    pub(crate) init_path: Option<PathBuf>,
    /// Which machine QEMU plays.
    pub(crate) machine: MachineType,
    /// What runs a guest's instructions.
    pub(crate) accelerator: Accelerator,
    /// References of images that are archives or directories of the host.
    pub(crate) images: BTreeMap<String, PathBuf>,
    /// Registries that are asked without TLS.
    pub(crate) insecure_registries: Vec<String>,
    /// The file with the credentials for registries; `None` is the user's own.
    pub(crate) auth_file_path: Option<PathBuf>,
    /// When an image is fetched.
    pub(crate) pull_policy: PullPolicy,
    /// The image of a sandbox that names none; may be empty.
    pub(crate) default_image: String,
    /// How large a sandbox's disk is, in bytes.
    pub(crate) disk_size: u64,
    /// How many CPUs a machine has whose request names none.
    pub(crate) cpus: u32,
    /// How much memory a machine has whose request names none, in bytes.
    pub(crate) memory: u64,
    /// What a sandbox can reach.
    pub(crate) network: Network,
    /// Networks that a request may name instead.
    pub(crate) networks: Vec<Network>,
    /// Overrides the image's user.
    pub(crate) user: Option<String>,
    /// The users of the host that QEMU runs as where the driver runs as root, one a sandbox.
    pub(crate) uids: Uids,
    /// Whether QEMU is given the group of `/dev/kvm`, where its own user may not open that.
    pub(crate) kvm_group: bool,
    /// How many processes and threads a workload may have; a request may lower it.
    pub(crate) pids_limit: u32,
    /// How long a guest has from its power-on to its main process.
    pub(crate) boot_timeout: Duration,
    /// How long a guest may be silent before it is taken for hung.
    pub(crate) hang_after: Duration,
    /// How long a main process has between `SIGTERM` and `SIGKILL`.
    pub(crate) stop_timeout: Duration,
    /// How much of a guest's console is kept, in bytes.
    pub(crate) console_log_size: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            qemu_path: None,
            setpriv_path: None,
            mke2fs_path: None,
            kernel: None,
            modules: None,
            init_path: None,
            machine: MachineType::Auto,
            accelerator: Accelerator::Auto,
            images: BTreeMap::new(),
            insecure_registries: Vec::new(),
            auth_file_path: None,
            pull_policy: PullPolicy::Missing,
            default_image: String::new(),
            disk_size: 8 << 30,
            cpus: 1,
            memory: 512 << 20,
            network: Network::None,
            networks: Vec::new(),
            user: None,
            uids: Uids::default(),
            kvm_group: true,
            pids_limit: u32::try_from(PIDS_LIMIT).unwrap_or(u32::MAX),
            boot_timeout: Duration::from_secs(60),
            hang_after: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(10),
            console_log_size: 1 << 20,
        }
    }
}

const KEYS: [&str; 26] = [
    "qemu_path",
    "setpriv_path",
    "mke2fs_path",
    "kernel",
    "modules",
    "init_path",
    "machine",
    "accelerator",
    "images",
    "insecure_registries",
    "auth_file_path",
    "pull_policy",
    "default_image",
    "disk_size",
    "cpus",
    "memory",
    "network",
    "networks",
    "user",
    "uids",
    "kvm_group",
    "pids_limit",
    "boot_timeout",
    "hang_after",
    "stop_timeout",
    "console_log_size",
];

impl Config {
    /// Reads a table.
    ///
    /// # Errors
    /// Every fault of it, in the order of the keys above, unknown keys last.
    pub(crate) fn read(table: &Table) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(table);
        let default = Self::default();
        let config = Self {
            qemu_path: path(&mut reader, "qemu_path"),
            setpriv_path: path(&mut reader, "setpriv_path"),
            mke2fs_path: path(&mut reader, "mke2fs_path"),
            kernel: path(&mut reader, "kernel"),
            modules: path(&mut reader, "modules"),
            init_path: path(&mut reader, "init_path"),
            machine: reader.text("machine", values::machine).unwrap_or_default(),
            accelerator: reader.text("accelerator", values::accelerator).unwrap_or_default(),
            images: values::images(table, &mut reader),
            insecure_registries: reader.texts("insecure_registries", common::registry),
            auth_file_path: path(&mut reader, "auth_file_path"),
            pull_policy: reader.text("pull_policy", common::pull_policy).unwrap_or(default.pull_policy),
            default_image: reader.text("default_image", common::image).unwrap_or(default.default_image),
            disk_size: values::size(&mut reader, "disk_size", LEAST_DISK, MOST_DISK)
                .unwrap_or(default.disk_size),
            cpus: values::number(&mut reader, "cpus", 1, 255).unwrap_or(default.cpus),
            memory: values::size(&mut reader, "memory", LEAST_MEMORY, 1 << 40).unwrap_or(default.memory),
            network: reader.text("network", network).unwrap_or_default(),
            networks: reader.texts("networks", network),
            user: reader.text("user", common::user),
            uids: values::uids(table, &mut reader).unwrap_or_default(),
            kvm_group: !reader.has("kvm_group") || reader.switch("kvm_group"),
            pids_limit: values::number(&mut reader, "pids_limit", 1, PIDS_MOST).unwrap_or(default.pids_limit),
            boot_timeout: values::seconds(&mut reader, "boot_timeout", 5, 3600)
                .unwrap_or(default.boot_timeout),
            hang_after: values::seconds(&mut reader, "hang_after", 5, 3600).unwrap_or(default.hang_after),
            stop_timeout: values::seconds(&mut reader, "stop_timeout", 0, 60).unwrap_or(default.stop_timeout),
            console_log_size: values::size(&mut reader, "console_log_size", 16 << 10, 1 << 30)
                .unwrap_or(default.console_log_size),
        };
        let faults = reader.faults(&KEYS);
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }
}

fn path(reader: &mut Reader<'_>, key: &str) -> Option<PathBuf> {
    reader.text(key, |text| absolute(key, text))
}

#[cfg(test)]
mod tests;
