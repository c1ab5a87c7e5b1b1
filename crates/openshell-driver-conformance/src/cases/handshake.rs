//! Who the driver is, and how it speaks gRPC.

use std::time::Instant;

use futures_util::future::join_all;
use openshell_driver_api::SandboxId;
use openshell_proto::compute::v1::{
    GetCapabilitiesRequest, GetCapabilitiesResponse, GetGatewayListenerRequirementsRequest,
    ValidateSandboxCreateRequest, gateway_listener_requirement::Selector,
};
use prost::Message as _;
use tonic::Code;

use crate::case::{Case, Checked, Level, Unmet, expect, failed, skipped};
use crate::client;
use crate::context::{Ctx, must, must_refuse, said};

/// A field that no message has, with a text that no driver writes by itself.
const MARK: &str = "conformance-unknown-field";
/// How many calls are made side by side.
const SIDE_BY_SIDE: usize = 32;

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "handshake.capabilities",
        level: Level::Required,
        checks: "`GetCapabilities` answers with a `driver_name`.",
        why: "The gateway refuses whoever has no name: it is some other program that happens to speak gRPC.",
        mend: "Set `driver_name`; it is for people and need not be the name that the gateway's operator chose.",
        run: |ctx| Box::pin(capabilities(ctx)),
    },
    Case {
        id: "handshake.capabilities-at-once",
        level: Level::Required,
        checks: "`GetCapabilities` answers at once, without asking the backend.",
        why: "It is asked at every start and after every reconnect, and the gateway waits for it.",
        mend: "Answer from constants, or from what was learnt at the driver's start.",
        run: |ctx| Box::pin(capabilities_at_once(ctx)),
    },
    Case {
        id: "handshake.capabilities-stable",
        level: Level::Required,
        checks: "`GetCapabilities` gives the same answer twice.",
        why: "A gateway that reconnects would take it for another driver.",
        mend: "Put nothing into the answer that changes while the driver runs.",
        run: |ctx| Box::pin(capabilities_stable(ctx)),
    },
    Case {
        id: "handshake.driver-version",
        level: Level::Recommended,
        checks: "`driver_version` is not empty.",
        why: "Somebody who reads a log has to find out which driver it was.",
        mend: "Set it to the version of the build.",
        run: |ctx| Box::pin(driver_version(ctx)),
    },
    Case {
        id: "handshake.unknown-fields-ignored",
        level: Level::Required,
        checks: "A field that the driver does not know, in a request or in its sandbox, is ignored.",
        why: "Gateways become newer than drivers.",
        mend: "Use a protobuf library as it comes; turn off whatever refuses unknown fields.",
        run: |ctx| Box::pin(unknown_fields_ignored(ctx)),
    },
    Case {
        id: "handshake.unknown-fields-not-echoed",
        level: Level::Required,
        checks: "A field that the driver does not know does not come back in its answer.",
        why: "The answer would mean something that nobody decided.",
        mend: "Build answers anew instead of copying request messages.",
        run: |ctx| Box::pin(unknown_fields_not_echoed(ctx)),
    },
    Case {
        id: "handshake.unknown-method",
        level: Level::Required,
        checks: "A method that is not there is `UNIMPLEMENTED`.",
        why: "By this code alone a gateway tells an older driver from a broken one.",
        mend: "Leave unknown paths to the gRPC library.",
        run: |ctx| Box::pin(unknown_method(ctx)),
    },
    Case {
        id: "handshake.unimplemented-message",
        level: Level::Recommended,
        checks: "Whatever optional method is `UNIMPLEMENTED` says so in words.",
        why: "The message reaches the person who asked for it.",
        mend: "Name the method, and say why the backend cannot.",
        run: |ctx| Box::pin(unimplemented_message(ctx)),
    },
    Case {
        id: "handshake.side-by-side",
        level: Level::Required,
        checks: "Calls on one connection are answered while a watch is open on it.",
        why: "The gateway has one connection: a watch for its whole life, and every call beside it.",
        mend: "Serve each request in a task or thread of its own, and hold no lock across a watch.",
        run: |ctx| Box::pin(side_by_side(ctx)),
    },
    Case {
        id: "handshake.several-connections",
        level: Level::Required,
        checks: "A second connection is served beside the first.",
        why: "A gateway that reconnects opens the new one before the old one is gone.",
        mend: "Accept connections in a loop that waits for none of them.",
        run: |ctx| Box::pin(several_connections(ctx)),
    },
    Case {
        id: "handshake.listeners",
        level: Level::Optional,
        checks: "`GetGatewayListenerRequirements` names a listener and a reason in each requirement.",
        why: "The gateway opens what is named, and tells its operator the reason.",
        mend: "Set one of the three selectors; an exact address is `host:port`.",
        run: |ctx| Box::pin(listeners(ctx)),
    },
];

async fn ask(ctx: &Ctx) -> Checked<GetCapabilitiesResponse> {
    let mut client = ctx.client();
    let asked = client.get_capabilities(GetCapabilitiesRequest {});
    must("GetCapabilities", ctx.bounded("GetCapabilities", asked).await?)
}

async fn capabilities(ctx: &Ctx) -> Checked {
    let answer = ask(ctx).await?;
    expect(!answer.driver_name.is_empty(), || "`driver_name` is empty".to_owned())
}

async fn capabilities_at_once(ctx: &Ctx) -> Checked {
    let began = Instant::now();
    let mut client = ctx.client();
    let asked = client.get_capabilities(GetCapabilitiesRequest {});
    let prompt = ctx.session.options.prompt;
    match tokio::time::timeout(prompt, asked).await {
        Ok(answer) => must("GetCapabilities", answer).map(|_| ()),
        Err(_) => failed(format!("no answer after {:?}", began.elapsed())),
    }
}

async fn capabilities_stable(ctx: &Ctx) -> Checked {
    let (first, second) = (ask(ctx).await?, ask(ctx).await?);
    expect(first == second, || format!("first {first:?}, then {second:?}"))
}

async fn driver_version(ctx: &Ctx) -> Checked {
    ctx.needs(&["handshake.capabilities"])?;
    let answer = ask(ctx).await?;
    expect(!answer.driver_version.is_empty(), || "`driver_version` is empty".to_owned())
}

/// A field of number 2000 that holds the mark, as it stands in a message.
fn unknown_field() -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::string::encode(2000, &MARK.to_owned(), &mut bytes);
    bytes
}

async fn unknown_fields_ignored(ctx: &Ctx) -> Checked {
    must("GetCapabilities", ctx.raw("GetCapabilities", unknown_field()).await?)?;
    let sandbox = ctx.sandbox()?;
    let request = ValidateSandboxCreateRequest { sandbox: Some(sandbox.clone()) };
    if ctx.validate(request.sandbox).await?.is_err() {
        return skipped("the driver refuses a plain sandbox, too");
    }
    let mut inner = sandbox.encode_to_vec();
    inner.extend(unknown_field());
    let mut message = Vec::new();
    prost::encoding::bytes::encode(1, &inner, &mut message);
    must("ValidateSandboxCreate", ctx.raw("ValidateSandboxCreate", message).await?).map(|_| ())
}

async fn unknown_fields_not_echoed(ctx: &Ctx) -> Checked {
    let Ok(answer) = ctx.raw("GetCapabilities", unknown_field()).await? else {
        return skipped("the driver refuses unknown fields");
    };
    let echoed = answer.windows(MARK.len()).any(|window| window == MARK.as_bytes());
    expect(!echoed, || "the answer to `GetCapabilities` holds the unknown field of its request".to_owned())
}

async fn unknown_method(ctx: &Ctx) -> Checked {
    let answer = ctx.raw("ConformanceNoSuchMethod", Vec::new()).await?;
    must_refuse("ConformanceNoSuchMethod", answer, &[Code::Unimplemented]).map(|_| ())
}

async fn unimplemented_message(ctx: &Ctx) -> Checked {
    let id = ctx.unused_id();
    let id = SandboxId::new(id).map_err(|error| Unmet::Failed(error.to_string()))?;
    let mut missing = 0;
    let field = |text: &str| {
        let mut bytes = Vec::new();
        prost::encoding::string::encode(1, &text.to_owned(), &mut bytes);
        bytes
    };
    for (method, message) in [
        ("GetGatewayListenerRequirements", Vec::new()),
        ("StopSandbox", field(id.as_str())),
        ("StartSandbox", field(id.as_str())),
        ("EnsureWorkspace", field("")),
        ("DeleteWorkspace", field("")),
    ] {
        if let Err(status) = ctx.raw(method, message).await?
            && status.code() == Code::Unimplemented
        {
            missing += 1;
            expect(!status.message().is_empty(), || said(method, &status))?;
        }
    }
    match missing {
        0 => skipped("the driver has every optional method"),
        _ => Ok(()),
    }
}

async fn side_by_side(ctx: &Ctx) -> Checked {
    let _watch = ctx.watch().await?;
    let calls = (0..SIDE_BY_SIDE).map(|_| ask(ctx));
    join_all(calls).await.into_iter().collect::<Checked<Vec<_>>>().map(|_| ())
}

async fn several_connections(ctx: &Ctx) -> Checked {
    // The first one is there: this call is answered on it.
    ask(ctx).await?;
    let session = &ctx.session;
    let channel = client::channel(session.path.clone(), session.policy.clone(), None);
    let mut client = client::client(channel);
    let asked = client.get_capabilities(GetCapabilitiesRequest {});
    must("GetCapabilities", ctx.bounded("GetCapabilities on a second connection", asked).await?).map(|_| ())
}

async fn listeners(ctx: &Ctx) -> Checked {
    const METHOD: &str = "GetGatewayListenerRequirements";
    let mut client = ctx.client();
    let asked = client.get_gateway_listener_requirements(GetGatewayListenerRequirementsRequest {});
    let requirements = match ctx.bounded(METHOD, asked).await? {
        Ok(answer) => answer.requirements,
        Err(status) if status.code() == Code::Unimplemented => {
            return skipped(format!("`{METHOD}` is UNIMPLEMENTED"));
        }
        Err(status) => return failed(said(METHOD, &status)),
    };
    for requirement in requirements {
        expect(!requirement.reason.is_empty(), || "a requirement gives no reason".to_owned())?;
        match requirement.selector {
            None => return failed(format!("the requirement `{}` names no listener", requirement.reason)),
            Some(Selector::ExactBindAddress(address)) => {
                let port = address.rsplit_once(':').and_then(|(host, port)| {
                    let port = port.parse::<u16>().ok()?;
                    (!host.is_empty()).then_some(port)
                });
                expect(port.is_some(), || format!("`{address}` is no `host:port`"))?;
            }
            Some(Selector::DefaultRouteInterface(_) | Selector::LoopbackInterface(_)) => {}
        }
    }
    Ok(())
}
