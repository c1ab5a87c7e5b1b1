//! Who asks a registry: its challenge answered with what the user's credentials are worth.
//!
//! Source: "Docker Registry Token Authentication", "OAuth2 Token Authentication"; RFC 9110, 11.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, Uri};
use openshell_driver_common::container::credentials::Login;
use openshell_driver_common::container::pull::Fault;
use serde::Deserialize;

use super::client::Client;

/// What a registry wants.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: String, scope: String },
}

/// What to send, after one of the registry's challenges; `None` when there is nothing that it would take.
pub(super) async fn prove(
    client: &Client,
    login: Option<&Login>,
    challenges: &[&str],
    repository: &str,
) -> Result<Option<HeaderValue>, Fault> {
    if let Some(Login::Bearer(token)) = login {
        return Ok(secret(format!("Bearer {}", token.expose())));
    }
    let challenges: Vec<Challenge> = challenges.iter().filter_map(|text| Challenge::read(text)).collect();
    let bearer = challenges.iter().find(|challenge| **challenge != Challenge::Basic);
    let Some(Challenge::Bearer { realm, service, scope }) = bearer else {
        let basic = challenges.contains(&Challenge::Basic);
        return Ok(login.filter(|_| basic).and_then(basic_header));
    };
    let scope = if scope.is_empty() { format!("repository:{repository}:pull") } else { scope.clone() };
    let (service, scope) = (encoded(service), encoded(&scope));
    let separator = if realm.contains('?') { '&' } else { '?' };
    let address = |query: String| {
        let uri: Option<Uri> = format!("{realm}{query}").parse().ok();
        uri.filter(|uri| client.may_ask(uri) && uri.authority().is_some())
            .ok_or_else(|| client.broken("it wants a token from an address that cannot be asked"))
    };
    let answer = match login {
        Some(Login::Identity(token)) => {
            let token = encoded(token.expose());
            let form = format!(
                "grant_type=refresh_token&refresh_token={token}&service={service}&scope={scope}&client_id=openshell"
            );
            client.ask(Method::POST, address(String::new())?, None, form).await?
        }
        login => {
            let uri = address(format!("{separator}service={service}&scope={scope}"))?;
            client.ask(Method::GET, uri, login.and_then(basic_header), String::new()).await?
        }
    };
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Option<Answer> = serde_json::from_slice(&answer).ok();
    let token = answer.and_then(|answer| answer.token.or(answer.access_token));
    let header = token.and_then(|token| secret(format!("Bearer {token}")));
    header.map(Some).ok_or_else(|| client.broken("what it gives for a token is none"))
}

fn basic_header(login: &Login) -> Option<HeaderValue> {
    match login {
        Login::Password { user, password } => {
            secret(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))))
        }
        Login::Identity(_) | Login::Bearer(_) => None,
    }
}

/// A header that no Debug shows.
fn secret(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Challenge {
    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (String::new(), String::new(), String::new());
        let mut rest = rest;
        while let Some((key, value)) = rest.split_once('=') {
            let key = key.trim_matches([',', ' ']).to_ascii_lowercase();
            // Scopes have commas inside of their quotes.
            let (value, behind) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => value.split_once(',').unwrap_or((value, "")),
            };
            match key.as_str() {
                "realm" => realm = value.to_owned(),
                "service" => service = value.to_owned(),
                "scope" => scope = value.to_owned(),
                _ => {}
            }
            rest = behind;
        }
        (!realm.is_empty()).then_some(Self::Bearer { realm, service, scope })
    }
}

/// A text as a part of a query.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let bearer = |realm: &str, service: &str, scope: &str| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.into(), scope: scope.into() })
        };
        for (text, challenge) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            (
                r#"Bearer realm="https://a/token",service="r",scope="repository:a/b:pull,push""#,
                bearer("https://a/token", "r", "repository:a/b:pull,push"),
            ),
            (r#"bearer service=r, realm="https://a/t""#, bearer("https://a/t", "r", "")),
            ("Negotiate", None),
            ("Bearer service=\"r\"", None),
            ("Bearer realm=\"never ends", None),
        ] {
            assert_eq!(Challenge::read(text), challenge, "{text}");
        }
        assert_eq!(encoded("a b&c=/é"), "a%20b%26c%3D%2F%C3%A9");
    }
}
