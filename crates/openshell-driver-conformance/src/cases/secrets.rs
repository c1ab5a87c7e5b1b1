//! A sandbox's token is for the sandbox alone.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use openshell_proto::compute::v1::{
    CreateSandboxRequest, DriverSandbox, GetSandboxRequest, WatchSandboxesEvent,
};
use prost::Message as _;

use crate::case::{Case, Checked, Level, expect, failed, skipped};
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
    Case {
        id: "secrets.on-disk",
        level: Level::Required,
        checks: "A file of the driver's that holds a token has mode 0600, in a directory of mode 0700.",
        why: "Other users of the host read files, too.",
        mend: "Make the directory 0700 first, and create the file with its mode instead of changing it afterwards.",
        run: |ctx| Box::pin(on_disk(ctx)),
    },
];

/// The largest file that is looked through for a token.
const LARGEST: u64 = 1024 * 1024;

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

async fn on_disk(ctx: &Ctx) -> Checked {
    let Some(directory) = ctx.session.options.state_dir.clone() else {
        return skipped("nobody says where the driver keeps its files: --state-dir");
    };
    let (made, _) = ctx.running().await?;
    let token = token(&made);
    let shown = directory.display().to_string();
    let found = tokio::task::spawn_blocking(move || holders(&directory, token.as_bytes())).await;
    let found = found.or_else(|error| failed(format!("the look through `{shown}` failed: {error}")))?;
    if found.is_empty() {
        return skipped(format!("no file in `{shown}` holds the token"));
    }
    let open = found.iter().flat_map(|file| [(file.as_path(), "file"), (parent(file), "directory")]);
    for (path, what) in open {
        // What has gone meanwhile is nobody's to read.
        let Ok(metadata) = std::fs::symlink_metadata(path) else { continue };
        let mode = metadata.mode() & 0o777;
        expect(mode & 0o077 == 0, || format!("the {what} `{}` has mode {mode:04o}", path.display()))?;
    }
    Ok(())
}

fn parent(file: &Path) -> &Path {
    file.parent().unwrap_or(file)
}

/// The files below a directory whose bytes hold the token. Disks, which are large, are the sandbox's own inside.
fn holders(directory: &Path, token: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => found.extend(holders(&path, token)),
            Ok(metadata) if metadata.is_file() && metadata.len() <= LARGEST => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                if bytes.windows(token.len()).any(|window| window == token) {
                    found.push(path);
                }
            }
            _ => {}
        }
    }
    found
}
