//! `sandbox exec` and `connect`: a command in a sandbox, as if it ran here.

use std::collections::BTreeMap;
use std::time::Duration;

use openshell_core::Environment;
use openshell_proto::relay::v1alpha1::{Command, from_supervisor, start, to_supervisor};

use super::{create, get};
use crate::args::{ConnectArgs, ExecArgs, InsideArg, SurroundingsArg};
use crate::channel::{Began, Channel, Sender, said_by};
use crate::error::CliError;
use crate::pipes::{Out, To, feed};
use crate::resolve::named;
use crate::session::{One, Session};
use crate::signals::{Came, Signals};
use crate::terminal::{self, Raw};
use crate::view;

/// What a terminal is given when nothing is asked for: the first that is there.
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];
/// What a shell says of a program that is not there.
const NOT_FOUND: i32 = 127;

/// Runs a command with this program's input and output. Gives its exit code.
pub(crate) async fn run(
    session: &Session,
    args: &ExecArgs,
    limit: Option<Duration>,
    env: &Environment,
) -> Result<u8, CliError> {
    let command = Command {
        argv: args.command.clone(),
        stdin: !args.no_stdin,
        // A part of a second is a whole one: nothing would be no limit at all.
        timeout_seconds: limit.map_or(0, |limit| {
            u32::try_from(limit.as_secs() + u64::from(limit.subsec_nanos() > 0)).unwrap_or(u32::MAX)
        }),
        ..command(&args.surroundings, args.tty, env)?
    };
    let (one, id) = find(session, &args.which).await?;
    match begin(session, &one, &id, command.clone()).await? {
        Began::Running(channel) => attach(*channel, &command).await,
        Began::Failed(failed) => {
            said_by(&one, &what(&one, &command), &failed.message).tell();
            Ok(code(failed.code))
        }
    }
}

/// Gives this terminal to a shell. Gives its exit code.
pub(crate) async fn connect(
    session: &Session,
    args: &ConnectArgs,
    env: &Environment,
) -> Result<u8, CliError> {
    let command = Command { stdin: true, ..command(&args.surroundings, true, env)? };
    let (one, id) = find(session, &args.which).await?;
    let tried: Vec<Vec<String>> = if args.command.is_empty() {
        SHELLS.iter().map(|shell| vec![(*shell).to_owned()]).collect()
    } else {
        vec![args.command.clone()]
    };
    let mut last = None;
    for argv in tried {
        let command = Command { argv, ..command.clone() };
        match begin(session, &one, &id, command.clone()).await? {
            Began::Running(channel) => return attach(*channel, &command).await,
            Began::Failed(failed) => {
                let again = failed.code == NOT_FOUND && args.command.is_empty();
                last = Some((failed, command));
                if !again {
                    break;
                }
            }
        }
    }
    let Some((failed, command)) = last else { return Ok(0) };
    if args.command.is_empty() && failed.code == NOT_FOUND {
        return Err(CliError::Missed {
            name: one.name.clone(),
            why: format!("has neither {}", SHELLS.join(" nor ")),
            hint: format!("name a program that it has: {} -- PROGRAM", one.command("connect")),
        });
    }
    said_by(&one, &what(&one, &command), &failed.message).tell();
    Ok(code(failed.code))
}

/// Refuses what needs a terminal where there is none, before anybody is asked anything.
pub(crate) fn check(args: &ConnectArgs) -> Result<(), CliError> {
    if terminal::is_here() {
        return Ok(());
    }
    let name = crate::text::word(&args.which.name);
    Err(CliError::Needs {
        what: "`connect` needs a terminal, and standard input is none".to_owned(),
        hint: format!("run a command without one: openshell sandbox exec {name} -- COMMAND"),
    })
}

/// Finds the sandbox, and its id, which all that reaches into it goes by.
pub(crate) async fn find(session: &Session, which: &InsideArg) -> Result<(One, String), CliError> {
    let one = session.one(&which.name, &which.place);
    let (one, sandbox) = named(session, one, async |one| get::fetch(session, one).await).await?;
    Ok((one, view::id(&sandbox)))
}

/// The command without its words.
fn command(surroundings: &SurroundingsArg, tty: bool, env: &Environment) -> Result<Command, CliError> {
    let mut environment: BTreeMap<String, String> = create::unique("--env", &surroundings.env)?;
    if tty && let Some(term) = env.raw("TERM").and_then(|term| term.to_str()) {
        environment.entry("TERM".to_owned()).or_insert_with(|| term.to_owned());
    }
    Ok(Command {
        workdir: surroundings.workdir.clone().unwrap_or_default(),
        environment,
        terminal: tty.then(terminal::size),
        ..Command::default()
    })
}

fn what(one: &One, command: &Command) -> String {
    let program = command.argv.first().map(String::as_str).unwrap_or_default();
    format!("run {} in sandbox `{}`", crate::text::word(program), one.name)
}

async fn begin<'a>(
    session: &'a Session,
    one: &'a One,
    id: &str,
    command: Command,
) -> Result<Began<'a>, CliError> {
    let what = what(one, &command);
    Channel::start(session, one, id, what, start::What::Command(command)).await
}

/// Joins what runs with this program's input, output and signals, until it ends. Gives its exit code.
async fn attach(mut channel: Channel<'_>, command: &Command) -> Result<u8, CliError> {
    let sender = channel.sender();
    // Only a terminal that is typed at can be taken; a command may have one without that.
    let raw = if command.terminal.is_some() && command.stdin && terminal::is_here() {
        Some(Raw::enter().map_err(CliError::Terminal)?)
    } else {
        None
    };
    let signals = if raw.is_some() { Signals::of_terminal() } else { Signals::ends() };
    let signals = signals.map_err(CliError::Runtime)?;
    let mut out = Out::new()?;
    if command.stdin {
        feed(sender.clone());
    }
    let work = async {
        let exited = loop {
            match channel.next().await? {
                from_supervisor::Frame::Stdout(piece) => out.write(To::Stdout, piece).await?,
                from_supervisor::Frame::Stderr(piece) => out.write(To::Stderr, piece).await?,
                from_supervisor::Frame::Exited(exited) => break exited.code,
                from_supervisor::Frame::Failed(failed) => return Err(channel.said(&failed.message)),
                from_supervisor::Frame::Started(_) => {}
            }
        };
        out.finish().await?;
        Ok(code(exited))
    };
    tokio::select! {
        outcome = work => outcome,
        outcome = heed(signals, &sender, raw.as_ref()) => outcome,
    }
    // The terminal is given back here, before anybody is told anything.
}

/// Passes signals on. Without a terminal of its own a command hears what this program hears, and a second one ends this
/// program; with one, Ctrl-C is a key like any other, and whatever is sent to this program is meant for it.
async fn heed(mut signals: Signals, sender: &Sender, raw: Option<&Raw>) -> Result<u8, CliError> {
    let mut heard = false;
    loop {
        let frame = match (signals.next().await, raw) {
            (Came::End(number), Some(_)) => return Ok(code(128 + number)),
            (Came::End(number), None) if heard => return Ok(code(128 + number)),
            (Came::End(number), None) => {
                heard = true;
                let sender = sender.clone();
                // The way in may be full of input that nobody reads, which must not keep the second one from being heard.
                tokio::spawn(async move { sender.send(to_supervisor::Frame::Signal(number)).await });
                continue;
            }
            (Came::Stop, Some(raw)) => {
                raw.stop().map_err(CliError::Terminal)?;
                to_supervisor::Frame::Resize(terminal::size())
            }
            (Came::Continued, Some(raw)) => {
                raw.resume().map_err(CliError::Terminal)?;
                to_supervisor::Frame::Resize(terminal::size())
            }
            (Came::Resized, _) => to_supervisor::Frame::Resize(terminal::size()),
            (Came::Stop | Came::Continued, None) => continue,
        };
        let sender = sender.clone();
        tokio::spawn(async move { sender.send(frame).await });
    }
}

/// An exit code as this program's own.
fn code(code: i32) -> u8 {
    // What a shell makes of it, too: the last eight bits.
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}
