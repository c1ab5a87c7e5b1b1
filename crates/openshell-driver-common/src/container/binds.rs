//! Which paths of the host a sandbox may be given: those below the roots that the operator lists, and never, whatever
//! is listed, what would hand out the host.
//!
//! ```text
//!   as written: absolute, no `..`, below a root ─▶ links resolved ─▶ still below that root ─▶ none of the forbidden
//!                                                                  ─▶ a file or a directory ─▶ no socket in it
//! ```
//!
//! What is not below a root is refused before the disk is touched, so that nobody learns what the host has.
//!
//! Between this look and the engine's own a path may change. Who may write in a root could put a link into the place of
//! a directory, so a root that sandboxes write in is mounted whole or not at all, and holds no other root: from inside
//! nobody replaces it. Users of the host who may write in a root are the operator's to choose.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use super::mounts::MountRules;

/// How many entries of a directory are looked through for sockets.
const LOOKED_THROUGH: usize = 10_000;

/// Where the kernel, its devices and every daemon's sockets are.
const NEVER: [(&str, &str); 5] = [
    ("/proc", "it is the kernel's"),
    ("/sys", "it is the kernel's"),
    ("/dev", "it holds the host's devices"),
    ("/run", "it holds the sockets of the host's daemons"),
    ("/var/run", "it holds the sockets of the host's daemons"),
];

/// Why a path is not given to any sandbox, when it is one of those; by its text alone.
pub fn never(path: &Path) -> Option<&'static str> {
    if !path.components().any(|part| matches!(part, Component::Normal(_))) {
        return Some("it is all of the host");
    }
    NEVER.iter().find(|(forbidden, _)| path.starts_with(forbidden)).map(|(_, why)| *why)
}

/// What no mount may hold or lie in: the gateway's own directories, the engine's, every socket that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Protected(Vec<PathBuf>);

impl Protected {
    /// Paths as written and as they are once links are followed; relative ones are left out.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut all = Vec::new();
        for path in paths.into_iter().filter(|path| path.is_absolute() && path.parent().is_some()) {
            all.extend(fs::canonicalize(&path).ok().filter(|canonical| *canonical != path));
            all.push(path);
        }
        Self(all)
    }

    fn touches(&self, path: &Path) -> bool {
        self.0.iter().any(|protected| path.starts_with(protected) || protected.starts_with(path))
    }
}

/// The path that the engine is told: absolute, free of links. `driver` is whose table holds the rules.
///
/// # Errors
/// Why it is not given.
pub fn resolve(
    source: &str,
    rules: &MountRules,
    protected: &Protected,
    driver: &str,
) -> Result<PathBuf, String> {
    let path = Path::new(source);
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("`{}` is not an absolute path without `..`", source.escape_debug()));
    }
    if rules.binds.is_empty() {
        return Err(format!(
            "nothing of the host is mounted: `bind_mounts` in `[openshell.drivers.{driver}]` is empty"
        ));
    }
    let shown = path.display();
    let Some(listed) = rules.binds.iter().find(|root| path.starts_with(root)) else {
        let roots: Vec<String> = rules.binds.iter().map(|root| format!("`{}`", root.display())).collect();
        return Err(format!("`{shown}` is not below {}, which `bind_mounts` lists", roots.join(" or ")));
    };
    let follow = |path: &Path| {
        fs::canonicalize(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("`{}` does not exist on the host", path.display()),
            _ => format!("`{}` cannot be looked at: {error}", path.display()),
        })
    };
    let (root, found) = (follow(listed)?, follow(path)?);
    if !found.starts_with(&root) {
        return Err(format!("`{shown}` leads out of what `bind_mounts` lists"));
    }
    if let Some(why) = never(&root).or_else(|| never(&found)) {
        return Err(format!("`{shown}` is never mounted: {why}"));
    }
    if protected.touches(&found) {
        return Err(format!(
            "`{shown}` is never mounted: it holds, or lies in, what the gateway or the engine keeps"
        ));
    }
    if rules.binds_writable {
        if found != root {
            return Err(format!(
                "`{shown}` lies below a root that sandboxes may write in (`bind_mounts_writable`): such a root is \
                 mounted whole"
            ));
        }
        // As it is listed and not as it is found: a sandbox may have put a link there since.
        if let Some(outer) = holder(listed, &rules.binds) {
            return Err(format!(
                "`{shown}` lies in `{}`, which sandboxes may write in (`bind_mounts_writable`)",
                outer.display()
            ));
        }
    }
    let metadata = fs::metadata(&found).map_err(|error| format!("`{shown}` cannot be looked at: {error}"))?;
    if !metadata.is_dir() && !metadata.is_file() {
        return Err(format!("`{shown}` is never mounted: it is {}", nature(metadata.file_type())));
    }
    if metadata.is_dir() {
        no_sockets(&found, metadata.dev())?;
    }
    Ok(found)
}

/// Another root that holds one, by their texts or once the links on the way to it are followed.
fn holder<'a>(root: &Path, roots: &'a [PathBuf]) -> Option<&'a PathBuf> {
    let above = || root.ancestors().skip(1);
    roots.iter().filter(|other| other.as_path() != root).find(|other| {
        root.starts_with(other)
            || fs::canonicalize(other).is_ok_and(|other| {
                above()
                    .filter_map(|above| fs::canonicalize(above).ok())
                    .any(|above| above.starts_with(&other))
            })
    })
}

fn nature(kind: fs::FileType) -> &'static str {
    if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a pipe"
    } else {
        "a device"
    }
}

/// Looks for sockets and devices in a directory, on its own file system: what is mounted below is not mounted along.
fn no_sockets(top: &Path, device: u64) -> Result<(), String> {
    let cannot =
        |path: &Path, error: io::Error| format!("`{}` cannot be looked through: {error}", path.display());
    let (mut directories, mut left) = (vec![top.to_owned()], LOOKED_THROUGH);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(|error| cannot(&directory, error))? {
            let entry = entry.map_err(|error| cannot(&directory, error))?;
            // Links are not followed: inside of a sandbox they lead to the sandbox's own files.
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(cannot(&entry.path(), error)),
            };
            let kind = metadata.file_type();
            if kind.is_socket() || kind.is_block_device() || kind.is_char_device() {
                let (top, path) = (top.display(), entry.path());
                return Err(format!("`{top}` is never mounted: `{}` is {}", path.display(), nature(kind)));
            }
            if metadata.is_dir() && metadata.dev() == device {
                directories.push(entry.path());
            }
            left -= 1;
            if left == 0 {
                tracing::debug!(path = %top.display(), "too large to be looked through for sockets to its end");
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A root in a directory of its own, beside which other things lie.
    struct Host {
        dir: tempfile::TempDir,
        rules: MountRules,
    }

    impl Host {
        fn new(writable: bool) -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            fs::create_dir_all(dir.path().join("root/in/deep")).expect("directories");
            fs::create_dir_all(dir.path().join("out")).expect("directories");
            let rules = MountRules {
                binds: vec![dir.path().join("root")],
                binds_writable: writable,
                ..MountRules::default()
            };
            Self { dir, rules }
        }

        fn path(&self, below: &str) -> PathBuf {
            self.dir.path().join(below)
        }

        fn resolve(&self, below: &str) -> Result<PathBuf, String> {
            resolve(self.path(below).to_str().expect("UTF-8"), &self.rules, &Protected::default(), "any")
        }

        fn refused(&self, below: &str, why: &str) {
            let fault = self.resolve(below).expect_err(below);
            assert!(fault.contains(why), "{below}: {fault}");
        }
    }

    #[test]
    fn what_lies_below_a_root() {
        let host = Host::new(false);
        let canonical = fs::canonicalize(host.path("root")).expect("a path");
        assert_eq!(host.resolve("root"), Ok(canonical.clone()));
        assert_eq!(host.resolve("root//in/./deep/"), Ok(canonical.join("in/deep")));
        fs::write(host.path("root/file"), "").expect("a file");
        assert_eq!(host.resolve("root/file"), Ok(canonical.join("file")));
        symlink("in", host.path("root/link")).expect("a link");
        assert_eq!(host.resolve("root/link/deep"), Ok(canonical.join("in/deep")), "a link that stays inside");
    }

    #[test]
    fn nothing_leads_out() {
        let host = Host::new(false);
        symlink("../out", host.path("root/link")).expect("a link");
        symlink(host.path("out"), host.path("root/in/link")).expect("a link");
        symlink("/", host.path("root/all")).expect("a link");
        fs::create_dir(host.path("root2")).expect("a directory");
        host.refused("out", "is not below");
        host.refused("root2", "is not below");
        host.refused("root/../out", "without `..`");
        host.refused("root/link", "leads out");
        host.refused("root/in/link", "leads out");
        host.refused("root/all/etc", "leads out");
        host.refused("root/none", "does not exist");
        for text in ["", "relative", "./root", "root/.."] {
            let fault = resolve(text, &host.rules, &Protected::default(), "any").expect_err(text);
            assert!(fault.contains("without `..`"), "{fault}");
        }
        let closed =
            resolve("/srv", &MountRules::default(), &Protected::default(), "any").expect_err("closed");
        assert!(closed.contains("`bind_mounts` in `[openshell.drivers.any]` is empty"), "{closed}");
    }

    #[test]
    fn no_socket_in_any_spelling() {
        let host = Host::new(false);
        let _socket = UnixListener::bind(host.path("out/docker.sock")).expect("a socket");
        symlink(host.path("out/docker.sock"), host.path("root/link.sock")).expect("a link");
        host.refused("root/link.sock", "leads out");
        fs::hard_link(host.path("out/docker.sock"), host.path("root/in/hard.sock")).expect("a link");
        host.refused("root/in/hard.sock", "it is a socket");
        host.refused("root/in", "hard.sock` is a socket");
        host.refused("root", "hard.sock` is a socket");
        assert!(host.resolve("root/in/deep").is_ok(), "what does not hold it");
    }

    #[test]
    fn a_root_that_leads_to_what_is_never_mounted() {
        let host = Host::new(false);
        for (name, target) in [("a", "/"), ("b", "/proc"), ("c", "/run"), ("d", "/dev"), ("e", "/var/run")] {
            symlink(target, host.path(name)).expect("a link");
            let rules = MountRules { binds: vec![host.path(name)], ..MountRules::default() };
            for below in ["", "/etc", "/self", "/docker.sock", "/shm"] {
                let source = format!("{}{below}", host.path(name).display());
                assert!(
                    resolve(&source, &rules, &Protected::default(), "any").is_err(),
                    "{source} -> {target}{below}"
                );
            }
        }
    }

    #[test]
    fn what_the_gateway_keeps() {
        let host = Host::new(false);
        symlink("root/in", host.path("state")).expect("a link");
        let protected = Protected::new([host.path("state"), PathBuf::new(), "/".into()]);
        let tried = |below: &str| {
            let path = host.path(below);
            resolve(path.to_str().expect("UTF-8"), &host.rules, &protected, "any")
        };
        for below in ["root", "root/in", "root/in/deep"] {
            assert!(tried(below).expect_err(below).contains("what the gateway or the engine keeps"));
        }
        fs::create_dir(host.path("root/free")).expect("a directory");
        assert!(tried("root/free").is_ok());
    }

    #[test]
    fn a_root_that_sandboxes_write_in_is_mounted_whole() {
        let host = Host::new(true);
        assert!(host.resolve("root").is_ok());
        host.refused("root/in", "mounted whole");
    }

    /// A sandbox with the outer root replaces the inner one by a link, and another one asks for it.
    #[test]
    fn a_root_in_another_that_sandboxes_write_in_is_not_mounted() {
        for links in [false, true] {
            let mut host = Host::new(true);
            let mut inner = host.path("root/in");
            if links {
                symlink("root", host.path("link")).expect("a link");
                inner = host.path("link/in");
            }
            let source = inner.to_str().expect("UTF-8").to_owned();
            host.rules.binds.insert(0, inner);
            let tried = |host: &Host| resolve(&source, &host.rules, &Protected::default(), "any");
            assert!(tried(&host).expect_err("in another").contains("which sandboxes may write in"));
            fs::remove_dir_all(host.path("root/in")).expect("removed");
            symlink(host.path("out"), host.path("root/in")).expect("a link");
            assert!(tried(&host).expect_err("a link").contains("which sandboxes may write in"), "{links}");
            assert!(host.resolve("root").is_ok(), "the outer one is");
            // Nobody writes there from inside: the inner one is as good as the outer one.
            host.rules.binds_writable = false;
            fs::remove_file(host.path("root/in")).expect("removed");
            fs::create_dir(host.path("root/in")).expect("a directory");
            assert!(tried(&host).is_ok());
        }
    }
}
