//! `gateway list`, `add`, `select`, `show` and `remove`.

use std::io::{self, Read as _};

use openshell_core::Environment;
use openshell_core::registration::{self, Registration};
use serde_json::{Map, Value, json};

use crate::args::{AddArgs, Common, Form, GatewayCommand, SelectArgs};
use crate::connect::{check_ca, check_identity, token_header};
use crate::contexts::{Context, MTLS_AUTH, Metadata, NO_AUTH, NewContext, Store, TOKEN_AUTH};
use crate::endpoint::Endpoint;
use crate::error::CliError;
use crate::output;
use crate::screen::Style;
use crate::session::{Printer, find};
use crate::table::{Cell, Table};
use crate::target::{Chosen, Target, TargetError};
use crate::text::{clean, word};

/// The longest token that is read.
const LONGEST_TOKEN: u64 = 64 << 10;

/// Does what is asked for; none of it needs the gateway.
pub(crate) fn run(
    printer: &Printer,
    common: &Common,
    env: &Environment,
    command: GatewayCommand,
) -> Result<(), CliError> {
    let store = Store::of(env).map_err(CliError::Store)?;
    match command {
        GatewayCommand::List => list(printer, &store, &registration::live(env)),
        GatewayCommand::Add(args) => add(printer, &store, &args),
        GatewayCommand::Select(args) => select(printer, &store, &args),
        GatewayCommand::Show { name: Some(name) } => {
            let context = store.load(&name).map_err(CliError::Store)?;
            let target = Target::context(&context, Chosen::GatewayFlag).map_err(CliError::Target)?;
            show(printer, &target, context.auth_mode(), false)
        }
        GatewayCommand::Show { name: None } => {
            let target = find(common, env)?;
            let auth = auth_of(&target);
            show(printer, &target, auth, true)
        }
        GatewayCommand::Remove { name } => {
            store.remove(&name).map_err(CliError::Store)?;
            printer.outcome(&name, || json!({ "name": name, "removed": true }))
        }
    }
}

fn auth_of(target: &Target) -> &'static str {
    if target.token.is_some() {
        TOKEN_AUTH
    } else if target.identity.is_some() {
        MTLS_AUTH
    } else {
        NO_AUTH
    }
}

/// A line of `list`.
struct Row {
    name: String,
    endpoint: String,
    auth: String,
    workspace: Option<String>,
    selected: bool,
    /// Whether it is a gateway that runs here, and no name was given to it.
    running: bool,
}

fn list(printer: &Printer, store: &Store, running: &[Registration]) -> Result<(), CliError> {
    let active = store.active().map_err(CliError::Store)?;
    let mut rows = Vec::new();
    for name in store.names().map_err(CliError::Store)? {
        let context = match store.load(&name) {
            Ok(context) => context,
            // One that is broken does not hide the others.
            Err(error) => {
                CliError::Store(error).tell();
                continue;
            }
        };
        rows.push(Row {
            endpoint: clean(&context.metadata.gateway_endpoint),
            auth: clean(context.auth_mode()),
            workspace: context.metadata.workspace.clone(),
            selected: active.as_deref() == Some(name.as_str()),
            running: false,
            name,
        });
    }
    rows.extend(running.iter().map(|one| Row {
        name: clean(&one.gateway_id),
        endpoint: Endpoint::Unix(one.socket.clone()).to_string(),
        auth: NO_AUTH.to_owned(),
        workspace: None,
        selected: false,
        running: true,
    }));
    match printer.form {
        Form::Json => {
            let document = |row: &Row| {
                json!({
                    "name": row.name,
                    "endpoint": row.endpoint,
                    "auth_mode": row.auth,
                    "workspace": row.workspace,
                    "selected": row.selected,
                    "running": row.running,
                })
            };
            output::json(&Value::Array(rows.iter().map(document).collect()))
        }
        Form::Name => printer.names(rows.into_iter().map(|row| row.name)),
        Form::Table | Form::Wide => {
            let mut table = printer.table(["NAME", "ENDPOINT", "AUTH", "WORKSPACE", "NOTE"]).elastic(1);
            for row in rows {
                let note = match (row.selected, row.running) {
                    (true, _) => Cell::styled("selected", Style::Good),
                    (_, true) => "runs here".into(),
                    _ => "-".into(),
                };
                let workspace = row.workspace.map_or_else(|| "-".to_owned(), |name| clean(&name));
                table.push([row.name.into(), row.endpoint.into(), row.auth.into(), workspace.into(), note]);
            }
            output::text(&table.render(&printer.screen))
        }
    }
}

fn add(printer: &Printer, store: &Store, args: &AddArgs) -> Result<(), CliError> {
    let wrong = |source| CliError::Target(TargetError::Given(source));
    let endpoint: Endpoint = args.endpoint.parse().map_err(wrong)?;
    let files = NewContext {
        token: token(args)?,
        ca: args.ca.as_deref().map(check_ca).transpose().map_err(CliError::Add)?,
        identity: match (&args.cert, &args.key) {
            (Some(certificate), Some(key)) => Some(check_identity(certificate, key).map_err(CliError::Add)?),
            _ => None,
        },
    };
    let tls = matches!(endpoint, Endpoint::Tcp { tls: true, .. });
    if !tls && (files.ca.is_some() || files.identity.is_some()) {
        return Err(CliError::Usage(format!(
            "--ca, --cert and --key are for https://, and this is {endpoint}"
        )));
    }
    if endpoint.socket().is_some() && files.token.is_some() {
        return Err(CliError::Usage("a Unix socket asks for no token: it sees who connects".to_owned()));
    }
    if files.token.is_some() && endpoint.is_exposed() {
        return Err(CliError::Target(TargetError::Exposed { endpoint }));
    }
    let auth = match (&files.token, &files.identity) {
        (Some(_), _) => TOKEN_AUTH,
        (None, Some(_)) => MTLS_AUTH,
        (None, None) => NO_AUTH,
    };
    let metadata = Metadata {
        name: args.name.clone(),
        gateway_endpoint: endpoint.to_string(),
        auth_mode: Some(auth.to_owned()),
        workspace: args.workspace.clone(),
        rest: Map::new(),
    };
    store.add(&metadata, &files).map_err(CliError::Store)?;
    if args.select {
        store.select(&args.name).map_err(CliError::Store)?;
    }
    printer.outcome(&args.name, || {
        json!({ "name": args.name, "endpoint": endpoint.to_string(), "auth_mode": auth, "selected": args.select })
    })
}

/// The token of the file or of standard input, as it is kept: one line.
fn token(args: &AddArgs) -> Result<Option<Vec<u8>>, CliError> {
    let (text, path) = if let Some(path) = &args.token_file {
        let text = std::fs::read_to_string(path).map_err(|source| CliError::File {
            doing: "read",
            path: path.clone(),
            source,
        })?;
        (text, path.clone())
    } else if args.token_stdin {
        let mut text = String::new();
        io::stdin().lock().take(LONGEST_TOKEN).read_to_string(&mut text)?;
        (text, "standard input".into())
    } else {
        return Ok(None);
    };
    token_header(&text)
        .map_err(|why| CliError::Usage(format!("there is no usable token in `{}`: {why}", path.display())))?;
    Ok(Some(format!("{}\n", text.trim()).into_bytes()))
}

fn select(printer: &Printer, store: &Store, args: &SelectArgs) -> Result<(), CliError> {
    let mut context = store.load(&args.name).map_err(CliError::Store)?;
    if let Some(workspace) = &args.workspace {
        context.metadata.workspace = Some(workspace.clone()).filter(|name| !name.is_empty());
        store.save(&context).map_err(CliError::Store)?;
    }
    store.select(&args.name).map_err(CliError::Store)?;
    let Context { name, metadata, .. } = context;
    printer.outcome(&name, || {
        json!({ "name": name, "endpoint": metadata.gateway_endpoint, "workspace": metadata.workspace, "selected": true })
    })
}

fn show(printer: &Printer, target: &Target, auth: &str, chosen: bool) -> Result<(), CliError> {
    let path = |path: &std::path::Path| path.display().to_string();
    let token = target.token.as_deref().map(path);
    let ca = target.ca.as_deref().map(path);
    let certificate = target.identity.as_ref().map(|(certificate, _)| path(certificate));
    match printer.form {
        Form::Json => output::json(&json!({
            "name": target.name,
            "endpoint": target.endpoint.to_string(),
            "auth_mode": auth,
            "token_path": token,
            "ca_path": ca,
            "certificate_path": certificate,
            "workspace": target.workspace,
            "chosen_by": chosen.then(|| target.chosen.word()),
        })),
        Form::Name => output::line(&target.name.clone().unwrap_or_else(|| target.endpoint.to_string())),
        Form::Table | Form::Wide => {
            let trust = match (&target.endpoint, ca) {
                (Endpoint::Tcp { tls: true, .. }, None) => Some("the system's certificates".to_owned()),
                (_, ca) => ca.map(|path| word(&path)),
            };
            let mut table = Table::default();
            for (key, value) in [
                ("name", target.name.as_deref().map(clean)),
                ("endpoint", Some(target.endpoint.to_string())),
                ("auth", Some(clean(auth))),
                ("token", token.map(|path| word(&path))),
                ("trusts", trust),
                ("shows", certificate.map(|path| word(&path))),
                ("workspace", target.workspace.as_deref().map(clean)),
                ("chosen", chosen.then(|| target.chosen.why().to_owned())),
            ] {
                if let Some(value) = value {
                    table.push([format!("{key}:").into(), value.into()]);
                }
            }
            output::text(&table.render(&printer.screen))
        }
    }
}
