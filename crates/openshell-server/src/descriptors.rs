//! The process's limit of open files, raised to what the listeners may need, and the doors of sandboxes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Descriptors besides those of clients: the store, the driver's connections, logs, files that are read.
const OWN: u64 = 256;

/// Raises the soft limit to `connections`, what the gateway itself needs and `sandboxes`, as far as the hard limit lets it.
/// Never lowers it. Of the last nobody knows how many there will be, so nobody is warned of too few.
pub(crate) fn make_room_for(connections: u64, sandboxes: u64) {
    let needed = connections.saturating_add(OWN);
    let now = getrlimit(Resource::Nofile);
    let Some(soft) = raised(now, needed.saturating_add(sandboxes)) else { return };
    if soft < needed {
        warn!(
            descriptors = soft,
            connections, "the limit of open files (ulimit -n) is below what `connections` may need"
        );
    }
    if now.current == Some(soft) {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: now.maximum }) {
        Ok(()) => debug!(descriptors = soft, "the limit of open files is raised"),
        Err(error) => warn!(%error, "the limit of open files cannot be raised"),
    }
}

/// What the soft limit shall be, when it is not enough: `None` in a limit is infinity.
fn raised(now: Rlimit, needed: u64) -> Option<u64> {
    let soft = now.current.filter(|soft| *soft < needed)?;
    Some(now.maximum.map_or(needed, |hard| needed.min(hard)).max(soft))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_raised_to_what_is_needed_and_the_hard_limit_allows() {
        for (soft, hard, expected) in [
            (Some(1024), Some(4096), Some(2000)),
            (Some(1024), Some(1500), Some(1500)),
            (Some(1024), Some(1024), Some(1024)),
            (Some(1024), None, Some(2000)),
            (Some(2000), Some(4096), None),
            (None, None, None),
        ] {
            let now = Rlimit { current: soft, maximum: hard };
            assert_eq!(raised(now, 2000), expected, "{soft:?} {hard:?}");
        }
    }
}
