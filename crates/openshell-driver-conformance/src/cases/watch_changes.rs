//! What a watch says of changes, and in which order.

use std::time::Duration;

use openshell_proto::compute::v1::{WatchSandboxesEvent, WatchSandboxesRequest};
use tonic::Streaming;

use crate::case::{Case, Checked, Level, failed};
use crate::client;
use crate::context::{Ctx, must};
use crate::state;
use crate::watching::{is_deleted, shown};

/// How many sandboxes come and go before a reader that does not read.
const BEHIND: usize = 8;
/// Of these, how many there are at a time.
const AT_A_TIME: usize = 4;
/// How many bytes such a reader lets be on their way.
const NARROW: u32 = 1024;

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "watch.create-seen",
        level: Level::Required,
        checks: "A sandbox that is made is shown.",
        why: "Other gateways of the same id, and this one after a lost answer, learn of it so.",
        mend: "Send an event when the resource appears.",
        run: |ctx| Box::pin(create_seen(ctx)),
    },
    Case {
        id: "watch.ready-seen",
        level: Level::Required,
        checks: "A sandbox that becomes ready is shown so.",
        why: "A client's create waits for it; nobody polls.",
        mend: "Send an event at each change of a condition.",
        run: |ctx| Box::pin(ready_seen(ctx)),
    },
    Case {
        id: "watch.stop-seen",
        level: Level::Required,
        checks: "A sandbox that stops is shown so.",
        why: "A client's stop waits for it; nobody polls.",
        mend: "Send an event at each change of a condition.",
        run: |ctx| Box::pin(stop_seen(ctx)),
    },
    Case {
        id: "watch.delete-seen",
        level: Level::Required,
        checks: "A sandbox that is gone is said to be.",
        why: "The gateway keeps its row until then.",
        mend: "Send `deleted` with the sandbox's id when the backend has removed it.",
        run: |ctx| Box::pin(delete_seen(ctx)),
    },
    Case {
        id: "watch.order",
        level: Level::Required,
        checks: "Nothing comes of a sandbox after it was said to be gone.",
        why: "A late event brings a deleted sandbox back to life in the gateway.",
        mend: "Send events of one sandbox from one place, in the order in which they happened.",
        run: |ctx| Box::pin(order(ctx)),
    },
    Case {
        id: "watch.two-watchers",
        level: Level::Required,
        checks: "Two watches at once both get the changes.",
        why: "A gateway that reconnects has two for a while, and the old one may be dead.",
        mend: "Give each stream a queue of its own.",
        run: |ctx| Box::pin(two_watchers(ctx)),
    },
    Case {
        id: "watch.slow-reader",
        level: Level::Required,
        checks: "A reader that falls behind gets every event, or is cut with an error.",
        why: "A gap in silence is never found: the gateway believes what it last heard.",
        mend: "Bound the queue of each stream; when it is full, end the stream with `RESOURCE_EXHAUSTED`.",
        run: |ctx| Box::pin(slow_reader(ctx)),
    },
];

async fn create_seen(ctx: &Ctx) -> Checked {
    let mut watch = ctx.watch_changes().await?;
    let made = ctx.made().await?;
    watch.until_shown(&made.id, "the new sandbox", |_| true).await.map(|_| ())
}

async fn ready_seen(ctx: &Ctx) -> Checked {
    let mut watch = ctx.watch_changes().await?;
    let (made, _) = ctx.running().await?;
    watch.until_shown(&made.id, "that the sandbox is ready", state::is_ready).await.map(|_| ())
}

async fn stop_seen(ctx: &Ctx) -> Checked {
    ctx.needs(&["lifecycle.stopped-there", "lifecycle.stop"])?;
    let (made, _) = ctx.running().await?;
    let mut watch = ctx.watch_changes().await?;
    ctx.stop(&made.id).await?;
    watch.until_shown(&made.id, "that the sandbox stopped", state::is_stopped).await.map(|_| ())
}

async fn delete_seen(ctx: &Ctx) -> Checked {
    ctx.needs(&["lifecycle.delete"])?;
    let (made, _) = ctx.running().await?;
    let mut watch = ctx.watch_changes().await?;
    ctx.delete(&made.id).await?;
    watch.until_deleted(&made.id).await
}

async fn order(ctx: &Ctx) -> Checked {
    ctx.needs(&["lifecycle.delete", "watch.delete-seen"])?;
    let mut watch = ctx.watch_changes().await?;
    let (made, _) = ctx.running().await?;
    ctx.delete(&made.id).await?;
    watch.until_deleted(&made.id).await?;
    for event in watch.drain(ctx.quiet()).await {
        if let Some(late) = shown(&event, &made.id) {
            return failed(format!("after its end it was shown again: {}", state::shown(late)));
        }
    }
    Ok(())
}

async fn two_watchers(ctx: &Ctx) -> Checked {
    let (mut one, mut two) = (ctx.watch_changes().await?, ctx.watch_changes().await?);
    let made = ctx.made().await?;
    one.until_shown(&made.id, "the new sandbox, on the first watch", |_| true).await?;
    two.until_shown(&made.id, "the new sandbox, on the second watch", |_| true).await.map(|_| ())
}

async fn slow_reader(ctx: &Ctx) -> Checked {
    ctx.needs(&["handshake.several-connections", "handshake.side-by-side"])?;
    ctx.needs(&[
        "lifecycle.delete",
        "watch.stays-open",
        "identity.watch-id",
        "watch.create-seen",
        "watch.delete-seen",
    ])?;
    let session = &ctx.session;
    let channel = client::channel(session.path.clone(), session.policy.clone(), Some(NARROW));
    let mut narrow = client::client(channel);
    // A driver without events may have no header to send; then there is nothing to fall behind with, yet.
    let opening = tokio::spawn(async move { narrow.watch_sandboxes(WatchSandboxesRequest {}).await });
    tokio::time::sleep(ctx.quiet() / 4).await;
    let mut made = Vec::new();
    while made.len() < BEHIND {
        for one in ctx.several_running(AT_A_TIME).await? {
            ctx.delete(&one.id).await?;
            made.push(one.id);
        }
    }
    let opened = match ctx.bounded("WatchSandboxes", async { flat(opening.await) }).await? {
        Ok(stream) => stream,
        Err(status) => return must("WatchSandboxes", Err(status)),
    };
    read_behind(opened, made, ctx.timeout()).await
}

/// A task's answer.
fn flat<T>(answer: Result<Result<T, tonic::Status>, tokio::task::JoinError>) -> Result<T, tonic::Status> {
    answer.unwrap_or_else(|error| Err(tonic::Status::internal(error.to_string())))
}

/// Reads what is there: each sandbox's end, or an error before it.
async fn read_behind(
    mut stream: Streaming<WatchSandboxesEvent>,
    mut missing: Vec<String>,
    patience: Duration,
) -> Checked {
    let all = missing.len();
    while !missing.is_empty() {
        match tokio::time::timeout(patience, stream.message()).await {
            Ok(Ok(Some(event))) => missing.retain(|id| !is_deleted(&event, id)),
            // Cut, and told so.
            Ok(Err(_)) => return Ok(()),
            Ok(Ok(None)) => return failed("it ended without an error, and without all events"),
            Err(_) => {
                let some = missing.len();
                return failed(format!(
                    "the ends of {some} of {all} sandboxes never came, and no error either"
                ));
            }
        }
    }
    Ok(())
}
