//! Files that hold a bearer token: made, replaced, read, and read again when they change.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use rustix::fs::OFlags;
use subtle::{Choice, ConstantTimeEq as _};

use crate::files::{self, Stamp};

/// Random bytes in a token of our own making.
const RANDOM_BYTES: usize = 32;
/// The shortest token that is taken from a file: less can be guessed.
const SHORTEST: usize = 16;
/// The longest token, in a file or in a request.
pub(super) const LONGEST: usize = 4096;
/// How old a file's last change has to be before its metadata stand for its contents: clocks of file systems are coarse, and
/// of two changes within one tick the second shows nowhere.
const SETTLED: Duration = Duration::from_secs(1);

/// A bearer token. It is shown by [`Token::expose`] alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token itself, for the one who asked for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A token that was made elsewhere in here.
    pub(crate) fn of(text: String) -> Self {
        Self(text)
    }

    fn random() -> Result<Self, TokenError> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes).map_err(TokenError::Random)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why a token cannot be read or made. No text of it has the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The system does not let us.
    #[error("cannot {action} the token file `{path}`", path = path.display())]
    Io {
        /// `read`, `make` or `replace`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error("the token file `{path}` is open to others: its mode is {mode:04o}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to somebody who is neither this user nor root.
    #[error("the token file `{path}` belongs to uid {uid}", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// It holds no token.
    #[error("the token file `{path}` {what}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The system has no randomness for a new one.
    #[error("the system gives no randomness for a token")]
    Random(#[source] getrandom::Error),
}

impl TokenError {
    /// What to do about it, a sentence or a command each.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Open { path, .. } => vec![format!("close it: chmod 600 {}", path.display())],
            Self::Malformed { path, .. } => vec![
                format!(
                    "it takes {SHORTEST} to {LONGEST} letters, digits and `-._~+/`, with `=` at the end (RFC 6750)"
                ),
                format!("to have one made, remove `{}`, or: openshell-gateway token rotate", path.display()),
            ],
            Self::Foreign { .. } => vec!["give a file of the user that the gateway runs as".to_owned()],
            Self::Io { .. } | Self::Random(_) => Vec::new(),
        }
    }
}

/// Whether [`load_or_create`] had to make the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was there, and holds a token.
    Found,
    /// It is new.
    Created,
}

/// Makes a token file of 256 random bits, 0600, unless there is one, which is then checked. A missing directory is made,
/// 0700. Of two that make it at once, both end with the same one.
///
/// # Errors
/// [`TokenError`]: it cannot be made, or what is there is no good token file.
pub fn load_or_create(path: &Path) -> Result<Made, TokenError> {
    match read(path) {
        Ok(_) => return Ok(Made::Found),
        Err(TokenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let failed = |source| TokenError::Io { action: "make", path: path.to_owned(), source };
    match files::create(path, prepare(path, failed)?.as_bytes(), 0o600) {
        Ok(()) => Ok(Made::Created),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path).map(|_| Made::Found),
        Err(source) => Err(failed(source)),
    }
}

/// Replaces the token by a new one, at once and as a whole; a missing file is made. A gateway that runs takes the new one, and
/// refuses the old one, from the next request on.
///
/// # Errors
/// [`TokenError`]: it cannot be replaced.
pub fn rotate(path: &Path) -> Result<(), TokenError> {
    // What a link points to is replaced, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |source| TokenError::Io { action: "replace", path: path.to_owned(), source };
    files::replace(&target, prepare(&target, failed)?.as_bytes(), 0o600).map_err(failed)
}

/// Reads a token file, which has to be its owner's alone.
///
/// # Errors
/// [`TokenError`].
pub fn read(path: &Path) -> Result<Token, TokenError> {
    look(path).map(|(token, _)| token)
}

/// The text of a new token file, whose directory is made if it is missing.
fn prepare(path: &Path, failed: impl Fn(io::Error) -> TokenError) -> Result<String, TokenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(files::directory(path)).map_err(failed)?;
    Ok(Token::random()?.0 + "\n")
}

/// Whether the next change of a file with this stamp is sure to show.
fn is_settled(stamp: &Stamp, now: SystemTime) -> bool {
    let (seconds, nanoseconds) = stamp.changed;
    let since = Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanoseconds).unwrap_or(0));
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.checked_sub(since).is_some_and(|age| age > SETTLED)
}

fn look(path: &Path) -> Result<(Token, Stamp), TokenError> {
    let failed = |source| TokenError::Io { action: "read", path: path.to_owned(), source };
    let malformed = |what| TokenError::Malformed { path: path.to_owned(), what };
    // A pipe at this path must not hold us up.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(malformed("is no regular file"));
    }
    let (own, uid) = (rustix::process::geteuid().as_raw(), found.uid());
    if uid != own && uid != 0 {
        return Err(TokenError::Foreign { path: path.to_owned(), uid });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(TokenError::Open { path: path.to_owned(), mode });
    }
    let mut text = Vec::new();
    (&file).take(LONGEST as u64 + 2).read_to_end(&mut text).map_err(failed)?;
    let token = text.trim_ascii();
    match token.len() {
        0 => Err(malformed("is empty")),
        len if len < SHORTEST => Err(malformed("holds a token that is too short")),
        len if len > LONGEST => Err(malformed("holds more than a token")),
        _ if !is_token68(token) => Err(malformed("holds characters that no token has")),
        _ => Ok((Token(String::from_utf8_lossy(token).into_owned()), Stamp::of(&found))),
    }
}

/// The characters of a bearer token: `b64token` of RFC 6750, section 2.1.
pub(crate) fn is_token68(bytes: &[u8]) -> bool {
    let end = bytes.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    end > 0 && bytes[..end].iter().all(fits)
}

/// A token's SHA-256. Digests are of one length whatever the tokens are, and are compared in constant time, so how long
/// a comparison takes says nothing of the token that was meant.
#[derive(Clone, Copy)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(token: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token).as_ref());
        Self(bytes)
    }
}

/// A token file that is looked at again at every use.
pub(super) struct TokenFile {
    path: PathBuf,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// What the file was like when it was read; `None`: read it again.
    stamp: Option<Stamp>,
    digest: Option<Digest>,
    /// The last complaint, which is made once.
    complaint: Option<String>,
}

impl TokenFile {
    /// Reads it for the first time.
    pub(super) fn open(path: &Path) -> Result<Self, TokenError> {
        let file = Self { path: path.to_owned(), held: Mutex::default() };
        file.held.lock().unwrap_or_else(PoisonError::into_inner).take(look(path)?);
        Ok(file)
    }

    /// Whether this is the token in the file, as the file is now. One that cannot be read any more is nobody's.
    pub(super) fn holds(&self, offered: &Digest) -> Choice {
        let now = fs::metadata(&self.path).ok().map(|found| Stamp::of(&found));
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if now.is_none() || held.stamp != now {
            held.refresh(&self.path);
        }
        held.digest.map_or(Choice::from(0), |digest| digest.0.ct_eq(&offered.0))
    }
}

impl Held {
    fn take(&mut self, (token, stamp): (Token, Stamp)) {
        self.digest = Some(Digest::of(token.0.as_bytes()));
        self.stamp = is_settled(&stamp, SystemTime::now()).then_some(stamp);
        self.complaint = None;
    }

    fn refresh(&mut self, path: &Path) {
        match look(path) {
            Ok(found) => {
                if self.complaint.is_some() {
                    tracing::info!(path = %path.display(), "the token file can be read again");
                }
                self.take(found);
            }
            Err(error) => {
                let complaint = error.to_string();
                if self.complaint.as_ref() != Some(&complaint) {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "nobody gets in by this token until its file is mended");
                }
                *self = Self { stamp: None, digest: None, complaint: Some(complaint) };
            }
        }
    }
}

#[cfg(test)]
mod tests;
