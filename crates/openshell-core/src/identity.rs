//! The gateway's id: configured, or made once and kept in the state directory. Every resource of a backend is labelled
//! with it, so two gateways on one backend never see each other's sandboxes, and losing it means losing them.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::shell::{FAILURE, Remedy};

/// The id's file name in the state directory.
pub const FILE: &str = "gateway_id";
/// The longest value of a Kubernetes label, which an id becomes.
const MAX_LEN: usize = 63;
/// Bytes of chance in an id of our own making.
const RANDOM_BYTES: usize = 16;

/// The id of a gateway, fit to be a label's value on any backend.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatewayId(String);

/// A text that is no gateway id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no gateway id: 1 to 63 letters, digits, `-`, `_` or `.`, with a letter or digit at both ends"
)]
pub struct InvalidGatewayId(String);

impl FromStr for GatewayId {
    type Err = InvalidGatewayId;

    fn from_str(text: &str) -> Result<Self, InvalidGatewayId> {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        let fits = bytes.len() <= MAX_LEN && bytes.iter().copied().all(inner);
        if fits && end(bytes.first()) && end(bytes.last()) {
            return Ok(Self(text.to_owned()));
        }
        // What is shown may come from a broken file: a prefix of it is enough to recognise it by.
        Err(InvalidGatewayId(text.chars().take(MAX_LEN + 1).flat_map(char::escape_debug).collect()))
    }
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl GatewayId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A new one, of 128 random bits.
    fn random() -> io::Result<Self> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(hex(&bytes)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why there is no gateway id.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or made.
    #[error("cannot {action} the gateway id in `{path}`", path = path.display())]
    Io {
        /// `read` or `keep`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("the gateway id in `{path}` is broken", path = path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: InvalidGatewayId,
    },
    /// A driver's program was given none, and no gateway has made one.
    #[error("there is no gateway id: none was given, and `{path}` does not exist", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
}

impl Remedy for IdentityError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Io { .. } => vec!["give an id with `--gateway-id ID`".to_owned()],
            Self::Broken { .. } => vec![
                "put the id back that the labels of this gateway's sandboxes show (`openshell.ai/gateway-id`)".to_owned(),
                "if it has no sandboxes, remove the file: a new id is made at the next start".to_owned(),
            ],
            Self::Missing { .. } => vec![
                "give the id of the gateway with `--gateway-id ID`".to_owned(),
                "or start the gateway once under this user: it makes the file".to_owned(),
            ],
        }
    }

    fn exit_code(&self) -> u8 {
        FAILURE
    }
}

/// The configured id, else the one in the state directory (which has to exist), made when there is none. Processes that
/// start at the same moment get the same one.
///
/// # Errors
/// When the file cannot be read or made, or holds something else.
pub fn load_or_create(configured: Option<&GatewayId>, state_dir: &Path) -> Result<GatewayId, IdentityError> {
    if let Some(id) = configured {
        return Ok(id.clone());
    }
    match read(state_dir)? {
        Some(id) => Ok(id),
        None => create(state_dir),
    }
}

/// The configured id, else the one in the state directory, for a program that must not make one up: a driver that ran
/// under an id of its own would label sandboxes that no gateway ever finds.
///
/// # Errors
/// As [`load_or_create`], and when there is none.
pub fn load(configured: Option<&GatewayId>, state_dir: &Path) -> Result<GatewayId, IdentityError> {
    if let Some(id) = configured {
        return Ok(id.clone());
    }
    read(state_dir)?.ok_or_else(|| IdentityError::Missing { path: state_dir.join(FILE) })
}

fn read(state_dir: &Path) -> Result<Option<GatewayId>, IdentityError> {
    let path = state_dir.join(FILE);
    let mut bytes = Vec::new();
    // Bounded: a file that is not ours may be of any size.
    match File::open(&path).and_then(|file| file.take(1024).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IdentityError::Io { action: "read", path, source }),
        Ok(_) => {}
    }
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end().parse().map(Some).map_err(|source| IdentityError::Broken { path, source })
}

/// Writes a whole file aside and links it to its name: the name appears with its content or not at all, and of two
/// processes one wins and the other reads what the winner wrote.
fn create(state_dir: &Path) -> Result<GatewayId, IdentityError> {
    let path = state_dir.join(FILE);
    let io = |source| IdentityError::Io { action: "keep", path: path.clone(), source };
    let id = GatewayId::random().map_err(io)?;
    let aside = state_dir.join(format!(".{FILE}.{id}"));
    let written = write_private(&aside, &id).and_then(|()| fs::hard_link(&aside, &path));
    let removed = fs::remove_file(&aside);
    match written {
        Ok(()) => {
            removed.map_err(io)?;
            // The name has to outlive a power cut as the content does.
            File::open(state_dir).and_then(|dir| dir.sync_all()).map_err(io)?;
            Ok(id)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read(state_dir)?.ok_or_else(|| io(io::ErrorKind::NotFound.into()))
        }
        Err(error) => Err(io(error)),
    }
}

fn write_private(path: &Path, id: &GatewayId) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{id}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_what_can_be_a_label_is_an_id() {
        for good in ["a", "A-b_c.9", &"x".repeat(63)] {
            assert_eq!(good.parse::<GatewayId>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "a b", "ä", "a\n", &"x".repeat(64)] {
            assert!(bad.parse::<GatewayId>().is_err(), "{bad:?}");
        }
        assert!(
            "a\u{1b}[31m".parse::<GatewayId>().unwrap_err().to_string().starts_with("`a\\u{1b}[31m` is no")
        );
    }

    #[test]
    fn it_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_create(None, dir.path()).unwrap();
        assert_eq!(load_or_create(None, dir.path()).unwrap(), first);
        assert_eq!(load(None, dir.path()).unwrap(), first);
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn a_configured_id_wins_and_touches_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let mine = "mine".parse().unwrap();
        assert_eq!(load_or_create(Some(&mine), dir.path()).unwrap(), mine);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn starters_at_the_same_moment_agree() {
        let dir = tempfile::tempdir().unwrap();
        let ids = std::thread::scope(|scope| {
            let starters: Vec<_> =
                (0..16).map(|_| scope.spawn(|| load_or_create(None, dir.path()).unwrap())).collect();
            starters.into_iter().map(|starter| starter.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(ids.iter().all(|id| id == &ids[0]), "{ids:?}");
    }

    #[test]
    fn a_driver_program_makes_none_up() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(load(None, dir.path()), Err(IdentityError::Missing { .. })));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_broken_file_is_an_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        for broken in ["", "\n", "two words", "\u{0}\u{0}"] {
            fs::write(dir.path().join(FILE), broken).unwrap();
            assert!(
                matches!(load_or_create(None, dir.path()), Err(IdentityError::Broken { .. })),
                "{broken:?}"
            );
            assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), broken);
        }
        fs::remove_file(dir.path().join(FILE)).unwrap();
        fs::create_dir(dir.path().join(FILE)).unwrap();
        assert!(matches!(load_or_create(None, dir.path()), Err(IdentityError::Io { .. })));
    }
}
