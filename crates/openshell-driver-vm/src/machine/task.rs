//! The one task of a machine: it listens to the guest (channel.rs), keeps its console, watches the time and the relay, and waits
//! for QEMU.

mod channel;

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use openshell_vm_init::protocol::{Frames, MAX_FROM_GUEST, Spec, ToGuest, encode};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::process::ChildStderr;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

pub(super) use self::channel::check_version;
use super::console::{self, Log, readable};
use super::relay::Relay;
use super::start::Running;
use super::{Cause, End, Event, Order, leftover};

/// How often a guest has to show that it lives.
const PING: Duration = Duration::from_secs(2);

/// What a guest is given on top of a grace, to write back its disk and to power itself off.
const POWER_OFF: Duration = Duration::from_secs(8);

/// How much of QEMU's own words is kept.
const COMPLAINTS: usize = 2 << 10;

/// How long QEMU's words may take to come after its end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The deadlines of the configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From power-on to the main process.
    pub(super) boot: Duration,
    /// From a ping to its answer.
    pub(super) hang: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Task {
    name: String,
    dir: PathBuf,
    running: Running,
    relay: Relay,
    stderr: Option<ChildStderr>,
    complaints: Vec<u8>,
    log: Log,
    limits: Limits,
    /// Until the guest has asked for it.
    spec: Option<Spec>,
    frames: Frames,
    outgoing: Vec<u8>,
    /// Closed ends are not listened to any more.
    agent_open: bool,
    console_open: bool,
    events: mpsc::Sender<Event>,
    orders: mpsc::UnboundedReceiver<Order>,
    /// Whether there may be orders yet.
    ordered: bool,
    /// What the machine's end will be, when it is known before.
    verdict: Option<End>,
    asked: bool,
    started: bool,
    /// Whether the guest has told its end.
    told: bool,
    boot_deadline: Instant,
    /// When the machine is killed: it was asked to end, or says that it is about to.
    kill_at: Option<Instant>,
    next_ping: Instant,
    pings: u64,
    /// The last ping that had an answer.
    pongs: u64,
    /// Since when a ping has had no answer.
    waiting_since: Option<Instant>,
}

impl Task {
    /// Each event comes at most once.
    pub(super) const MOST_EVENTS: usize = 4;

    #[expect(clippy::too_many_arguments, reason = "called once, and each is a thing of its own")]
    pub(super) fn new(
        name: String,
        dir: PathBuf,
        mut running: Running,
        relay: Relay,
        log: Log,
        limits: Limits,
        spec: Spec,
        events: mpsc::Sender<Event>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        let now = Instant::now();
        Self {
            name,
            dir,
            stderr: running.child.stderr.take(),
            running,
            relay,
            complaints: Vec::new(),
            log,
            limits,
            spec: Some(spec),
            frames: Frames::new(MAX_FROM_GUEST),
            outgoing: Vec::new(),
            agent_open: true,
            console_open: true,
            events,
            orders,
            ordered: true,
            verdict: None,
            asked: false,
            started: false,
            told: false,
            boot_deadline: now + limits.boot,
            kill_at: None,
            next_ping: now + PING,
            pings: 0,
            pongs: 0,
            waiting_since: None,
        }
    }

    /// Looks after the machine until it is gone.
    pub(super) async fn run(mut self) {
        let status = loop {
            let wake = self.wake_at();
            let Running { child, console, agent, .. } = &mut self.running;
            tokio::select! {
                status = child.wait() => break status,
                order = self.orders.recv(), if self.ordered => {
                    // Nobody is left who could want it.
                    self.ordered = order.is_some();
                    self.obey(order.unwrap_or(Order::Kill));
                }
                _ = console.readable(), if self.console_open => self.read_console(),
                _ = agent.readable(), if self.agent_open => self.read_agent(),
                _ = agent.writable(), if self.agent_open && !self.outgoing.is_empty() => self.write_agent(),
                words = complaint(&mut self.stderr) => self.complained(&words),
                broken = self.relay.broken() => self.broke_the_protocol(&broken),
                () = sleep_until(wake) => self.look_at_the_clock(),
            }
        };
        // Whatever it said before its end is still in the sockets.
        self.read_console();
        self.read_agent();
        let _ = timeout(LAST_WORDS, async {
            while self.stderr.is_some() {
                let words = complaint(&mut self.stderr).await;
                self.complained(&words);
            }
        })
        .await;
        self.log.end_line();
        leftover::forget(&self.dir);
        let end = self.end(status);
        let Self { name, running, events, .. } = self;
        // The user's slot is free before anybody hears of the end.
        drop(running);
        tracing::debug!(machine = name, cause = ?end.cause, message = end.message, "machine ended");
        let _ = events.try_send(Event::Ended(end));
    }

    fn obey(&mut self, order: Order) {
        self.asked = true;
        match order {
            // Nothing runs yet that could be asked to end.
            Order::Stop { .. } if self.spec.is_some() => self.kill(),
            Order::Stop { grace } => {
                let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
                self.say(&ToGuest::Stop { grace_ms });
                self.kill_within(grace + POWER_OFF);
            }
            Order::Kill => self.kill(),
        }
    }

    /// Kill works in every state; the end of the process is what is waited for.
    fn kill(&mut self) {
        let _ = self.running.child.start_kill();
    }

    fn kill_within(&mut self, span: Duration) {
        let at = Instant::now() + span;
        self.kill_at = Some(self.kill_at.map_or(at, |before| before.min(at)));
    }

    fn fail(&mut self, cause: Cause, message: String) {
        self.verdict.get_or_insert(End { cause, message });
    }

    fn wake_at(&self) -> Instant {
        let boot = (!self.started).then_some(self.boot_deadline);
        [boot, self.kill_at].into_iter().flatten().fold(self.next_ping, Instant::min)
    }

    fn look_at_the_clock(&mut self) {
        // The driver may have been stopped for longer than any deadline, with the guest's answer before its door.
        self.read_agent();
        let now = Instant::now();
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            self.kill();
            return;
        }
        if !self.started && self.boot_deadline <= now && self.verdict.is_none() {
            let what =
                if self.spec.is_some() { "has not come up" } else { "has not started its main process" };
            let last = console::tail(&self.dir, 1);
            let last = if last.is_empty() { "nothing".to_owned() } else { format!("`{last}`") };
            let within = self.limits.boot.as_secs();
            self.fail(
                Cause::Failed,
                format!("the guest {what} within {within} s; its console ends with {last}"),
            );
            self.kill();
        }
        if self.spec.is_none() && self.waiting_since.is_some_and(|since| now - since >= self.limits.hang) {
            if self.verdict.is_none() && !self.asked {
                let _ = self.events.try_send(Event::Silent);
            }
            let silent = self.limits.hang.as_secs();
            self.fail(Cause::Hung, format!("the guest did not answer for {silent} s and was killed"));
            self.kill();
        }
        if self.next_ping <= now {
            self.next_ping = now + PING;
            self.ping(now);
        }
    }

    fn ping(&mut self, now: Instant) {
        if self.spec.is_some() {
            return;
        }
        self.waiting_since.get_or_insert(now);
        // A guest that does not read is not sent more.
        if self.outgoing.is_empty() {
            self.pings += 1;
            self.say(&ToGuest::Ping(self.pings));
        }
    }

    fn say(&mut self, message: &ToGuest) {
        match encode(message) {
            Ok(frame) => self.outgoing.extend_from_slice(&frame),
            Err(error) => {
                self.fail(Cause::Failed, format!("what the guest is to be told does not fit: {error}"));
                self.kill();
            }
        }
    }

    fn read_console(&mut self) {
        let mut buffer = [0; 4 << 10];
        for _ in 0..64 {
            match read_some(&self.running.console, &mut buffer) {
                Read::Bytes(read) => self.log.take(&buffer[..read]),
                Read::Nothing => return,
                Read::Closed => {
                    self.console_open = false;
                    return;
                }
            }
        }
    }

    fn complained(&mut self, words: &[u8]) {
        if words.is_empty() {
            self.stderr = None;
        }
        self.complaints.extend_from_slice(words);
        let surplus = self.complaints.len().saturating_sub(COMPLAINTS);
        self.complaints.drain(..surplus);
    }

    /// Why it ended: what was known before counts first, then what was asked, then what the console and QEMU say.
    fn end(&mut self, status: io::Result<ExitStatus>) -> End {
        if let Some(verdict) = self.verdict.take() {
            return verdict;
        }
        if self.asked {
            return End { cause: Cause::Stopped, message: "stopped".to_owned() };
        }
        if let Some(panic) = self.log.panic() {
            return End { cause: Cause::Panicked, message: panic.to_owned() };
        }
        let complaint =
            self.complaints.split(|byte| *byte == b'\n').map(readable).rfind(|line| !line.is_empty());
        let words = complaint.map_or(String::new(), |words| format!(": {words}"));
        match status {
            Ok(status) if status.success() && words.is_empty() => {
                let last = console::tail(&self.dir, 1);
                if self.started {
                    let message = format!("the guest reset itself; its console ends with `{last}`");
                    return End { cause: Cause::Qemu, message };
                }
                // A kernel that cannot unpack itself says nothing at all.
                let message =
                    "the guest reset itself before it came up; it may have too little memory".to_owned();
                End { cause: Cause::Failed, message }
            }
            Ok(status) => End { cause: Cause::Qemu, message: format!("QEMU ended, {status}{words}") },
            Err(error) => End { cause: Cause::Qemu, message: format!("QEMU is lost: {error}{words}") },
        }
    }
}

enum Read {
    Bytes(usize),
    Nothing,
    Closed,
}

fn read_some(from: &UnixStream, buffer: &mut [u8]) -> Read {
    match from.try_read(buffer) {
        Ok(0) => Read::Closed,
        Ok(read) => Read::Bytes(read),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
        Err(_) => Read::Closed,
    }
}

/// The next of QEMU's words; none at their end, for ever pending after it.
async fn complaint(stderr: &mut Option<ChildStderr>) -> Vec<u8> {
    let Some(stderr) = stderr else { return std::future::pending().await };
    let mut words = Vec::with_capacity(256);
    let _ = stderr.read_buf(&mut words).await;
    words
}
