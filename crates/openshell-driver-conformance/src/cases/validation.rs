//! What cannot be honoured is refused by name, before anything is made.

use openshell_proto::compute::v1::{
    DriverResourceRequirements, DriverSandbox, GpuResourceRequirements, ResourceRequirements,
};
use tonic::{Code, Status};

use crate::case::{Case, Checked, Level, expect, failed, skipped};
use crate::context::{Ctx, must, must_refuse, name, said};

/// Texts that are no quantity anywhere.
const JUNK: [&str; 5] = ["plenty", "1.2.3", "-1", "12 apples", "1KiB"];

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "validation.plain",
        level: Level::Required,
        checks: "A sandbox with an image and a command is accepted.",
        why: "Nothing works otherwise.",
        mend: "Refuse what cannot be honoured, and nothing else.",
        run: |ctx| Box::pin(plain(ctx)),
    },
    Case {
        id: "validation.pure",
        level: Level::Required,
        checks: "A validation makes nothing.",
        why: "The gateway asks before it stores anything; what is made then belongs to nobody.",
        mend: "Read the request, and ask the backend at most for facts.",
        run: |ctx| Box::pin(pure(ctx)),
    },
    Case {
        id: "validation.same-answer",
        level: Level::Required,
        checks: "The same request gets the same answer.",
        why: "A client that tries again must not be told something else.",
        mend: "Let the answer depend on the request and on facts that do not change.",
        run: |ctx| Box::pin(same_answer(ctx)),
    },
    Case {
        id: "validation.missing-sandbox",
        level: Level::Required,
        checks: "A validation without a sandbox in it is `INVALID_ARGUMENT`.",
        why: "A message field may be absent in protobuf; that is no sandbox with defaults.",
        mend: "Look whether `sandbox` is set.",
        run: |ctx| Box::pin(missing_sandbox(ctx)),
    },
    Case {
        id: "validation.junk-cpu",
        level: Level::Required,
        checks: "A CPU quantity that is none is refused.",
        why: "Whoever mistypes a limit has none, and learns of it from the bill.",
        mend: "Read Kubernetes quantities strictly: digits, a point, and one known suffix.",
        run: |ctx| Box::pin(junk_cpu(ctx)),
    },
    Case {
        id: "validation.junk-memory",
        level: Level::Required,
        checks: "A memory quantity that is none is refused.",
        why: "Whoever mistypes a limit has none, and learns of it from the bill.",
        mend: "Read Kubernetes quantities strictly: digits, a point, and one known suffix.",
        run: |ctx| Box::pin(junk_memory(ctx)),
    },
    Case {
        id: "validation.junk-named",
        level: Level::Required,
        checks: "The refusal of a junk quantity says the text that was wrong.",
        why: "The message reaches whoever wrote it, and a template has many numbers.",
        mend: "Put the field and the text into the message.",
        run: |ctx| Box::pin(junk_named(ctx)),
    },
    Case {
        id: "validation.quantities",
        level: Level::Recommended,
        checks: "Ordinary quantities (`500m`, `0.5`, `512Mi`, `1Gi`) are accepted as limits.",
        why: "All drivers read the same quantities; a template must not depend on the backend.",
        mend: "Read the whole grammar of Kubernetes quantities.",
        run: |ctx| Box::pin(quantities(ctx)),
    },
    Case {
        id: "validation.zero-limit",
        level: Level::Recommended,
        checks: "A limit of zero is refused.",
        why: "Several backends take zero for \"no limit\".",
        mend: "Refuse it as `INVALID_ARGUMENT`.",
        run: |ctx| Box::pin(zero_limit(ctx)),
    },
    Case {
        id: "validation.request-above-limit",
        level: Level::Recommended,
        checks: "A request above its limit is refused.",
        why: "One of the two would be ignored in silence.",
        mend: "Compare the two, and refuse as `INVALID_ARGUMENT`.",
        run: |ctx| Box::pin(request_above_limit(ctx)),
    },
    Case {
        id: "validation.gpu-not-dropped",
        level: Level::Required,
        checks: "A request for more GPUs than there are is refused, or its sandbox does not run.",
        why: "Whoever asks for a GPU and gets a sandbox without one finds out much later.",
        mend: "Refuse `gpu` as `INVALID_ARGUMENT` where the backend has none, or pass it on.",
        run: |ctx| Box::pin(gpu_not_dropped(ctx)),
    },
    Case {
        id: "validation.create-agrees",
        level: Level::Required,
        checks: "What a validation refuses, a create refuses with the same code.",
        why: "A gateway may have asked an older driver, or not at all.",
        mend: "Call the same check at the beginning of a create.",
        run: |ctx| Box::pin(create_agrees(ctx)),
    },
];

fn resources(set: impl FnOnce(&mut DriverResourceRequirements)) -> DriverResourceRequirements {
    let mut resources = DriverResourceRequirements::default();
    set(&mut resources);
    resources
}

fn cpu(text: &str) -> DriverResourceRequirements {
    resources(|resources| resources.cpu_limit = text.to_owned())
}

fn memory(text: &str) -> DriverResourceRequirements {
    resources(|resources| resources.memory_limit = text.to_owned())
}

async fn plain(ctx: &Ctx) -> Checked {
    must("ValidateSandboxCreate", ctx.validate(Some(ctx.sandbox()?)).await?)
}

async fn pure(ctx: &Ctx) -> Checked {
    let sandbox = ctx.sandbox()?;
    // Whether it is accepted is another case's.
    let _ = ctx.validate(Some(sandbox.clone())).await?;
    let there = ctx.is_known(&sandbox.id).await? || ctx.is_listed(&sandbox.id).await?;
    expect(!there, || format!("`{}` is there after its validation", sandbox.id))
}

async fn same_answer(ctx: &Ctx) -> Checked {
    let sandbox = ctx.sandbox()?;
    let mut codes = Vec::new();
    for _ in 0..3 {
        let answer = ctx.validate(Some(sandbox.clone())).await?;
        codes.push(answer.err().map_or(Code::Ok, |status| status.code()));
    }
    let same = codes.windows(2).all(|pair| pair[0] == pair[1]);
    expect(same, || {
        format!(
            "three times the same, and {}",
            codes.iter().map(|code| name(*code)).collect::<Vec<_>>().join(", ")
        )
    })
}

async fn missing_sandbox(ctx: &Ctx) -> Checked {
    let answer = ctx.validate(None).await?;
    must_refuse("ValidateSandboxCreate", answer, &[Code::InvalidArgument]).map(|_| ())
}

/// Refuses all of the junk, or fails with the text that was not refused.
async fn junk(ctx: &Ctx, field: &str, with: fn(&str) -> DriverResourceRequirements) -> Checked {
    for text in JUNK {
        let answer = ctx.validate(Some(ctx.sandbox_with(with(text))?)).await?;
        // With which code is another case's.
        expect(answer.is_err(), || format!("a {field} of `{text}` is accepted"))?;
    }
    Ok(())
}

async fn junk_cpu(ctx: &Ctx) -> Checked {
    junk(ctx, "cpu_limit", cpu).await?;
    junk(ctx, "cpu_request", |text| resources(|resources| resources.cpu_request = text.to_owned())).await
}

async fn junk_memory(ctx: &Ctx) -> Checked {
    junk(ctx, "memory_limit", memory).await?;
    junk(ctx, "memory_request", |text| resources(|resources| resources.memory_request = text.to_owned()))
        .await
}

async fn junk_named(ctx: &Ctx) -> Checked {
    let [text, ..] = JUNK;
    match ctx.validate(Some(ctx.sandbox_with(memory(text))?)).await? {
        Ok(()) => skipped("the driver does not refuse it"),
        Err(status) => expect(status.message().contains(text), || {
            format!("{} does not say `{text}`", said("ValidateSandboxCreate", &status))
        }),
    }
}

async fn quantities(ctx: &Ctx) -> Checked {
    let good = [cpu("500m"), cpu("0.5"), cpu("1"), memory("512Mi"), memory("1Gi"), memory("1.5G")];
    for resources in good {
        let text = format!("{}{}", resources.cpu_limit, resources.memory_limit);
        let answer = ctx.validate(Some(ctx.sandbox_with(resources)?)).await?;
        must(&format!("ValidateSandboxCreate with a limit of {text}"), answer)?;
    }
    Ok(())
}

async fn zero_limit(ctx: &Ctx) -> Checked {
    for resources in [cpu("0"), memory("0")] {
        let answer = ctx.validate(Some(ctx.sandbox_with(resources)?)).await?;
        expect(answer.is_err(), || "a limit of 0 is accepted".to_owned())?;
    }
    Ok(())
}

async fn request_above_limit(ctx: &Ctx) -> Checked {
    let more = resources(|resources| {
        resources.memory_request = "1Gi".to_owned();
        resources.memory_limit = "512Mi".to_owned();
    });
    let answer = ctx.validate(Some(ctx.sandbox_with(more)?)).await?;
    expect(answer.is_err(), || "a memory request of 1Gi with a limit of 512Mi is accepted".to_owned())
}

/// More GPUs than anybody has.
fn with_gpus(mut sandbox: DriverSandbox) -> DriverSandbox {
    let gpu = Some(GpuResourceRequirements { count: Some(1_000_000) });
    if let Some(spec) = sandbox.spec.as_mut() {
        spec.resource_requirements = Some(ResourceRequirements { gpu });
    }
    sandbox
}

async fn gpu_not_dropped(ctx: &Ctx) -> Checked {
    let sandbox = with_gpus(ctx.sandbox()?);
    let is_refusal = |status: &Status| {
        let code = status.code();
        !matches!(code, Code::Internal | Code::Unknown)
    };
    match ctx.validate(Some(sandbox.clone())).await? {
        Err(status) if is_refusal(&status) => return Ok(()),
        Err(status) => return failed(said("ValidateSandboxCreate with GPUs", &status)),
        Ok(()) => {}
    }
    if ctx.try_create(Some(sandbox.clone())).await?.is_err() {
        return Ok(());
    }
    // An honest backend never gets there; one that dropped the request is as quick as without it.
    let plain = tokio::time::Instant::now();
    ctx.running().await?;
    let patience = plain.elapsed() * 2 + ctx.quiet();
    match tokio::time::timeout(patience, ctx.wait_ready(&sandbox.id)).await {
        Ok(Ok(_)) => failed("a sandbox that asked for a million GPUs runs: they were dropped in silence"),
        _ => Ok(()),
    }
}

async fn create_agrees(ctx: &Ctx) -> Checked {
    let [text, ..] = JUNK;
    let sandbox = ctx.sandbox_with(memory(text))?;
    let Err(refusal) = ctx.validate(Some(sandbox.clone())).await? else {
        return skipped("the driver does not refuse it");
    };
    let answer = ctx.try_create(Some(sandbox)).await?;
    must_refuse("CreateSandbox", answer, &[refusal.code()]).map(|_| ())
}
