//! SIGTERM, and the life after it. All of it needs to be told how to stop and start the driver.

use std::error::Error as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openshell_proto::compute::v1::{CreateSandboxRequest, GetCapabilitiesRequest};

use crate::case::{Case, Checked, Level, Unmet, expect, failed, skipped};
use crate::context::{Ctx, must, said};
use crate::restart::Restart;
use crate::session::wait_for_socket;
use crate::state;
use crate::watching::Next;

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "restart.stops",
        level: Level::Required,
        checks: "SIGTERM ends the driver, and another start serves again.",
        why: "Whoever does not stop is killed, in the middle of whatever it does.",
        mend: "Handle SIGTERM: accept nothing new, drain for a few seconds, exit with 0.",
        run: |ctx| Box::pin(stops(ctx)),
    },
    Case {
        id: "restart.second-start",
        level: Level::Required,
        checks: "A second start on the same socket gives up, and leaves the first one its socket.",
        why: "Two drivers behind one path are a gateway that talks to one and sandboxes of the other.",
        mend: "Connect to a socket that lies there before replacing it: only one that nobody answers at is stale.",
        run: |ctx| Box::pin(second_start(ctx)),
    },
    Case {
        id: "restart.drained",
        level: Level::Required,
        checks: "A call that is under way at SIGTERM is answered.",
        why: "A create that breaks off has made something, or not; nobody knows.",
        mend: "Accept nothing new, tell connections to go away (`GOAWAY`), and let their calls end.",
        run: |ctx| Box::pin(drained(ctx)),
    },
    Case {
        id: "restart.watch-told",
        level: Level::Recommended,
        checks: "A watch that is open ends with an error when the driver stops.",
        why: "A clean end says that all was told.",
        mend: "End streams with `UNAVAILABLE`.",
        run: |ctx| Box::pin(watch_told(ctx)),
    },
    Case {
        id: "restart.socket-removed",
        level: Level::Recommended,
        checks: "A driver that has stopped leaves no socket behind.",
        why: "A gateway that finds nothing knows what to wait for.",
        mend: "Remove the file at the end, if it is still the same.",
        run: |ctx| Box::pin(socket_removed(ctx)),
    },
    Case {
        id: "restart.sandboxes-kept",
        level: Level::Required,
        checks: "After a restart of the driver every sandbox is still listed under its id.",
        why: "Sandboxes belong to the gateway, and outlive the driver's process.",
        mend: "Keep what is needed on the backend's resources, as labels, and no table in memory.",
        run: |ctx| Box::pin(sandboxes_kept(ctx)),
    },
    Case {
        id: "restart.still-running",
        level: Level::Required,
        checks: "A sandbox that ran before a restart of the driver runs after it, or is stopped where `gateway_manages_lifecycle` says that the gateway starts it again.",
        why: "An upgrade of the driver is no reason to lose anybody's work.",
        mend: "Start no sandbox as a child that dies with the driver, or report it stopped and set `gateway_manages_lifecycle`.",
        run: |ctx| Box::pin(still_running(ctx)),
    },
];

/// Between two tries of the first call after a restart.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) fn keeper(ctx: &Ctx) -> Checked<Arc<dyn Restart>> {
    match &ctx.session.options.restart {
        Some(restart) => Ok(Arc::clone(restart)),
        None => skipped("it needs to stop the driver: --restart-command says how to start it again"),
    }
}

async fn stop(ctx: &Ctx, keeper: &dyn Restart) -> Checked {
    ctx.needs(&["restart.stops"])?;
    match tokio::time::timeout(ctx.timeout(), keeper.stop()).await {
        Ok(stopped) => stopped.map_err(Unmet::Failed),
        Err(_) => failed(format!("it has not stopped within {:?} of SIGTERM", ctx.timeout())),
    }
}

/// Starts it, and waits until it answers.
async fn start(ctx: &Ctx, keeper: &dyn Restart) -> Checked {
    match tokio::time::timeout(ctx.timeout(), keeper.start()).await {
        Ok(started) => started.map_err(Unmet::Failed)?,
        Err(_) => return failed(format!("it was not started within {:?}", ctx.timeout())),
    }
    let session = &ctx.session;
    let connected = wait_for_socket(&session.path, &session.policy, session.options.connect_timeout).await;
    connected.or_else(|error| failed(format!("after its start: {error}")))?;
    // The channel may still have the old connection, and learns by failing.
    let mut tries = 20;
    loop {
        let mut client = ctx.client();
        let asked = client.get_capabilities(GetCapabilitiesRequest {});
        match ctx.bounded("GetCapabilities", asked).await? {
            Err(_) if tries > 0 => tries -= 1,
            answer => return must("GetCapabilities after a restart", answer).map(|_| ()),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn stops(ctx: &Ctx) -> Checked {
    let keeper = keeper(ctx)?;
    stop(ctx, &*keeper).await?;
    start(ctx, &*keeper).await
}

/// The socket's file, to be told from another one.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

async fn second_start(ctx: &Ctx) -> Checked {
    let keeper = keeper(ctx)?;
    let path = &ctx.session.path;
    let before = identity(path);
    let second = match tokio::time::timeout(ctx.timeout(), keeper.start_again()).await {
        Ok(second) => second.map_err(Unmet::Failed),
        Err(_) => failed(format!("the second start was not over within {:?}", ctx.timeout())),
    };
    // One in the background has tried by then.
    tokio::time::sleep(ctx.quiet()).await;
    second?;
    expect(identity(path) == before, || format!("`{}` is another socket now", path.display()))
}

async fn drained(ctx: &Ctx) -> Checked {
    let keeper = keeper(ctx)?;
    ctx.needs(&["lifecycle.create"])?;
    let asked = ctx.sandbox()?;
    let mut client = ctx.client();
    let request = CreateSandboxRequest { sandbox: Some(asked) };
    let call = tokio::spawn(async move { client.create_sandbox(request).await });
    // Until it has got there, and not until it is over: what is asked after it on the connection is read after it.
    tokio::time::sleep(ctx.quiet() / 4).await;
    let mut client = ctx.client();
    let asked = client.get_capabilities(GetCapabilitiesRequest {});
    must("GetCapabilities", ctx.bounded("GetCapabilities", asked).await?)?;
    stop(ctx, &*keeper).await?;
    let answer = tokio::time::timeout(ctx.timeout(), call).await;
    start(ctx, &*keeper).await?;
    match answer {
        // What the driver says has no further cause; a connection that broke off has.
        Ok(Ok(Err(status))) if status.source().is_some() => {
            failed(format!("the connection broke off: {}", said("CreateSandbox", &status)))
        }
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => failed(format!("the call failed: {error}")),
        Err(_) => failed(format!("`CreateSandbox` was not answered within {:?}", ctx.timeout())),
    }
}

async fn watch_told(ctx: &Ctx) -> Checked {
    let keeper = keeper(ctx)?;
    ctx.needs(&["watch.stays-open"])?;
    let mut watch = ctx.watch().await?;
    stop(ctx, &*keeper).await?;
    let told = loop {
        match watch.next(ctx.timeout()).await {
            Next::Event(_) => {}
            Next::End(Some(_)) => break Ok(()),
            Next::End(None) => break failed("it ended without an error"),
            Next::Silence => break failed("it did not end with the driver"),
        }
    };
    start(ctx, &*keeper).await?;
    told
}

async fn socket_removed(ctx: &Ctx) -> Checked {
    let keeper = keeper(ctx)?;
    stop(ctx, &*keeper).await?;
    let left = std::fs::symlink_metadata(&ctx.session.path).is_ok();
    start(ctx, &*keeper).await?;
    expect(!left, || format!("`{}` is still there", ctx.session.path.display()))
}

async fn sandboxes_kept(ctx: &Ctx) -> Checked {
    let keeper = keeper(ctx)?;
    let (made, _) = ctx.running().await?;
    stop(ctx, &*keeper).await?;
    start(ctx, &*keeper).await?;
    ctx.wait_listed(&made.id).await
}

async fn still_running(ctx: &Ctx) -> Checked {
    let keeper = keeper(ctx)?;
    let (made, _) = ctx.running().await?;
    stop(ctx, &*keeper).await?;
    start(ctx, &*keeper).await?;
    if !ctx.is_known(&made.id).await? {
        return skipped("the driver no longer knows the sandbox");
    }
    let after = ctx.get(&made.id).await?;
    let managed = ctx.session.capabilities.gateway_manages_lifecycle && state::is_stopped(&after);
    expect(managed || state::is_ready(&after), || format!("it is {} now", state::shown(&after)))
}
