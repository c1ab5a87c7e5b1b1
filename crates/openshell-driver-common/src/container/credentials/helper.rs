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

    /// A helper that is a script, by its path.
    fn script(text: &str) -> (tempfile::TempDir, String) {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("helper");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a file");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("a mode");
        let path = path.to_str().expect("UTF-8").to_owned();
        (root, path)
    }

    #[tokio::test]
    async fn a_helper_that_talks_without_end_is_cut() {
        let (_root, program) = script("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done");
        let ended = tokio::time::timeout(PATIENCE, run(&program, "r:5")).await.expect("an end");
        let (success, said) = ended.expect("it ran");
        assert_eq!((success, said.expose().len() as u64), (false, MAX_ANSWER));
    }

    #[tokio::test]
    async fn a_helper_that_reads_nothing_is_heard_and_its_words_are_not_shown() {
        let (_root, program) = script("exec <&-; echo s3cret; echo s3cret >&2; exit 3");
        let (success, said) = run(&program, "r:5").await.expect("it ran");
        assert_eq!((success, said.expose()), (false, "s3cret\n"));
        assert!(!format!("{said:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn a_helper_that_hangs_is_ended_and_no_zombie() {
        let (root, program) = script("echo $$ > \"$0.pid\"; exec sleep 300");
        let noted = root.path().join("helper.pid");
        let pid = async {
            loop {
                match std::fs::read_to_string(&noted) {
                    Ok(pid) if pid.ends_with('\n') => return pid.trim().to_owned(),
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let pid = tokio::select! {
            _ = run(&program, "r:5") => panic!("it sleeps"),
            pid = pid => pid,
        };
        // The program that was given up is killed, and waited for.
        let process = std::path::Path::new("/proc").join(pid);
        let gone = async {
            while process.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.expect("it ends");
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
