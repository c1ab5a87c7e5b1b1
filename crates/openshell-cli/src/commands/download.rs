//! `sandbox download`: files of a sandbox, packed there and unpacked here. The sandbox is not believed: whatever its archive
//! says, nothing is written but what was asked for, where it was asked for.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use openshell_files::{FilesError, Target, is_content, top, unpack};
use openshell_proto::relay::v1alpha1::{Download, from_supervisor, start};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::exec::find;
use super::upload::TICK;
use crate::args::DownloadArgs;
use crate::channel::{Began, Channel, said_by};
use crate::error::CliError;
use crate::pipes::{Out, To};
use crate::session::{One, Session};
use crate::signals::{Came, Signals};
use crate::text;
use crate::transfer::{CLEAN_UP, Count, Incoming, Said, apart, destination, files};

/// How many pieces may wait to be written.
const QUEUE: usize = 4;
/// A block of an archive.
const BLOCK: usize = 512;

/// Refuses what nobody can want, before anybody is asked anything.
pub(crate) fn check(args: &DownloadArgs) -> Result<(), CliError> {
    if args.local == "-" && io::stdout().is_terminal() {
        return Err(CliError::Needs {
            what: "a tar archive is nothing for a terminal".to_owned(),
            hint: "write it to a file, or unpack it: … - > files.tar, … - | tar -xf -".to_owned(),
        });
    }
    Ok(())
}

/// Copies files out of a sandbox. Gives the exit code: 1 when something was left out.
pub(crate) async fn run(session: &Session, args: &DownloadArgs) -> Result<u8, CliError> {
    let (one, id) = find(session, &args.which).await?;
    let what = format!("download `{}` of sandbox `{}`", text::clean(&args.remote), one.name);
    let download = start::What::Download(Download { path: args.remote.clone() });
    match Channel::start(session, &one, &id, what.clone(), download).await? {
        Began::Failed(failed) => Err(said_by(&one, &what, &failed.message)),
        Began::Running(channel) if args.local == "-" => pass(*channel, &one, &what).await,
        Began::Running(channel) => place(session, *channel, &one, &what, args).await,
    }
}

/// Unpacks what comes.
async fn place(
    session: &Session,
    mut channel: Channel<'_>,
    one: &One,
    what: &str,
    args: &DownloadArgs,
) -> Result<u8, CliError> {
    let mut signals = Signals::ends().map_err(CliError::Runtime)?;
    let remote = Path::new(&args.remote);
    let (directory, name) = destination(Path::new(&args.local), is_content(remote));
    // The content of a directory may be called anything; what has a name is called that.
    let only = Some(top(remote).into_os_string()).filter(|name| !name.is_empty());
    let count = Arc::new(Count::default());
    let (pieces, queue) = mpsc::channel(QUEUE);
    let mut unpacked = apart({
        let count = count.clone();
        move || receive(Incoming::new(queue), &directory, &name, only.as_deref(), &count)
    });

    let mut said = Said::default();
    let label = top(remote);
    let mut bar =
        session.transfer(&if only_dots(&label) { args.remote.clone() } else { label.display().to_string() });
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let exited = {
        let work = async {
            loop {
                match channel.next().await? {
                    // Nobody takes any more when it cannot be written: the thread says why.
                    from_supervisor::Frame::Stdout(piece) => {
                        if pieces.send(piece).await.is_err() {
                            return Ok(None);
                        }
                    }
                    from_supervisor::Frame::Stderr(piece) => said.push(&piece),
                    from_supervisor::Frame::Exited(exited) => return Ok(Some(exited.code)),
                    from_supervisor::Frame::Failed(failed) => return Err(channel.said(&failed.message)),
                    from_supervisor::Frame::Started(_) => {}
                }
            }
        };
        tokio::pin!(work);
        loop {
            tokio::select! {
                exited = &mut work => break Some(exited),
                _ = ticks.tick() => {
                    let (done, total) = count.so_far();
                    bar.show(done, total);
                }
                Came::End(_) = signals.next() => break None,
            }
        }
    };
    // To the thread this is the archive's end, in the middle or not; it takes away what is not whole.
    drop(pieces);
    let unpacked = match &exited {
        Some(Ok(_)) => (&mut unpacked).await.ok(),
        _ => timeout(CLEAN_UP, &mut unpacked).await.ok().and_then(Result::ok),
    };
    bar.wipe();
    count.tell();
    let Some(exited) = exited else {
        return Err(CliError::Stopped {
            left: "the files that were whole are here, the one under way is not",
            hint: "start again with the same command: what is here is replaced".to_owned(),
        });
    };
    match (exited?, unpacked) {
        // What the sandbox could not read it has told; the rest is here.
        (code, Some(Ok(left_out))) => {
            said.warn();
            Ok(u8::from(left_out > 0 || !said.is_empty() || code != Some(0)))
        }
        // What ended in the middle has its cause where it began.
        (Some(code), Some(Err(FilesError::Truncated))) if code != 0 => Err(said.error(one, what)),
        (_, Some(Err(source))) => Err(files(what, source)),
        (_, None) => Err(said.error(one, what)),
    }
}

fn only_dots(label: &Path) -> bool {
    label.as_os_str().is_empty()
}

/// Unpacks an archive, in a thread that may wait for it.
fn receive(
    mut archive: Incoming,
    directory: &Path,
    name: &OsString,
    only: Option<&OsStr>,
    count: &Count,
) -> Result<u64, FilesError> {
    // Nothing is made here for something that is not there.
    if !archive.begins() {
        return Err(FilesError::Truncated);
    }
    let target = Target::open(directory, name)?;
    unpack(&target, only, archive, &mut |event| count.take(event))
}

/// Writes the archive to standard output.
async fn pass(mut channel: Channel<'_>, one: &One, what: &str) -> Result<u8, CliError> {
    let mut out = Out::new()?;
    let mut said = Said::default();
    let mut head = Head::default();
    let code = loop {
        match channel.next().await? {
            from_supervisor::Frame::Stdout(piece) => {
                if let Some(piece) = head.pass(piece) {
                    out.write(To::Stdout, piece).await?;
                }
            }
            from_supervisor::Frame::Stderr(piece) => said.push(&piece),
            from_supervisor::Frame::Exited(exited) => break exited.code,
            from_supervisor::Frame::Failed(failed) => return Err(channel.said(&failed.message)),
            from_supervisor::Frame::Started(_) => {}
        }
    };
    out.finish().await?;
    if code != 0 {
        return Err(said.error(one, what));
    }
    said.warn();
    Ok(0)
}

/// Takes the header off that is meant for this program, of which others would complain.
#[derive(Debug, Default)]
struct Head {
    kept: Vec<u8>,
    over: bool,
}

impl Head {
    /// What of a piece goes on.
    fn pass(&mut self, piece: Bytes) -> Option<Bytes> {
        if self.over {
            return Some(piece);
        }
        // The header of a global one, and a block that has the whole of it.
        self.kept.extend_from_slice(&piece);
        if self.kept.len() < 2 * BLOCK {
            return None;
        }
        self.over = true;
        let kept = std::mem::take(&mut self.kept);
        let ours =
            kept[156] == b'g' && kept[BLOCK..2 * BLOCK].windows(9).any(|window| window == b"OPENSHELL");
        Some(if ours { Bytes::from(kept).slice(2 * BLOCK..) } else { Bytes::from(kept) })
    }
}
