//! `workspace create`, `list`, `get` and `delete`.

use std::collections::BTreeSet;

use openshell_proto::datamodel::v1::{Workspace, WorkspacePhase};
use openshell_proto::openshell::v1::{
    CreateWorkspaceRequest, DeleteWorkspaceRequest, GetWorkspaceRequest, ListWorkspacesRequest,
};
use serde_json::{Value, json};
use tonic::Code;

use super::create::unique;
use super::several::{Asked, Failures};
use crate::args::{Form, WorkspaceCommand};
use crate::error::CliError;
use crate::screen::Style;
use crate::session::Session;
use crate::table::Cell;
use crate::text::{age, clean, now_ms, time, word};
use crate::{output, view};

/// The most that one answer of the gateway holds.
const PAGE: u32 = 1_000;

/// Does what is asked for.
pub(crate) async fn run(session: &Session, command: WorkspaceCommand) -> Result<(), CliError> {
    match command {
        WorkspaceCommand::Create { name, label } => create(session, name, &label).await,
        WorkspaceCommand::List { selector } => list(session, &selector).await,
        WorkspaceCommand::Get { name } => get(session, name).await,
        WorkspaceCommand::Delete { names } => delete(session, names).await,
    }
}

fn hint(name: &str) -> impl FnOnce(Code) -> Option<String> {
    let name = word(name);
    move |code| match code {
        Code::NotFound => Some("see which there are: openshell workspace list".to_owned()),
        Code::AlreadyExists => Some(format!("see it: openshell workspace get {name}")),
        Code::FailedPrecondition => {
            Some(format!("see what it holds: openshell sandbox list --workspace {name}"))
        }
        _ => None,
    }
}

async fn create(session: &Session, name: String, labels: &[(String, String)]) -> Result<(), CliError> {
    let what = format!("create workspace `{name}`");
    let request = CreateWorkspaceRequest { name: name.clone(), labels: unique("--label", labels)? };
    let answer = session
        .gateway
        .call(what.as_str(), hint(&name), request, |mut client, request| async move {
            client.create_workspace(request).await
        })
        .await?;
    let workspace = answer.workspace.ok_or(CliError::Empty { what })?;
    session.printer.outcome(&workspace_name(&workspace), || document(&workspace))
}

async fn list(session: &Session, selector: &str) -> Result<(), CliError> {
    let workspaces = fetch(session, selector).await?;
    match session.printer.form {
        Form::Json => output::json(&Value::Array(workspaces.iter().map(document).collect())),
        Form::Name => session.printer.names(workspaces.iter().map(workspace_name)),
        form => {
            let wide = form == Form::Wide;
            let mut headers = vec!["NAME", "PHASE", "AGE"];
            headers.extend(wide.then_some(["ID", "LABELS"]).into_iter().flatten());
            let mut table = session.printer.table(headers);
            for workspace in &workspaces {
                let metadata = workspace.metadata.clone().unwrap_or_default();
                let mut row = vec![
                    Cell::from(clean(&metadata.name)),
                    Cell::styled(phase(workspace), Style::Plain),
                    age(metadata.created_at_ms, now_ms()).into(),
                ];
                if wide {
                    row.push(clean(&metadata.id).into());
                    row.push(view::labels(&metadata.labels).into());
                }
                table.push(row);
            }
            output::text(&table.render(&session.printer.screen))
        }
    }
}

/// Asks for page after page until one is not full.
pub(crate) async fn fetch(session: &Session, selector: &str) -> Result<Vec<Workspace>, CliError> {
    let mut workspaces: Vec<Workspace> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut offset = 0;
    loop {
        let request = ListWorkspacesRequest { limit: PAGE, offset, label_selector: selector.to_owned() };
        let hint = |code| {
            (code == Code::InvalidArgument && !selector.is_empty())
                .then(|| "openshell workspace list --selector 'team=web,stage!=test'".to_owned())
        };
        let page = session
            .gateway
            .call("list workspaces", hint, request, |mut client, request| async move {
                client.list_workspaces(request).await
            })
            .await?
            .workspaces;
        let got = u32::try_from(page.len()).unwrap_or(u32::MAX);
        workspaces.extend(page.into_iter().filter(|one| seen.insert(workspace_name(one))));
        if got < PAGE {
            return Ok(workspaces);
        }
        offset += got;
    }
}

async fn get(session: &Session, name: String) -> Result<(), CliError> {
    let what = format!("get workspace `{name}`");
    let answer = session
        .gateway
        .call(
            what.as_str(),
            hint(&name),
            GetWorkspaceRequest { name: name.clone() },
            |mut client, request| async move { client.get_workspace(request).await },
        )
        .await?;
    let workspace = answer.workspace.ok_or(CliError::Empty { what })?;
    match session.printer.form {
        Form::Json => output::json(&document(&workspace)),
        Form::Name => output::line(&workspace_name(&workspace)),
        Form::Table | Form::Wide => {
            let metadata = workspace.metadata.clone().unwrap_or_default();
            let mut table = crate::table::Table::default();
            let created =
                format!("{} ({} ago)", time(metadata.created_at_ms), age(metadata.created_at_ms, now_ms()));
            for (key, value) in [
                ("name", clean(&metadata.name)),
                ("id", clean(&metadata.id)),
                ("phase", phase(&workspace).to_owned()),
                ("created", created),
                ("labels", view::labels(&metadata.labels)),
            ] {
                if !value.is_empty() {
                    table.push([format!("{key}:").into(), value.into()]);
                }
            }
            output::text(&table.render(&session.printer.screen))
        }
    }
}

async fn delete(session: &Session, names: Vec<String>) -> Result<(), CliError> {
    let asked = Asked::names(names.len());
    let mut failures = Failures::new(asked);
    let mut documents = Vec::new();
    for name in names {
        let what = format!("delete workspace `{name}`");
        let request = DeleteWorkspaceRequest { name: name.clone() };
        let answer = session
            .gateway
            .call(what, hint(&name), request, |mut client, request| async move {
                client.delete_workspace(request).await
            })
            .await;
        match answer {
            Ok(answer) if session.printer.json() => {
                documents.push(json!({ "name": name, "deleted": answer.deleted }));
            }
            Ok(_) => output::line(&name)?,
            Err(error) => {
                if !failures.push(error) {
                    break;
                }
            }
        }
    }
    if session.printer.json() {
        asked.print(documents)?;
    }
    failures.end()
}

/// The workspace's name, made harmless.
pub(crate) fn workspace_name(workspace: &Workspace) -> String {
    workspace.metadata.as_ref().map(|metadata| clean(&metadata.name)).unwrap_or_default()
}

fn phase(workspace: &Workspace) -> &'static str {
    let number = workspace.status.as_ref().map_or(0, |status| status.phase);
    match WorkspacePhase::try_from(number) {
        Ok(WorkspacePhase::Active) => "active",
        Ok(WorkspacePhase::Terminating) => "terminating",
        Ok(WorkspacePhase::Unspecified) | Err(_) => "unknown",
    }
}

fn document(workspace: &Workspace) -> Value {
    let metadata = workspace.metadata.clone().unwrap_or_default();
    json!({ "metadata": view::metadata_json(&metadata), "status": { "phase": phase(workspace) } })
}
