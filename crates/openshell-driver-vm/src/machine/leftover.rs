//! QEMUs that outlived their driver: it was killed in the instant before the kernel had been asked to end them with it.
//!
//! A machine's pid file names its process, when that began and in which run of the host, so that a number which has been given to somebody else is
//! never killed. Whatever still holds the lock of an overlay is found by its open files.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::overlay;

/// The pid file's name in a sandbox's directory.
const PID_FILE: &str = "qemu.pid";

/// How long a killed QEMU may take to be gone: its memory has to be given back first.
const DEATH: Duration = Duration::from_secs(10);

/// Writes down which process the machine of `dir` is. Without it a leftover is still found by its lock.
pub(super) fn note(dir: &Path, pid: u32) -> io::Result<()> {
    use std::io::Write as _;

    let began = began(pid).ok_or(io::ErrorKind::NotFound)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    writeln!(options.open(dir.join(PID_FILE))?, "{pid} {began} {}", boot()?)
}

/// Removes the note of a machine that is gone.
pub(super) fn forget(dir: &Path) {
    let _ = std::fs::remove_file(dir.join(PID_FILE));
}

/// Ends what is left of an earlier driver's machine in the sandbox's directory `dir`; says whether there was anything. Waits
/// until it is gone, so call it where that is no harm, and only with the gateway id's lock held: it ends a machine that
/// is in use, too.
///
/// # Errors
/// It does not go, or it cannot be found out who it is.
pub(crate) fn sweep(dir: &Path) -> io::Result<bool> {
    let mut found = false;
    if let Some((pid, began)) = noted(dir) {
        found = end(pid, Some(began))?;
    }
    let overlay = dir.join(overlay::NAME);
    for pid in holders(&overlay)? {
        found |= end(pid, None)?;
    }
    forget(dir);
    Ok(found)
}

/// Locks the overlay for one machine. QEMU inherits the open file and the lock with it.
///
/// # Errors
/// Somebody has it (`ResourceBusy`), or it cannot be opened.
pub(super) fn lock(overlay: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).custom_flags(NOFOLLOW).open(overlay)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "a machine runs on it"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// `O_NOFOLLOW`, as the standard library takes it.
const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

fn noted(dir: &Path) -> Option<(u32, u64)> {
    let text = std::fs::read_to_string(dir.join(PID_FILE)).ok()?;
    let mut words = text.split_whitespace();
    let (pid, began) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    // Numbers and ticks begin anew with the host.
    (words.next()? == boot().ok()?).then_some((pid, began))
}

/// What tells this run of the host's kernel from others. Source: random(4).
fn boot() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}

/// When a process began, in ticks since the host's boot; nothing when there is none, or when it is dead and not yet waited for.
/// Source: proc_pid_stat(5); the name in parentheses may hold anything.
fn began(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = after.split(' ').collect();
    let alive = !matches!(fields.first(), Some(&("Z" | "X")) | None);
    // Field 22 of the manual, of which the first two are before the parenthesis.
    fields.get(22 - 3).filter(|_| alive)?.parse().ok()
}

/// Kills a process and waits until it is gone; false when it is not there, or is another than the one that began then.
fn end(pid: u32, since: Option<u64>) -> io::Result<bool> {
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
    // Held before it is looked at: the number cannot be given away between the look and the signal.
    let Ok(process) = pidfd_open(number, PidfdFlags::empty()) else { return Ok(false) };
    let Some(now) = began(pid).filter(|now| since.is_none_or(|since| since == *now)) else {
        return Ok(false);
    };
    pidfd_send_signal(&process, Signal::KILL)?;
    let deadline = Instant::now() + DEATH;
    while began(pid) == Some(now) {
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("process {pid} was killed and stays"),
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// Who has the overlay open, when somebody holds its lock.
fn holders(overlay: &Path) -> io::Result<Vec<u32>> {
    match lock(overlay) {
        Ok(_free) => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
        Err(error) => return Err(error),
    }
    let wanted = std::fs::metadata(overlay)?;
    let same = |path: PathBuf| {
        std::fs::metadata(path).is_ok_and(|file| (file.dev(), file.ino()) == (wanted.dev(), wanted.ino()))
    };
    let mut pids = Vec::new();
    for process in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One of another user, or gone by now: not ours.
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        if pid != std::process::id() && files.flatten().any(|file| same(file.path())) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn sleeper(stdin: Stdio) -> std::process::Child {
        Command::new("sleep").arg("60").stdin(stdin).spawn().expect("sleep starts")
    }

    #[test]
    fn a_noted_process_is_ended() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = sleeper(Stdio::null());
        note(dir.path(), child.id()).expect("noted");
        assert!(sweep(dir.path()).expect("swept"));
        child.wait().expect("waited for");
        assert!(!dir.path().join(PID_FILE).exists());
        assert!(!sweep(dir.path()).expect("swept"));
    }

    #[test]
    fn a_number_that_is_somebody_else_s_by_now_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = sleeper(Stdio::null());
        let (id, began, boot) = (child.id(), began(child.id()).expect("it runs"), boot().expect("a boot"));
        for note in [format!("{id} 1 {boot}"), format!("{id} {began} another"), format!("{id} {began}")] {
            std::fs::write(dir.path().join(PID_FILE), note).expect("written");
            assert!(!sweep(dir.path()).expect("swept"));
        }
        assert!(child.try_wait().expect("asked").is_none(), "it still runs");
        child.kill().expect("killed");
        child.wait().expect("waited for");
    }

    #[test]
    fn who_holds_the_lock_is_found_without_a_note() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(overlay::NAME);
        overlay::create(&path, 1 << 20).expect("made");
        let held = lock(&path).expect("locked");
        let mut child = sleeper(held.into());
        assert_eq!(lock(&path).expect_err("taken").kind(), io::ErrorKind::ResourceBusy);
        assert!(sweep(dir.path()).expect("swept"));
        child.wait().expect("waited for");
        lock(&path).expect("free again");
    }
}
