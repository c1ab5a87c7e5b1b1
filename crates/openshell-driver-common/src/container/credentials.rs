//! Credentials for registries out of the file in which the user's own programs keep them, for one pull at a time: read anew
//! at each, and given for no registry but the image's.

mod file;
mod helper;

use std::path::{Path, PathBuf};

use openshell_driver_api::Secret;

use super::image::{HUB, place};

use self::file::Entry;

/// A configuration larger than this is none.
const MAX_FILE: u64 = 1024 * 1024;

/// Where credentials are looked for.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The files that the user's programs read: the first that is there counts.
    pub usual: Vec<PathBuf>,
    /// How the operator names another, for hints (`docker_config_path in [openshell.drivers.x]`).
    pub key: &'static str,
    /// What to say where nothing tells of any file.
    pub nowhere: &'static str,
}

/// The credentials that a gateway may use.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// The file that the operator names; it has to be there.
    configured: Option<PathBuf>,
    sources: Sources,
}

/// Why there are no credentials, although there may be some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
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
pub enum Login {
    /// A user and a password.
    Password {
        /// The user's name there.
        user: String,
        /// The password, or what the registry takes for one.
        password: Secret,
    },
    /// An OAuth refresh token, which the engine exchanges.
    Identity(Secret),
    /// A bearer token, sent as it is.
    Bearer(Secret),
}

/// What is sent with a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The registry that it is for, as the engine knows it.
    server: String,
    login: Option<Login>,
    /// Where it was looked for.
    file: Option<PathBuf>,
    nowhere: &'static str,
}

impl Accounts {
    /// Credentials of the file that the operator names, else of the first that is there.
    #[must_use]
    pub fn new(configured: Option<PathBuf>, sources: Sources) -> Self {
        Self { configured, sources }
    }

    /// The credentials for the registry of an image's reference.
    ///
    /// # Errors
    /// When there is a configuration that cannot be read, or a helper program that does not do its work.
    pub async fn of(&self, reference: &str) -> Result<Access, Problem> {
        let (registry, repository) = place(reference);
        let nowhere = self.sources.nowhere;
        let mut access = Access { server: server(registry), login: None, file: None, nowhere };
        let Some((path, text)) = self.text(&mut access.file).await? else { return Ok(access) };
        let file = file::File::parse(&text).map_err(|problem| self.about(&path, &problem))?;
        access.login = match file.find(registry, repository).map_err(|problem| self.about(&path, &problem))? {
            Entry::None => None,
            Entry::Login(login) => Some(login),
            Entry::Helper(name) => helper::get(&name, &access.server).await?,
        };
        Ok(access)
    }

    /// The file and its text; `None` when there is none where none has to be. `looked` is told where was looked first.
    async fn text(&self, looked: &mut Option<PathBuf>) -> Result<Option<(PathBuf, Secret)>, Problem> {
        let candidates = self.configured.as_ref().map_or(&self.sources.usual[..], std::slice::from_ref);
        *looked = candidates.first().cloned();
        for path in candidates {
            let shown = path.display();
            let reading = path.clone();
            let read = tokio::task::spawn_blocking(move || {
                let too_large = std::fs::metadata(&reading)?.len() > MAX_FILE;
                if too_large {
                    return Err(std::io::Error::new(
                        std::io::ErrorKind::FileTooLarge,
                        format!("it is larger than {MAX_FILE} bytes"),
                    ));
                }
                std::fs::read_to_string(&reading)
            });
            match read.await {
                Ok(Ok(text)) => {
                    *looked = Some(path.clone());
                    return Ok(Some((path.clone(), Secret::new(text))));
                }
                Ok(Err(error))
                    if error.kind() == std::io::ErrorKind::NotFound && self.configured.is_none() => {}
                Ok(Err(error)) => {
                    let key = self.sources.key;
                    return Err(Problem::new(format!("cannot read `{shown}`: {error}")).hint(format!(
                        "log in as the user that runs the gateway, or name another file: {key}"
                    )));
                }
                Err(_) => {
                    return Err(Problem::new(format!(
                        "cannot read `{shown}`: the read did not come to its end"
                    )));
                }
            }
        }
        Ok(None)
    }

    fn about(&self, path: &Path, problem: &str) -> Problem {
        Problem::new(format!("`{}` is broken: {problem}", path.display()))
            .hint(format!("repair it, or name another file: {}", self.sources.key))
    }
}

impl Access {
    /// The registry, as its users' programs call it.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// What it takes as a proof, when there is something.
    #[must_use]
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// What was sent and where it came from, for people and without its secrets.
    pub fn told(&self) -> String {
        let server = &self.server;
        let Some(file) = &self.file else {
            return format!("no credentials were sent, and {}", self.nowhere);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(configured: Option<&Path>, usual: Option<&Path>) -> Accounts {
        let sources = Sources {
            usual: usual.map(Path::to_owned).into_iter().collect(),
            key: "config_path in [x]",
            nowhere: "nothing says where some are",
        };
        Accounts::new(configured.map(Path::to_owned), sources)
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_a_problem_where_the_operator_named_it() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("config.json");
        let access = accounts(None, Some(&path)).of("r:5/a").await.expect("no credentials");
        assert_eq!(access.login(), None);
        assert_eq!(access.told(), format!("`{}` has no entry for `r:5`", path.display()));
        let problem = accounts(Some(&path), None).of("r:5/a").await.expect_err("a problem");
        assert!(problem.message.contains("config.json") && problem.hint.is_some(), "{problem:?}");
        let access = accounts(None, None).of("r:5/a").await.expect("no credentials");
        assert_eq!(access.told(), "no credentials were sent, and nothing says where some are");
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
            let Some(Login::Password { user: sent, password }) = access.login() else { panic!("a password") };
            assert_eq!((sent.as_str(), password.expose(), access.server()), (user, "s3cret", server));
            assert!(!format!("{access:?} {}", access.told()).contains("s3cret"));
        }
        assert_eq!(accounts.of("r:6/a:1").await.expect("none").login(), None, "a registry of its own");

        std::fs::write(&path, "{\n  \"auths\": {\"r:5\": {\"auth\": s3cret}}\n}").expect("a file");
        let problem = accounts.of("r:5/a").await.expect_err("a problem");
        assert!(problem.message.ends_with("is broken: line 2, column 29: it is not JSON"), "{problem:?}");
        assert!(!format!("{problem:?}").contains("s3cret"));
    }
}
