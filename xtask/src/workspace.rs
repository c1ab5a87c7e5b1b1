//! The workspace on disk: where it is, its manifest, and cargo as a child process that behaves like the one a user
//! would call by hand.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use crate::error::{Error, Result};

/// The package of the gateway.
pub(crate) const GATEWAY_PACKAGE: &str = "openshell-server";
/// The gateway's program.
pub(crate) const GATEWAY_BIN: &str = "openshell-gateway";
/// The package of the standalone drivers.
pub(crate) const PROGRAMS_PACKAGE: &str = "openshell-drivers";
/// The manifest, in the root.
pub(crate) const MANIFEST: &str = "drivers.toml";

/// A workspace's root.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
    /// How it is built apart from what the environment says; `None`: as the user would.
    apart: Option<Apart>,
}

/// A build that the environment of this process has no say in.
#[derive(Debug, Clone)]
struct Apart {
    target_dir: PathBuf,
    /// What its own cargo calls are told.
    env: Vec<(String, OsString)>,
    /// Whether it is made of this workspace and of packages from elsewhere.
    is_overlay: bool,
}

impl Workspace {
    /// The workspace that holds the current directory.
    pub(crate) fn find() -> Result<Self> {
        let here = std::env::current_dir().map_err(Error::file("find", Path::new(".")))?;
        let root = here.ancestors().find(|dir| {
            std::fs::symlink_metadata(dir.join(MANIFEST)).is_ok() && dir.join("Cargo.toml").is_file()
        });
        root.map(|root| Self { root: root.to_owned(), apart: None }).ok_or(Error::NoWorkspace)
    }

    /// The workspace of a directory that is built into a target directory of its own, with these variables and nothing
    /// of this process's environment that says how to build.
    pub(crate) fn apart(root: &Path, target_dir: PathBuf, env: Vec<(String, OsString)>) -> Self {
        Self { root: root.to_owned(), apart: Some(Apart { target_dir, env, is_overlay: false }) }
    }

    /// The same of a workspace that is made of this one and of packages from elsewhere.
    pub(crate) fn overlay(root: &Path, env: Vec<(String, OsString)>) -> Self {
        let target_dir = root.join("target");
        Self { root: root.to_owned(), apart: Some(Apart { target_dir, env, is_overlay: true }) }
    }

    /// Whether packages from elsewhere are in it.
    pub(crate) fn is_overlay(&self) -> bool {
        self.apart.as_ref().is_some_and(|apart| apart.is_overlay)
    }

    /// The workspace of a directory, for tests.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), apart: None }
    }

    /// The root directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A path as it is shown: relative to the root where it lies inside.
    pub(crate) fn show(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    /// The text of a file inside.
    pub(crate) fn read(&self, relative: &str) -> Result<String> {
        let path = self.path(relative);
        std::fs::read_to_string(&path).map_err(Error::file("read", &path))
    }

    /// The bytes of `drivers.toml`.
    pub(crate) fn manifest(&self) -> Result<Vec<u8>> {
        let hint = format!("git checkout {MANIFEST}");
        read_named(&self.path(MANIFEST), MANIFEST, &hint)
    }

    /// Where build results go when cargo has not said it.
    pub(crate) fn target_dir(&self) -> PathBuf {
        if let Some(apart) = &self.apart {
            return apart.target_dir.clone();
        }
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) if !dir.is_empty() => self.root.join(dir),
            _ => self.root.join("target"),
        }
    }

    /// Cargo, run in the root, without what `cargo run` adds to the environment of its child: the call is the one
    /// that a user would make.
    pub(crate) fn cargo<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(cargo_program());
        command.args(args).current_dir(&self.root).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            let told =
                self.apart.is_some() && (name.starts_with("CARGO_PROFILE_") || TELLS_CARGO.contains(&name));
            if told || name.starts_with("CARGO_PKG_") || FROM_CARGO_RUN.contains(&name) {
                command.env_remove(name);
            }
        }
        if let Some(Apart { target_dir, env, .. }) = &self.apart {
            command.env("CARGO_TARGET_DIR", target_dir);
            command.envs(env.iter().map(|(name, value)| (name, value)));
        }
        command
    }

    /// Standard output of a cargo call that has to succeed; standard error goes through.
    pub(crate) fn cargo_output(&self, args: &[&str]) -> Result<String> {
        let mut command = self.cargo(args);
        command.stderr(Stdio::inherit());
        let output = command.output().map_err(spawn("cargo"))?;
        if !output.status.success() {
            return Err(Error::Cargo { line: line(args), code: code(output.status) });
        }
        String::from_utf8(output.stdout).map_err(|error| Error::output(&line(args), error))
    }
}

/// A file that somebody has to mend when it is absent, a directory or a link to nowhere: which of them it is, in words.
pub(crate) fn read_named(path: &Path, shown: &str, hint: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| {
        let message = match source.kind() {
            ErrorKind::NotFound => match std::fs::read_link(path) {
                Ok(to) => format!("`{shown}` is a link to `{}`, which is not there", to.display()),
                Err(_) => format!("`{shown}` is not there"),
            },
            ErrorKind::IsADirectory => format!("`{shown}` is a directory"),
            _ => return Error::file("read", path)(source),
        };
        Error::refused(message, hint)
    })
}

/// What cargo sets for a program that it runs, besides `CARGO_PKG_*`.
const FROM_CARGO_RUN: [&str; 7] = [
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_MANIFEST_LINKS",
    "CARGO_PRIMARY_PACKAGE",
    "OUT_DIR",
];

/// What tells cargo how to build, besides `CARGO_PROFILE_*`.
const TELLS_CARGO: [&str; 6] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "RUSTFLAGS",
];

/// The cargo that runs us, else the one in `PATH`.
fn cargo_program() -> OsString {
    std::env::var_os("CARGO").filter(|cargo| !cargo.is_empty()).unwrap_or_else(|| "cargo".into())
}

/// The compiler that cargo takes, as far as the environment says.
pub(crate) fn rustc_program() -> OsString {
    std::env::var_os("RUSTC").filter(|name| !name.is_empty()).unwrap_or_else(|| "rustc".into())
}

/// The directory of cargo's configuration and of what it has fetched.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}

/// For `map_err` of a spawn.
pub(crate) fn spawn(program: &str) -> impl FnOnce(std::io::Error) -> Error {
    let program = program.to_owned();
    move |source| Error::Spawn { program, source }
}

/// An exit status as the code that we exit with.
pub(crate) fn code(status: std::process::ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(101)
}

/// A cargo call as a line for a shell.
pub(crate) fn line<S: AsRef<str>>(args: &[S]) -> String {
    let mut line = String::from("cargo");
    for arg in args {
        line.push(' ');
        line.push_str(&quote(arg.as_ref()));
    }
    line
}

/// A word, quoted for a POSIX shell where that is needed.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=,./:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What `rustc -vV` says.
#[derive(Debug, Clone)]
pub(crate) struct Rustc {
    /// `1.95.0 (59807616e 2026-04-14)`.
    pub(crate) version: String,
    /// The triple that `host-tuple` stands for.
    pub(crate) host: String,
}

impl Rustc {
    /// Asks in the background: the answer is needed only when cargo is done.
    pub(crate) fn ask(workspace: &Workspace) -> JoinHandle<Result<Self>> {
        let root = workspace.root.clone();
        std::thread::spawn(move || {
            let output = Command::new(rustc_program())
                .arg("-vV")
                .current_dir(root)
                .stdin(Stdio::null())
                .output()
                .map_err(spawn("rustc"))?;
            Self::parse(&String::from_utf8_lossy(&output.stdout))
                .ok_or_else(|| Error::output("rustc -vV", "no `host:` and no version in it"))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let version = text.lines().next()?.strip_prefix("rustc ")?.to_owned();
        let host = text.lines().find_map(|line| line.strip_prefix("host: "))?.to_owned();
        Some(Self { version, host })
    }
}

/// The result of [`Rustc::ask`].
pub(crate) fn joined(handle: JoinHandle<Result<Rustc>>) -> Result<Rustc> {
    handle.join().unwrap_or_else(|_| Err(Error::output("rustc -vV", "the thread that read it panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(line(&["build", "--features", "a,b"]), "cargo build --features a,b");
        assert_eq!(line(&["a b", "it's", ""]), r"cargo 'a b' 'it'\''s' ''");
    }

    #[test]
    fn rustc_says_its_version_and_host() {
        let text = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n";
        let rustc = Rustc::parse(text).unwrap();
        assert_eq!(rustc.version, "1.95.0 (59807616e 2026-04-14)");
        assert_eq!(rustc.host, "x86_64-unknown-linux-gnu");
        assert!(Rustc::parse("").is_none());
    }
}
