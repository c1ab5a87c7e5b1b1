//! Before there is a root disk: the kernel's file systems, its modules, its clock, and what the workload may not.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount as mount_at};
use rustix::system::finit_module;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use rustix::time::{ClockId, Timespec, clock_settime};

use crate::failure::{During, Failure};

/// Where the initramfs has the modules, one file each, and the order to load them in.
const MODULES: &str = "/modules";
/// `MODULE_INIT_COMPRESSED_FILE` of `linux/module.h`: the kernel unpacks the file itself.
const COMPRESSED_FILE: i32 = 4;

/// Mounts the kernel's file systems and makes the console say what is written to it, byte for byte.
pub(crate) fn mount() -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    for (kind, path) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys"), ("cgroup2", "/cgroup")] {
        mount_at(kind, path, kind, flags, None).during("mount the kernel's file systems", path)?;
    }
    // A console that is no terminal needs nothing.
    if let Ok(mut settings) = tcgetattr(std::io::stdout()) {
        settings.make_raw();
        let _ = tcsetattr(std::io::stdout(), OptionalActions::Now, &settings);
    }
    Ok(())
}

/// Loads the modules in the order of the initramfs's list, and gives their memory back.
pub(crate) fn load_modules() -> Result<(), Failure> {
    const STEP: &str = "load the kernel's modules";
    let list = match fs::read_to_string(Path::new(MODULES).join("list")) {
        Ok(list) => list,
        // A kernel that has everything built in.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::new(STEP, format!("`{MODULES}/list`: {error}"))),
    };
    for name in list.lines() {
        let file = fs::File::open(Path::new(MODULES).join(name)).during(STEP, name)?;
        let flags = if name.ends_with(".ko") { 0 } else { COMPRESSED_FILE };
        match finit_module(&file, c"", flags) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(Failure::new(STEP, format!("`{name}`: {error}"))),
        }
    }
    // No more than memory is lost when this fails.
    let _ = fs::remove_dir_all(MODULES);
    Ok(())
}

/// Sets the wall clock where it is off by more than a second: some machines have none.
pub(crate) fn set_clock(now_ms: u64) {
    let now = Duration::from_millis(now_ms);
    let known = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let Ok(tv_sec) = now.as_secs().try_into() else { return };
    if now_ms != 0 && now.abs_diff(known) > Duration::from_secs(1) {
        // A wrong clock is no reason not to run.
        let _ = clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec: i64::from(now.subsec_nanos()) });
    }
}

/// Takes from the whole machine what no workload needs. Kernels differ in what they know of this, so that what is not
/// there is passed over: the workload has no capability in any case.
pub(crate) fn restrict() {
    for (path, value) in [
        // As the default seccomp profile of container engines has it: no namespace of its own, hence no capability in one.
        ("/proc/sys/user/max_user_namespaces", "0"),
        ("/proc/sys/kernel/dmesg_restrict", "1"),
        ("/proc/sys/kernel/kptr_restrict", "2"),
        ("/proc/sys/kernel/unprivileged_bpf_disabled", "1"),
        ("/proc/sys/kernel/modules_disabled", "1"),
        ("/proc/sys/kernel/core_pattern", "core"),
    ] {
        let _ = fs::write(path, value);
    }
}
