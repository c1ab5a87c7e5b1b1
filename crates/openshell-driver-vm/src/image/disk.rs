//! A directory made into a disk: ext4 by `mke2fs -d` on a sparse file.
//!
//! Source: mke2fs(8) and debugfs(8) of e2fsprogs 1.47.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::trouble::Trouble;
use crate::config::Config;
use crate::machine::programs::Needed;

/// The size of a disk's blocks.
pub(super) const BLOCK: u64 = 4096;
/// How many bytes of a disk there are to one file.
pub(super) const INODE_RATIO: u64 = 16384;

/// What of ext4 is used, by name: the host's `mke2fs.conf` has no say, and every kernel since 4.5 knows all of it.
const FEATURES: &str = "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,\
                        huge_file,dir_nlink,extra_isize,metadata_csum";

/// The file is new, so what is not written is zero: neither the journal nor the tables are written out, and the guest's
/// kernel is told that it need not do so either, which would fill every overlay.
const NEW: &str = "assume_storage_prezeroed=1,";
const OPTIONS: &str = "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0";

/// What a program says is kept up to this length.
const MAX_WORDS: u64 = 4096;

const MKE2FS: Needed =
    Needed { name: "mke2fs", key: "mke2fs_path", package: "e2fsprogs (Debian: `e2fsprogs`)" };

/// Makes disks.
#[derive(Debug, Clone)]
pub(super) struct Maker {
    configured: Option<PathBuf>,
}

impl Maker {
    pub(super) fn new(config: &Config) -> Self {
        Self { configured: config.mke2fs_path.clone() }
    }

    /// Makes `disk`, which is not there yet, out of `tree`, mode 0600; `script` is what `debugfs` is told afterwards. Dropped, the
    /// programs end.
    pub(super) async fn make(
        &self,
        tree: &Path,
        disk: &Path,
        size: u64,
        script: Option<&[u8]>,
    ) -> Result<(), Trouble> {
        let mke2fs = self.find()?;
        let words = match self.mke2fs(&mke2fs, tree, disk, size, NEW).await? {
            // One before 1.47.0 does not know the word.
            Err(words) if words.contains("assume_storage_prezeroed") => {
                std::fs::remove_file(disk).map_err(Trouble::host("remove a disk"))?;
                self.mke2fs(&mke2fs, tree, disk, size, "").await?
            }
            other => other,
        };
        words.map_err(|words| refused("mke2fs", size, &words))?;
        let Some(script) = script else { return Ok(()) };
        let debugfs = mke2fs.with_file_name("debugfs");
        let args = [OsStr::new("-w"), OsStr::new("-f"), OsStr::new("-"), disk.as_os_str()];
        match run(&debugfs, &args, script).await? {
            // It goes on after a command that failed, and ends well; its errors begin with its own name or the command's.
            Ok(words) | Err(words)
                if words.lines().any(|line| !line.starts_with("debugfs 1.") && !line.is_empty()) =>
            {
                Err(refused("debugfs", size, &words))
            }
            _ => Ok(()),
        }
    }

    async fn mke2fs(
        &self,
        program: &Path,
        tree: &Path,
        disk: &Path,
        size: u64,
        new: &str,
    ) -> Result<Result<String, String>, Trouble> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(disk);
        file.and_then(|file| file.set_len(size)).map_err(Trouble::host("make the disk's file"))?;
        let journal = (size / 256 / 1_048_576).clamp(4, 64);
        let args: [OsString; 19] = [
            "-q".into(),
            "-F".into(),
            "-t".into(),
            "ext4".into(),
            "-b".into(),
            BLOCK.to_string().into(),
            "-i".into(),
            INODE_RATIO.to_string().into(),
            "-I".into(),
            "256".into(),
            "-m".into(),
            "0".into(),
            format!("-Jsize={journal}").into(),
            "-O".into(),
            FEATURES.into(),
            format!("-E{new}{OPTIONS}").into(),
            "-d".into(),
            tree.into(),
            disk.into(),
        ];
        run(program, &args, b"").await
    }

    /// Where the program is.
    pub(super) fn find(&self) -> Result<PathBuf, Trouble> {
        MKE2FS.find(self.configured.as_deref()).map_err(|error| Trouble::Program {
            message: format!("no disk can be made: {}", error.message()),
            hint: error.hint().unwrap_or_default().to_owned(),
        })
    }
}

/// Runs a program to its end: what it said, well or not. Its words are the untranslated ones.
async fn run<S: AsRef<OsStr>>(
    program: &Path,
    args: &[S],
    input: &[u8],
) -> Result<Result<String, String>, Trouble> {
    let failed = |error: io::Error| Trouble::Program {
        message: format!("no disk can be made: cannot run `{}`: {error}", program.display()),
        hint: MKE2FS.hint(),
    };
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .env("LC_ALL", "C")
        .env("MKE2FS_CONFIG", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // One that ends early says why in its own words.
            let _ = stdin.write_all(input).await;
        }
    };
    let read = async {
        let mut words = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = (&mut stderr).take(MAX_WORDS).read_to_end(&mut words).await;
            // Read on, so that it never waits for somebody to listen.
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        words
    };
    let ((), words, status) = tokio::join!(write, read, child.wait());
    let status = status.map_err(failed)?;
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    Ok(match status.success() {
        true => Ok(words),
        false if words.is_empty() => Err(status.to_string()),
        false => Err(words),
    })
}

/// What a program's refusal is: the host's disk is full, the image is too large, or something else.
fn refused(program: &str, size: u64, words: &str) -> Trouble {
    if words.contains("No space left on device") || words.contains("Disk quota exceeded") {
        return Trouble::Host { what: format!("run {program}"), error: io::ErrorKind::StorageFull.into() };
    }
    let full = [
        "Could not allocate block",
        "Could not allocate inode",
        "too small",
        "too many inodes",
        "too big for",
    ];
    if full.iter().any(|full| words.contains(full)) {
        return Trouble::TooLarge { size, what: "mke2fs finds no room in it".to_owned() };
    }
    let words = words.escape_debug();
    Trouble::Program {
        message: format!("{program} does not make a disk of it: {words}"),
        hint: "see whether it is e2fsprogs 1.43 or newer: mke2fs -V".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_programs() {
        let kinds = [
            (
                "mke2fs: Could not allocate block in ext2 filesystem while writing file \"a\"",
                "it is larger than",
            ),
            ("x: No space left on device", "run mke2fs: "),
            ("mke2fs: what", "mke2fs does not make"),
        ];
        for (words, begins) in kinds {
            let trouble = refused("mke2fs", 1 << 30, words).to_string();
            assert!(trouble.starts_with(begins), "{trouble}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_away_is_named_with_what_to_do() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("mke2fs");
        let maker = Maker { configured: Some(path.clone()) };
        let disk = root.path().join("disk");
        let trouble = maker.make(root.path(), &disk, 1 << 24, None).await.expect_err("away");
        assert!(trouble.to_string().contains(path.to_str().expect("a text")), "{trouble}");
        assert!(trouble.fault("a").hint.is_some_and(|hint| hint.contains("mke2fs_path")) && !disk.exists());
    }
}
