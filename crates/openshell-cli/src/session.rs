//! What every command works with: the gateway, the form of output, the workspace that counts when none is named.

use std::time::Duration;

use openshell_core::{Environment, registration};
use serde_json::Value;
use tonic::Code;

use crate::args::{Common, Form, WorkspaceArg};
use crate::error::CliError;
use crate::gateway::Gateway;
use crate::progress::{Progress, Transfer};
use crate::screen::Screen;
use crate::table::Table;
use crate::target::{self, Target};
use crate::text::word;
use crate::{output, view};

/// The variable that names the workspace.
pub(crate) const WORKSPACE_VARIABLE: &str = "OPENSHELL_WORKSPACE";

/// A command's surroundings.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) gateway: Gateway,
    pub(crate) printer: Printer,
    /// For commands that name none: the variable's, else the context's.
    workspace: Option<String>,
}

impl Session {
    pub(crate) fn new(gateway: Gateway, printer: Printer, env: &Environment) -> Self {
        let from_variable = env.raw(WORKSPACE_VARIABLE).map(|name| name.to_string_lossy().into_owned());
        let workspace = from_variable.or_else(|| gateway.target().workspace.clone());
        Self { gateway, printer, workspace }
    }

    /// The workspace that is meant; nothing is the gateway's default one.
    pub(crate) fn workspace(&self, place: &WorkspaceArg) -> Option<String> {
        place.workspace.clone().or_else(|| self.workspace.clone())
    }

    /// A sandbox as the command line names it.
    pub(crate) fn one(&self, name: &str, place: &WorkspaceArg) -> One {
        One { name: name.to_owned(), workspace: self.workspace(place), anywhere: place.workspace.is_none() }
    }

    /// Shows how files get on.
    pub(crate) fn transfer(&self, name: &str) -> Transfer {
        Transfer::new(name, &self.printer.screen, self.printer.quiet)
    }

    /// Shows how a sandbox gets on.
    pub(crate) fn progress(&self, one: &One) -> Progress {
        Progress::new(&one.name, &self.printer.screen, self.printer.quiet)
    }
}

/// How this program came to its gateway, for what outlives a connection.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) common: Common,
    pub(crate) env: Environment,
}

impl Way {
    /// Goes there anew; a gateway that is away is waited for.
    pub(crate) async fn again(&self, limit: Duration) -> Result<Session, CliError> {
        let gateway = Gateway::wait_for(|| find(&self.common, &self.env), &self.common, limit).await?;
        Ok(Session::new(gateway, Printer::new(&self.common, &self.env), &self.env))
    }
}

/// Finds the gateway that is meant.
pub(crate) fn find(common: &Common, env: &Environment) -> Result<Target, CliError> {
    target::find(common, env, || registration::live(env)).map_err(CliError::Target)
}

/// In which form things are printed, and on what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    pub(crate) form: Form,
    pub(crate) headers: bool,
    pub(crate) quiet: bool,
    pub(crate) screen: Screen,
}

impl Printer {
    pub(crate) fn new(common: &Common, env: &Environment) -> Self {
        Self {
            form: common.form(),
            headers: !common.no_headers,
            quiet: common.quiet,
            screen: Screen::of(env),
        }
    }

    pub(crate) fn json(&self) -> bool {
        self.form == Form::Json
    }

    pub(crate) fn wide(&self) -> bool {
        self.form == Form::Wide
    }

    /// A table with its first line, unless that is not wanted.
    pub(crate) fn table<'a>(&self, headers: impl IntoIterator<Item = &'a str>) -> Table {
        if self.headers { Table::with_headers(headers) } else { Table::default() }
    }

    /// Prints names, a line each.
    pub(crate) fn names(&self, names: impl IntoIterator<Item = String>) -> Result<(), CliError> {
        output::text(&names.into_iter().map(|name| name + "\n").collect::<String>())
    }

    /// What a change leaves: a name for people, all of it for programs.
    pub(crate) fn outcome(&self, name: &str, json: impl FnOnce() -> Value) -> Result<(), CliError> {
        if self.json() { output::json(&json()) } else { output::line(name) }
    }
}

/// Which sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct One {
    /// Its name, or what was given for it.
    pub(crate) name: String,
    /// Its workspace; nothing is the default one.
    pub(crate) workspace: Option<String>,
    /// Whether an id may be one of another workspace.
    pub(crate) anywhere: bool,
}

impl One {
    /// The sandbox that the gateway has shown.
    pub(crate) fn of(sandbox: &openshell_proto::openshell::v1::Sandbox) -> Self {
        let workspace = sandbox.metadata.as_ref().map(|metadata| metadata.workspace.clone());
        Self {
            name: view::name(sandbox),
            // The default one needs no mention.
            workspace: workspace.filter(|name| !name.is_empty() && name != "default"),
            anywhere: false,
        }
    }

    /// The workspace as a request has it: empty is the default one.
    pub(crate) fn workspace(&self) -> String {
        self.workspace.clone().unwrap_or_default()
    }

    /// `openshell sandbox <command> <this one>`, for hints.
    pub(crate) fn command(&self, command: &str) -> String {
        let workspace = self.workspace.as_ref().map(|name| format!(" --workspace {}", word(name)));
        format!("openshell sandbox {command} {}{}", word(&self.name), workspace.unwrap_or_default())
    }

    /// The command that helps when the gateway refuses something about it.
    pub(crate) fn hint(&self, code: Code) -> Option<String> {
        match code {
            Code::NotFound => Some("see which there are: openshell sandbox list --all-workspaces".to_owned()),
            Code::FailedPrecondition => Some(format!("see its phase: {}", self.command("get"))),
            Code::Unavailable => Some("see how the gateway and its driver are: openshell status".to_owned()),
            _ => None,
        }
    }
}
