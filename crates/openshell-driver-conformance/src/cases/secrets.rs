//! A sandbox's token is for the sandbox alone.

use openshell_proto::compute::v1::{
    CreateSandboxRequest, DriverSandbox, GetSandboxRequest, WatchSandboxesEvent,
};
use prost::Message as _;

use crate::case::{Case, Checked, Level, expect, failed};
use crate::context::{Ctx, must};
use crate::watching::shown;

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "secrets.get",
        level: Level::Required,
        checks: "The answer to a get does not hold the token.",
        why: "Whoever has it is the sandbox, as far as the gateway can tell.",
        mend: "Answer with what the backend reports, never with what was asked for.",
        run: |ctx| Box::pin(get(ctx)),
    },
    Case {
        id: "secrets.list",
        level: Level::Required,
        checks: "A list does not hold the token.",
        why: "Whoever has it is the sandbox, as far as the gateway can tell.",
        mend: "Answer with what the backend reports, never with what was asked for.",
        run: |ctx| Box::pin(list(ctx)),
    },
    Case {
        id: "secrets.watch",
        level: Level::Required,
        checks: "No event holds the token.",
        why: "Events are logged more readily than answers.",
        mend: "Use the same conversion for get, list and events.",
        run: |ctx| Box::pin(watch(ctx)),
    },
    Case {
        id: "secrets.errors",
        level: Level::Required,
        checks: "No refusal says the token, in its message or beside it.",
        why: "Errors reach the client and every log on the way.",
        mend: "Never format a whole request into an error.",
        run: |ctx| Box::pin(errors(ctx)),
    },
    Case {
        id: "secrets.no-spec",
        level: Level::Recommended,
        checks: "An observation has no `spec`.",
        why: "It is the gateway's own, with everybody's environment in it; the gateway takes none from a driver.",
        mend: "Leave `spec` unset in answers and events.",
        run: |ctx| Box::pin(no_spec(ctx)),
    },
];

fn token(sandbox: &DriverSandbox) -> String {
    sandbox.spec.as_ref().map(|spec| spec.sandbox_token.clone()).unwrap_or_default()
}

/// Fails where the bytes hold the token.
fn without(bytes: &[u8], sandbox: &DriverSandbox, place: &str) -> Checked {
    let token = token(sandbox);
    let found = bytes.windows(token.len()).any(|window| window == token.as_bytes());
    expect(!found, || format!("{place} holds the `sandbox_token`"))
}

async fn get(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    ctx.get(&made.id).await?;
    let request = GetSandboxRequest { sandbox_id: made.id.clone(), sandbox_name: String::new() };
    let answer = must("GetSandbox", ctx.raw("GetSandbox", request.encode_to_vec()).await?)?;
    without(&answer, &made, "the answer to `GetSandbox`")
}

async fn list(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    ctx.wait_listed(&made.id).await?;
    let answer = must("ListSandboxes", ctx.raw("ListSandboxes", Vec::new()).await?)?;
    without(&answer, &made, "the answer to `ListSandboxes`")
}

/// Events as they come, one sandbox's life long.
async fn life(ctx: &Ctx) -> Checked<(DriverSandbox, Vec<WatchSandboxesEvent>)> {
    let mut watch = ctx.watch().await?;
    let (made, _) = ctx.running().await?;
    Ok((made, watch.drain(ctx.quiet() / 2).await))
}

async fn watch(ctx: &Ctx) -> Checked {
    let (made, events) = life(ctx).await?;
    events.iter().try_for_each(|event| without(&event.encode_to_vec(), &made, "an event"))
}

async fn errors(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    let mut junk = ctx.sandbox()?;
    if let Some(template) = junk.spec.as_mut().and_then(|spec| spec.template.as_mut()) {
        template.resources = Some(openshell_proto::compute::v1::DriverResourceRequirements {
            cpu_limit: "plenty".to_owned(),
            ..Default::default()
        });
    }
    for sandbox in [made, junk] {
        let request = CreateSandboxRequest { sandbox: Some(sandbox.clone()) };
        let Err(status) = ctx.raw("CreateSandbox", request.encode_to_vec()).await? else { continue };
        without(status.message().as_bytes(), &sandbox, "an error's message")?;
        without(status.details(), &sandbox, "an error's details")?;
        without(format!("{:?}", status.metadata()).as_bytes(), &sandbox, "an error's trailers")?;
    }
    Ok(())
}

async fn no_spec(ctx: &Ctx) -> Checked {
    ctx.needs(&["secrets.get", "secrets.watch"])?;
    let (made, events) = life(ctx).await?;
    if ctx.get(&made.id).await?.spec.is_some() {
        return failed("the answer to `GetSandbox` has a `spec`");
    }
    let specs = events.iter().filter_map(|event| shown(event, &made.id)).filter(|shown| shown.spec.is_some());
    expect(specs.count() == 0, || "an event has a `spec`".to_owned())
}
