//! How long a program that ended is left alone before it is started again.

use std::time::Duration;

/// The first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A program that answered for so long was well: what it ends of is another thing than before.
const WELL: Duration = Duration::from_secs(60);

/// The pauses between the starts of one program.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: PAUSES.0 }
    }
}

impl Backoff {
    /// The pause after a program that answered for `up`, and ended; zero for one that never answered.
    pub(super) fn pause(&mut self, up: Duration) -> Duration {
        if up >= WELL {
            self.next = PAUSES.0;
        }
        let pause = self.next;
        self.next = (pause * 2).min(PAUSES.1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_a_minute_of_health() {
        let mut backoff = Backoff::default();
        let mut pauses = |up: &[u64]| -> Vec<u64> {
            up.iter().map(|up| backoff.pause(Duration::from_secs(*up)).as_secs()).collect()
        };
        assert_eq!(pauses(&[0, 0, 59, 0, 0, 0, 0]), [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pauses(&[60, 0, 3600]), [1, 2, 1]);
    }
}
