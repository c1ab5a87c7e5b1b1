//! `sandbox upload`: files of this machine, packed here and unpacked in the sandbox.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openshell_files::{FilesError, PIECE, is_content, pack};
use openshell_proto::relay::v1alpha1::{StdinEnd, Upload, from_supervisor, start, to_supervisor::Frame};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::exec::find;
use crate::args::UploadArgs;
use crate::channel::{Began, Channel, said_by};
use crate::error::CliError;
use crate::session::Session;
use crate::signals::{Came, Signals};
use crate::text;
use crate::transfer::{CLEAN_UP, Count, Outgoing, Said, apart, destination, files};

/// How often the bar is drawn.
pub(super) const TICK: std::time::Duration = std::time::Duration::from_millis(100);

/// Refuses what cannot be sent, before anybody is asked anything.
pub(crate) fn check(args: &UploadArgs) -> Result<(), CliError> {
    if is_archive(args) {
        return Ok(());
    }
    if args.local.iter().any(|path| path == Path::new("-")) {
        return Err(CliError::Usage(
            "`-` is a whole archive: nothing else can be given beside it".to_owned(),
        ));
    }
    for path in &args.local {
        path.symlink_metadata().map_err(|source| CliError::File {
            doing: "read",
            path: path.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Copies files into a sandbox. Gives the exit code: 1 when something was left out.
pub(crate) async fn run(session: &Session, args: &UploadArgs) -> Result<u8, CliError> {
    let (one, id) = find(session, &args.which).await?;
    let what = format!("upload to `{}` in sandbox `{}`", text::clean(&args.remote), one.name);
    let content = args.local.iter().any(|path| is_content(path));
    let (directory, name) =
        destination(Path::new(&args.remote), is_archive(args) || content || args.local.len() > 1);
    let upload = Upload { directory: utf8(directory), name: name.into_string().unwrap_or_default() };
    let started = Channel::start(session, &one, &id, what.clone(), start::What::Upload(upload)).await?;
    let mut channel = match started {
        Began::Running(channel) => *channel,
        Began::Failed(failed) => return Err(said_by(&one, &what, &failed.message)),
    };
    let mut signals = Signals::ends().map_err(CliError::Runtime)?;
    let sender = channel.sender();
    let count = Arc::new(Count::default());
    let mut packed = apart({
        let (count, sender, paths, archive) =
            (count.clone(), sender.clone(), args.local.clone(), is_archive(args));
        move || {
            let out = Outgoing { sender: sender.clone(), count: count.clone() };
            let outcome =
                if archive { pass(out, &count) } else { pack(out, &paths, &mut |event| count.take(event)) };
            // An archive that was given up has no end marker: the other end takes it for what it is, and cleans up.
            sender.blocking_send(Frame::StdinEnd(StdinEnd {}));
            outcome
        }
    });

    let mut said = Said::default();
    let mut bar = session.transfer(&label(&args.local));
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopped = false;
    let exited = {
        let work = async {
            loop {
                match channel.next().await? {
                    from_supervisor::Frame::Stderr(piece) => said.push(&piece),
                    from_supervisor::Frame::Exited(exited) => return Ok(exited.code),
                    from_supervisor::Frame::Failed(failed) => return Err(channel.said(&failed.message)),
                    from_supervisor::Frame::Started(_) | from_supervisor::Frame::Stdout(_) => {}
                }
            }
        };
        tokio::pin!(work);
        loop {
            tokio::select! {
                exited = &mut work => break Some(exited?),
                _ = ticks.tick() => {
                    let (done, total) = count.so_far();
                    bar.show(done, total);
                }
                Came::End(_) = signals.next() => {
                    stopped = true;
                    count.give_up();
                    // The sandbox's end has a file under way that it takes away when it hears of this.
                    break timeout(CLEAN_UP, work).await.ok().and_then(Result::ok);
                }
            }
        }
    };
    bar.wipe();
    drop((channel, sender));
    count.tell();
    if stopped {
        return Err(CliError::Stopped {
            left: "the files that were whole are there, the one under way is not",
            hint: "start again with the same command: what is there is replaced".to_owned(),
        });
    }
    // What ended it at this end is the cause of whatever the sandbox says then, and has happened by now; only a thread that
    // waits for its input may be long in ending.
    let patience = if exited == Some(0) { CLEAN_UP } else { TICK };
    match timeout(patience, &mut packed).await.ok().and_then(Result::ok) {
        Some(Ok(left_out)) if exited == Some(0) => {
            said.warn();
            Ok(u8::from(left_out > 0 || !said.is_empty()))
        }
        Some(Err(source)) if !matches!(source, FilesError::Stream(_)) => Err(files(&what, source)),
        _ => Err(said.error(&one, &what)),
    }
}

/// Whether an archive comes on standard input.
fn is_archive(args: &UploadArgs) -> bool {
    args.local == [Path::new("-")]
}

/// Passes an archive on as it is.
fn pass(mut out: Outgoing, count: &Count) -> Result<u64, FilesError> {
    let mut buffer = vec![0; PIECE];
    let mut input = io::stdin().lock();
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(0),
            Ok(size) => {
                out.write_all(&buffer[..size]).map_err(FilesError::Stream)?;
                count.take(openshell_files::Event::Bytes(size as u64));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FilesError::Archive(error)),
        }
    }
}

/// What the bar is called.
fn label(paths: &[PathBuf]) -> String {
    match paths {
        [path] => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        several => format!("{} paths", several.len()),
    }
}

/// The path came as UTF-8.
fn utf8(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap_or_default()
}
