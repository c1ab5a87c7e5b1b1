//! `sandbox signal`.

use openshell_proto::gateway::v1alpha1::SignalSandboxRequest;

use super::exec::find;
use crate::args::SignalArgs;
use crate::error::CliError;
use crate::session::Session;

/// Sends a signal to a sandbox's main process, and prints the sandbox's name.
pub(crate) async fn run(session: &Session, args: &SignalArgs) -> Result<(), CliError> {
    let (one, id) = find(session, &args.which).await?;
    // Without a channel it is the main process that is meant.
    let message = SignalSandboxRequest { sandbox_id: id, channel_id: String::new(), signal: args.signal };
    let what = format!("send a signal to sandbox `{}`", one.name);
    let mut client = session.gateway.own_client();
    let sent =
        session.gateway.within(what, |code| one.hint(code), async { client.signal_sandbox(message).await });
    sent.await?;
    session.printer.outcome(&one.name, || serde_json::json!({ "name": one.name, "signal": args.signal }))
}
