//! `run`: the life of a sandbox's first process, from its start to the main process's exit code.

use std::env;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openshell_guest::user;
use rustix::process::{DumpableBehavior, Pid, Signal, getpid, kill_process_group, set_dumpable_behavior};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use crate::args::Run;
use crate::link::{Endpoint, Link, Settings, Token, Trust};
use crate::process::identity::Identity;
use crate::process::main_process::Output;
use crate::say::say;
use crate::service::Sandbox;
use crate::spec;

/// How long the gateway may take to hear of the main process's exit.
const REPORT: Duration = Duration::from_secs(2);
/// How long the last output may take.
const LAST_OUTPUT: Duration = Duration::from_secs(2);
/// The code of a supervisor that could not begin, as of a container engine's own failures.
const FAILED: u8 = 125;

/// Runs the sandbox; gives the exit code.
pub(crate) fn run(arguments: Run) -> u8 {
    match prepare(arguments) {
        Ok(code) => code,
        Err(message) => {
            say(message);
            FAILED
        }
    }
}

fn prepare(arguments: Run) -> Result<u8, String> {
    // Before anything secret is read: from here on `/proc/PID/{environ,mem,maps}` are closed to everybody in the
    // sandbox.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| format!("cannot close itself to the sandbox: {error}"))?;
    let value = env::var(spec::VARIABLE).ok();
    let spec = spec::read(value.as_deref()).map_err(|error| error.to_string())?;
    let mut command = spec.command;
    if command.is_empty() {
        command = arguments.command;
    }
    if command.is_empty() {
        command.push("/bin/sh".to_owned());
    }
    let mut user = user::find(&arguments.user).map_err(|error| error.to_string())?;
    for group in arguments.groups {
        if group != user.gid && !user.groups.contains(&group) {
            user.groups.push(group);
        }
    }
    let root = user::find("0").map_err(|error| error.to_string())?;
    let workdir = match arguments.workdir {
        Some(workdir) => workdir,
        None => env::current_dir().map_or_else(|_| "/".to_owned(), |path| path.display().to_string()),
    };
    let environment = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let identity = Identity::new(user, workdir, arguments.capabilities, environment, &root.home);
    let settings = settings(arguments.forget_token)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot begin: {error}"))?;
    let code = runtime.block_on(live(command, spec.tty, identity, settings))?;
    // A shell's code has eight bits.
    Ok(u8::try_from(code & 0xff).unwrap_or(FAILED))
}

/// What the link needs; nothing where there is no gateway, which is said.
fn settings(forget_token: bool) -> Result<Option<Settings>, String> {
    let Ok(endpoint) = env::var("OPENSHELL_ENDPOINT") else {
        say("`OPENSHELL_ENDPOINT` is not set: the main process runs without a gateway");
        return Ok(None);
    };
    let wanted = |name: &str| env::var(name).map_err(|_| format!("`{name}` is not set"));
    let endpoint =
        Endpoint::parse(&endpoint).map_err(|error| format!("`OPENSHELL_ENDPOINT`: {error}"))?.hold();
    let trust = match &endpoint {
        Endpoint::Socket(_) => None,
        Endpoint::Network(_) => {
            let trust = Trust::read(Path::new(&wanted("OPENSHELL_CA_FILE")?));
            Some(trust.map_err(|error| error.to_string())?)
        }
    };
    let file = wanted("OPENSHELL_SANDBOX_TOKEN_FILE")?;
    let token = Token::read(Path::new(&file)).map_err(|error| error.to_string())?;
    if forget_token && let Err(error) = std::fs::remove_file(&file) {
        // No reason to end: it can be read by root alone.
        say(format_args!("the token's file `{file}` stays: {error}"));
    }
    let sandbox_id = wanted("OPENSHELL_SANDBOX_ID")?;
    Ok(Some(Settings { endpoint, trust, sandbox_id, token }))
}

async fn live(
    command: Vec<String>,
    tty: bool,
    identity: Identity,
    settings: Option<Settings>,
) -> Result<i32, String> {
    let during = |error: io::Error| format!("cannot listen to signals: {error}");
    // Before the main process, so that none is lost.
    let mut signals = Forwarded::new().map_err(during)?;
    let (sandbox, output) =
        Sandbox::start(command, tty, identity).map_err(|error| format!("cannot begin: {error}"))?;
    let sandbox = Arc::new(sandbox);
    let link = settings.map(|settings| Link::start(settings, sandbox.clone()));
    let code = loop {
        tokio::select! {
            code = sandbox.main.ended() => break code,
            number = signals.next() => match number {
                Some(number) if number == Signal::WINCH.as_raw() => sandbox.main.follow_size(),
                Some(number) => sandbox.main.signal(number),
                None => {}
            },
        }
    };
    end(code, &sandbox, output, link).await;
    Ok(code)
}

/// Ends what is left of the sandbox, and says how it ended.
async fn end(code: i32, sandbox: &Sandbox, output: Output, link: Option<Link>) {
    let rest = match (getpid().is_init(), sandbox.main.pid().and_then(Pid::from_raw)) {
        // Everything but this process, which the kernel spares.
        (true, _) => Some(Pid::INIT),
        (false, main) => main,
    };
    if let Some(rest) = rest {
        // Nobody left is what is wanted.
        let _ = kill_process_group(rest, Signal::KILL);
    }
    let report = async {
        if let Some(link) = &link
            && tokio::time::timeout(REPORT, link.report_exit(code)).await.is_err()
        {
            say(format_args!("the gateway was not reached to hear that the main process exited with {code}"));
        }
    };
    tokio::join!(report, output.passed_on(LAST_OUTPUT));
}

/// The signals that are the main process's.
struct Forwarded(Vec<(i32, Signals)>);

impl Forwarded {
    fn new() -> io::Result<Self> {
        let numbers =
            [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::WINCH]
                .map(Signal::as_raw);
        let listen = |number| Ok((number, signal(SignalKind::from_raw(number))?));
        Ok(Self(numbers.into_iter().map(listen).collect::<io::Result<_>>()?))
    }

    /// The number of the next one.
    async fn next(&mut self) -> Option<i32> {
        std::future::poll_fn(|context| {
            for (number, signals) in &mut self.0 {
                if signals.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(Some(*number));
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}
