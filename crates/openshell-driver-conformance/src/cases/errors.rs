//! What a status says, and how large an answer may be.

use std::time::Duration;

use openshell_driver_api::conditions::{self, READY, ReasonClass, Wanted};
use openshell_proto::compute::v1::{DriverCondition, GetSandboxRequest};
use prost::Message as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::Code;

use crate::case::{Case, Checked, Level, expect, failed, skipped};
use crate::context::{Ctx, must, must_refuse, said};
use crate::state;
use crate::watching::shown;

/// More than the four megabytes that gRPC libraries take unless told otherwise.
const LARGE: usize = 5 * 1024 * 1024;
/// Between two looks for a sandbox that is being made.
const LOOK: Duration = Duration::from_millis(5);
/// The most bytes that there are to say about one sandbox.
const MOST: usize = 64 * 1024;

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "errors.ready-condition",
        level: Level::Required,
        checks: "Every observation has the condition `Ready`, in get and in list.",
        why: "It is what the gateway's phase is made from.",
        mend: "Report `Ready` from the first moment on, with `False` and a reason until it runs.",
        run: |ctx| Box::pin(ready_condition(ctx)),
    },
    Case {
        id: "errors.condition-status",
        level: Level::Required,
        checks: "A condition's status is `True`, `False` or `Unknown`.",
        why: "Every other word counts as `Unknown`.",
        mend: "Write the three words as Kubernetes does.",
        run: |ctx| Box::pin(condition_status(ctx)),
    },
    Case {
        id: "errors.known-reasons",
        level: Level::Recommended,
        checks: "The reason for which a sandbox is not ready is one of the words in use.",
        why: "A word that nobody knows counts as \"on its way\" until a timeout.",
        mend: "Use the list in this document; the backend's own word belongs into the message.",
        run: |ctx| Box::pin(known_reasons(ctx)),
    },
    Case {
        id: "errors.transition-time",
        level: Level::Recommended,
        checks: "`last_transition_time` is RFC 3339, or empty.",
        why: "Clients compute how long a state has lasted.",
        mend: "Write it as `2026-01-31T23:59:59Z`.",
        run: |ctx| Box::pin(transition_time(ctx)),
    },
    Case {
        id: "errors.junk-code",
        level: Level::Required,
        checks: "Junk is `INVALID_ARGUMENT`, and no internal error.",
        why: "The code tells the client whether it or the driver has to change.",
        mend: "Keep `INTERNAL` and `UNKNOWN` for what the driver did not expect.",
        run: |ctx| Box::pin(junk_code(ctx)),
    },
    Case {
        id: "errors.large-request",
        level: Level::Recommended,
        checks: "A request of 5 MiB is answered with OK or a limit of the backend, not cut by gRPC.",
        why: "A template may bring files along; the contract's bound is 64 MiB.",
        mend: "Raise the largest message of the gRPC library, which is 4 MiB in most.",
        run: |ctx| Box::pin(large_request(ctx)),
    },
    Case {
        id: "errors.answer-size",
        level: Level::Recommended,
        checks: "The answer about one sandbox has at most 64 KiB.",
        why: "A list has all of them in one message, and 64 MiB are its bound.",
        mend: "Leave the backend's raw object out of names and messages.",
        run: |ctx| Box::pin(answer_size(ctx)),
    },
    Case {
        id: "errors.survives-hang-up",
        level: Level::Required,
        checks: "A client that hangs up in the middle of a create gets a whole sandbox, or none.",
        why: "A gateway may be killed at any moment, and deletes or keeps what it then finds.",
        mend: "Carry a create that was begun to its end, or undo it.",
        run: |ctx| Box::pin(survives_hang_up(ctx)),
    },
];

async fn ready_condition(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    let got = ctx.get(&made.id).await?;
    let listed = ctx.list().await?;
    let listed = listed.iter().find(|sandbox| sandbox.id == made.id);
    for (place, sandbox) in [("get", Some(&got)), ("list", listed)] {
        // That it is listed at all is another case's.
        let Some(sandbox) = sandbox else { continue };
        expect(state::condition(sandbox, READY).is_some(), || {
            format!("in {place} it is {}, and `Ready` is not among it", state::shown(sandbox))
        })?;
    }
    Ok(())
}

/// Every condition that a sandbox shows on its way up, and while it is stopped.
async fn conditions_of_a_life(ctx: &Ctx) -> Checked<Vec<DriverCondition>> {
    let mut watch = ctx.watch().await?;
    let made = ctx.made().await?;
    let mut seen = ctx.get(&made.id).await?.status.unwrap_or_default().conditions;
    // What is seen counts; that it gets there is another case's.
    if let Ok(ready) = ctx.wait_ready(&made.id).await {
        seen.extend(ready.status.unwrap_or_default().conditions);
        if ctx.stop(&made.id).await.is_ok() {
            seen.extend(
                ctx.get(&made.id)
                    .await
                    .ok()
                    .and_then(|sandbox| sandbox.status)
                    .unwrap_or_default()
                    .conditions,
            );
        }
    }
    for event in watch.drain(ctx.quiet() / 4).await {
        let status = shown(&event, &made.id).and_then(|sandbox| sandbox.status.clone());
        seen.extend(status.unwrap_or_default().conditions);
    }
    Ok(seen)
}

async fn condition_status(ctx: &Ctx) -> Checked {
    for condition in conditions_of_a_life(ctx).await? {
        let known = ["True", "False", "Unknown"].contains(&condition.status.as_str());
        expect(known, || format!("`{}` has the status `{}`", condition.r#type, condition.status))?;
    }
    Ok(())
}

async fn known_reasons(ctx: &Ctx) -> Checked {
    let seen = conditions_of_a_life(ctx).await?;
    for condition in seen.iter().filter(|condition| condition.r#type == READY && condition.status == "False")
    {
        let class = conditions::classify(&condition.reason, Wanted::Stopped);
        expect(class != ReasonClass::Unknown, || {
            format!("`Ready=False` for the reason `{}`", condition.reason)
        })?;
    }
    Ok(())
}

async fn transition_time(ctx: &Ctx) -> Checked {
    for condition in conditions_of_a_life(ctx).await? {
        let time = condition.last_transition_time;
        let fine = time.is_empty() || OffsetDateTime::parse(&time, &Rfc3339).is_ok();
        expect(fine, || format!("`{}` has changed at `{time}`", condition.r#type))?;
    }
    Ok(())
}

async fn junk_code(ctx: &Ctx) -> Checked {
    let mut nothing = ctx.sandbox()?;
    nothing.spec = None;
    let answer = ctx.validate(Some(nothing)).await?;
    must_refuse("ValidateSandboxCreate without a spec", answer, &[Code::InvalidArgument])?;
    let junk = openshell_proto::compute::v1::DriverResourceRequirements {
        cpu_limit: "plenty".to_owned(),
        ..Default::default()
    };
    match ctx.validate(Some(ctx.sandbox_with(junk)?)).await? {
        Err(status) if matches!(status.code(), Code::Internal | Code::Unknown) => {
            failed(said("ValidateSandboxCreate", &status))
        }
        _ => Ok(()),
    }
}

async fn large_request(ctx: &Ctx) -> Checked {
    let mut sandbox = ctx.sandbox()?;
    if ctx.validate(Some(sandbox.clone())).await?.is_err() {
        return skipped("the driver refuses a plain sandbox, too");
    }
    if let Some(spec) = sandbox.spec.as_mut() {
        spec.environment.insert("CONFORMANCE".to_owned(), "x".repeat(LARGE));
    }
    match ctx.validate(Some(sandbox)).await? {
        Ok(()) => Ok(()),
        // A backend may have a bound of its own; the driver says so.
        Err(status) if status.code() == Code::InvalidArgument => Ok(()),
        Err(status) => failed(said("ValidateSandboxCreate of 5 MiB", &status)),
    }
}

async fn answer_size(ctx: &Ctx) -> Checked {
    let made = ctx.made().await?;
    ctx.get(&made.id).await?;
    let request = GetSandboxRequest { sandbox_id: made.id, sandbox_name: String::new() };
    let answer = must("GetSandbox", ctx.raw("GetSandbox", request.encode_to_vec()).await?)?;
    expect(answer.len() <= MOST, || format!("the answer about one sandbox has {} bytes", answer.len()))
}

async fn survives_hang_up(ctx: &Ctx) -> Checked {
    ctx.needs(&["lifecycle.create", "lifecycle.create-found", "lifecycle.create-ready"])?;
    ctx.needs(&["identity.id-alone", "identity.unknown-get", "errors.ready-condition"])?;
    let sandbox = ctx.sandbox()?;
    let mut client = ctx.client();
    let request = openshell_proto::compute::v1::CreateSandboxRequest { sandbox: Some(sandbox.clone()) };
    // Given up at the first sign of the sandbox, or after a while: the call is then cancelled on the wire.
    let sign = async {
        while let Ok(false) = ctx.is_known(&sandbox.id).await {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        _ = client.create_sandbox(request) => {}
        () = sign => {}
        () = tokio::time::sleep(ctx.quiet()) => {}
    }
    if ctx.is_known(&sandbox.id).await? {
        return ctx.wait_ready(&sandbox.id).await.map(|_| ());
    }
    tokio::time::sleep(ctx.quiet()).await;
    match ctx.is_known(&sandbox.id).await? {
        true => ctx.wait_ready(&sandbox.id).await.map(|_| ()),
        // Nothing was made, so nothing may be in the way.
        false => ctx.create(&sandbox).await,
    }
}
