//! Who can connect can do what the driver can.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use openshell_proto::compute::v1::GetCapabilitiesRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::case::{Case, Checked, Level, expect, failed, skipped};
use crate::client;
use crate::context::{Ctx, must};

pub(crate) const CASES: &[Case] = &[
    Case {
        id: "socket.no-link",
        level: Level::Required,
        checks: "What lies at the path is the socket itself, and no symbolic link.",
        why: "A gateway follows none: whoever can write the link chooses the driver.",
        mend: "Bind at the path that the operator gives.",
        run: |ctx| Box::pin(no_link(ctx)),
    },
    Case {
        id: "socket.mode",
        level: Level::Required,
        checks: "The socket has mode 0600, unless further users are let in.",
        why: "A gateway refuses a socket that others may write to.",
        mend: "Set the mode after `bind` and before `listen`, so that there is no open moment.",
        run: |ctx| Box::pin(mode(ctx)),
    },
    Case {
        id: "socket.directory",
        level: Level::Required,
        checks: "The socket's directory has mode 0700, unless further users are let in.",
        why: "Whoever may write to it can put a socket of his own in the place.",
        mend: "Make the directory 0700 where it is missing, and refuse one that others may write to.",
        run: |ctx| Box::pin(directory(ctx)),
    },
    Case {
        id: "socket.silent-client",
        level: Level::Required,
        checks: "A client that connects and says nothing holds up nobody.",
        why: "Probes do that, and so do gateways that die.",
        mend: "Accept in a loop that waits for no client's first byte.",
        run: |ctx| Box::pin(silent_client(ctx)),
    },
    Case {
        id: "socket.junk-client",
        level: Level::Required,
        checks: "A client that speaks no HTTP/2 does no harm.",
        why: "Somebody will try `curl`.",
        mend: "Close such a connection, and go on accepting.",
        run: |ctx| Box::pin(junk_client(ctx)),
    },
    Case {
        id: "socket.foreign-user",
        level: Level::Required,
        checks: "A client of another user id is not answered, even if the file's mode lets it connect.",
        why: "Modes are changed by mistake, and a process that may override them is not yet the gateway.",
        mend: "Look at the peer's credentials (`SO_PEERCRED`) after accepting, and close what is neither this user nor listed.",
        run: |ctx| Box::pin(foreign_user(ctx)),
    },
];

fn look(path: &Path) -> Checked<std::fs::Metadata> {
    std::fs::symlink_metadata(path)
        .or_else(|error| failed(format!("cannot look at `{}`: {error}", path.display())))
}

async fn no_link(ctx: &Ctx) -> Checked {
    let found = look(&ctx.session.path)?;
    expect(found.file_type().is_socket(), || format!("`{}` is no socket", ctx.session.path.display()))
}

/// The permissions behind a path, and those that it may have.
fn within(path: &Path, most: u32) -> Checked {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mode = look(&path)?.mode() & 0o7777;
    expect(mode & !most & 0o777 == 0, || {
        format!("`{}` has mode {mode:04o}, {most:04o} is the most", path.display())
    })
}

async fn mode(ctx: &Ctx) -> Checked {
    within(&ctx.session.path, if ctx.session.policy.is_private() { 0o600 } else { 0o666 })
}

async fn directory(ctx: &Ctx) -> Checked {
    let directory = ctx.session.path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let most = if ctx.session.policy.is_private() { 0o700 } else { 0o711 };
    within(directory.unwrap_or(Path::new(".")), most)
}

/// Asks on a connection of its own, which has to be accepted after others.
async fn still_answers(ctx: &Ctx) -> Checked {
    ctx.needs(&["handshake.several-connections"])?;
    let session = &ctx.session;
    let channel = client::channel(session.path.clone(), session.policy.clone(), None);
    let mut client = client::client(channel);
    let asked = client.get_capabilities(GetCapabilitiesRequest {});
    must("GetCapabilities", ctx.bounded("GetCapabilities on a new connection", asked).await?).map(|_| ())
}

async fn stranger(ctx: &Ctx) -> Checked<tokio::net::UnixStream> {
    let connected = client::connect(&ctx.session.path, &ctx.session.policy).await;
    connected.or_else(|error| failed(error.to_string()))
}

async fn silent_client(ctx: &Ctx) -> Checked {
    let _silent = (stranger(ctx).await?, stranger(ctx).await?);
    still_answers(ctx).await
}

async fn junk_client(ctx: &Ctx) -> Checked {
    let mut stream = stranger(ctx).await?;
    // It may hang up at the first byte.
    let _ = stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").await;
    let _ = stream.flush().await;
    // Until it hangs up, or for a while: what the driver does with the bytes is then done.
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(ctx.quiet() * 4, stream.read_to_end(&mut answer)).await;
    still_answers(ctx).await
}

#[cfg(target_os = "linux")]
async fn foreign_user(ctx: &Ctx) -> Checked {
    use crate::foreign::{Foreign, dial};

    if !rustix::process::geteuid().is_root() {
        return skipped("it needs to be root, to dial as somebody else");
    }
    let (session, prompt) = (&ctx.session, ctx.session.options.prompt);
    let path = session.path.clone();
    // `nobody` on most systems, and the first one below whom nobody let in.
    let stranger = (1..=65_534).rev().find(|uid| !session.options.allow_uids.contains(uid));
    let Some(uid) = stranger else { return skipped("every user id is let in") };
    let dialled = tokio::task::spawn_blocking(move || dial(&path, uid, prompt)).await;
    match dialled.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(Foreign::Refused) => Ok(()),
        Ok(Foreign::Served) => failed(format!("the user id {uid} was answered")),
        Err(error) => skipped(format!("cannot become the user id {uid}: {error}")),
    }
}

#[cfg(not(target_os = "linux"))]
async fn foreign_user(_: &Ctx) -> Checked {
    skipped("only Linux gives a thread a user id of its own")
}
