//! What a supervisor does at the far end of a channel, on this machine: commands run for real, without a terminal; with one
//! there is a stand-in that says what it is given; files are packed and unpacked where the test says.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use openshell_files::{Target, pack, unpack};
use openshell_proto::gateway::v1alpha1::ChannelFrame;
use openshell_proto::gateway::v1alpha1::channel_frame::Payload;
use openshell_proto::relay::v1alpha1::{
    Command, Exited, Failed, FromSupervisor, Started, ToSupervisor, from_supervisor::Frame, start,
    to_supervisor,
};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::State;

type Output = mpsc::Sender<Result<ChannelFrame, Status>>;

fn frame(frame: Frame) -> Result<ChannelFrame, Status> {
    let message = FromSupervisor { frame: Some(frame) };
    Ok(ChannelFrame { payload: Some(Payload::Data(message.encode_to_vec().into())) })
}

async fn next(input: &mut Streaming<ChannelFrame>) -> Option<to_supervisor::Frame> {
    match input.message().await.ok()??.payload? {
        Payload::Data(data) => ToSupervisor::decode(data).expect("a message").frame,
        other => panic!("{other:?}"),
    }
}

/// Serves one channel until it is over.
pub(super) async fn serve(state: Arc<Mutex<State>>, mut input: Streaming<ChannelFrame>, output: Output) {
    let Some(to_supervisor::Frame::Start(start)) = next(&mut input).await else { return };
    let (breaks, archive, absent) = {
        let mut state = state.lock().expect("no panic");
        state.starts.push(start.clone());
        (state.breaks, state.archive.clone(), state.absent.clone())
    };
    let what = start.what.expect("something");
    if let start::What::Command(command) = &what
        && absent.contains(&command.argv[0])
    {
        let message = format!("there is no program `{}`", command.argv[0]);
        let _ = output.send(frame(Frame::Failed(Failed { message, code: 127 }))).await;
        return;
    }
    let _ = output.send(frame(Frame::Started(Started { pid: 7 }))).await;
    if breaks {
        return;
    }
    let code = match what {
        start::What::Command(command) if command.terminal.is_some() => {
            terminal(&state, &command, &mut input, &output).await
        }
        start::What::Command(command) => run(&state, &command, input, &output).await,
        start::What::Upload(upload) => {
            let (pieces, queue) = mpsc::channel(2);
            let work = tokio::task::spawn_blocking(move || {
                let target = Target::open(Path::new(&upload.directory), OsStr::new(&upload.name));
                target.and_then(|target| unpack(&target, None, Queue(queue, Bytes::new()), &mut |_| {}))
            });
            while let Some(to_supervisor::Frame::Stdin(piece)) = next(&mut input).await {
                if pieces.send(piece).await.is_err() {
                    break;
                }
            }
            drop(pieces);
            said(work.await.expect("no panic").map(drop), &output).await
        }
        start::What::Download(download) => {
            let sink = Sink(output.clone());
            let work = tokio::task::spawn_blocking(move || match archive {
                Some(archive) => {
                    let _ = { sink }.write_all(&archive);
                    Ok(())
                }
                None => pack(sink, &[download.path.into()], &mut |_| {}).map(drop),
            });
            said(work.await.expect("no panic"), &output).await
        }
        start::What::MainProcess(_) => panic!("no test needs it"),
    };
    let _ = output.send(frame(Frame::Exited(Exited { code }))).await;
}

async fn said(outcome: Result<(), openshell_files::FilesError>, output: &Output) -> i32 {
    let Err(error) = outcome else { return 0 };
    let _ = output.send(frame(Frame::Stderr(format!("{}\n", error.line()).into()))).await;
    1
}

/// Runs a command for real.
async fn run(
    state: &Arc<Mutex<State>>,
    command: &Command,
    mut input: Streaming<ChannelFrame>,
    output: &Output,
) -> i32 {
    let mut child = tokio::process::Command::new(&command.argv[0]);
    child.args(&command.argv[1..]).envs(&command.environment).kill_on_drop(true);
    if !command.workdir.is_empty() {
        child.current_dir(&command.workdir);
    }
    child.stdin(if command.stdin { Stdio::piped() } else { Stdio::null() });
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let process =
        rustix::process::Pid::from_raw(i32::try_from(child.id().expect("it runs")).expect("a number"));
    let process = process.expect("a number");
    let mut stdin = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    let printed = async {
        tokio::join!(copy(stdout, output, Frame::Stdout), copy(stderr, output, Frame::Stderr));
        child.wait().await.expect("its end")
    };
    let fed = async {
        while let Some(frame) = next(&mut input).await {
            match frame {
                to_supervisor::Frame::Stdin(piece) => {
                    if let Some(stdin) = &mut stdin {
                        let _ = stdin.write_all(&piece).await;
                    }
                }
                to_supervisor::Frame::StdinEnd(_) => stdin = None,
                to_supervisor::Frame::Signal(number) => {
                    state.lock().expect("no panic").heard.push(to_supervisor::Frame::Signal(number));
                    let signal = rustix::process::Signal::from_named_raw(number).expect("a signal");
                    let _ = rustix::process::kill_process(process, signal);
                }
                other => panic!("{other:?}"),
            }
        }
        // The client is gone.
    };
    let status = tokio::select! {
        status = printed => status,
        () = fed => return 0,
    };
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().expect("one of both"))
}

async fn copy(mut from: impl AsyncRead + Unpin, output: &Output, to: fn(Bytes) -> Frame) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(count) = from.read(&mut buffer).await
        && count > 0
    {
        let piece = Bytes::copy_from_slice(&buffer[..count]);
        if output.send(frame(to(piece))).await.is_err() {
            return;
        }
    }
}

/// Stands in for a program on a terminal: it says what it was given, sends back what is typed, and ends with 3 at Ctrl-D.
async fn terminal(
    state: &Arc<Mutex<State>>,
    command: &Command,
    input: &mut Streaming<ChannelFrame>,
    output: &Output,
) -> i32 {
    let size = command.terminal.expect("a terminal");
    let term = command.environment.get("TERM").map(String::as_str).unwrap_or_default();
    let hello = format!("{} {}x{} {term}\r\n", command.argv.join(" "), size.columns, size.rows);
    let _ = output.send(frame(Frame::Stdout(hello.into()))).await;
    while let Some(got) = next(input).await {
        match got {
            to_supervisor::Frame::Stdin(piece) if piece.contains(&4) => return 3,
            to_supervisor::Frame::Stdin(piece) => {
                let seen = format!("typed {:?}\r\n", String::from_utf8_lossy(&piece));
                let _ = output.send(frame(Frame::Stdout(seen.into()))).await;
            }
            to_supervisor::Frame::Resize(size) => {
                let seen = format!("size {}x{}\r\n", size.columns, size.rows);
                let _ = output.send(frame(Frame::Stdout(seen.into()))).await;
            }
            to_supervisor::Frame::StdinEnd(_) => return 4,
            other => state.lock().expect("no panic").heard.push(other),
        }
    }
    0
}

/// What comes in, for whoever reads.
struct Queue(mpsc::Receiver<Bytes>, Bytes);

impl Read for Queue {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1.is_empty() {
            self.1 = self.0.blocking_recv().unwrap_or_default();
        }
        let piece = self.1.split_to(self.1.len().min(buffer.len()));
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

/// What goes out, for whoever writes.
struct Sink(Output);

impl Write for Sink {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(&buffer[..buffer.len().min(256 * 1024)]);
        let count = piece.len();
        self.0.blocking_send(frame(Frame::Stdout(piece))).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
