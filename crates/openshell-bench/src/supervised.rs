//! A sandbox to work in: a gateway with a supervisor beside it, and one sandbox on a real engine.

use std::path::Path;

use openshell_proto::openshell::v1 as proto;
use openshell_proto::openshell::v1::exec_sandbox_event::Payload;
use openshell_proto::openshell::v1::open_shell_client::OpenShellClient;
use tonic::transport::Channel;

use crate::client::{self, Client};
use crate::gateway::{Gateway, Home, status_mb};
use crate::script::Script;
use crate::watch::{clear, wait_for_ready};
use crate::{Backend, Result};

/// The supervisor's program, beside the gateway of a driver that delivers it.
const PROGRAM: &str = "openshell-sandbox";

/// The sandbox, and how it is reached.
pub(crate) struct Work {
    home: Home,
    pub(crate) gateway: Gateway,
    /// The sandbox's id.
    pub(crate) id: String,
    /// How the backend's own client calls it.
    pub(crate) inside: String,
}

/// Whether there is a supervisor for the sandboxes of a backend; says that `what` is skipped where there is none.
pub(crate) fn is_supervised(backend: &Backend, what: &str) -> bool {
    let there = backend.gateway.with_file_name(PROGRAM).is_file();
    if !there {
        eprintln!("skipped: {what}, {}: there is no `{PROGRAM}` beside its gateway", backend.name);
    }
    there
}

impl Work {
    /// Starts a gateway and makes a sandbox that is Ready. Whoever gets it calls [`end`](Self::end).
    pub(crate) async fn begin(backend: &Backend, script: &Script) -> Result<Self> {
        let home = Home::new()?;
        let gateway = home.start(&backend.gateway, &backend.on()?).await?;
        let gateway_id = home.gateway_id()?;
        let mut client = gateway.client().await?;
        let made = async {
            let (id, name) = client::create(&mut client, "work".to_owned(), &script.image()?).await?;
            wait_for_ready(&mut client, &id, &name).await?;
            let inside = script.inside(&gateway_id, &id)?;
            Ok((id, inside))
        };
        match made.await {
            Ok((id, inside)) => Ok(Self { home, gateway, id, inside }),
            Err(error) => {
                // The backend keeps nothing; why it failed is what is told.
                let _cleared = clear(&mut client).await;
                Err(error)
            }
        }
    }

    /// Removes the sandbox and stops the gateway.
    pub(crate) async fn end(self) -> Result<()> {
        let cleared = clear(&mut self.gateway.client().await?).await;
        self.gateway.stop().await?;
        cleared
    }

    /// A folder for what is measured with; it goes with the sandbox.
    pub(crate) fn folder(&self) -> &Path {
        self.home.path()
    }

    /// A connection of its own, for streams that carry much.
    pub(crate) async fn connect(&self) -> Result<Channel> {
        client::connect_wide(&self.home.socket()).await
    }

    /// What the supervisor keeps resident, and the most that it ever did, in MB.
    pub(crate) async fn supervisor_mb(&self) -> Result<(f64, f64)> {
        let mut client = OpenShellClient::new(self.connect().await?);
        let ran = exec(&mut client, &self.id, &["cat", "/proc/1/status"]).await?;
        let status = String::from_utf8(ran.out)?;
        Ok((status_mb(&status, "VmRSS")?, status_mb(&status, "VmHWM")?))
    }
}

/// What came of a command.
pub(crate) struct Ran {
    /// What it printed.
    pub(crate) out: Vec<u8>,
    /// Its exit code.
    pub(crate) code: i32,
}

/// Runs a command in a sandbox.
pub(crate) async fn exec(client: &mut Client, sandbox: &str, command: &[&str]) -> Result<Ran> {
    let mut events = client.exec_sandbox(request(sandbox, command)).await?.into_inner();
    let (mut out, mut code) = (Vec::new(), None);
    while let Some(event) = events.message().await? {
        match event.payload {
            Some(Payload::Stdout(piece)) => out.extend(piece.data),
            Some(Payload::Exit(exit)) => code = Some(exit.exit_code),
            Some(Payload::Stderr(_)) | None => {}
        }
    }
    Ok(Ran { out, code: code.ok_or("a command without an end")? })
}

/// What asks for a command.
pub(crate) fn request(sandbox: &str, command: &[&str]) -> proto::ExecSandboxRequest {
    proto::ExecSandboxRequest {
        sandbox_id: sandbox.to_owned(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        ..Default::default()
    }
}
