//! `sandbox get`.

use openshell_proto::openshell::v1::{GetSandboxRequest, Sandbox};

use super::hint_for;
use crate::args::OneArgs;
use crate::error::CliError;
use crate::gateway::Gateway;
use crate::{output, text, view};

/// Shows one sandbox.
pub(crate) async fn run(gateway: &Gateway, one: &OneArgs, json: bool) -> Result<(), CliError> {
    let sandbox = fetch(gateway, one).await?;
    if json {
        output::json(&view::json(&sandbox))
    } else {
        output::text(&view::details(&sandbox, text::now_ms()))
    }
}

/// Asks for one sandbox.
pub(crate) async fn fetch(gateway: &Gateway, one: &OneArgs) -> Result<Sandbox, CliError> {
    let what = format!("get sandbox `{}`", one.name);
    let request = GetSandboxRequest { name: one.name.clone(), workspace: one.workspace() };
    let answer = gateway
        .call(
            what.as_str(),
            |code| hint_for(one, code),
            request,
            |mut client, request| async move { client.get_sandbox(request).await },
        )
        .await?;
    answer.sandbox.ok_or(CliError::Empty { what })
}
