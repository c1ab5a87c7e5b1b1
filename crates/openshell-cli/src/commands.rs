//! The commands, one module each.

mod change;
mod contexts;
mod create;
mod driver;
mod events;
mod get;
mod list;
mod man;
pub(crate) mod pages;
mod several;
mod status;
mod wait;
mod watch;
mod workspace;

use openshell_core::Environment;

use crate::args::{Args, Command, SandboxCommand, StatusArgs};
use crate::complete;
use crate::error::CliError;
use crate::gateway::Gateway;
use crate::session::{Printer, Session, find};

/// Does what the command line asks for.
pub(crate) async fn run(args: Args) -> Result<(), CliError> {
    let env = Environment::from_process();
    let printer = Printer::new(&args.common, &env);
    // What needs no gateway.
    let command = match args.command {
        Command::Gateway(command) => return contexts::run(&printer, &args.common, &env, command),
        Command::Completion(shell) => return complete::script(&shell.shell),
        Command::Man(man) => return man::run(man.dir.as_deref()),
        Command::Status(StatusArgs { wait: Some(limit) }) => {
            let gateway = Gateway::wait_for(|| find(&args.common, &env), &args.common, limit).await?;
            return status::run(&Session::new(gateway, printer, &env)).await;
        }
        other => other,
    };
    // A command line that contradicts itself is refused before anybody is bothered with it.
    let request = match &command {
        Command::Sandbox(SandboxCommand::Create(create)) => Some(create::request(create)?),
        _ => None,
    };
    let gateway = Gateway::dial(find(&args.common, &env)?, &args.common).await?;
    let session = Session::new(gateway, printer, &env);
    match command {
        Command::Workspace(command) => workspace::run(&session, command).await,
        Command::Sandbox(command) => match command {
            SandboxCommand::Create(create) => {
                create::run(&session, &create, request.unwrap_or_default()).await
            }
            SandboxCommand::Get(get) => get::run(&session, &get).await,
            SandboxCommand::List(list) => list::run(&session, &list).await,
            SandboxCommand::Watch(watch) => watch::run(&session, &watch).await,
            SandboxCommand::Events(events) => events::run(&session, &events).await,
            SandboxCommand::Stop(change) => change::run(&session, &change, change::Change::Stop).await,
            SandboxCommand::Start(change) => change::run(&session, &change, change::Change::Start).await,
            SandboxCommand::Delete(change) => change::run(&session, &change, change::Change::Delete).await,
        },
        // The others are done already.
        Command::Status(_) | Command::Gateway(_) | Command::Completion(_) | Command::Man(_) => {
            status::run(&session).await
        }
    }
}

/// The names of all workspaces, for completion.
pub(crate) async fn workspaces(session: &Session) -> Result<Vec<String>, CliError> {
    Ok(workspace::fetch(session, "").await?.iter().map(workspace::workspace_name).collect())
}
