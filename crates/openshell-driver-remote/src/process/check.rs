//! A program that is asked for its version, and whether it takes its table: bounded in time and in what it may say.

use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use openshell_driver_api::{CheckRequest, Checked, DriverError, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::child::command;

const OPERATION: &str = "ask its program";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const LONGEST: u64 = 64 * 1024;
/// The exit code of a program of ours that finds fault with its configuration.
const REFUSED: i32 = 2;

/// The questions.
const VERSION: &str = "--version";
const CHECK: &str = "--check-config";

/// What it printed, and how it ended.
struct Answer {
    status: ExitStatus,
    out: String,
    err: String,
}

/// Asks for the version and for the word on the table.
pub(super) async fn check(request: &CheckRequest) -> Result<Checked, DriverError> {
    let version = version(request, &ask(request, &[OsStr::new(VERSION)]).await?)?;
    let mut args = vec![OsStr::new(CHECK)];
    if let Some(config) = &request.config {
        args.extend([OsStr::new("--config"), config.as_os_str()]);
    }
    let answer = ask(request, &args).await?;
    let refusal = match answer.status.code() {
        Some(0) => None,
        Some(REFUSED) => Some(answer.err),
        _ => return Err(odd(request, CHECK, &answer)),
    };
    Ok(Checked { version, refusal })
}

/// The version in `NAME VERSION`, where NAME is the program's own.
fn version(request: &CheckRequest, answer: &Answer) -> Result<String, DriverError> {
    let name = request.program.file_name().unwrap_or_default().to_string_lossy();
    let version = answer.out.trim().strip_prefix(&*name).map(str::trim);
    match version {
        Some(version) if answer.status.success() && !version.is_empty() && !version.contains('\n') => {
            Ok(version.to_owned())
        }
        _ => Err(odd(request, VERSION, answer)),
    }
}

async fn ask(request: &CheckRequest, args: &[&OsStr]) -> Result<Answer, DriverError> {
    let shown = request.program.display();
    let failed = |message: String| DriverError::new(ErrorKind::FailedPrecondition, OPERATION, message);
    let mut command = command(&request.program, &request.environment);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().map_err(|source| failed(format!("cannot start `{shown}`")).with_source(source))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let answer = async {
        let (out, err) = tokio::join!(read(out), read(err));
        // Whoever says more than is read meets a closed pipe.
        child.wait().await.map(|status| Answer { status, out, err })
    };
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(failed(format!("cannot wait for `{shown}`")).with_source(source)),
        Err(_) => {
            let asked = args.first().map(|flag| flag.to_string_lossy()).unwrap_or_default();
            Err(failed(format!("`{shown} {asked}` gave no answer within {PATIENCE:?}")))
        }
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What came before an error is what there is.
        let _read = pipe.take(LONGEST).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// It does not answer as a program of ours does.
fn odd(request: &CheckRequest, flag: &str, answer: &Answer) -> DriverError {
    let said = if answer.err.trim().is_empty() { &answer.out } else { &answer.err };
    let said: String =
        said.lines().take(10).map(|line| format!("\n  {}", line.replace(char::is_control, " "))).collect();
    let (program, status) = (request.program.display(), answer.status);
    let message = format!("what `{program} {flag}` says is no driver's answer ({status}):{said}");
    DriverError::new(ErrorKind::FailedPrecondition, OPERATION, message)
}
