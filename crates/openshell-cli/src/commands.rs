//! The commands, one module each.

mod change;
mod create;
mod get;
mod list;
mod status;
mod wait;
mod watch;

use tonic::Code;

use crate::args::{Args, Command, OneArgs, SandboxCommand, StatusArgs};
use crate::error::CliError;
use crate::gateway::Gateway;

/// Does what the command line asks for.
pub(crate) async fn run(args: Args) -> Result<(), CliError> {
    let json = args.common.json;
    // A command line that contradicts itself is refused before anybody is bothered with it.
    let request = match &args.command {
        Command::Sandbox(SandboxCommand::Create(create)) => Some(create::request(create)?),
        _ => None,
    };
    let gateway = match &args.command {
        Command::Status(StatusArgs { wait: Some(limit) }) => Gateway::wait_for(&args.common, *limit).await?,
        _ => Gateway::dial(&args.common).await?,
    };
    match args.command {
        Command::Status(_) => status::run(&gateway, json).await,
        Command::Sandbox(command) => match command {
            SandboxCommand::Create(create) => {
                create::run(&gateway, &create, request.unwrap_or_default(), json).await
            }
            SandboxCommand::Get(one) => get::run(&gateway, &one, json).await,
            SandboxCommand::List(list) => list::run(&gateway, &list, json).await,
            SandboxCommand::Watch(watch) => watch::run(&gateway, &watch, json).await,
            SandboxCommand::Stop(change) => change::stop(&gateway, &change, json).await,
            SandboxCommand::Start(change) => change::start(&gateway, &change, json).await,
            SandboxCommand::Delete(change) => change::delete(&gateway, &change, json).await,
        },
    }
}

/// The command that helps when the gateway refuses something about one sandbox.
fn hint_for(one: &OneArgs, code: Code) -> Option<String> {
    match code {
        Code::NotFound => Some("see which there are: openshell sandbox list --all-workspaces".to_owned()),
        Code::FailedPrecondition => Some(format!("see its phase: {}", one.command("get"))),
        Code::Unavailable => Some("see how the gateway and its driver are: openshell status".to_owned()),
        _ => None,
    }
}
