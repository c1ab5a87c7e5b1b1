//! The sandbox's credentials: the one that it was made with, and the short-lived one that this becomes.
//!
//! The boot token comes through the driver and is good for connecting and for asking for a session token. That one lives in
//! memory alone, is good for all a supervisor asks, and is replaced at half its life.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use openshell_proto::openshell::v1::{RefreshSandboxTokenRequest, RefreshSandboxTokenResponse};
use tonic::{Code, Status};

use super::wire::Wire;
use super::{ANSWER, LinkError};

/// A token is never taken for one that lives shorter, whatever the clocks here and there say.
const SHORTEST_LIFE: Duration = Duration::from_secs(2);

/// A credential as the header that carries it. No `Debug` shows it.
#[derive(Clone)]
pub(crate) struct Token(HeaderValue);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the sandbox's token in `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is something else; the text is not shown.
    #[error("there is no token in {0}: it has to be one line of visible ASCII")]
    Malformed(String),
}

impl Token {
    /// Reads the token that the driver left, without the space around it.
    pub(crate) fn read(path: &Path) -> Result<Self, TokenError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TokenError::File { path: path.to_owned(), source })?;
        Self::new(text.trim()).ok_or_else(|| TokenError::Malformed(format!("`{}`", path.display())))
    }

    /// RFC 6750, section 2.1: a token has no space in it, and a header holds visible ASCII.
    fn new(text: &str) -> Option<Self> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut value = HeaderValue::try_from(format!("Bearer {text}")).ok()?;
        // Kept out of HPACK's tables and of anything that prints headers.
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// The header `authorization`.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The credentials of this sandbox.
#[derive(Debug)]
pub(super) struct Tokens {
    boot: Token,
    session: Mutex<Option<Session>>,
}

/// A token that was asked for.
#[derive(Debug)]
struct Session {
    token: Token,
    renew: SystemTime,
    expires: SystemTime,
}

impl Tokens {
    pub(super) fn new(boot: Token) -> Self {
        Self { boot, session: Mutex::new(None) }
    }

    /// What to show with the next call.
    pub(super) fn current(&self) -> Token {
        match &*self.session() {
            Some(session) if SystemTime::now() < session.expires => session.token.clone(),
            _ => self.boot.clone(),
        }
    }

    /// How long until the session token should be replaced; zero without one.
    pub(super) fn due(&self) -> Duration {
        let session = self.session();
        session.as_ref().map_or(Duration::ZERO, |session| {
            session.renew.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO)
        })
    }

    /// Asks for a session token when it is time for another.
    pub(super) async fn refresh(&self, wire: &Wire) -> Result<(), LinkError> {
        if !self.due().is_zero() {
            return Ok(());
        }
        let mut client = wire.client();
        let asked = client.refresh_sandbox_token(RefreshSandboxTokenRequest::default());
        match tokio::time::timeout(ANSWER, asked).await {
            Ok(Ok(answer)) => self.take(&answer.into_inner()),
            Ok(Err(status)) => Err(self.refused("for a session token", status)),
            Err(_) => Err(LinkError::NoAnswer { asking: "for a session token" }),
        }
    }

    /// What an answer that is none means. When the gateway does not know the session token, the next try shows the boot token.
    pub(super) fn refused(&self, asking: &'static str, status: Status) -> LinkError {
        if status.code() == Code::Unauthenticated {
            *self.session() = None;
        }
        LinkError::Status { asking, status: Box::new(status) }
    }

    fn take(&self, answer: &RefreshSandboxTokenResponse) -> Result<(), LinkError> {
        let token = Token::new(&answer.token)
            .ok_or_else(|| TokenError::Malformed("the gateway's answer".to_owned()))?;
        let now = SystemTime::now();
        let expires = UNIX_EPOCH + Duration::from_millis(u64::try_from(answer.expires_at_ms).unwrap_or(0));
        let life = expires.duration_since(now).unwrap_or(Duration::ZERO).max(SHORTEST_LIFE);
        *self.session() = Some(Session { token, renew: now + life / 2, expires: now + life });
        Ok(())
    }

    fn session(&self) -> MutexGuard<'_, Option<Session>> {
        // Nothing is done under the lock that could leave it half done.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(token: &str, life: Duration) -> RefreshSandboxTokenResponse {
        let expires = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + life;
        RefreshSandboxTokenResponse {
            token: token.to_owned(),
            expires_at_ms: i64::try_from(expires.as_millis()).expect("in range"),
            extension_credentials: Vec::new(),
        }
    }

    #[test]
    fn a_token_is_one_visible_word_and_is_never_printed() {
        let token = Token::new("osb1.abc-_.def").expect("a token");
        assert_eq!(token.header().to_str().expect("text"), "Bearer osb1.abc-_.def");
        assert!(!format!("{token:?} {:?}", token.header()).contains("osb1"));
        for text in ["", "a b", "a\nb", "ä", "a\u{0}"] {
            assert!(Token::new(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_session_token_is_shown_until_it_expires_and_replaced_at_half_its_life() {
        let tokens = Tokens::new(Token::new("boot").expect("a token"));
        let shown = |tokens: &Tokens| tokens.current().header().to_str().expect("text").to_owned();
        assert_eq!((shown(&tokens).as_str(), tokens.due()), ("Bearer boot", Duration::ZERO));
        tokens.take(&answer("session", Duration::from_secs(3600))).expect("taken");
        assert_eq!(shown(&tokens), "Bearer session");
        assert!((1790..=1800).contains(&tokens.due().as_secs()), "{:?}", tokens.due());
        // A clock that is wrong does not make it ask without end.
        tokens.take(&answer("past", Duration::ZERO)).expect("taken");
        assert!(tokens.due() > Duration::from_millis(500), "{:?}", tokens.due());
        tokens.take(&answer("two words", Duration::from_secs(1))).expect_err("no token");
        assert_eq!(shown(&tokens), "Bearer past");
        tokens.refused("for something", Status::unavailable("not now"));
        assert_eq!(shown(&tokens), "Bearer past");
        tokens.refused("for something", Status::unauthenticated("who is that?"));
        assert_eq!(shown(&tokens), "Bearer boot");
    }
}
