//! Tokens of sandboxes: signed, for one sandbox of one gateway, for one purpose. Nothing of them is kept.
//!
//! The one that lies in a sandbox is good for as long as that is there, for a sandbox may lie stopped for a year and no backend
//! lets its files be changed while it does; it is good for getting the other one, which is good for an hour. That the
//! sandbox is there is for those to look at who answer.
//!
//! ```text
//!   osb1.<payload>.<mac>        both base64url without padding (RFC 4648, section 5)
//!
//!   payload   purpose: 1 byte · issued: 8 · expires: 8, seconds since 1970, big-endian; all ones: never
//!             · length of the gateway's id: 1 · the gateway's id · the sandbox's id
//!   mac       HMAC-SHA-256 (RFC 2104) over `osb1.<payload>`, so that no other version is taken for this one
//! ```

use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::access::Denied;
use crate::access::token::{self, Token, TokenError};

/// The version of the format, before the first dot.
const VERSION: &str = "osb1";
/// A token says that it expires then when it does not.
const NEVER: u64 = u64::MAX;
/// Random bytes of a key: what SHA-256 gives.
const KEY_BYTES: usize = 32;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Lies in the sandbox from its creation to its end: to connect, and to get a token of the other kind.
    Boot,
    /// Kept in memory and renewed: for everything that a supervisor asks.
    Session,
}

impl Purpose {
    /// How long such a token is good; `None`: for as long as its sandbox is there.
    #[must_use]
    pub fn lifetime(self) -> Option<Duration> {
        match self {
            Self::Boot => None,
            Self::Session => Some(Duration::from_secs(60 * 60)),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Boot => 1,
            Self::Session => 2,
        }
    }

    fn of(code: u8) -> Option<Self> {
        [Self::Boot, Self::Session].into_iter().find(|purpose| purpose.code() == code)
    }
}

/// A token that was made just now.
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub token: Token,
    /// When it expires; `None`: with its sandbox.
    pub expires: Option<SystemTime>,
}

/// What signs and verifies the tokens of one gateway's sandboxes.
pub struct SandboxKey {
    key: hmac::Key,
    gateway_id: Box<str>,
}

impl SandboxKey {
    /// Reads the key in `path`, which has to be its owner's alone; a missing one is made, 0600, of 256 random bits.
    ///
    /// # Errors
    /// [`TokenError`]: it cannot be made, is open to others, or is no key.
    pub fn load_or_create(path: &Path, gateway_id: &str) -> Result<Self, TokenError> {
        // It is as long and as secret as a token of ours, and is kept as one.
        token::load_or_create(path)?;
        let text = token::read(path)?;
        let bytes = URL_SAFE_NO_PAD.decode(text.expose()).ok().filter(|bytes| bytes.len() == KEY_BYTES);
        let malformed = || TokenError::Malformed { path: path.to_owned(), what: "holds no key of sandboxes" };
        Ok(Self::new(&bytes.ok_or_else(malformed)?, gateway_id))
    }

    fn new(key: &[u8], gateway_id: &str) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), gateway_id: gateway_id.into() }
    }

    /// Makes a token of a sandbox, good from `now` on.
    #[must_use]
    pub fn issue(&self, sandbox_id: &str, purpose: Purpose, now: SystemTime) -> Issued {
        let issued = seconds(now);
        let expires = purpose.lifetime().map(|lifetime| issued.saturating_add(lifetime.as_secs()));
        let mut payload = vec![purpose.code()];
        payload.extend(issued.to_be_bytes());
        payload.extend(expires.unwrap_or(NEVER).to_be_bytes());
        // An id of a gateway has 63 characters at most.
        payload.push(u8::try_from(self.gateway_id.len()).unwrap_or(u8::MAX));
        payload.extend(self.gateway_id.as_bytes());
        payload.extend(sandbox_id.as_bytes());
        let signed = format!("{VERSION}.{}", URL_SAFE_NO_PAD.encode(payload));
        let mac = hmac::sign(&self.key, signed.as_bytes());
        let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac));
        let expires = expires.map(|expires| SystemTime::UNIX_EPOCH + Duration::from_secs(expires));
        Issued { token: Token::of(text), expires }
    }

    /// What a token is good for, when it is one of this sandbox's and good now.
    pub(crate) fn verify(&self, token: &[u8], sandbox_id: &str, now: SystemTime) -> Result<Purpose, Denied> {
        let payload = self.open(token)?;
        let payload = Payload::read(&payload).ok_or(Denied::Malformed)?;
        if payload.gateway_id != self.gateway_id.as_bytes() {
            return Err(Denied::Unknown);
        }
        if payload.sandbox_id != sandbox_id.as_bytes() {
            return Err(Denied::OtherSandbox);
        }
        // The first tokens of the other kind say a time, too, and are as good as those that say none.
        if payload.purpose.lifetime().is_some() && seconds(now) >= payload.expires {
            return Err(Denied::Expired);
        }
        Ok(payload.purpose)
    }

    /// Which sandbox's a token is, that this key has signed; whether it is good for anything is not looked at.
    pub(crate) fn sandbox_of(&self, token: &[u8]) -> Option<String> {
        let payload = self.open(token).ok()?;
        String::from_utf8(Payload::read(&payload)?.sandbox_id.to_vec()).ok()
    }

    /// What a token says. Nothing is given of one that this key has not signed.
    fn open(&self, token: &[u8]) -> Result<Vec<u8>, Denied> {
        let dot = token.iter().rposition(|byte| *byte == b'.').ok_or(Denied::Malformed)?;
        let (signed, mac) = (&token[..dot], &token[dot + 1..]);
        let payload = signed.strip_prefix(VERSION.as_bytes()).and_then(|rest| rest.strip_prefix(b"."));
        let payload = payload.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(Denied::Malformed)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| Denied::Malformed)?;
        // In constant time.
        hmac::verify(&self.key, signed, &mac).map_err(|_| Denied::Unknown)?;
        Ok(payload)
    }
}

impl std::fmt::Debug for SandboxKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SandboxKey").field("gateway_id", &self.gateway_id).finish_non_exhaustive()
    }
}

/// What a token says.
struct Payload<'a> {
    purpose: Purpose,
    expires: u64,
    gateway_id: &'a [u8],
    sandbox_id: &'a [u8],
}

impl<'a> Payload<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (purpose, rest) = bytes.split_first()?;
        let (_issued, rest) = rest.split_first_chunk::<8>()?;
        let (expires, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first()?;
        let (gateway_id, sandbox_id) = rest.split_at_checked(usize::from(*length))?;
        Some(Self {
            purpose: Purpose::of(*purpose)?,
            expires: u64::from_be_bytes(*expires),
            gateway_id,
            sandbox_id,
        })
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const SANDBOX: &str = "c97db7be-83be-4825-8f1e-807d82dad652";

    fn key(byte: u8, gateway: &str) -> SandboxKey {
        SandboxKey::new(&[byte; KEY_BYTES], gateway)
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn text(key: &SandboxKey, purpose: Purpose) -> String {
        key.issue(SANDBOX, purpose, now()).token.expose().to_owned()
    }

    #[test]
    fn a_token_is_good_for_its_sandbox_and_a_session_s_for_an_hour() {
        let key = key(1, "gw");
        for purpose in [Purpose::Boot, Purpose::Session] {
            let issued = key.issue(SANDBOX, purpose, now());
            let token = issued.token.expose().as_bytes();
            assert!(token::is_token68(token), "it fits into a header");
            assert_eq!(key.verify(token, SANDBOX, now()), Ok(purpose));
            // A clock that was set back since makes nobody a stranger.
            assert_eq!(key.verify(token, SANDBOX, SystemTime::UNIX_EPOCH), Ok(purpose));
            assert!(!format!("{issued:?}").contains(issued.token.expose()));
        }
        let hour = Duration::from_secs(60 * 60);
        let session = key.issue(SANDBOX, Purpose::Session, now());
        let token = session.token.expose().as_bytes();
        assert_eq!(session.expires, Some(now() + hour));
        assert_eq!(key.verify(token, SANDBOX, now() + hour - Duration::from_secs(1)), Ok(Purpose::Session));
        assert_eq!(key.verify(token, SANDBOX, now() + hour), Err(Denied::Expired));
    }

    #[test]
    fn a_boot_token_is_good_however_long_its_sandbox_lay_stopped() {
        let key = key(1, "gw");
        let boot = key.issue(SANDBOX, Purpose::Boot, now());
        assert_eq!(boot.expires, None);
        let years = now() + Duration::from_secs(20 * 365 * 24 * 60 * 60);
        assert_eq!(key.verify(boot.token.expose().as_bytes(), SANDBOX, years), Ok(Purpose::Boot));
        // One that was made when they had 90 days.
        let mut payload = vec![Purpose::Boot.code()];
        payload.extend(seconds(now()).to_be_bytes());
        payload.extend((seconds(now()) + 90 * 24 * 60 * 60).to_be_bytes());
        payload.push(2);
        payload.extend(b"gw");
        payload.extend(SANDBOX.as_bytes());
        let signed = format!("{VERSION}.{}", URL_SAFE_NO_PAD.encode(payload));
        let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&key.key, signed.as_bytes()));
        assert_eq!(key.verify(format!("{signed}.{mac}").as_bytes(), SANDBOX, years), Ok(Purpose::Boot));
    }

    #[test]
    fn another_sandbox_another_gateway_and_another_key_are_told_apart() {
        let token = text(&key(1, "gw"), Purpose::Session);
        let token = token.as_bytes();
        for other in ["", "c97db7be", "c97db7be-83be-4825-8f1e-807d82dad65", "x"] {
            assert_eq!(key(1, "gw").verify(token, other, now()), Err(Denied::OtherSandbox), "{other}");
        }
        assert_eq!(key(2, "gw").verify(token, SANDBOX, now()), Err(Denied::Unknown));
        assert_eq!(key(1, "gw2").verify(token, SANDBOX, now()), Err(Denied::Unknown));
        // What is one's gateway and what is one's sandbox cannot be shifted.
        let shifted = key(1, "g").issue(&format!("w{SANDBOX}"), Purpose::Boot, now());
        assert_eq!(
            key(1, "gw").verify(shifted.token.expose().as_bytes(), SANDBOX, now()),
            Err(Denied::Unknown)
        );
    }

    #[test]
    fn whatever_is_changed_of_a_token_spoils_it() {
        let key = key(1, "gw");
        let good = text(&key, Purpose::Boot);
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let refused = key.verify(&bytes, SANDBOX, now()).expect_err("a byte is another");
            assert!(matches!(refused, Denied::Unknown | Denied::Malformed), "{at}: {refused:?}");
        }
        for cut in 0..good.len() {
            assert!(key.verify(&good.as_bytes()[..cut], SANDBOX, now()).is_err(), "{cut}");
        }
        for odd in [&b"osb1.."[..], b"..", b"", b"osb2.AAAA.AAAA", b"\xff.\xff.\xff"] {
            let refused = key.verify(odd, SANDBOX, now()).expect_err("no token");
            assert!(matches!(refused, Denied::Unknown | Denied::Malformed), "{odd:?}: {refused:?}");
        }
    }

    #[test]
    fn a_payload_that_the_key_signed_and_nobody_knows_is_no_token() {
        let key = key(1, "gw");
        for payload in
            [&b""[..], &[9; 40], &[1; 17], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 200, 1]]
        {
            let signed = format!("{VERSION}.{}", URL_SAFE_NO_PAD.encode(payload));
            let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&key.key, signed.as_bytes()));
            let token = format!("{signed}.{mac}");
            assert_eq!(key.verify(token.as_bytes(), SANDBOX, now()), Err(Denied::Malformed), "{payload:?}");
        }
    }

    #[test]
    fn the_key_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sandbox-key");
        let first = SandboxKey::load_or_create(&path, "gw").expect("a key");
        let second = SandboxKey::load_or_create(&path, "gw").expect("the same key");
        let token = text(&first, Purpose::Boot);
        assert_eq!(second.verify(token.as_bytes(), SANDBOX, now()), Ok(Purpose::Boot));
        let mode = std::fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);

        std::fs::write(&path, "a-token-of-somebody-else").expect("write");
        let error = SandboxKey::load_or_create(&path, "gw").expect_err("no key");
        assert_eq!(
            error.to_string(),
            format!("the token file `{}` holds no key of sandboxes", path.display())
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("its mode");
        assert!(matches!(SandboxKey::load_or_create(&path, "gw"), Err(TokenError::Open { .. })));
    }
}
