//! The commands, one module each.

mod change;
mod contexts;
mod create;
mod download;
mod driver;
mod events;
mod exec;
mod forward;
mod get;
mod list;
mod logs;
mod man;
pub(crate) mod pages;
mod several;
mod signal;
mod status;
mod upload;
mod wait;
mod watch;
mod workspace;

use openshell_core::Environment;

use crate::args::{Args, Command, SandboxCommand, StatusArgs};
use crate::complete;
use crate::error::CliError;
use crate::gateway::Gateway;
use crate::session::{Printer, Session, Way, find};

/// Does what the command line asks for. Gives the exit code.
pub(crate) async fn run(args: Args) -> Result<u8, CliError> {
    // Their exit codes are those of what they run.
    let inside =
        matches!(args.command, Command::Sandbox(SandboxCommand::Exec(_) | SandboxCommand::Connect(_)));
    let outcome = act(args).await;
    if inside { outcome.map_err(CliError::inside) } else { outcome }
}

async fn act(mut args: Args) -> Result<u8, CliError> {
    let env = Environment::from_process();
    let printer = Printer::new(&args.common, &env);
    // What needs no gateway.
    let command = match args.command {
        Command::Gateway(command) => return done(contexts::run(&printer, &args.common, &env, command)),
        Command::Completion(shell) => return done(complete::script(&shell.shell)),
        Command::Man(man) => return done(man::run(man.dir.as_deref())),
        Command::Status(StatusArgs { wait: Some(limit) }) => {
            let gateway = Gateway::wait_for(|| find(&args.common, &env), &args.common, limit).await?;
            return done(status::run(&Session::new(gateway, printer, &env)).await);
        }
        other => other,
    };
    // A command line that contradicts itself is refused before anybody is bothered with it.
    let mut request = None;
    let mut limit = None;
    match &command {
        Command::Sandbox(SandboxCommand::Create(create)) => request = Some(create::request(create)?),
        Command::Sandbox(SandboxCommand::Connect(connect)) => exec::check(connect)?,
        Command::Sandbox(SandboxCommand::Upload(upload)) => upload::check(upload)?,
        Command::Sandbox(SandboxCommand::Download(download)) => download::check(download)?,
        // It is the command's limit then, and not that of the way there.
        Command::Sandbox(SandboxCommand::Exec(_)) => limit = args.common.timeout.take(),
        _ => {}
    }
    let gateway = Gateway::dial(find(&args.common, &env)?, &args.common).await?;
    let session = Session::new(gateway, printer, &env);
    let command = match command {
        Command::Workspace(command) => return done(workspace::run(&session, command).await),
        Command::Sandbox(command) => command,
        // The others are done already.
        Command::Status(_) | Command::Gateway(_) | Command::Completion(_) | Command::Man(_) => {
            return done(status::run(&session).await);
        }
    };
    let way = Way { common: args.common, env };
    match command {
        SandboxCommand::Create(create) => {
            done(create::run(&session, &create, request.unwrap_or_default()).await)
        }
        SandboxCommand::Get(get) => done(get::run(&session, &get).await),
        SandboxCommand::List(list) => done(list::run(&session, &list).await),
        SandboxCommand::Watch(watch) => done(watch::run(&session, &watch).await),
        SandboxCommand::Events(events) => done(events::run(&session, &events).await),
        SandboxCommand::Exec(exec) => exec::run(&session, &exec, limit, &way.env).await,
        SandboxCommand::Connect(connect) => exec::connect(&session, &connect, &way.env).await,
        SandboxCommand::Upload(upload) => upload::run(&session, &upload).await,
        SandboxCommand::Download(download) => download::run(&session, &download).await,
        SandboxCommand::Logs(logs) => done(logs::run(session, &logs, &way).await),
        SandboxCommand::Forward(forward) => done(forward::run(session, &forward, way).await),
        SandboxCommand::Signal(signal) => done(signal::run(&session, &signal).await),
        SandboxCommand::Stop(change) => done(change::run(&session, &change, change::Change::Stop).await),
        SandboxCommand::Start(change) => done(change::run(&session, &change, change::Change::Start).await),
        SandboxCommand::Delete(change) => done(change::run(&session, &change, change::Change::Delete).await),
    }
}

/// The exit code of what has none of its own.
fn done(outcome: Result<(), CliError>) -> Result<u8, CliError> {
    outcome.map(|()| 0)
}

/// The names of all workspaces, for completion.
pub(crate) async fn workspaces(session: &Session) -> Result<Vec<String>, CliError> {
    Ok(workspace::fetch(session, "").await?.iter().map(workspace::workspace_name).collect())
}
