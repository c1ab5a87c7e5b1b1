//! `config.json`: what Docker's programs keep of credentials, and the entry of one image.
//!
//! Source: `docker/cli`, `cli/config/configfile/file.go` and "Credential stores"; keys with a path below the registry are
//! those of `containers-auth.json(5)`.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openshell_driver_api::Secret;
use serde::Deserialize;
use serde_json::error::Category;

use super::Login;
use crate::container::image::HUB;

/// The parts of the file that are about credentials.
#[derive(Deserialize)]
pub(super) struct File {
    #[serde(default)]
    auths: Option<HashMap<String, Auth>>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
struct Auth {
    /// `user:password` in base64.
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Where an image's credentials are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Nowhere.
    None,
    /// In the file.
    Login(Login),
    /// Behind `docker-credential-NAME`.
    Helper(String),
}

impl File {
    /// Reads a file. What is wrong is told by its place alone: around it are secrets.
    pub(super) fn parse(text: &Secret) -> Result<Self, String> {
        serde_json::from_str(text.expose()).map_err(|error| {
            let problem = match error.classify() {
                Category::Data => "a value is not of the type that Docker's configuration has there",
                Category::Eof => "it ends too early",
                Category::Syntax | Category::Io => "it is not JSON",
            };
            format!("line {}, column {}: {problem}", error.line(), error.column())
        })
    }

    /// The entry for a repository of a registry: a helper of that registry, else the helper for all, else the entry
    /// with the longest path that the image lies in.
    pub(super) fn find(&self, registry: &str, repository: &str) -> Result<Entry, String> {
        let helpers = self.helpers.iter().flatten();
        if let Some((_, name)) = nearest(helpers, registry, repository) {
            return Ok(Entry::Helper(name.clone()));
        }
        if let Some(name) = self.store.as_ref().filter(|name| !name.is_empty()) {
            return Ok(Entry::Helper(name.clone()));
        }
        match nearest(self.auths.iter().flatten(), registry, repository) {
            Some((key, auth)) => auth.login().map_err(|problem| format!("the entry of `{key}` {problem}")),
            None => Ok(Entry::None),
        }
    }
}

impl Auth {
    fn login(&self) -> Result<Entry, &'static str> {
        let some = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Secret::new);
        if let Some(token) = some(&self.registrytoken) {
            return Ok(Entry::Login(Login::Bearer(token)));
        }
        if let Some(token) = some(&self.identitytoken) {
            return Ok(Entry::Login(Login::Identity(token)));
        }
        if let Some(auth) = some(&self.auth) {
            let (user, password) =
                decode(auth.expose()).ok_or("holds an `auth` that is not `user:password` in base64")?;
            return Ok(Entry::Login(Login::Password { user, password }));
        }
        match (&self.username, some(&self.password)) {
            (Some(user), Some(password)) => {
                Ok(Entry::Login(Login::Password { user: user.clone(), password }))
            }
            // What a login leaves here when a helper keeps the rest.
            _ => Ok(Entry::None),
        }
    }
}

fn decode(auth: &str) -> Option<(String, Secret)> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    // Docker's own programs pad with NUL.
    Some((user.to_owned(), Secret::new(password.trim_end_matches('\0'))))
}

/// The entry whose key has the most of `registry/repository`, whole parts only.
fn nearest<'a, T>(
    entries: impl Iterator<Item = (&'a String, &'a T)>,
    registry: &str,
    repository: &str,
) -> Option<(&'a String, &'a T)> {
    let matching = entries.filter_map(|(key, value)| {
        let (host, path) = normal(key);
        let below = path.is_empty()
            || repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        (host == registry && below).then_some((path.len(), key, value))
    });
    // Of two that say the same in other words, always the same one.
    let best = matching.max_by(|a, b| (a.0, b.1).cmp(&(b.0, a.1)));
    best.map(|(_, key, value)| (key, value))
}

/// A key as the registry and the path below it that it is about.
fn normal(key: &str) -> (&str, &str) {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = key.split_once('/').unwrap_or((key, ""));
    let path = path.trim_end_matches('/');
    let host = if matches!(host, "index.docker.io" | "registry-1.docker.io") { HUB } else { host };
    // The version of a registry's API, which old logins wrote there.
    (host, if matches!(path, "v1" | "v2") { "" } else { path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File::parse(&Secret::new(text)).unwrap_or_else(|problem| panic!("{problem}"))
    }

    fn password(user: &str) -> Entry {
        Entry::Login(Login::Password { user: user.into(), password: Secret::new("pw") })
    }

    #[test]
    fn the_most_specific_entry_counts() {
        let file = file(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"username": "hub", "password": "pw"},
                "r:5": {"username": "port", "password": "pw"},
                "https://r/v2/": {"username": "plain", "password": "pw"},
                "r/team": {"username": "team", "password": "pw"},
                "r/team/a": {"auth": "YTpwdwAA"},
                "token": {"identitytoken": "pw", "auth": "eDp5"},
                "bearer": {"registrytoken": "pw"},
                "empty": {}
            }, "HttpHeaders": {"User-Agent": "x"}}"#,
        );
        for (registry, repository, expected) in [
            ("docker.io", "library/busybox", password("hub")),
            ("r:5", "team/a", password("port")),
            ("r", "other", password("plain")),
            ("r", "team/b", password("team")),
            ("r", "team/a", password("a")),
            ("r", "team/a/deep", password("a")),
            ("r", "team/ab", password("team")),
            ("r", "teamwork", password("plain")),
            ("token", "a", Entry::Login(Login::Identity(Secret::new("pw")))),
            ("bearer", "a", Entry::Login(Login::Bearer(Secret::new("pw")))),
            ("empty", "a", Entry::None),
            ("r:6", "a", Entry::None),
            ("evil-r", "a", Entry::None),
        ] {
            assert_eq!(file.find(registry, repository), Ok(expected), "{registry}/{repository}");
        }
    }

    #[test]
    fn nobody_else_is_given_an_entry() {
        let file = file(
            r#"{"auths": {"registry.example.com": {"auth": "YTpwdw=="}, "https://index.docker.io/v1/": {"auth": "YTpwdw=="}},
                "credHelpers": {"helped.example": "h"}}"#,
        );
        let given = |reference: &str| {
            assert_eq!(crate::container::image::check(reference), Ok(()), "{reference}");
            let (registry, repository) = crate::container::image::place(reference);
            file.find(registry, repository).expect("a whole file") != Entry::None
        };
        for (reference, expected) in [
            ("registry.example.com/a", true),
            ("registry.example.com/a/b:1@sha256:ff", true),
            ("docker.io/a/b", true),
            ("index.docker.io/a/b", true),
            ("a/b", true),
            ("a", true),
            // On Docker Hub, whatever it looks like: there is no registry without a `/`.
            ("registry.example.com.evil.org", true),
            ("helped.example/a", true),
            ("registry.example.com:443/a", false),
            ("registry.example.com.evil.org/a", false),
            ("registry.example.com.evil.org:5000/a", false),
            ("evil-registry.example.com/a", false),
            ("evil.org/registry.example.com/a", false),
            ("evil.org/docker.io/a", false),
            ("localhost/registry.example.com/a", false),
            ("REGISTRY.example.com/a", false),
            ("DOCKER.IO/a", false),
            ("docker.io.evil.org/a", false),
            ("docker.io:5000/a", false),
            ("index.docker.io:443/a", false),
            ("helped.example.evil.org/a", false),
        ] {
            assert_eq!(given(reference), expected, "{reference}");
        }
    }

    #[test]
    fn helpers_come_before_entries() {
        let file = file(
            r#"{"auths": {"r": {"auth": "YTpwdw=="}}, "credsStore": "all", "credHelpers": {"r:5": "five", "https://index.docker.io/v1/": "hub"}}"#,
        );
        let helper = |registry| file.find(registry, "a");
        assert_eq!(helper("r:5"), Ok(Entry::Helper("five".into())));
        assert_eq!(helper("docker.io"), Ok(Entry::Helper("hub".into())));
        assert_eq!(helper("r"), Ok(Entry::Helper("all".into())));
    }

    #[test]
    fn a_fault_is_told_by_its_place() {
        for (text, problem) in [
            ("", "line 1, column 0: it ends too early"),
            ("{\"auths\": {\"r\": {\"auth\": \"s3cret", "line 1, column 32: it ends too early"),
            (
                "{\n\"auths\": {\"r\": \"s3cret\"}}",
                "line 2, column 23: a value is not of the type that Docker's configuration has there",
            ),
            ("{\"auths\" s3cret}", "line 1, column 10: it is not JSON"),
        ] {
            assert_eq!(File::parse(&Secret::new(text)).err().as_deref(), Some(problem), "{text}");
        }
        for auth in ["s3cret", "czNjcmV0", "/w=="] {
            let file = file(&format!(r#"{{"auths": {{"r": {{"auth": "{auth}"}}}}}}"#));
            let problem = file.find("r", "a").expect_err("a problem");
            assert_eq!(problem, "the entry of `r` holds an `auth` that is not `user:password` in base64");
        }
    }

    #[test]
    fn nothing_in_it_is_nothing_found() {
        for text in ["{}", r#"{"auths": null, "credsStore": "", "credHelpers": {}}"#] {
            assert_eq!(file(text).find("r", "a"), Ok(Entry::None));
        }
    }
}
