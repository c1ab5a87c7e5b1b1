//! The stream itself: its snapshot, its life, its readers.

use std::time::Instant;

use openshell_proto::compute::v1::watch_sandboxes_event::Payload;

use crate::case::{Case, Checked, Level, expect, failed};
use crate::context::Ctx;
use crate::watching::{Next, ended, shown};

/// The most events of a second in which nothing happens.
const CALM: usize = 100;
/// How many quiet times are waited for calm to come.
const SETTLE: usize = 10;

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "watch.opens-at-once",
        level: Level::Recommended,
        checks: "A watch is answered before its first event.",
        why: "Until the answer a gateway cannot tell a quiet driver from a dead one.",
        mend: "Send the response's header when the subscription stands.",
        run: |ctx| Box::pin(opens_at_once(ctx)),
    },
    Case {
        id: "watch.snapshot",
        level: Level::Required,
        checks: "A new watch begins with what is there.",
        why: "The gateway learns of whatever happened while it was away from nothing else.",
        mend: "Subscribe first, then list, then send the list, then the changes.",
        run: |ctx| Box::pin(snapshot(ctx)),
    },
    Case {
        id: "watch.snapshot-whole",
        level: Level::Required,
        checks: "The snapshot has every sandbox.",
        why: "Half a snapshot is half a resync.",
        mend: "Send the list without a bound, and without a filter.",
        run: |ctx| Box::pin(snapshot_whole(ctx)),
    },
    Case {
        id: "watch.snapshot-again",
        level: Level::Required,
        checks: "Every further watch has a snapshot, too.",
        why: "A gateway that was cut comes back for it.",
        mend: "Keep no \"already told\" beyond one stream.",
        run: |ctx| Box::pin(snapshot_again(ctx)),
    },
    Case {
        id: "watch.stays-open",
        level: Level::Required,
        checks: "A watch does not end while nothing is wrong.",
        why: "Every end costs the gateway a pause and a resync of everything.",
        mend: "Wait for changes when the snapshot is sent, instead of returning.",
        run: |ctx| Box::pin(stays_open(ctx)),
    },
    Case {
        id: "watch.calm",
        level: Level::Recommended,
        checks: "A watch says little while nothing happens.",
        why: "Each event is a write to the gateway's store, and wakes its clients.",
        mend: "Compare with what was sent last, and drop what is the same.",
        run: |ctx| Box::pin(calm(ctx)),
    },
    Case {
        id: "watch.no-empty-events",
        level: Level::Recommended,
        checks: "Every event has something in it.",
        why: "The gateway warns of those, and cannot tell what was meant.",
        mend: "Send nothing where there is nothing to say; a keep-alive is HTTP/2's.",
        run: |ctx| Box::pin(no_empty_events(ctx)),
    },
    Case {
        id: "watch.status-in-events",
        level: Level::Required,
        checks: "A sandbox in an event has a status with conditions.",
        why: "The event is all that the gateway looks at; it does not ask again.",
        mend: "Send the whole observation, as a get would.",
        run: |ctx| Box::pin(status_in_events(ctx)),
    },
];

async fn opens_at_once(ctx: &Ctx) -> Checked {
    let watch = ctx.watch().await?;
    expect(watch.opened, || format!("no header after {:?}", ctx.session.options.prompt))
}

async fn snapshot(ctx: &Ctx) -> Checked {
    ctx.needs(&["identity.watch-id"])?;
    // Ready, so that no change comes that could be taken for a snapshot.
    // A second one behind it: the last of a snapshot is another case's.
    let made = ctx.several_running(2).await?;
    ctx.watch().await?.until_shown(&made[0].id, "the sandbox that is there", |_| true).await.map(|_| ())
}

async fn snapshot_whole(ctx: &Ctx) -> Checked {
    let mut missing: Vec<String> = ctx.several_running(3).await?.into_iter().map(|made| made.id).collect();
    let mut watch = ctx.watch_snapshot().await?;
    watch
        .until("all three sandboxes that are there", |event| {
            missing.retain(|id| shown(event, id).is_none());
            missing.is_empty().then_some(())
        })
        .await
}

async fn snapshot_again(ctx: &Ctx) -> Checked {
    let made = ctx.several_running(2).await?;
    ctx.watch_snapshot().await?.until_shown(&made[0].id, "the sandbox that is there", |_| true).await?;
    let mut again = ctx.watch().await?;
    again.until_shown(&made[0].id, "the sandbox that is there, once more", |_| true).await.map(|_| ())
}

async fn stays_open(ctx: &Ctx) -> Checked {
    let mut watch = ctx.watch().await?;
    let began = Instant::now();
    loop {
        match watch.next(ctx.quiet().saturating_sub(began.elapsed())).await {
            Next::Silence => return Ok(()),
            Next::Event(_) if began.elapsed() > ctx.quiet() => return Ok(()),
            Next::Event(_) => {}
            Next::End(end) => return failed(format!("it ended {}", ended(end.as_ref()))),
        }
    }
}

async fn calm(ctx: &Ctx) -> Checked {
    let mut watch = ctx.watch().await?;
    // The snapshot is no noise, nor is what earlier cases deleted and the backend still removes.
    for _ in 0..SETTLE {
        if watch.drain(ctx.quiet()).await.is_empty() {
            break;
        }
    }
    let count = watch.drain(ctx.quiet()).await.len();
    let most = (CALM as f64 * ctx.quiet().as_secs_f64()).ceil() as usize;
    expect(count <= most, || format!("{count} events in {:?} in which nothing happened", ctx.quiet()))
}

async fn no_empty_events(ctx: &Ctx) -> Checked {
    let _made = ctx.made().await?;
    let mut watch = ctx.watch().await?;
    for event in watch.drain(ctx.quiet()).await {
        let empty = match &event.payload {
            None => true,
            Some(Payload::Sandbox(event)) => event.sandbox.is_none(),
            Some(Payload::Deleted(event)) => event.sandbox_id.is_empty(),
            Some(Payload::PlatformEvent(event)) => event.event.is_none(),
        };
        expect(!empty, || "an event says nothing of any sandbox".to_owned())?;
    }
    Ok(())
}

async fn status_in_events(ctx: &Ctx) -> Checked {
    ctx.needs(&["watch.snapshot", "identity.watch-id"])?;
    let (made, _) = ctx.running().await?;
    let _other = ctx.running().await?;
    let shown = ctx.watch().await?.until_shown(&made.id, "the sandbox that is there", |_| true).await?;
    let conditions = shown.status.is_some_and(|status| !status.conditions.is_empty());
    expect(conditions, || "the event's sandbox has no status with conditions".to_owned())
}
