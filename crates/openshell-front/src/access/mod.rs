//! Who asks, what they may do, and how fast.
//!
//! | the connection | what decides |
//! | --- | --- |
//! | Unix socket | the peer's uid alone: `owner`, or the identity that lists it. No header is looked at |
//! | TCP, TLS without certificate | the bearer token |
//! | TLS with certificate | the certificate: the identity of its fingerprint, else of one of its DNS names, else `certificate` with the role for such |
//! | the same, and a token besides | the token has to be valid, and is the identity; its role is the lower of both |
//! | TCP or TLS, where authentication is off | nothing: everybody is `anonymous`. No header is looked at |
//!
//! Whatever is offered has to be right: a bad token beside a good certificate is refused, and so is a certificate that is
//! nobody's beside a good token. A token that two files hold counts as the one with the lower role.

mod methods;
mod rate;
mod refusal;
pub mod token;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::AUTHORIZATION;

pub(crate) use methods::{Method, MethodId};
pub(crate) use rate::Bucket;
use rate::Penalties;
pub use rate::Rate;
pub(crate) use refusal::{Denied, Refusal};
use token::{Digest, TokenError, TokenFile};

use crate::{ClientCertificate, Identity, Peer, Role};

/// Who may talk to the gateway.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// The gateway's own user, who is `owner` on the Unix socket, and so is root.
    pub owner_uid: u32,
    /// The file of the gateway's own token, whose bearer is `token`, an administrator. `None`: there is none.
    pub token_path: Option<PathBuf>,
    /// Everybody who comes by TCP is `anonymous`, an administrator.
    pub allow_unauthenticated: bool,
    /// What somebody is with a certificate that no rule names. `None`: nobody.
    pub client_role: Option<Role>,
    /// How fast an identity may ask that has no rate of its own, those built in among them.
    pub rate: Rate,
    /// Everybody else. Of two rules that fit, the first counts.
    pub identities: Vec<IdentityRule>,
}

/// Somebody, and how they are known: by any of what is given.
#[derive(Debug, Clone)]
pub struct IdentityRule {
    /// The name, in logs and for the services.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// By the token in this file.
    pub token_path: Option<PathBuf>,
    /// By a certificate with this DNS name, whatever its case.
    pub certificate_name: Option<String>,
    /// By the certificate whose DER form has this SHA-256.
    pub certificate_sha256: Option<[u8; 32]>,
    /// By their user id on the Unix socket.
    pub uids: Vec<u32>,
    /// How fast they may ask, if not as everybody.
    pub rate: Option<Rate>,
}

/// The rules, ready to be asked. A request takes no lock but that of a token file, and that only where it shows a token.
pub struct Policy {
    owner_uid: u32,
    known: Vec<Known>,
    tokens: Vec<(TokenFile, usize)>,
    uids: Vec<(u32, usize)>,
    fingerprints: Vec<([u8; 32], usize)>,
    names: Vec<(String, usize)>,
    owner: usize,
    anonymous: Option<usize>,
    client: Option<usize>,
    penalties: Penalties,
}

/// Somebody whom the rules know.
struct Known {
    identity: Identity,
    bucket: Option<Bucket>,
}

/// Whoever asks: known, with the role that counts for this request.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    known: &'a Known,
    role: Role,
}

impl Caller<'_> {
    /// For the services.
    pub(crate) fn identity(&self) -> Identity {
        Identity { name: Arc::clone(&self.known.identity.name), role: self.role }
    }

    /// For logs.
    pub(crate) fn name(&self) -> &str {
        &self.known.identity.name
    }

    /// Whether they may call this method.
    pub(crate) fn authorize_method(&self, method: Method) -> Result<(), Refusal> {
        if method.supervisor.is_some() { Err(Refusal::Supervisors) } else { self.authorize(method.role) }
    }

    /// Whether they may do what takes this role.
    pub(crate) fn authorize(&self, needs: Role) -> Result<(), Refusal> {
        if self.role >= needs { Ok(()) } else { Err(Refusal::Role { has: self.role, needs }) }
    }

    /// Whether they may ask now; counts it.
    pub(crate) fn pace(&self, now: Instant) -> Result<(), Refusal> {
        let Some(bucket) = &self.known.bucket else { return Ok(()) };
        bucket.take(now).map_err(|wait| Refusal::Rate { wait })
    }
}

impl Policy {
    /// Reads every token file once.
    ///
    /// # Errors
    /// When a token file cannot be read, is open to others, or holds no token.
    pub fn new(settings: &AccessSettings) -> Result<Self, TokenError> {
        let now = Instant::now();
        let mut policy = Self {
            owner_uid: settings.owner_uid,
            known: Vec::new(),
            tokens: Vec::new(),
            uids: Vec::new(),
            fingerprints: Vec::new(),
            names: Vec::new(),
            owner: 0,
            anonymous: None,
            client: None,
            penalties: Penalties::new(now),
        };
        policy.owner = policy.add("owner", Role::Admin, settings.rate, now);
        if let Some(path) = &settings.token_path {
            let token = policy.add("token", Role::Admin, settings.rate, now);
            policy.tokens.push((TokenFile::open(path)?, token));
        }
        if settings.allow_unauthenticated {
            policy.anonymous = Some(policy.add("anonymous", Role::Admin, settings.rate, now));
        }
        if let Some(role) = settings.client_role {
            policy.client = Some(policy.add("certificate", role, settings.rate, now));
        }
        for rule in &settings.identities {
            let known = policy.add(&rule.name, rule.role, rule.rate.unwrap_or(settings.rate), now);
            if let Some(path) = &rule.token_path {
                policy.tokens.push((TokenFile::open(path)?, known));
            }
            policy.names.extend(rule.certificate_name.iter().map(|name| (name.to_ascii_lowercase(), known)));
            policy.fingerprints.extend(rule.certificate_sha256.iter().map(|print| (*print, known)));
            policy.uids.extend(rule.uids.iter().map(|uid| (*uid, known)));
        }
        Ok(policy)
    }

    fn add(&mut self, name: &str, role: Role, rate: Rate, now: Instant) -> usize {
        let identity = Identity { name: Arc::from(name), role };
        self.known.push(Known { identity, bucket: Bucket::new(rate, now) });
        self.known.len() - 1
    }

    /// Who asks.
    pub(crate) fn authenticate(
        &self,
        peer: Option<&Peer>,
        headers: &HeaderMap,
    ) -> Result<Caller<'_>, Denied> {
        let (known, role) = match peer {
            None => return Err(Denied::NoPeer),
            Some(Peer::Unix(peer)) if peer.uid == self.owner_uid || peer.uid == 0 => self.at(self.owner),
            Some(Peer::Unix(peer)) => self.at(first(&self.uids, &peer.uid).ok_or(Denied::Uid)?),
            Some(Peer::Tcp { .. }) => self.remote(None, headers)?,
            Some(Peer::Tls { certificate, .. }) => self.remote(certificate.as_deref(), headers)?,
        };
        Ok(Caller { known, role })
    }

    fn remote(
        &self,
        certificate: Option<&ClientCertificate>,
        headers: &HeaderMap,
    ) -> Result<(&Known, Role), Denied> {
        if let Some(anonymous) = self.anonymous {
            return Ok(self.at(anonymous));
        }
        let Some(certificate) = certificate else { return self.bearer(headers) };
        let (shown, ceiling) = self.at(self.certified(certificate).ok_or(Denied::Certificate)?);
        match self.bearer(headers) {
            Err(Denied::Missing) => Ok((shown, ceiling)),
            Err(denied) => Err(denied),
            Ok((known, role)) => Ok((known, role.min(ceiling))),
        }
    }

    /// How long the answer to somebody who failed to say who they are is held back.
    pub(crate) fn penalty(&self, peer: Option<&Peer>, now: Instant) -> Duration {
        match peer {
            Some(Peer::Tcp { address } | Peer::Tls { address, .. }) => self.penalties.book(address.ip(), now),
            // The kernel says who they are, and there is nothing to guess.
            Some(Peer::Unix(_)) | None => Duration::ZERO,
        }
    }

    fn at(&self, index: usize) -> (&Known, Role) {
        let known = &self.known[index];
        (known, known.identity.role)
    }

    fn bearer(&self, headers: &HeaderMap) -> Result<(&Known, Role), Denied> {
        let offered = Digest::of(bearer(headers)?);
        // All of them, whichever fits: how long it takes says nothing of who was found.
        let fitting = self.tokens.iter().filter(|(file, _)| bool::from(file.holds(&offered)));
        fitting.map(|(_, known)| self.at(*known)).min_by_key(|(_, role)| *role).ok_or(Denied::Unknown)
    }

    fn certified(&self, certificate: &ClientCertificate) -> Option<usize> {
        let named = |(name, _): &&(String, usize)| certificate.names.iter().any(|of| of == name);
        first(&self.fingerprints, &certificate.fingerprint)
            .or_else(|| self.names.iter().find(named).map(|(_, known)| *known))
            .or(self.client)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identities: Vec<&Identity> = self.known.iter().map(|known| &known.identity).collect();
        f.debug_struct("Policy").field("identities", &identities).finish_non_exhaustive()
    }
}

fn first<K: PartialEq>(rules: &[(K, usize)], key: &K) -> Option<usize> {
    rules.iter().find(|(of, _)| of == key).map(|(_, known)| *known)
}

/// The token of a request: `Authorization: Bearer TOKEN`, once (RFC 6750, section 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&[u8], Denied> {
    let mut found = headers.get_all(AUTHORIZATION).iter();
    let value = found.next().ok_or(Denied::Missing)?;
    if found.next().is_some() {
        return Err(Denied::Several);
    }
    let value = value.as_bytes();
    let (scheme, rest) = value.split_at(value.iter().position(|byte| *byte == b' ').unwrap_or(value.len()));
    // Schemes have no case (RFC 9110, section 11.1).
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(Denied::Scheme);
    }
    let token = rest.trim_ascii();
    match token.len() {
        len if len > token::LONGEST => Err(Denied::TooLong),
        _ if !token::is_token68(token) => Err(Denied::Malformed),
        _ => Ok(token),
    }
}

#[cfg(test)]
mod tests;
