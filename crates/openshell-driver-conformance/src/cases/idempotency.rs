//! Every call may come twice: a gateway that was killed asks again.

use tonic::Code;

use crate::case::{Case, Checked, Level, expect};
use crate::context::{Ctx, must, must_refuse};
use crate::state;

/// A workspace that nobody else has.
fn workspace(ctx: &Ctx) -> String {
    ctx.session.id_and_name().1
}

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "idempotency.stop-twice",
        level: Level::Required,
        checks: "A stop of a stopped sandbox is no error.",
        why: "The gateway repeats a stop whose answer it never got.",
        mend: "Look at the state first, and take the backend's \"not running\" for success.",
        run: |ctx| Box::pin(stop_twice(ctx)),
    },
    Case {
        id: "idempotency.start-running",
        level: Level::Required,
        checks: "A start of a running sandbox is no error, and leaves it running.",
        why: "The gateway repeats a start whose answer it never got.",
        mend: "Look at the state first, and take the backend's \"already running\" for success.",
        run: |ctx| Box::pin(start_running(ctx)),
    },
    Case {
        id: "idempotency.stop-unknown",
        level: Level::Required,
        checks: "A stop of an id that is not there is `NOT_FOUND`.",
        why: "A gateway that is told OK believes that there is something stopped.",
        mend: "Turn the backend's \"no such\" into `NOT_FOUND`.",
        run: |ctx| Box::pin(stop_unknown(ctx)),
    },
    Case {
        id: "idempotency.start-unknown",
        level: Level::Required,
        checks: "A start of an id that is not there is `NOT_FOUND`.",
        why: "A gateway that is told OK waits for ready without end.",
        mend: "Turn the backend's \"no such\" into `NOT_FOUND`.",
        run: |ctx| Box::pin(start_unknown(ctx)),
    },
    Case {
        id: "idempotency.delete-true",
        level: Level::Required,
        checks: "A delete of what is there says `deleted = true`.",
        why: "`false` means that nothing was there, and the gateway would look no further.",
        mend: "Set it whenever there was anything to remove.",
        run: |ctx| Box::pin(delete_true(ctx)),
    },
    Case {
        id: "idempotency.delete-twice",
        level: Level::Required,
        checks: "A second delete of the same id is OK.",
        why: "The gateway repeats a delete whose answer it never got.",
        mend: "Answer `deleted = false` where nothing is left, instead of an error.",
        run: |ctx| Box::pin(delete_twice(ctx)),
    },
    Case {
        id: "idempotency.delete-unknown",
        level: Level::Required,
        checks: "A delete of an id that was never there is OK with `deleted = false`.",
        why: "A create that failed is compensated by a delete.",
        mend: "Answer `deleted = false` where nothing is there, and only there.",
        run: |ctx| Box::pin(delete_unknown(ctx)),
    },
    Case {
        id: "idempotency.delete-at-once",
        level: Level::Required,
        checks: "Two deletes of one sandbox at the same time are both OK.",
        why: "A conflict in the backend is a retry, and nothing for the caller to solve.",
        mend: "Let the second wait for the first, or retry on a conflict.",
        run: |ctx| Box::pin(delete_at_once(ctx)),
    },
    Case {
        id: "idempotency.ensure-workspace",
        level: Level::Required,
        checks: "A second `EnsureWorkspace` of the same name is OK.",
        why: "It is called before every create.",
        mend: "Take the backend's \"already exists\" for success.",
        run: |ctx| Box::pin(ensure_workspace(ctx)),
    },
    Case {
        id: "idempotency.delete-workspace",
        level: Level::Required,
        checks: "A second `DeleteWorkspace` of the same name is OK.",
        why: "The gateway repeats it when its answer was lost.",
        mend: "Take the backend's \"no such\" for success.",
        run: |ctx| Box::pin(delete_workspace(ctx)),
    },
    Case {
        id: "idempotency.empty-workspace",
        level: Level::Recommended,
        checks: "A workspace without a name is `INVALID_ARGUMENT`.",
        why: "An empty name in a path of the backend's API means all of them.",
        mend: "Refuse before the backend is asked.",
        run: |ctx| Box::pin(empty_workspace(ctx)),
    },
];

async fn stop_twice(ctx: &Ctx) -> Checked {
    let (made, _) = ctx.stopped().await?;
    ctx.stop(&made.id).await
}

async fn start_running(ctx: &Ctx) -> Checked {
    let (made, before) = ctx.running().await?;
    ctx.start(&made.id).await?;
    let after = ctx.get(&made.id).await?;
    let (was, is) = (state::resource(&before), state::resource(&after));
    expect(state::is_ready(&after) && was == is, || {
        format!("it was {was:?} and running, and is {is:?}, {}", state::shown(&after))
    })
}

async fn stop_unknown(ctx: &Ctx) -> Checked {
    let answer = ctx.try_stop(&ctx.unused_id(), "").await?;
    must_refuse("StopSandbox", answer, &[Code::NotFound]).map(|_| ())
}

async fn start_unknown(ctx: &Ctx) -> Checked {
    let answer = ctx.try_start(&ctx.unused_id(), "").await?;
    must_refuse("StartSandbox", answer, &[Code::NotFound]).map(|_| ())
}

async fn delete_true(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    // So that a driver that cannot delete it young is no concern of this case.
    ctx.wait_ready(&made.id).await?;
    expect(ctx.delete(&made.id).await?, || "`deleted` is false, and a sandbox was there".to_owned())
}

async fn delete_twice(ctx: &Ctx) -> Checked {
    let (made, _) = ctx.running().await?;
    ctx.delete(&made.id).await?;
    ctx.wait_gone(&made.id).await?;
    let again = must("the second DeleteSandbox", ctx.try_delete(&made.id, "").await?)?;
    expect(!again, || "the second delete says `deleted = true`, and nothing was there".to_owned())
}

async fn delete_unknown(ctx: &Ctx) -> Checked {
    let deleted = ctx.delete(&ctx.unused_id()).await?;
    expect(!deleted, || "`deleted` is true, and nothing was there".to_owned())
}

async fn delete_at_once(ctx: &Ctx) -> Checked {
    ctx.needs(&["idempotency.delete-twice"])?;
    let (made, _) = ctx.running().await?;
    let (one, two) = tokio::join!(ctx.delete(&made.id), ctx.delete(&made.id));
    one.and(two).map(|_| ())
}

async fn ensure_workspace(ctx: &Ctx) -> Checked {
    let name = workspace(ctx);
    must("EnsureWorkspace", ctx.try_ensure_workspace(&name).await?)?;
    let again = ctx.try_ensure_workspace(&name).await;
    let _ = ctx.try_delete_workspace(&name).await;
    must("the second EnsureWorkspace", again?)
}

async fn delete_workspace(ctx: &Ctx) -> Checked {
    let name = workspace(ctx);
    must("EnsureWorkspace", ctx.try_ensure_workspace(&name).await?)?;
    must("DeleteWorkspace", ctx.try_delete_workspace(&name).await?)?;
    must("the second DeleteWorkspace", ctx.try_delete_workspace(&name).await?)
}

async fn empty_workspace(ctx: &Ctx) -> Checked {
    let answer = ctx.try_ensure_workspace("").await?;
    must_refuse("EnsureWorkspace", answer, &[Code::InvalidArgument]).map(|_| ())
}
