//! Credentials of the user's own Docker configuration, for one pull at a time: read anew at each, and given for no
//! registry but the image's.

mod file;
mod helper;

use std::path::{Path, PathBuf};

use bollard::auth::DockerCredentials;
use openshell_driver_api::Secret;

use crate::image::{HUB, place};

use self::file::Entry;

/// A configuration larger than this is none.
const MAX_FILE: u64 = 1024 * 1024;

/// Where credentials come from.
#[derive(Debug, Clone)]
pub(crate) struct Accounts {
    /// The file that the operator names; it has to be there.
    configured: Option<PathBuf>,
    /// `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    usual: Option<PathBuf>,
}

/// Why there are no credentials, although there may be some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What a registry takes as a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Login {
    /// A user and a password.
    Password { user: String, password: Secret },
    /// An OAuth refresh token, which the engine exchanges.
    Identity(Secret),
    /// A bearer token, sent as it is.
    Bearer(Secret),
}

/// What is sent with a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// The registry that it is for, as the engine knows it.
    server: String,
    login: Option<Login>,
    /// Where it was looked for.
    file: Option<PathBuf>,
}

impl Accounts {
    /// Credentials of the file that the operator names, else of the one that Docker's own programs read.
    pub(crate) fn new(configured: Option<PathBuf>) -> Self {
        let directory =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let usual = directory("DOCKER_CONFIG").or_else(|| Some(directory("HOME")?.join(".docker")));
        Self { configured, usual: usual.map(|directory| directory.join("config.json")) }
    }

    /// The credentials for the registry of an image's reference.
    ///
    /// # Errors
    /// When there is a configuration that cannot be read, or a helper program that does not do its work.
    pub(crate) async fn of(&self, reference: &str) -> Result<Access, Problem> {
        let (registry, repository) = place(reference);
        let mut access = Access { server: server(registry), login: None, file: None };
        let Some(path) = self.configured.clone().or_else(|| self.usual.clone()) else { return Ok(access) };
        access.file = Some(path.clone());
        let Some(text) = self.text(path.clone()).await? else { return Ok(access) };
        let file = file::File::parse(&text).map_err(|problem| about(&path, &problem))?;
        access.login = match file.find(registry, repository).map_err(|problem| about(&path, &problem))? {
            Entry::None => None,
            Entry::Login(login) => Some(login),
            Entry::Helper(name) => helper::get(&name, &access.server).await?,
        };
        Ok(access)
    }

    /// The file's text; `None` when there is none where none has to be.
    async fn text(&self, path: PathBuf) -> Result<Option<Secret>, Problem> {
        let shown = path.display().to_string();
        let read = tokio::task::spawn_blocking(move || {
            let too_large = std::fs::metadata(&path)?.len() > MAX_FILE;
            if too_large {
                return Err(std::io::Error::new(
                    std::io::ErrorKind::FileTooLarge,
                    format!("it is larger than {MAX_FILE} bytes"),
                ));
            }
            std::fs::read_to_string(&path)
        });
        match read.await {
            Ok(Ok(text)) => Ok(Some(Secret::new(text))),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound && self.configured.is_none() => {
                Ok(None)
            }
            Ok(Err(error)) => Err(Problem::new(format!("cannot read `{shown}`: {error}"))
                .hint("log in as the user that runs the gateway, or name another file: docker_config_path")),
            Err(_) => Err(Problem::new(format!("cannot read `{shown}`: the read did not come to its end"))),
        }
    }
}

impl Access {
    /// As the client library sends them.
    pub(crate) fn credentials(&self) -> Option<DockerCredentials> {
        let mut sent =
            DockerCredentials { serveraddress: Some(self.server.clone()), ..DockerCredentials::default() };
        match self.login.as_ref()? {
            Login::Password { user, password } => {
                sent.username = Some(user.clone());
                sent.password = Some(password.expose().to_owned());
            }
            Login::Identity(token) => sent.identitytoken = Some(token.expose().to_owned()),
            Login::Bearer(token) => sent.registrytoken = Some(token.expose().to_owned()),
        }
        Some(sent)
    }

    /// What was sent and where it came from, for people and without its secrets.
    pub(crate) fn told(&self) -> String {
        let server = &self.server;
        let Some(file) = &self.file else {
            return "no credentials were sent, and neither DOCKER_CONFIG nor HOME says where some are"
                .to_owned();
        };
        let file = file.display();
        match &self.login {
            Some(Login::Password { user, .. }) => {
                format!("`{file}` has an entry for `{server}`, user `{}`", user.escape_debug())
            }
            Some(Login::Identity(_) | Login::Bearer(_)) => {
                format!("`{file}` has an entry for `{server}`, a token")
            }
            None => format!("`{file}` has no entry for `{server}`"),
        }
    }
}

/// A registry as Docker's configuration and its helpers call it.
///
/// Source: `docker/cli`, "Authenticate to a registry"; Docker Hub keeps the address of its first version.
fn server(registry: &str) -> String {
    if registry == HUB { "https://index.docker.io/v1/".to_owned() } else { registry.to_owned() }
}

fn about(path: &Path, problem: &str) -> Problem {
    Problem::new(format!("`{}` is broken: {problem}", path.display()))
        .hint("repair it, or name another file: docker_config_path in [openshell.drivers.docker]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(configured: Option<&Path>, usual: Option<&Path>) -> Accounts {
        Accounts { configured: configured.map(Path::to_owned), usual: usual.map(Path::to_owned) }
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_a_problem_where_the_operator_named_it() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("config.json");
        let access = accounts(None, Some(&path)).of("r:5/a").await.expect("no credentials");
        assert_eq!(access.credentials(), None);
        assert_eq!(access.told(), format!("`{}` has no entry for `r:5`", path.display()));
        let problem = accounts(Some(&path), None).of("r:5/a").await.expect_err("a problem");
        assert!(problem.message.contains("config.json") && problem.hint.is_some(), "{problem:?}");
        let access = accounts(None, None).of("r:5/a").await.expect("no credentials");
        assert!(access.told().contains("DOCKER_CONFIG"));
    }

    #[tokio::test]
    async fn what_is_read_is_sent_to_its_registry_and_shown_nowhere() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("config.json");
        let hub = "https://index.docker.io/v1/";
        // `me:s3cret` and `hub:s3cret`.
        let text = format!(
            r#"{{"auths": {{"r:5": {{"auth": "bWU6czNjcmV0"}}, "{hub}": {{"auth": "aHViOnMzY3JldA=="}}}}}}"#
        );
        std::fs::write(&path, text).expect("a file");
        let accounts = accounts(Some(&path), None);
        for (image, user, server) in [("r:5/a:1", "me", "r:5"), ("busybox", "hub", hub)] {
            let access = accounts.of(image).await.expect("credentials");
            let sent = access.credentials().expect("credentials");
            assert_eq!(sent.username.as_deref(), Some(user));
            assert_eq!(sent.password.as_deref(), Some("s3cret"));
            assert_eq!(sent.serveraddress.as_deref(), Some(server));
            assert!(!format!("{access:?} {}", access.told()).contains("s3cret"));
        }
        assert_eq!(accounts.of("r:6/a:1").await.expect("none").credentials(), None, "a registry of its own");

        std::fs::write(&path, "{\n  \"auths\": {\"r:5\": {\"auth\": s3cret}}\n}").expect("a file");
        let problem = accounts.of("r:5/a").await.expect_err("a problem");
        assert!(problem.message.ends_with("is broken: line 2, column 29: it is not JSON"), "{problem:?}");
        assert!(!format!("{problem:?}").contains("s3cret"));
    }
}
