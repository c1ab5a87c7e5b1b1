//! The descendants of this process, by `/proc`, and their end.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};

/// How long the dead may take to be gone; one in the midst of a system call on a slow disk may take for ever.
const DYING: Duration = Duration::from_secs(2);
/// How often the stopping of everybody is begun anew for those who were started meanwhile.
const ROUNDS: usize = 10_000;

/// Whether there is no descendant that lives.
pub(super) fn empty() -> bool {
    descendants().is_empty()
}

/// Ends all descendants. First everybody is stopped, until nobody new is found: whoever does nothing but start others
/// is not outrun by killing one after the other.
pub(super) fn end() {
    let mut stopped = HashSet::new();
    for _ in 0..ROUNDS {
        let news: Vec<_> = descendants().into_iter().filter(|process| stopped.insert(*process)).collect();
        if news.is_empty() {
            break;
        }
        signal(&news, Signal::STOP);
    }
    let deadline = Instant::now() + DYING;
    loop {
        let left = descendants();
        signal(&left, Signal::KILL);
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn signal(processes: &[Pid], signal: Signal) {
    for process in processes {
        // Gone already, which is what is wanted.
        let _ = kill_process(*process, signal);
    }
}

/// Everybody below this process who lives.
fn descendants() -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<(i32, bool)>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let stat = number.and_then(|number| fs::read(format!("/proc/{number}/stat")).ok());
        if let (Some(number), Some((parent, lives))) = (number, stat.as_deref().and_then(parse)) {
            children.entry(parent).or_default().push((number, lives));
        }
    }
    let mut below = Vec::new();
    let mut ancestors = vec![getpid().as_raw_nonzero().get()];
    while let Some(ancestor) = ancestors.pop() {
        for (child, lives) in children.remove(&ancestor).unwrap_or_default() {
            ancestors.push(child);
            below.extend(Pid::from_raw(child).filter(|_| lives));
        }
    }
    below
}

/// Of `/proc/PID/stat`: the parent, and whether it is no zombie. A program's name may have anything in it,
/// parentheses too.
fn parse(stat: &[u8]) -> Option<(i32, bool)> {
    let after = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    Some((fields.next()?.parse().ok()?, !matches!(state, "Z" | "X")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_a_name() {
        assert_eq!(parse(b"7 (a) R (1) ) S 42 7 7 0"), Some((42, true)));
        assert_eq!(parse(b"7 (\xff) Z 1 7 7 0"), Some((1, false)));
        assert_eq!(parse(b"7 (x"), None);
    }
}
