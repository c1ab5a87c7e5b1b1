//! The id is the key; a name informs.

use std::collections::BTreeSet;

use openshell_proto::compute::v1::{DriverSandbox, WatchSandboxesEvent, watch_sandboxes_event::Payload};
use tokio::time::Instant;
use tonic::Code;

use crate::case::{Case, Checked, Level, expect, failed, skipped};
use crate::context::{Ctx, must, must_refuse};
use crate::watching::Next;

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "identity.id-alone",
        level: Level::Required,
        checks: "A request with the id and no name is answered.",
        why: "The gateway never sends a name: some drivers refuse requests that carry both.",
        mend: "Look the sandbox up by `sandbox_id`, and ask for nothing else.",
        run: |ctx| Box::pin(id_alone(ctx)),
    },
    Case {
        id: "identity.id-and-name",
        level: Level::Required,
        checks: "A request with the id and its name is answered.",
        why: "Other gateways send both.",
        mend: "Take the id where there is one, and ignore the name.",
        run: |ctx| Box::pin(id_and_name(ctx)),
    },
    Case {
        id: "identity.id-wins",
        level: Level::Required,
        checks: "Where id and name belong to different sandboxes, the id counts.",
        why: "A name can be given again; whoever acts on it stops or deletes somebody else's sandbox.",
        mend: "Never look at the name while there is an id.",
        run: |ctx| Box::pin(id_wins(ctx)),
    },
    Case {
        id: "identity.name-alone",
        level: Level::Optional,
        checks: "A get with a name and no id gives the one sandbox of that name, or is refused.",
        why: "People who ask by hand know names; another sandbox's state would mislead them.",
        mend: "Answer where exactly one sandbox of the gateway has the name, else refuse.",
        run: |ctx| Box::pin(name_alone(ctx)),
    },
    Case {
        id: "identity.get-id",
        level: Level::Required,
        checks: "A get answers with the id that was asked for.",
        why: "The gateway drops an answer about another id.",
        mend: "Return the id as it came with the create, from a label or a tag; never the resource's own name.",
        run: |ctx| Box::pin(get_id(ctx)),
    },
    Case {
        id: "identity.list-id",
        level: Level::Required,
        checks: "A list has the sandbox under its id.",
        why: "What is not listed under its id counts as gone.",
        mend: "Return the id as it came with the create.",
        run: |ctx| Box::pin(list_id(ctx)),
    },
    Case {
        id: "identity.watch-id",
        level: Level::Required,
        checks: "A watch shows the sandbox under its id.",
        why: "An event of an unknown id changes nothing.",
        mend: "Use the same conversion for get, list and events.",
        run: |ctx| Box::pin(watch_id(ctx)),
    },
    Case {
        id: "identity.name-returned",
        level: Level::Recommended,
        checks: "An observation has the name that was given.",
        why: "An operator who looks at the backend's side finds the sandbox by it.",
        mend: "Keep the name as a label, and return it.",
        run: |ctx| Box::pin(name_returned(ctx)),
    },
    Case {
        id: "identity.workspace-returned",
        level: Level::Recommended,
        checks: "An observation has the workspace that was given.",
        why: "The same name may be taken in several workspaces.",
        mend: "Keep the workspace as a label, and return it.",
        run: |ctx| Box::pin(workspace_returned(ctx)),
    },
    Case {
        id: "identity.same-name",
        level: Level::Required,
        checks: "Two sandboxes of one name in two workspaces are two sandboxes.",
        why: "Names are unique in a workspace only.",
        mend: "Derive the backend's names from the id.",
        run: |ctx| Box::pin(same_name(ctx)),
    },
    Case {
        id: "identity.unknown-get",
        level: Level::Required,
        checks: "A get of an id that is not there is `NOT_FOUND`.",
        why: "By this code the gateway knows that a sandbox is gone; any other keeps it waiting.",
        mend: "Turn the backend's \"no such\" into `NOT_FOUND`, and answer no empty message.",
        run: |ctx| Box::pin(unknown_get(ctx)),
    },
    Case {
        id: "identity.empty-get",
        level: Level::Required,
        checks: "A get with neither id nor name is `INVALID_ARGUMENT`.",
        why: "An empty filter must never mean \"any\".",
        mend: "Refuse before the backend is asked.",
        run: |ctx| Box::pin(empty_get(ctx)),
    },
    Case {
        id: "identity.empty-stop",
        level: Level::Required,
        checks: "A stop with neither id nor name is `INVALID_ARGUMENT`.",
        why: "An empty filter must never mean \"any\", and never \"all\".",
        mend: "Refuse before the backend is asked.",
        run: |ctx| Box::pin(empty_stop(ctx)),
    },
    Case {
        id: "identity.empty-start",
        level: Level::Required,
        checks: "A start with neither id nor name is `INVALID_ARGUMENT`.",
        why: "An empty filter must never mean \"any\", and never \"all\".",
        mend: "Refuse before the backend is asked.",
        run: |ctx| Box::pin(empty_start(ctx)),
    },
    Case {
        id: "identity.empty-delete",
        level: Level::Required,
        checks: "A delete with neither id nor name is `INVALID_ARGUMENT`, and deletes nothing.",
        why: "A label filter with an empty value matches everything on several backends.",
        mend: "Refuse before the backend is asked.",
        run: |ctx| Box::pin(empty_delete(ctx)),
    },
    Case {
        id: "identity.empty-create",
        level: Level::Required,
        checks: "A create without an id is `INVALID_ARGUMENT`.",
        why: "Nobody could ever ask for it again.",
        mend: "Refuse before anything is made.",
        run: |ctx| Box::pin(empty_create(ctx)),
    },
    Case {
        id: "identity.missing-sandbox",
        level: Level::Required,
        checks: "A create without a sandbox in it is `INVALID_ARGUMENT`.",
        why: "A message field may be absent in protobuf; that is no sandbox with defaults.",
        mend: "Look whether `sandbox` is set.",
        run: |ctx| Box::pin(missing_sandbox(ctx)),
    },
];

async fn id_alone(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    ctx.get(&made.id).await.map(|_| ())
}

async fn id_and_name(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    ctx.get(&made.id).await?;
    must("GetSandbox", ctx.try_get(&made.id, &made.name).await?).map(|_| ())
}

async fn id_wins(ctx: &Ctx) -> Checked {
    let (one, two) = (ctx.made().await?, ctx.made().await?);
    ctx.get(&one.id).await?;
    match ctx.try_get(&one.id, &two.name).await? {
        Ok(Some(found)) => {
            expect(found.name != two.name || found.name.is_empty() || found.id == one.id, || {
                format!("asked for the id `{}` with the name of `{}`, and got the latter", one.id, two.id)
            })
        }
        Ok(None) => failed("`GetSandbox` answered without a sandbox"),
        Err(status) if status.code() == Code::InvalidArgument => {
            skipped("the driver refuses id and name together")
        }
        Err(status) => failed(crate::context::said("GetSandbox", &status)),
    }
}

async fn name_alone(ctx: &Ctx) -> Checked {
    let (one, _two) = (ctx.made().await?, ctx.made().await?);
    match ctx.try_get("", &one.name).await? {
        Ok(Some(found)) => expect(found.id == one.id || found.id == one.name, || {
            format!("asked for `{}`, got `{}`", one.name, found.id)
        }),
        Ok(None) => failed("`GetSandbox` answered without a sandbox"),
        Err(_) => skipped("the driver does not look up names"),
    }
}

async fn get_id(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    let found = ctx.get(&made.id).await?;
    expect(found.id == made.id, || format!("asked for `{}`, got `{}`", made.id, found.id))
}

async fn list_id(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    ctx.wait_listed(&made.id).await
}

async fn watch_id(ctx: &Ctx) -> Checked {
    let (made, _) = ctx.running().await?;
    let mut watch = ctx.watch().await?;
    let mut ids: BTreeSet<String> = watch.drain(ctx.quiet() * 2).await.iter().filter_map(any_id).collect();
    if ids.is_empty() {
        // That a watch begins with what is there is another case's.
        return skipped("the watch shows no sandbox at all");
    }
    let deadline = Instant::now() + ctx.timeout();
    while !ids.contains(&made.id) {
        match watch.next(deadline.saturating_duration_since(Instant::now())).await {
            Next::Event(event) => ids.extend(any_id(&event)),
            Next::End(_) | Next::Silence => {
                let ids: Vec<String> = ids.into_iter().collect();
                return failed(format!(
                    "`{}` is not among what the watch shows: {}",
                    made.id,
                    ids.join(", ")
                ));
            }
        }
    }
    Ok(())
}

/// The id under which an event shows a sandbox.
fn any_id(event: &WatchSandboxesEvent) -> Option<String> {
    match &event.payload {
        Some(Payload::Sandbox(event)) => event.sandbox.as_ref().map(|sandbox| sandbox.id.clone()),
        _ => None,
    }
}

async fn name_returned(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    let found = ctx.get(&made.id).await?;
    expect(found.name == made.name, || format!("`{}` came back as `{}`", made.name, found.name))
}

async fn workspace_returned(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    let found = ctx.get(&made.id).await?;
    expect(found.workspace == made.workspace, || {
        format!("`{}` came back as `{}`", made.workspace, found.workspace)
    })
}

async fn same_name(ctx: &Ctx) -> Checked {
    let one = ctx.made().await?;
    let two = DriverSandbox { name: one.name.clone(), workspace: "conformance".to_owned(), ..ctx.sandbox()? };
    // Whoever has no workspaces lets them be.
    let _ = ctx.try_ensure_workspace(&two.workspace).await;
    let created = ctx.create(&two).await;
    let both = async {
        created?;
        ctx.get(&one.id).await?;
        ctx.get(&two.id).await.map(|_| ())
    }
    .await;
    let _ = ctx.try_delete(&two.id, "").await;
    let _ = ctx.wait_gone(&two.id).await;
    let _ = ctx.try_delete_workspace(&two.workspace).await;
    both
}

async fn unknown_get(ctx: &Ctx) -> Checked {
    let answer = ctx.try_get(&ctx.unused_id(), "").await?;
    must_refuse("GetSandbox", answer, &[Code::NotFound]).map(|_| ())
}

async fn empty_get(ctx: &Ctx) -> Checked {
    must_refuse("GetSandbox", ctx.try_get("", "").await?, &[Code::InvalidArgument]).map(|_| ())
}

/// Nobody else's sandboxes are put at risk by a request that a broken driver takes for "all".
async fn alone(ctx: &Ctx) -> Checked {
    let others = ctx.list().await?.into_iter().filter(|sandbox| !ctx.session.is_ours(&sandbox.id)).count();
    match others {
        0 => Ok(()),
        _ => skipped(format!("the driver has {others} sandboxes of others, which this request might reach")),
    }
}

async fn empty_stop(ctx: &Ctx) -> Checked {
    alone(ctx).await?;
    must_refuse("StopSandbox", ctx.try_stop("", "").await?, &[Code::InvalidArgument]).map(|_| ())
}

async fn empty_start(ctx: &Ctx) -> Checked {
    alone(ctx).await?;
    must_refuse("StartSandbox", ctx.try_start("", "").await?, &[Code::InvalidArgument]).map(|_| ())
}

async fn empty_delete(ctx: &Ctx) -> Checked {
    alone(ctx).await?;
    let made = ctx.made().await?;
    ctx.get(&made.id).await?;
    let answer = ctx.try_delete("", "").await?;
    expect(ctx.is_known(&made.id).await?, || {
        "a delete of nothing in particular deleted a sandbox".to_owned()
    })?;
    must_refuse("DeleteSandbox", answer, &[Code::InvalidArgument]).map(|_| ())
}

async fn empty_create(ctx: &Ctx) -> Checked {
    let nobody = DriverSandbox { id: String::new(), ..ctx.sandbox()? };
    must_refuse("CreateSandbox", ctx.try_create(Some(nobody)).await?, &[Code::InvalidArgument]).map(|_| ())
}

async fn missing_sandbox(ctx: &Ctx) -> Checked {
    must_refuse("CreateSandbox", ctx.try_create(None).await?, &[Code::InvalidArgument]).map(|_| ())
}
