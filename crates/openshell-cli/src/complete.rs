//! Completion: the shell's script, and the names that it asks this program for while somebody types.
//!
//! A shell that waits for a gateway is a broken shell: whatever takes longer than [`LIMIT`] or goes wrong completes to
//! nothing, without a word.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::CommandFactory as _;
use clap_complete::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};
use openshell_core::{Environment, registration};

use crate::args::{Args, Common};
use crate::commands::{pages, workspaces as list_workspaces};
use crate::contexts::Store;
use crate::error::CliError;
use crate::gateway::Gateway;
use crate::session::{Printer, Session, find};
use crate::{output, view};

/// How long a shell is kept waiting.
const LIMIT: Duration = Duration::from_millis(500);
/// The variable by which the script asks; nobody else's.
const VARIABLE: &str = "OPENSHELL_COMPLETE";
const PROGRAM: &str = "openshell";

/// Answers a shell that asks, and ends the program then.
pub(crate) fn answer() {
    CompleteEnv::with_factory(Args::command).var(VARIABLE).bin(PROGRAM).complete();
}

/// Prints the script of a shell.
pub(crate) fn script(shell: &str) -> Result<(), CliError> {
    let unknown = || CliError::Usage(format!("there is no completion for `{shell}`"));
    let mut text = Vec::new();
    let shells = Shells::builtins();
    let completer = shells.completer(shell).ok_or_else(unknown)?;
    completer.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut text)?;
    output::text(&String::from_utf8_lossy(&text))
}

/// The names of sandboxes, with their phase.
pub(crate) fn sandboxes(typed: &OsStr) -> Vec<CompletionCandidate> {
    ask(typed, async |session, line| {
        let workspace = session.workspace(&crate::args::WorkspaceArg { workspace: line.workspace.clone() });
        let found = pages::all(&session, workspace.unwrap_or_default(), false).await?;
        Ok(found.iter().map(|one| (view::name(one), view::phase_word(view::phase(one)).to_owned())).collect())
    })
}

/// The names of workspaces.
pub(crate) fn workspaces(typed: &OsStr) -> Vec<CompletionCandidate> {
    ask(typed, async |session, _| {
        let found = list_workspaces(&session).await?;
        Ok(found.into_iter().map(|name| (name, String::new())).collect())
    })
}

/// The names of contexts.
pub(crate) fn contexts(typed: &OsStr) -> Vec<CompletionCandidate> {
    let env = Environment::from_process();
    let names = Store::of(&env).and_then(|store| store.names()).unwrap_or_default();
    candidates(typed, names.into_iter().map(|name| (name, String::new())))
}

/// The names of contexts, and of the gateways that run here.
pub(crate) fn gateways(typed: &OsStr) -> Vec<CompletionCandidate> {
    let env = Environment::from_process();
    let running = registration::live(&env).into_iter().map(|one| (one.gateway_id, "runs here".to_owned()));
    let mut all = contexts(typed);
    all.extend(candidates(typed, running));
    all
}

/// Asks the gateway that the line means, within the limit.
fn ask(
    typed: &OsStr,
    list: impl AsyncFnOnce(Session, Line) -> Result<Vec<(String, String)>, CliError>,
) -> Vec<CompletionCandidate> {
    let line = Line::of(std::env::args_os());
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let work = async {
        let env = Environment::from_process();
        let common = Common::bare(line.gateway.clone(), line.socket.clone(), LIMIT);
        let gateway = Gateway::dial(find(&common, &env)?, &common).await?;
        list(Session::new(gateway, Printer::new(&common, &env), &env), line).await
    };
    let found = runtime.block_on(async { tokio::time::timeout(LIMIT, work).await });
    // A name that is looked up may still be on its way in another thread, which nobody waits for.
    runtime.shutdown_background();
    candidates(typed, found.ok().and_then(Result::ok).unwrap_or_default())
}

fn candidates(typed: &OsStr, names: impl IntoIterator<Item = (String, String)>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    names
        .into_iter()
        .filter(|(name, _)| name.starts_with(typed.as_ref()))
        .map(|(name, help)| CompletionCandidate::new(name).help((!help.is_empty()).then(|| help.into())))
        .collect()
}

/// What the words that are typed already say of the gateway. The line is not whole, so it cannot be parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Line {
    gateway: Option<String>,
    socket: Option<OsString>,
    workspace: Option<String>,
}

impl Line {
    fn of(words: impl IntoIterator<Item = OsString>) -> Self {
        let mut line = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let Some(text) = word.to_str() else { continue };
            let (option, value) = match text.split_once('=') {
                Some((option, value)) => (option, Some(OsString::from(value))),
                None => (text, None),
            };
            let mut value = || value.clone().or_else(|| words.next());
            match option {
                "--gateway" => line.gateway = value().and_then(|value| value.into_string().ok()),
                "--gateway-socket" => line.socket = value(),
                "--workspace" | "-W" => line.workspace = value().and_then(|value| value.into_string().ok()),
                _ => {}
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_which_gateway() {
        let of = |line: &str| Line::of(line.split(' ').map(OsString::from));
        assert_eq!(of("openshell -- openshell sandbox get "), Line::default());
        assert_eq!(
            of("openshell -- openshell --gateway lab sandbox get --workspace=w x"),
            Line { gateway: Some("lab".to_owned()), socket: None, workspace: Some("w".to_owned()) }
        );
        assert_eq!(of("openshell --gateway-socket /a.sock -W").socket, Some(OsString::from("/a.sock")));
    }
}
