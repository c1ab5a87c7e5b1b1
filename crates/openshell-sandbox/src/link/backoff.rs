//! How long to wait before the gateway is tried again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The first pause, and the longest: less than what a call waits for a sandbox whose supervisor is away, so that the first
/// exec after a gateway came back finds it.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The pauses between the tries: each twice as long as the one before, less up to a half of it by chance, so that the
/// supervisors of a gateway that comes back do not all come at once.
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
    /// The pause after something that held for `held`; one that held for the longest pause was well, and the pauses begin
    /// anew. A gateway that accepts and hangs up at once is not.
    pub(super) fn pause(&mut self, held: Duration) -> Duration {
        if held >= PAUSES.1 {
            self.next = PAUSES.0;
        }
        let pause = self.next;
        self.next = (pause * 2).min(PAUSES.1);
        pause - (pause / 2).mul_f64(chance())
    }
}

/// A number from 0 to below 1. The standard library seeds every `RandomState` anew: good enough to scatter, for nothing else.
fn chance() -> f64 {
    let bits = RandomState::new().hash_one(0_u8);
    f64::from((bits >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_health() {
        let mut backoff = Backoff::default();
        for longest in [100, 200, 400, 800, 1600, 2000, 2000] {
            let pause = backoff.pause(Duration::from_millis(50)).as_millis();
            assert!((longest / 2..=longest).contains(&pause), "{pause} ms of {longest}");
        }
        assert!(backoff.pause(PAUSES.1) <= PAUSES.0);
    }

    #[test]
    fn two_supervisors_do_not_wait_alike() {
        let pauses: Vec<_> = (0..8).map(|_| Backoff::default().pause(Duration::ZERO)).collect();
        assert!(pauses.iter().any(|pause| pause != &pauses[0]), "{pauses:?}");
    }
}
