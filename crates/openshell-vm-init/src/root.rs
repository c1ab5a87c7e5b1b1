//! From the initramfs to the sandbox's disk: mounting it, giving it a `/dev`, `/proc` and `/sys` in which a workload without
//! capabilities can do no harm even as root, and making it the root.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use openshell_guest::user::User;
use openshell_vm_init::protocol::Spec;
use rustix::fs::{CWD, FileType, Gid, Mode, Uid, chown, makedev, mknodat};
use rustix::mount::{MountFlags, mount, mount_bind, mount_move, mount_remount};
use rustix::process::{chdir, chroot};
use rustix::system::sethostname;

use crate::failure::{During, Failure};

/// The overlay that QEMU gives as the one disk.
const DISK: &str = "/dev/vda";
/// Where it is mounted until it is the root.
const ROOT: &str = "/root";
const MOUNT_DISK: &str = "mount the root disk";
const MOUNT: &str = "mount the kernel's file systems on the root disk";

/// Makes the disk the root.
pub(crate) fn switch() -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !Path::new(DISK).exists() {
        if Instant::now() > deadline {
            return Err(Failure::new(MOUNT_DISK, format!("there is no `{DISK}`")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // No tables to be zeroed in the background: that would only make the sandbox's overlay grow.
    let options = c"errors=remount-ro,noinit_itable";
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOATIME;
    mount(DISK, ROOT, "ext4", flags, options).during(MOUNT_DISK, DISK)?;
    for name in ["dev", "proc", "sys"] {
        directory(&Path::new(ROOT).join(name))?;
    }
    devices()?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for (kind, path) in [("proc", "/root/proc"), ("sysfs", "/root/sys"), ("cgroup2", "/root/sys/fs/cgroup")] {
        mount(kind, path, kind, flags, None).during(MOUNT, path)?;
    }
    // Root without capabilities still owns these files: without this it could have the kernel run a program for it, with
    // all capabilities (`kernel.core_pattern`, `uevent_helper`).
    mount_bind("/root/proc/sys", "/root/proc/sys").during(MOUNT, "/proc/sys")?;
    for path in ["/root/proc/sys", "/root/sys/fs/cgroup", "/root/sys"] {
        mount_remount(path, flags | MountFlags::BIND | MountFlags::RDONLY, c"").during(MOUNT, path)?;
    }
    chdir(ROOT).during(MOUNT_DISK, ROOT)?;
    mount_move(".", "/").during(MOUNT_DISK, "/")?;
    chroot(".").during(MOUNT_DISK, ".")?;
    chdir("/").during(MOUNT_DISK, "/")
}

/// A directory to mount on. An image's symbolic link would lead the mount elsewhere.
fn directory(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Failure::new(MOUNT, format!("the image's `{}` is no directory", shown(path)))),
        Err(_) => fs::create_dir(path).during(MOUNT, shown(path)),
    }
}

/// The path as the image has it.
fn shown(path: &Path) -> String {
    format!("/{}", path.strip_prefix(ROOT).unwrap_or(path).display())
}

/// A `/dev` with what every program expects, and with no disk, no memory, no console in it.
fn devices() -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("tmpfs", "/root/dev", "tmpfs", flags, c"mode=755,size=64k").during(MOUNT, "/dev")?;
    for (name, major, minor) in
        [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
    {
        let path = Path::new("/root/dev").join(name);
        mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(major, minor))
            .and_then(|()| rustix::fs::chmod(&path, Mode::from_raw_mode(0o666)))
            .during(MOUNT, shown(&path))?;
    }
    for (kind, name, flags, options) in [
        ("devpts", "pts", flags, c"newinstance,ptmxmode=0666,mode=0620,gid=5"),
        ("tmpfs", "shm", flags | MountFlags::NODEV, c"mode=1777"),
    ] {
        let path = Path::new("/root/dev").join(name);
        fs::create_dir(&path).during(MOUNT, shown(&path))?;
        mount(kind, &path, kind, flags, options).during(MOUNT, shown(&path))?;
    }
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, Path::new("/root/dev").join(name)).during(MOUNT, format_args!("/dev/{name}"))?;
    }
    Ok(())
}

/// What is put onto the disk, or over it, once it is the root: names, the token, the working directory.
pub(crate) fn fill(spec: &Spec, user: &User) -> Result<(), Failure> {
    if !spec.hostname.is_empty() {
        sethostname(spec.hostname.as_bytes()).during("set the host name", &spec.hostname)?;
        // An image's own word stands; an image whose `/etc` cannot be written runs all the same.
        let _ = write_new("/etc/hostname", &format!("{}\n", spec.hostname));
        let _ = write_new(
            "/etc/hosts",
            &format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.0.1\t{}\n", spec.hostname),
        );
    }
    if let Some(token) = &spec.token {
        const STEP: &str = "write the token's file";
        let path = Path::new(&token.path);
        let parent = path.parent().filter(|parent| path.is_absolute() && *parent != Path::new("/"));
        let Some(parent) = parent else {
            return Err(Failure::new(STEP, format!("`{}` is no absolute path in a directory", token.path)));
        };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(parent).during(STEP, parent.display())?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("tmpfs", parent, "tmpfs", flags, c"mode=755,size=1m").during(STEP, parent.display())?;
        let mut file = fs::File::options()
            .write(true)
            .create_new(true)
            .mode(if spec.supervisor.is_some() { 0o400 } else { 0o600 })
            .open(path)
            .during(STEP, path.display())?;
        file.write_all(token.content.as_bytes()).during(STEP, path.display())?;
        if spec.supervisor.is_none() {
            own(path, user).during(STEP, path.display())?;
        }
    }
    if !spec.workspace.is_empty() {
        const STEP: &str = "make the workspace";
        // Root has no capabilities here: it could not write to what an image has given to somebody else.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&spec.workspace)
            .during(STEP, &spec.workspace)?;
        own(Path::new(&spec.workspace), user).during(STEP, &spec.workspace)?;
    }
    let directory = Path::new(working_dir(spec));
    if !directory.exists() {
        const STEP: &str = "make the working directory";
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .during(STEP, directory.display())?;
        own(directory, user).during(STEP, directory.display())?;
    }
    Ok(())
}

/// Where the main process starts.
pub(crate) fn working_dir(spec: &Spec) -> &str {
    if spec.working_dir.is_empty() { "/" } else { &spec.working_dir }
}

fn own(path: &Path, user: &User) -> rustix::io::Result<()> {
    chown(path, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))
}

/// Writes a file that is not there yet.
fn write_new(path: &str, text: &str) -> std::io::Result<()> {
    fs::File::options().write(true).create_new(true).mode(0o644).open(path)?.write_all(text.as_bytes())
}
