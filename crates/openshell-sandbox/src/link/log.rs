//! Lines on their way to the gateway's log of this sandbox: the main process's, and what the supervisor says.
//!
//! The main process's wait where they are made, bounded, and come here a batch at a time. Lines that had to go are counted, and
//! a line says how many.
//!
//! Lines that were handed over are kept a while: a gateway that counts lines is handed them again on the next stream, since what
//! was on its way to one that ended, or was in its memory alone, is gone with it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openshell_proto::openshell::v1::SandboxLogLine;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::process::lines::{Batch, Lines, LogLine, Stream};

/// A batch is handed over when it has so many lines, or when its first line has waited so long.
const BATCH: (usize, Duration) = (64, Duration::from_millis(100));
/// How many lines that were handed over are kept, and how many bytes of text.
const KEPT: (usize, usize) = (1000, 128 << 10);
/// How many lines of the supervisor's may wait.
const LIMIT: usize = 4 * BATCH.0;
/// The longest line that goes to standard error without waiting: a pipe that takes anything takes so much (pipe(7)).
const AT_ONCE: usize = 4096;

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// All is well.
    Info,
    /// Something is not as it should be.
    Warn,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
        }
    }
}

/// The lines, for one reader.
pub(super) struct Log {
    sandbox_id: String,
    main: Lines,
    state: Mutex<State>,
    /// Told with each line of the supervisor's, and at the end.
    more: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The supervisor's lines, and the main process's of the batch that is being gathered.
    waiting: VecDeque<SandboxLogLine>,
    dropped: u64,
    /// The latest lines that were handed over.
    kept: Kept,
    /// No line of the supervisor's comes any more.
    closed: bool,
    /// No line of the main process's comes any more.
    main_over: bool,
}

/// Lines that were handed over, oldest first.
#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<SandboxLogLine>,
    bytes: usize,
    /// The number of the first of them.
    first: u64,
    /// How many of them are not to be handed over again on this stream.
    done: usize,
}

impl Kept {
    /// Keeps lines that are handed over for the first time.
    fn keep(&mut self, lines: &[SandboxLogLine]) {
        self.bytes += lines.iter().map(|line| line.message.len()).sum::<usize>();
        self.lines.extend(lines.iter().cloned());
        self.done = self.lines.len();
        while self.lines.len() > KEPT.0 || self.bytes > KEPT.1 {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= oldest.message.len();
            self.first += 1;
            self.done -= 1;
        }
    }

    /// Lines that are to be handed over again; none where there is no such line.
    fn again(&mut self) -> Vec<SandboxLogLine> {
        let lines: Vec<_> = self.lines.iter().skip(self.done).take(BATCH.0).cloned().collect();
        self.done += lines.len();
        lines
    }
}

impl Log {
    /// The log of a sandbox whose main process prints `main`.
    pub(super) fn new(sandbox_id: String, main: Lines) -> Self {
        Self { sandbox_id, main, state: Mutex::default(), more: Notify::new() }
    }

    /// Whose lines they are.
    pub(super) fn sandbox_id(&self) -> &str {
        &self.sandbox_id
    }

    /// Says something in the supervisor's name: here, and on standard error.
    pub(super) fn say(&self, level: Level, message: &str) {
        stderr(message);
        self.note(level, message);
    }

    fn note(&self, level: Level, message: &str) {
        let line = self.own(level, message.to_owned());
        let mut state = self.state();
        state.waiting.push_back(line);
        if state.waiting.len() > LIMIT {
            state.waiting.pop_front();
            state.dropped += 1;
        }
        drop(state);
        self.more.notify_one();
    }

    /// The supervisor says nothing more.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.more.notify_one();
    }

    /// Whether every line was taken, and none comes any more.
    pub(super) fn is_over(&self) -> bool {
        self.state().is_over()
    }

    /// A stream begins, for which lines that were handed over before are handed over `again` or not; gives the number of its
    /// first line.
    pub(super) fn begin(&self, again: bool) -> u64 {
        let kept = &mut self.state().kept;
        kept.done = if again { 0 } else { kept.lines.len() };
        kept.first + kept.done as u64
    }

    /// Waits for a batch: full, or old enough, or the last; nothing after the last one. Nothing is lost when it is given up
    /// while it waits.
    pub(super) async fn batch(&self) -> Option<Vec<SandboxLogLine>> {
        let mut deadline: Option<Instant> = None;
        loop {
            let (room, main_over) = {
                let mut state = self.state();
                let again = state.kept.again();
                if !again.is_empty() {
                    return Some(again);
                }
                if state.is_over() {
                    return None;
                }
                let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
                let last = state.closed && state.main_over;
                if state.waiting.len() >= BATCH.0 || late || last {
                    return Some(self.hand_over(&mut state));
                }
                if !state.waiting.is_empty() && deadline.is_none() {
                    deadline = Some(Instant::now() + BATCH.1);
                }
                (BATCH.0 - state.waiting.len(), state.main_over)
            };
            let in_time = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                batch = self.main.take(room), if !main_over => self.gather(batch),
                () = self.more.notified() => {}
                () = in_time => {}
            }
        }
    }

    fn gather(&self, batch: Option<Batch>) {
        let mut state = self.state();
        let Some(batch) = batch else {
            state.main_over = true;
            return;
        };
        state.dropped += batch.dropped;
        state.waiting.extend(batch.lines.into_iter().map(|line| self.mains(line)));
    }

    fn hand_over(&self, state: &mut State) -> Vec<SandboxLogLine> {
        let mut batch = Vec::new();
        if state.dropped > 0 {
            let dropped = std::mem::take(&mut state.dropped);
            let why = "lines before this were dropped: they came faster than the gateway took them";
            batch.push(self.own(Level::Warn, format!("{dropped} {why}")));
        }
        let count = state.waiting.len().min(BATCH.0);
        batch.extend(state.waiting.drain(..count));
        state.kept.keep(&batch);
        batch
    }

    fn own(&self, level: Level, message: String) -> SandboxLogLine {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        SandboxLogLine {
            sandbox_id: self.sandbox_id.clone(),
            timestamp_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            level: level.as_str().to_owned(),
            target: "openshell-sandbox".to_owned(),
            message,
            source: "supervisor".to_owned(),
            fields: Default::default(),
        }
    }

    fn mains(&self, line: LogLine) -> SandboxLogLine {
        let target = match line.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        SandboxLogLine {
            sandbox_id: self.sandbox_id.clone(),
            timestamp_ms: line.at_ms,
            level: Level::Info.as_str().to_owned(),
            target: target.to_owned(),
            message: line.text,
            source: "main".to_owned(),
            fields: Default::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.closed && self.main_over && self.waiting.is_empty() && self.kept.done == self.kept.lines.len()
    }
}

/// Writes a line to standard error if that takes it at once. Neither `std`'s handle, whose lock a copy of the main process's
/// output may hold, nor a wait: everything else here would wait with it.
fn stderr(message: &str) {
    let line = format!("openshell-sandbox: {message}\n");
    let stderr = rustix::stdio::stderr();
    let mut ready = [PollFd::from_borrowed_fd(stderr, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if matches!(poll(&mut ready, Some(&now)), Ok(1)) {
        // One that is gone is no reason to end.
        let _ = rustix::io::write(stderr, &line.as_bytes()[..line.len().min(AT_ONCE)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::lines::Splitter;

    /// A log of a main process that has printed so many numbers.
    fn log(count: usize) -> (Log, Lines) {
        let main = Lines::default();
        let mut splitter = Splitter::new(main.clone(), Stream::Stdout);
        for number in 0..count {
            splitter.push(format!("{number}\n").as_bytes());
        }
        (Log::new("s-1".to_owned(), main.clone()), main)
    }

    fn messages(batch: &[SandboxLogLine]) -> Vec<&str> {
        batch.iter().map(|line| line.message.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn lines_come_in_order_and_in_batches_and_the_last_one_is_followed_by_nothing() {
        let (log, main) = log(70);
        let first = log.batch().await.expect("a batch");
        assert_eq!((first.len(), first[0].message.as_str()), (64, "0"));
        let of = |line: &SandboxLogLine| [&line.source, &line.target, &line.level].map(String::clone);
        assert_eq!(of(&first[0]), ["main", "stdout", "info"]);
        let began = Instant::now();
        assert_eq!(messages(&log.batch().await.expect("a batch")), ["64", "65", "66", "67", "68", "69"]);
        assert_eq!(began.elapsed(), BATCH.1, "a batch that is not full waits for more");
        log.note(Level::Warn, "said");
        Splitter::new(main.clone(), Stream::Stderr).push(b"last");
        main.close();
        log.close();
        let began = Instant::now();
        let last = log.batch().await.expect("a batch");
        assert_eq!(messages(&last), ["said", "last"]);
        assert_eq!(of(&last[0]), ["supervisor", "openshell-sandbox", "warn"]);
        assert_eq!((log.batch().await, log.is_over()), (None, true));
        assert_eq!(began.elapsed(), Duration::ZERO, "the last batch waits for nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_said_once_how_many_lines_went() {
        let (log, _main) = log(5000);
        for number in 0..LIMIT + 3 {
            log.note(Level::Info, &number.to_string());
        }
        let first = log.batch().await.expect("a batch");
        assert!(first[0].message.starts_with("3 lines before this were dropped"), "{}", first[0].message);
        assert_eq!((first[0].source.as_str(), first[1].message.as_str()), ("supervisor", "3"));
        for _ in 1..LIMIT / BATCH.0 {
            assert_eq!(log.batch().await.expect("a batch").len(), BATCH.0);
        }
        let next = log.batch().await.expect("a batch");
        assert!(next[0].message.starts_with("3000 lines before this were dropped"), "{}", next[0].message);
        assert_eq!(next[1].message, "3000");
        assert_eq!(log.batch().await.expect("a batch")[0].message, "3064");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_given_up_loses_nothing() {
        let (log, _main) = log(3);
        tokio::time::timeout(BATCH.1 / 2, log.batch()).await.expect_err("it waits for more");
        assert_eq!(messages(&log.batch().await.expect("a batch")), ["0", "1", "2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn lines_are_handed_over_again_where_that_is_wanted_and_keep_their_numbers() {
        let (log, main) = log(70);
        assert_eq!(log.begin(true), 0);
        for _ in 0..2 {
            log.batch().await.expect("a batch");
        }
        assert_eq!(log.begin(false), 70, "nothing again");
        assert_eq!(log.begin(true), 0, "all of it");
        assert_eq!(messages(&log.batch().await.expect("a batch"))[0], "0");
        Splitter::new(main.clone(), Stream::Stdout).push(b"new");
        assert_eq!(messages(&log.batch().await.expect("a batch")), ["64", "65", "66", "67", "68", "69"]);
        assert_eq!(messages(&log.batch().await.expect("a batch")), ["new"]);
        main.close();
        log.close();
        assert!(log.batch().await.is_none() && log.is_over());
        log.begin(true);
        assert!(!log.is_over(), "the last lines were lost, too");

        let (log, _main) = self::log(KEPT.0 + 500);
        for _ in 0..(KEPT.0 + 500).div_ceil(BATCH.0) {
            log.batch().await.expect("a batch");
        }
        assert_eq!(log.begin(true), 500, "no more than so many are kept");
        let mut kept = Kept::default();
        kept.keep(&vec![SandboxLogLine { message: "x".repeat(1 << 10), ..Default::default() }; 200]);
        assert_eq!((kept.bytes, kept.first, kept.done), (KEPT.1, 72, 128));
    }
}
