//! Two gateways on one backend: the second one's driver is a program that the kit starts itself.

use openshell_proto::compute::v1::{
    DeleteSandboxRequest, GetSandboxRequest, ListSandboxesRequest, StopSandboxRequest,
};
use tonic::Code;

use crate::case::{Case, Checked, Level, Unmet, expect, failed, skipped};
use crate::cases::restart::keeper;
use crate::client::{self, Client};
use crate::context::{Ctx, must};
use crate::session::wait_for_socket;
use crate::state;

pub(crate) const CASES: &[Case] = &[Case {
    id: "identity.gateways-apart",
    level: Level::Required,
    checks: "The driver of another gateway on the same backend neither lists, finds, stops nor deletes a sandbox of this one.",
    why: "Two gateways that see each other's sandboxes remove each other's orphans.",
    mend: "Label everything with the gateway's id, and select every list, watch and look-up by it.",
    run: |ctx| Box::pin(apart(ctx)),
}];

async fn apart(ctx: &Ctx) -> Checked {
    let keeper = keeper(ctx)?;
    let (made, _) = ctx.running().await?;
    let Some((other, socket)) = keeper.beside().await.map_err(Unmet::Failed)? else {
        return skipped("nobody says how to start the driver for a second gateway");
    };
    let session = &ctx.session;
    let looked = async {
        let listens = wait_for_socket(&socket, &session.policy, session.options.connect_timeout).await;
        listens.or_else(|error| failed(format!("the other gateway's driver: {error}")))?;
        let channel = client::channel(socket.clone(), session.policy.clone(), None);
        meddle(ctx, &mut client::client(channel), &made.id).await
    }
    .await;
    // Whether a driver stops is a case of its own; this one is killed when it is dropped.
    let _ = tokio::time::timeout(ctx.timeout(), other.stop()).await;
    drop(other);
    looked?;
    expect(ctx.is_known(&made.id).await?, || "the other gateway's driver removed it".to_owned())?;
    let left = ctx.get(&made.id).await?;
    expect(state::is_ready(&left), || {
        format!("after the other gateway's driver was asked to stop it, it is {}", state::shown(&left))
    })
}

/// Asks the other driver for what is not its own.
async fn meddle(ctx: &Ctx, other: &mut Client, id: &str) -> Checked {
    ctx.needs(&["lifecycle.list", "identity.unknown-get"])?;
    let listed = ctx.bounded("ListSandboxes", other.list_sandboxes(ListSandboxesRequest {})).await?;
    let listed = must("ListSandboxes of the other gateway's driver", listed)?.sandboxes;
    expect(!listed.iter().any(|sandbox| sandbox.id == id), || {
        "the other gateway's driver lists it".to_owned()
    })?;
    let request = GetSandboxRequest { sandbox_id: id.to_owned(), sandbox_name: String::new() };
    match ctx.bounded("GetSandbox", other.get_sandbox(request)).await? {
        Ok(answer) if answer.sandbox.is_some() => return failed("the other gateway's driver finds it"),
        Err(status) if status.code() != Code::NotFound => {
            return must("GetSandbox of the other gateway's driver", Err(status));
        }
        _ => {}
    }
    // Whatever it answers to these: what they did to the sandbox is what counts.
    let request = StopSandboxRequest { sandbox_id: id.to_owned(), sandbox_name: String::new() };
    let _ = ctx.bounded("StopSandbox", other.stop_sandbox(request)).await?;
    let request = DeleteSandboxRequest { sandbox_id: id.to_owned(), sandbox_name: String::new() };
    let _ = ctx.bounded("DeleteSandbox", other.delete_sandbox(request)).await?;
    Ok(())
}
