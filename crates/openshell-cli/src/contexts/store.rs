//! The files of the contexts: read, and written whole or not at all.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use openshell_core::{Environment, paths};

use super::{Context, Metadata};

/// The name of the file that names the selected gateway.
const ACTIVE: &str = "active_gateway";
const METADATA: &str = "metadata.json";

/// Why the contexts cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The environment does not say where configuration goes.
    #[error("there is no configuration directory: neither `XDG_CONFIG_HOME` nor `HOME` is an absolute path")]
    NoDirectory,
    /// It cannot be a directory's name.
    #[error(
        "`{name}` cannot be a gateway's name: letters, digits, `-`, `_` and `.`, at most 64, a letter or digit first"
    )]
    BadName { name: String },
    /// There is no such context.
    #[error("there is no gateway `{name}`")]
    Absent { name: String },
    /// There is one already.
    #[error("there is a gateway `{name}` already")]
    Present { name: String },
    /// Somebody wrote something else into it.
    #[error("`{path}` is not what is kept of a gateway", path = path.display())]
    Malformed {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    /// The system says no.
    #[error("cannot {doing} `{path}`", path = path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { doing, path, source }
}

/// The directory of all contexts.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
}

/// What is kept of a new context; the texts of files, not their paths.
#[derive(Default)]
pub(crate) struct NewContext {
    pub(crate) token: Option<Vec<u8>>,
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Store {
    /// The store of this user: beside `gateway.toml`. Nothing is made before something is kept.
    pub(crate) fn of(env: &Environment) -> Result<Self, StoreError> {
        let config = paths::default_config(env).ok_or(StoreError::NoDirectory)?;
        Ok(Self { root: config.parent().map(Path::to_owned).unwrap_or_default() })
    }

    fn gateways(&self) -> PathBuf {
        self.root.join("gateways")
    }

    /// The file that names the selected gateway.
    pub(crate) fn active_path(&self) -> PathBuf {
        self.root.join(ACTIVE)
    }

    /// The name of the selected gateway.
    pub(crate) fn active(&self) -> Result<Option<String>, StoreError> {
        let path = self.active_path();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|name| !name.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io("read", &path)(error)),
        }
    }

    /// Selects a gateway.
    pub(crate) fn select(&self, name: &str) -> Result<(), StoreError> {
        self.load(name)?;
        replace(&self.active_path(), format!("{name}\n").as_bytes())
    }

    /// The names of all contexts, in order.
    pub(crate) fn names(&self) -> Result<Vec<String>, StoreError> {
        let dir = self.gateways();
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io("read", &dir))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io("read", &dir))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if check_name(&name).is_ok() && entry.path().join(METADATA).is_file() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// One context.
    pub(crate) fn load(&self, name: &str) -> Result<Context, StoreError> {
        check_name(name)?;
        let dir = self.gateways().join(name);
        let path = dir.join(METADATA);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Absent { name: name.to_owned() });
            }
            other => other.map_err(io("read", &path))?,
        };
        let metadata =
            serde_json::from_slice(&bytes).map_err(|source| StoreError::Malformed { path, source })?;
        Ok(Context { name: name.to_owned(), dir, metadata })
    }

    /// Keeps a new context: made aside, then moved to its place, so that nobody sees half of it.
    pub(crate) fn add(&self, metadata: &Metadata, files: &NewContext) -> Result<(), StoreError> {
        let name = &metadata.name;
        check_name(name)?;
        let dir = self.gateways();
        private_dir(&dir)?;
        let target = dir.join(name);
        let present = || StoreError::Present { name: name.clone() };
        if target.exists() {
            return Err(present());
        }
        // A dot first: no context can have that name.
        let aside = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&dir)
            .map_err(io("make a directory in", &dir))?;
        replace(&aside.path().join(METADATA), &json(metadata))?;
        if let Some(token) = &files.token {
            replace(&aside.path().join("token"), token)?;
        }
        let mtls = aside.path().join("mtls");
        if let Some(ca) = &files.ca {
            replace(&mtls.join("ca.crt"), ca)?;
        }
        if let Some((certificate, key)) = &files.identity {
            replace(&mtls.join("tls.crt"), certificate)?;
            replace(&mtls.join("tls.key"), key)?;
        }
        match fs::rename(aside.path(), &target) {
            Ok(()) => {
                // Moved, so there is nothing left to remove.
                let _moved = aside.keep();
                Ok(())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                Err(present())
            }
            Err(error) => Err(io("make", &target)(error)),
        }
    }

    /// Keeps what has changed of a context.
    pub(crate) fn save(&self, context: &Context) -> Result<(), StoreError> {
        replace(&context.dir.join(METADATA), &json(&context.metadata))
    }

    /// Forgets a context, and that it was selected. Gives whether it was.
    pub(crate) fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let dir = match self.load(name) {
            Ok(context) => context.dir,
            // What cannot be read can be forgotten all the same.
            Err(StoreError::Malformed { .. }) => self.gateways().join(name),
            Err(error) => return Err(error),
        };
        let was_active = self.active()?.as_deref() == Some(name);
        if was_active {
            let path = self.active_path();
            fs::remove_file(&path).map_err(io("remove", &path))?;
        }
        fs::remove_dir_all(&dir).map_err(io("remove", &dir))?;
        Ok(was_active)
    }
}

fn json(metadata: &Metadata) -> Vec<u8> {
    // Strings and numbers only: it cannot fail.
    let mut bytes = serde_json::to_vec_pretty(metadata).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Whether a name can be a directory's and be typed without thinking.
fn check_name(name: &str) -> Result<(), StoreError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(good) {
        return Ok(());
    }
    Err(StoreError::BadName { name: crate::text::clean(name) })
}

/// Makes a directory and those above it, which only the user may enter. One that is there stays as it is.
fn private_dir(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("make", path))
}

/// Writes a file whole or not at all; only the user may read it.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    private_dir(dir)?;
    // 0600 from the start.
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(io("write", path))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(io("write", path))?;
    file.persist(path).map_err(|error| io("write", path)(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let env = Environment::new([("XDG_CONFIG_HOME", dir.path())], 7);
        let store = Store::of(&env).unwrap();
        (dir, store)
    }

    fn metadata(name: &str) -> Metadata {
        Metadata {
            name: name.to_owned(),
            gateway_endpoint: "https://gw:1".to_owned(),
            auth_mode: Some("mtls".to_owned()),
            workspace: None,
            rest: Map::new(),
        }
    }

    #[test]
    fn a_context_is_kept_private_and_forgotten_whole() {
        let (dir, store) = store();
        assert_eq!((store.names().unwrap(), store.active().unwrap()), (Vec::new(), None));
        let files = NewContext {
            ca: Some(b"ca".to_vec()),
            identity: Some((b"c".to_vec(), b"k".to_vec())),
            token: None,
        };
        store.add(&metadata("lab"), &files).unwrap();
        assert!(matches!(store.add(&metadata("lab"), &files), Err(StoreError::Present { .. })));
        store.select("lab").unwrap();
        assert!(matches!(store.select("other"), Err(StoreError::Absent { .. })));
        assert_eq!(
            (store.names().unwrap(), store.active().unwrap()),
            (vec!["lab".to_owned()], Some("lab".to_owned()))
        );

        let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
        for path in
            ["openshell", "openshell/gateways", "openshell/gateways/lab", "openshell/gateways/lab/mtls"]
        {
            assert_eq!(mode(path), 0o700, "{path}");
        }
        for path in ["active_gateway", "gateways/lab/metadata.json", "gateways/lab/mtls/tls.key"] {
            assert_eq!(mode(&format!("openshell/{path}")), 0o600, "{path}");
        }
        // Nothing is left aside.
        assert_eq!(fs::read_dir(dir.path().join("openshell/gateways")).unwrap().count(), 1);

        assert!(store.remove("lab").unwrap());
        assert_eq!((store.names().unwrap(), store.active().unwrap()), (Vec::new(), None));
        assert!(matches!(store.remove("lab"), Err(StoreError::Absent { .. })));
    }

    #[test]
    fn keys_of_others_are_kept() {
        let (_dir, store) = store();
        let mut one = metadata("a");
        one.rest.insert("oidc_issuer".to_owned(), "https://idp".into());
        store.add(&one, &NewContext::default()).unwrap();
        let mut context = store.load("a").unwrap();
        context.metadata.workspace = Some("w".to_owned());
        store.save(&context).unwrap();
        one.workspace = Some("w".to_owned());
        assert_eq!(store.load("a").unwrap().metadata, one);
    }

    #[test]
    fn a_name_stays_within_the_directory() {
        let (_dir, store) = store();
        for name in ["", ".", "..", "../x", "a/b", "-a", "a b", "ä", &"x".repeat(65)] {
            assert!(matches!(store.load(name), Err(StoreError::BadName { .. })), "{name}");
            assert!(matches!(
                store.add(&metadata(name), &NewContext::default()),
                Err(StoreError::BadName { .. })
            ));
        }
    }
}
