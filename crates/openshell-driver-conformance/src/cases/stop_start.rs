//! Stop and start: the workspace and the resource are kept.

use openshell_driver_api::conditions::reason;
use openshell_proto::compute::v1::DriverSandbox;

use crate::case::{Case, Checked, Level, Unmet, expect, failed, skipped};
use crate::context::{Ctx, must};
use crate::state;

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "lifecycle.stop",
        level: Level::Required,
        checks: "A stopped sandbox is no longer ready.",
        why: "A stop that was answered and did nothing goes on costing.",
        mend: "Answer once the backend stops it, and report `Ready=False` with `Stopped`.",
        run: |ctx| Box::pin(stop(ctx)),
    },
    Case {
        id: "lifecycle.stopped-suspended",
        level: Level::Required,
        checks: "A stopped sandbox has the condition `Suspended=True`.",
        why: "It tells a stop from an end: what is suspended can be started again.",
        mend: "Add the condition beside `Ready=False`.",
        run: |ctx| Box::pin(stopped_suspended(ctx)),
    },
    Case {
        id: "lifecycle.stopped-there",
        level: Level::Required,
        checks: "A stopped sandbox is still in get and list.",
        why: "What is not listed counts as gone, and its workspace with it.",
        mend: "List what is stopped, too: several backends leave it out unless told otherwise.",
        run: |ctx| Box::pin(stopped_there(ctx)),
    },
    Case {
        id: "lifecycle.start",
        level: Level::Required,
        checks: "A stopped sandbox that is started becomes ready again.",
        why: "That is what it was kept for.",
        mend: "Start the resource that was stopped.",
        run: |ctx| Box::pin(start(ctx)),
    },
    Case {
        id: "lifecycle.start-same-resource",
        level: Level::Required,
        checks: "A start resumes the same resource: `sandbox_name` is what it was.",
        why: "A new resource has none of the old one's files.",
        mend: "Name the resource after the sandbox's id, and start it instead of making it anew.",
        run: |ctx| Box::pin(start_same_resource(ctx)),
    },
    Case {
        id: "lifecycle.workspace-kept",
        level: Level::Required,
        checks: "What a sandbox wrote into `/sandbox` is there after a stop and a start.",
        why: "It is the workspace: everything that somebody did there.",
        mend: "Keep it on a volume of the sandbox's own, and remove that only with the sandbox.",
        run: |ctx| Box::pin(workspace_kept(ctx)),
    },
    Case {
        id: "lifecycle.delete-stopped",
        level: Level::Required,
        checks: "A stopped sandbox can be deleted.",
        why: "A delete always works, in every phase.",
        mend: "Remove the resource whether it runs or not.",
        run: |ctx| Box::pin(delete_stopped(ctx)),
    },
];

async fn stop(ctx: &Ctx) -> Checked {
    ctx.stopped().await.map(|_| ())
}

async fn stopped_suspended(ctx: &Ctx) -> Checked {
    let (made, _) = ctx.stopped().await?;
    let found = ctx.wait_for(&made.id, "`Suspended=True`", state::is_suspended).await?;
    expect(!state::is_ready(&found), || format!("it is {}", state::shown(&found)))
}

async fn stopped_there(ctx: &Ctx) -> Checked {
    let (made, _) = ctx.running().await?;
    ctx.stop(&made.id).await?;
    ctx.get(&made.id).await?;
    ctx.wait_listed(&made.id).await
}

async fn start(ctx: &Ctx) -> Checked {
    let (made, _) = ctx.stopped().await?;
    ctx.start(&made.id).await?;
    ctx.wait_ready(&made.id).await.map(|_| ())
}

async fn start_same_resource(ctx: &Ctx) -> Checked {
    let (made, before) = ctx.stopped().await?;
    let (was, _) = state::resource(&before);
    if was.is_empty() {
        return skipped("the driver gives no `sandbox_name`");
    }
    ctx.start(&made.id).await?;
    let (is, _) = state::resource(&ctx.wait_ready(&made.id).await?);
    expect(was == is, || format!("the resource was `{was}` and is `{is}`"))
}

/// A main process that ends when it finds what it wrote the last time.
const LEAVES_A_FILE: &str =
    "[ -e /sandbox/kept ] && exit 7; touch /sandbox/kept || exit 1; trap 'exit 0' TERM; sleep 3600 & wait";
/// One that ends at once: where that does not show, no process's end does.
const ENDS: &str = "exit 7";

/// Makes a sandbox whose main process is a shell with this script.
async fn shell(ctx: &Ctx, script: &str) -> Checked<String> {
    let mut asked = ctx.sandbox()?;
    if let Some(spec) = asked.spec.as_mut() {
        spec.command = ["sh", "-c", script].map(str::to_owned).to_vec();
    }
    ctx.create(&asked).await?;
    Ok(asked.id)
}

fn has_ended(sandbox: &DriverSandbox) -> bool {
    matches!(state::terminal(sandbox), Some(reason::CONTAINER_EXITED | reason::PROCESS_EXITED))
}

/// Waits for the end of a main process: whether it shows, or the sandbox goes on for a good while.
async fn ends(ctx: &Ctx, id: &str) -> Checked<bool> {
    let settled = |sandbox: &DriverSandbox| state::is_ready(sandbox) || state::terminal(sandbox).is_some();
    ctx.wait_for(id, "an end, or readiness", settled).await?;
    let began = tokio::time::Instant::now();
    loop {
        let found = ctx.get(id).await?;
        match has_ended(&found) {
            true => return Ok(true),
            false if state::terminal(&found).is_some() => {
                return failed(format!("a main process that a shell should be is {}", state::shown(&found)));
            }
            false => {}
        }
        if began.elapsed() > ctx.session.options.prompt * 4 {
            return Ok(false);
        }
        tokio::time::sleep(ctx.quiet() / 4).await;
    }
}

async fn workspace_kept(ctx: &Ctx) -> Checked {
    ctx.needs(&["errors.ready-condition", "lifecycle.create-ready"])?;
    ctx.needs(&["lifecycle.stopped-there", "lifecycle.stop", "lifecycle.start"])?;
    let control = shell(ctx, ENDS).await?;
    let id = shell(ctx, LEAVES_A_FILE).await?;
    match ends(ctx, &control).await {
        Ok(true) => {}
        Ok(false) => {
            return skipped("the driver does not say that a main process has ended, if any runs at all");
        }
        // Other sandboxes of this image run.
        Err(Unmet::Failed(why)) => return skipped(format!("the image runs no `sh`: {why}")),
        Err(skipped) => return Err(skipped),
    }
    match ctx.wait_ready(&id).await {
        Ok(_) => {}
        // Other sandboxes of this image run.
        Err(Unmet::Failed(why)) => return skipped(format!("the image's user may not write: {why}")),
        Err(skipped) => return Err(skipped),
    }
    // A sandbox may be ready, and be stopped, before its main process has written; while its end was waited for, it has.
    for _ in 0..2 {
        ctx.stop(&id).await?;
        ctx.wait_for(&id, "a stop", state::is_stopped).await?;
        ctx.start(&id).await?;
        if ends(ctx, &id).await? {
            return Ok(());
        }
    }
    failed("after the start its main process did not find the file that it had written")
}

async fn delete_stopped(ctx: &Ctx) -> Checked {
    let (made, _) = ctx.stopped().await?;
    must("DeleteSandbox", ctx.try_delete(&made.id, "").await?).map(|_| ())
}
