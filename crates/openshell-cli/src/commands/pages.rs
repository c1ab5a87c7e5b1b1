//! `ListSandboxes`, page after page.

use std::collections::BTreeSet;

use openshell_proto::openshell::v1::{ListSandboxesRequest, Sandbox};
use tonic::Code;

use crate::error::CliError;
use crate::session::Session;
use crate::view;

/// The most that one answer of the gateway holds.
const PAGE: u32 = 1_000;

/// Which sandboxes the gateway is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    /// Their labels.
    pub(crate) selector: String,
    /// Their workspace; empty is the default one.
    pub(crate) workspace: String,
    /// Every workspace instead.
    pub(crate) all_workspaces: bool,
}

/// Asks for page after page until one is not full, or `wanted` sandboxes that `keep` takes have come.
pub(crate) async fn fetch(
    session: &Session,
    query: &Query,
    wanted: Option<u32>,
    keep: impl Fn(&Sandbox) -> bool,
) -> Result<Vec<Sandbox>, CliError> {
    let wanted = wanted.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut sandboxes: Vec<Sandbox> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut offset = 0;
    while sandboxes.len() < wanted {
        let limit = u32::try_from(wanted - sandboxes.len()).unwrap_or(PAGE).min(PAGE);
        let request = ListSandboxesRequest {
            limit,
            offset,
            label_selector: query.selector.clone(),
            workspace: query.workspace.clone(),
            all_workspaces: query.all_workspaces,
        };
        let hint = |code| match code {
            Code::InvalidArgument if !query.selector.is_empty() => {
                Some("openshell sandbox list --selector 'tier=web,stage!=test,owner'".to_owned())
            }
            Code::NotFound => Some("see which there are: openshell workspace list".to_owned()),
            _ => None,
        };
        let page = session
            .gateway
            .call("list sandboxes", hint, request, |mut client, request| async move {
                client.list_sandboxes(request).await
            })
            .await?
            .sandboxes;
        let got = u32::try_from(page.len()).unwrap_or(u32::MAX);
        // A sandbox that was removed between two pages moves the others up: what comes twice is told once.
        sandboxes.extend(page.into_iter().filter(|one| seen.insert(view::id(one)) && keep(one)));
        if got < limit {
            break;
        }
        offset += got;
    }
    Ok(sandboxes)
}

/// All sandboxes of a workspace, or of every one.
pub(crate) async fn all(
    session: &Session,
    workspace: String,
    all_workspaces: bool,
) -> Result<Vec<Sandbox>, CliError> {
    let workspace = if all_workspaces { String::new() } else { workspace };
    fetch(session, &Query { selector: String::new(), workspace, all_workspaces }, None, |_| true).await
}
