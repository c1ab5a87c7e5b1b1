//! From a create to a delete, and nothing left in between.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use openshell_proto::compute::v1::DriverResourceRequirements;
use tokio::time::Instant;
use tonic::Code;

use crate::case::{Case, Checked, Level, expect, failed, skipped};
use crate::context::{Ctx, must, must_refuse};
use crate::state;

/// A registry that cannot exist (RFC 2606).
const NO_IMAGE: &str = "openshell-conformance.invalid/no/such-image:0";
/// How many are made at once.
const AT_ONCE: usize = 4;

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "lifecycle.create",
        level: Level::Required,
        checks: "A create of an ordinary sandbox is answered with OK.",
        why: "Nothing works otherwise.",
        mend: "See the driver's log; the kit takes an image from --image, or the driver's own.",
        run: |ctx| Box::pin(create(ctx)),
    },
    Case {
        id: "lifecycle.list",
        level: Level::Required,
        checks: "A list is answered.",
        why: "The gateway resyncs against it after every reconnect.",
        mend: "Answer with an empty list where there is nothing.",
        run: |ctx| Box::pin(list(ctx)),
    },
    Case {
        id: "lifecycle.create-ready",
        level: Level::Required,
        checks: "A created sandbox comes to `Ready=True`.",
        why: "Until then no client gets into it.",
        mend: "Report `Ready=True` as soon as the backend's resource runs; the supervisor is the gateway's to wait for.",
        run: |ctx| Box::pin(create_ready(ctx)),
    },
    Case {
        id: "lifecycle.create-found",
        level: Level::Required,
        checks: "As soon as a create is answered, a get finds the sandbox.",
        why: "A gateway that is told `NOT_FOUND` takes it for gone.",
        mend: "Answer the create once the backend has its resource, running or not.",
        run: |ctx| Box::pin(create_found(ctx)),
    },
    Case {
        id: "lifecycle.create-listed",
        level: Level::Required,
        checks: "As soon as a create is answered, a list has the sandbox.",
        why: "A gateway that resyncs takes what is not listed for gone.",
        mend: "Ask the backend itself for a list, not a cache that lags.",
        run: |ctx| Box::pin(create_listed(ctx)),
    },
    Case {
        id: "lifecycle.create-twice",
        level: Level::Required,
        checks: "A second create of the same id is `ALREADY_EXISTS`.",
        why: "A gateway that was killed asks again, and has to learn that the first create was heard.",
        mend: "Make the id part of something that the backend keeps unique.",
        run: |ctx| Box::pin(create_twice(ctx)),
    },
    Case {
        id: "lifecycle.create-twice-undisturbed",
        level: Level::Required,
        checks: "A second create of the same id leaves the first sandbox as it is, running.",
        why: "What runs in it would be lost to a mere repetition.",
        mend: "Look before anything is removed or made; never clean up what another create made.",
        run: |ctx| Box::pin(create_twice_undisturbed(ctx)),
    },
    Case {
        id: "lifecycle.create-at-once",
        level: Level::Required,
        checks: "Several creates at the same time all succeed.",
        why: "Clients do not wait for each other.",
        mend: "Serialize by sandbox, not by driver.",
        run: |ctx| Box::pin(create_at_once(ctx)),
    },
    Case {
        id: "lifecycle.failed-create",
        level: Level::Required,
        checks: "A create that fails leaves nothing behind.",
        why: "The gateway forgets the sandbox; nobody would ever remove what is left.",
        mend: "Undo in reverse order whatever was made, also when the caller has gone.",
        run: |ctx| Box::pin(failed_create(ctx)),
    },
    Case {
        id: "lifecycle.default-image",
        level: Level::Recommended,
        checks: "A sandbox without an image is accepted where `GetCapabilities` names a default one.",
        why: "What the driver offers has to work.",
        mend: "Use `default_image` where the template's is empty, or name none.",
        run: |ctx| Box::pin(default_image(ctx)),
    },
    Case {
        id: "lifecycle.missing-image",
        level: Level::Required,
        checks: "A sandbox whose image does not exist never becomes ready: the create fails, or a terminal reason says why.",
        why: "A client waits for ready, and has to be told that it never comes.",
        mend: "Report `Ready=False` with `ImagePullFailed`.",
        run: |ctx| Box::pin(missing_image(ctx)),
    },
    Case {
        id: "lifecycle.delete",
        level: Level::Required,
        checks: "A deleted sandbox is gone from get and list.",
        why: "The gateway keeps its row until the driver says so.",
        mend: "Remove the resource itself, and wait until the backend confirms it.",
        run: |ctx| Box::pin(delete(ctx)),
    },
    Case {
        id: "lifecycle.delete-shows",
        level: Level::Recommended,
        checks: "A sandbox that is still there after its delete was answered says `deleting`.",
        why: "People would take it for one that was never deleted.",
        mend: "Answer when it is gone, or set `deleting` in its status.",
        run: |ctx| Box::pin(delete_shows(ctx)),
    },
    Case {
        id: "lifecycle.delete-young",
        level: Level::Required,
        checks: "A sandbox that does not run yet can be deleted.",
        why: "A client that changes its mind, or a gateway that compensates, does not wait for ready.",
        mend: "Let a delete break off whatever the create is still doing.",
        run: |ctx| Box::pin(delete_young(ctx)),
    },
    Case {
        id: "lifecycle.recreate",
        level: Level::Required,
        checks: "The id of a deleted sandbox can be used again.",
        why: "A gateway that compensated a create tries it again with the same id.",
        mend: "Leave no trace of a deleted sandbox, such as a name that stays reserved.",
        run: |ctx| Box::pin(recreate(ctx)),
    },
    Case {
        id: "lifecycle.list-whole",
        level: Level::Required,
        checks: "A list has every sandbox, however many.",
        why: "What is not listed counts as gone, and the gateway would give up the rest.",
        mend: "Follow the backend's pages to the end.",
        run: |ctx| Box::pin(list_whole(ctx)),
    },
];

async fn create(ctx: &Ctx) -> Checked {
    ctx.made().await.map(|_| ())
}

async fn list(ctx: &Ctx) -> Checked {
    ctx.list().await.map(|_| ())
}

async fn create_ready(ctx: &Ctx) -> Checked {
    ctx.running().await.map(|_| ())
}

async fn create_found(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    must("GetSandbox", ctx.try_get(&made.id, "").await?).map(|_| ())
}

async fn create_listed(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    expect(ctx.is_listed(&made.id).await?, || format!("`{}` is not in the list", made.id))
}

async fn create_twice(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    let again = ctx.try_create(Some(made)).await?;
    must_refuse("CreateSandbox", again, &[Code::AlreadyExists]).map(|_| ())
}

async fn create_twice_undisturbed(ctx: &Ctx) -> Checked {
    let (asked, before) = ctx.running().await?;
    // Whether it is refused is another case's.
    let _ = ctx.try_create(Some(asked.clone())).await?;
    let after = ctx.get(&asked.id).await?;
    let (was, is) = (state::resource(&before), state::resource(&after));
    expect(was == is, || format!("the resource was {was:?} before and is {is:?}"))?;
    expect(state::is_ready(&after), || format!("it is {} now", state::shown(&after)))
}

async fn create_at_once(ctx: &Ctx) -> Checked {
    let asked = (0..AT_ONCE).map(|_| ctx.sandbox()).collect::<Checked<Vec<_>>>()?;
    join_all(asked.iter().map(|sandbox| ctx.create(sandbox)))
        .await
        .into_iter()
        .collect::<Checked<Vec<()>>>()?;
    for sandbox in &asked {
        ctx.get(&sandbox.id).await?;
    }
    Ok(())
}

async fn failed_create(ctx: &Ctx) -> Checked {
    let junk = DriverResourceRequirements {
        memory_limit: "plenty".to_owned(),
        ..DriverResourceRequirements::default()
    };
    let sandbox = ctx.sandbox_with(junk)?;
    if ctx.try_create(Some(sandbox.clone())).await?.is_ok() {
        return skipped("the driver accepts junk, so this create does not fail");
    }
    let there = ctx.is_known(&sandbox.id).await? || ctx.is_listed(&sandbox.id).await?;
    expect(!there, || format!("`{}` is there, though its create failed", sandbox.id))
}

async fn default_image(ctx: &Ctx) -> Checked {
    if ctx.session.capabilities.default_image.is_empty() {
        return skipped("the driver has no default image");
    }
    let mut sandbox = ctx.sandbox()?;
    if let Some(template) = sandbox.spec.as_mut().and_then(|spec| spec.template.as_mut()) {
        template.image.clear();
    }
    must("ValidateSandboxCreate", ctx.validate(Some(sandbox)).await?)
}

async fn missing_image(ctx: &Ctx) -> Checked {
    ctx.needs(&["errors.ready-condition"])?;
    let mut sandbox = ctx.sandbox()?;
    if let Some(template) = sandbox.spec.as_mut().and_then(|spec| spec.template.as_mut()) {
        template.image = NO_IMAGE.to_owned();
    }
    if ctx.try_create(Some(sandbox.clone())).await?.is_err() {
        let there = ctx.is_known(&sandbox.id).await?;
        return expect(!there, || "the create failed, and the sandbox is there".to_owned());
    }
    let what = "a terminal reason";
    let last = ctx
        .wait_for(&sandbox.id, what, |sandbox| state::is_ready(sandbox) || state::terminal(sandbox).is_some())
        .await?;
    expect(!state::is_ready(&last), || "it is ready, without an image".to_owned())
}

async fn delete(ctx: &Ctx) -> Checked {
    let (made, _) = ctx.running().await?;
    ctx.delete(&made.id).await?;
    ctx.wait_gone(&made.id).await
}

async fn delete_shows(ctx: &Ctx) -> Checked {
    ctx.needs(&["lifecycle.delete"])?;
    let (made, _) = ctx.running().await?;
    ctx.delete(&made.id).await?;
    match ctx.try_get(&made.id, "").await? {
        Ok(Some(left)) => {
            let deleting = left.status.as_ref().is_some_and(|status| status.deleting);
            expect(deleting, || format!("it is {} and not `deleting`", state::shown(&left)))
        }
        _ => Ok(()),
    }
}

async fn delete_young(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    must("DeleteSandbox", ctx.try_delete(&made.id, "").await?).map(|_| ())
}

async fn recreate(ctx: &Ctx) -> Checked {
    let (made, _) = ctx.running().await?;
    ctx.delete(&made.id).await?;
    ctx.wait_gone(&made.id).await?;
    ctx.create(&made).await
}

async fn list_whole(ctx: &Ctx) -> Checked {
    let Some(many) = ctx.session.options.many else {
        return skipped("it needs many sandboxes: --many 101, or more");
    };
    ctx.needs(&["lifecycle.create-at-once", "identity.list-id"])?;
    let asked = (0..many).map(|_| ctx.sandbox()).collect::<Checked<Vec<_>>>()?;
    for some in asked.chunks(AT_ONCE * 2) {
        let made = join_all(some.iter().map(|sandbox| ctx.create(sandbox))).await;
        made.into_iter().collect::<Checked<Vec<()>>>()?;
    }
    let deadline = Instant::now() + ctx.timeout();
    loop {
        let listed = ctx.list().await?;
        let there: BTreeSet<&str> = listed.iter().map(|sandbox| sandbox.id.as_str()).collect();
        let missing = asked.iter().filter(|sandbox| !there.contains(sandbox.id.as_str())).count();
        match missing {
            0 => return Ok(()),
            _ if Instant::now() > deadline => {
                return failed(format!(
                    "{missing} of {many} sandboxes are not in a list of {}",
                    listed.len()
                ));
            }
            _ => tokio::time::sleep(ctx.quiet()).await,
        }
    }
}
