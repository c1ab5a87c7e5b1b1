//! `sandbox list`.

use std::collections::BTreeSet;

use openshell_proto::openshell::v1::{ListSandboxesRequest, Sandbox};
use serde_json::Value;
use tonic::Code;

use crate::args::ListArgs;
use crate::error::CliError;
use crate::gateway::Gateway;
use crate::{output, text, view};

/// The most that one answer of the gateway holds.
const PAGE: u32 = 1_000;

/// Lists sandboxes.
pub(crate) async fn run(gateway: &Gateway, args: &ListArgs, json: bool) -> Result<(), CliError> {
    let sandboxes = fetch(gateway, args).await?;
    if json {
        output::json(&Value::Array(sandboxes.iter().map(view::json).collect()))
    } else {
        output::text(&view::list(&sandboxes, args.all_workspaces, text::now_ms()))
    }
}

/// Asks for page after page until one is not full.
async fn fetch(gateway: &Gateway, args: &ListArgs) -> Result<Vec<Sandbox>, CliError> {
    let wanted = args.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut sandboxes: Vec<Sandbox> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut offset = 0;
    while sandboxes.len() < wanted {
        let limit = u32::try_from(wanted - sandboxes.len()).unwrap_or(PAGE).min(PAGE);
        let request = ListSandboxesRequest {
            limit,
            offset,
            label_selector: args.selector.clone(),
            workspace: args.workspace.clone().unwrap_or_default(),
            all_workspaces: args.all_workspaces,
        };
        let hint = |code| {
            (code == Code::InvalidArgument && !args.selector.is_empty())
                .then(|| "openshell sandbox list --selector 'tier=web,stage!=test,owner'".to_owned())
        };
        let page = gateway
            .call("list sandboxes", hint, request, |mut client, request| async move {
                client.list_sandboxes(request).await
            })
            .await?
            .sandboxes;
        let got = u32::try_from(page.len()).unwrap_or(u32::MAX);
        // A sandbox that was removed between two pages moves the others up: what comes twice is told once.
        sandboxes.extend(page.into_iter().filter(|sandbox| seen.insert(view::id(sandbox))));
        if got < limit {
            break;
        }
        offset += got;
    }
    Ok(sandboxes)
}
