//! `sandbox stop`, `start` and `delete`.

use openshell_proto::openshell::v1::{
    DeleteSandboxRequest, Sandbox, SandboxResponse, StartSandboxRequest, StopSandboxRequest,
};
use serde_json::json;

use super::wait::{self, Goal};
use super::{get, hint_for};
use crate::args::ChangeArgs;
use crate::error::CliError;
use crate::gateway::Gateway;
use crate::{output, view};

/// Stops a sandbox.
pub(crate) async fn stop(gateway: &Gateway, args: &ChangeArgs, json: bool) -> Result<(), CliError> {
    let one = &args.sandbox;
    let what = format!("stop sandbox `{}`", one.name);
    let request = StopSandboxRequest { name: one.name.clone(), workspace: one.workspace() };
    let answer = gateway
        .call(
            what.as_str(),
            |code| hint_for(one, code),
            request,
            |mut client, request| async move { client.stop_sandbox(request).await },
        )
        .await?;
    settle(gateway, args, taken(answer, what)?, Goal::Stopped, json).await
}

/// Starts a sandbox.
pub(crate) async fn start(gateway: &Gateway, args: &ChangeArgs, json: bool) -> Result<(), CliError> {
    let one = &args.sandbox;
    let what = format!("start sandbox `{}`", one.name);
    let request = StartSandboxRequest { name: one.name.clone(), workspace: one.workspace() };
    let answer = gateway
        .call(
            what.as_str(),
            |code| hint_for(one, code),
            request,
            |mut client, request| async move { client.start_sandbox(request).await },
        )
        .await?;
    settle(gateway, args, taken(answer, what)?, Goal::Ready, json).await
}

/// Deletes a sandbox.
pub(crate) async fn delete(gateway: &Gateway, args: &ChangeArgs, json: bool) -> Result<(), CliError> {
    let one = &args.sandbox;
    // Its id, while it can still be asked for: that is what a watch keys on.
    let doomed = match args.wait {
        Some(_) => Some(get::fetch(gateway, one).await?),
        None => None,
    };
    let what = format!("delete sandbox `{}`", one.name);
    let request = DeleteSandboxRequest { name: one.name.clone(), workspace: one.workspace() };
    let answer = gateway
        .call(
            what,
            |code| hint_for(one, code),
            request,
            |mut client, request| async move { client.delete_sandbox(request).await },
        )
        .await?;
    if let (Some(limit), Some(doomed)) = (args.wait, doomed) {
        wait::until(gateway, one, doomed, Goal::Gone, limit).await.1?;
    }
    if json {
        output::json(&json!({ "name": one.name, "deleted": answer.deleted }))
    } else {
        output::line(&one.name)
    }
}

fn taken(answer: SandboxResponse, what: String) -> Result<Sandbox, CliError> {
    answer.sandbox.ok_or(CliError::Empty { what })
}

/// Waits when asked to, and prints what became of it: its name, or all of it as JSON.
async fn settle(
    gateway: &Gateway,
    args: &ChangeArgs,
    sandbox: Sandbox,
    goal: Goal,
    json: bool,
) -> Result<(), CliError> {
    let (last, result) = match args.wait {
        Some(limit) => wait::until(gateway, &args.sandbox, sandbox, goal, limit).await,
        None => (sandbox, Ok(())),
    };
    if json {
        output::json(&view::json(&last))?;
    } else if result.is_ok() {
        output::line(&view::name(&last))?;
    }
    result
}
