//! `docker-credential-NAME get`: a program that keeps credentials where the user's system keeps such things.
//!
//! Source: `docker/docker-credential-helpers`, "Development": the server's address on standard input, JSON on standard
//! output; who has nothing says so there and ends with 1. Nothing that a helper writes is ever shown: it may be a secret.

use std::process::Stdio;
use std::time::Duration;

use openshell_driver_api::Secret;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::{Login, Problem};

/// How long a helper may take; some ask a cloud.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much it may say.
const MAX_ANSWER: u64 = 256 * 1024;
/// The words of a helper that has nothing.
const NOTHING: &str = "credentials not found in native keychain";
/// The user's name under which a helper gives an identity token.
const TOKEN: &str = "<token>";

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    user: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

/// Asks a helper for the credentials of a server; `None` when it has none.
pub(super) async fn get(name: &str, server: &str) -> Result<Option<Login>, Problem> {
    let program = program(name)?;
    let by_hand = format!("ask it yourself: echo {server} | {program} get");
    let failed = |why: &str| Problem::new(format!("the credential helper `{program}` {why}")).hint(&by_hand);
    let run = run(&program, server);
    let (success, said) = match tokio::time::timeout(PATIENCE, run).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Problem::new(format!("there is no credential helper `{program}` in PATH"))
                .hint("install it, or take it out of `credsStore` and `credHelpers`"));
        }
        Ok(Err(error)) => return Err(failed(&format!("cannot be run: {error}"))),
        Err(_) => return Err(failed(&format!("did not answer within {} seconds", PATIENCE.as_secs()))),
    };
    if !success {
        return match said.expose().trim() == NOTHING {
            true => Ok(None),
            false => Err(failed("failed")),
        };
    }
    let answer: Answer = serde_json::from_str(said.expose())
        .map_err(|_| failed("answered with something else than credentials"))?;
    let secret = Secret::new(answer.secret);
    Ok(match answer.user {
        _ if secret.is_empty() => None,
        user if user == TOKEN => Some(Login::Identity(secret)),
        user => Some(Login::Password { user, password: secret }),
    })
}

/// A helper's program; its name comes out of a file and becomes no path.
fn program(name: &str) -> Result<String, Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(plain) {
        let shown = name.escape_debug();
        return Err(Problem::new(format!("`{shown}` is not the name of a credential helper"))
            .hint("`credsStore` and `credHelpers` hold what comes after `docker-credential-`"));
    }
    Ok(format!("docker-credential-{name}"))
}

/// Runs a helper: whether it ended well, and its standard output.
async fn run(program: &str, server: &str) -> std::io::Result<(bool, Secret)> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read its input may still answer.
        let _ = input.write_all(server.as_bytes()).await;
    }
    let mut said = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(MAX_ANSWER).read_to_end(&mut said).await?;
    }
    let status = child.wait().await?;
    Ok((status.success(), Secret::new(String::from_utf8_lossy(&said))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        assert_eq!(program("ecr-login").as_deref(), Ok("docker-credential-ecr-login"));
        for name in ["", "a/b", "../x", "a b", "a\n"] {
            assert!(program(name).is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_helper_that_is_not_there() {
        let problem = get("no-such-helper-anywhere", "r:5").await.expect_err("a problem");
        assert!(
            problem.message.contains("`docker-credential-no-such-helper-anywhere` in PATH"),
            "{problem:?}"
        );
    }
}
