//! How long to wait before trying again: exponential, with jitter, never less than the sink asked for. No clock: the caller adds it to its own.

use std::time::Duration;

use rand::{Rng, RngExt};

/// The longest a sink may ask to be left alone for; a `Retry-After` of days is more likely a mistake than a wish.
const MAX_ASKED: Duration = Duration::from_secs(3_600);

/// `retry: { initial, max }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub initial: Duration,
    pub max: Duration,
}

impl Backoff {
    /// The most that is waited after so many failures in a row (from 1): `initial`, doubled each time, at most `max`.
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.initial.saturating_mul(1 << doublings).min(self.max)
    }

    /// Full jitter: anything up to the ceiling, so that workers that failed together do not come back together. On top of what the sink asked for.
    pub fn wait(&self, failures: u32, asked: Option<Duration>, rng: &mut impl Rng) -> Duration {
        jittered(Duration::ZERO, self.ceiling(failures), rng) + asked.unwrap_or_default().min(MAX_ASKED)
    }

    /// Between half the ceiling and all of it: for pauses, where no wait at all would be no pause.
    pub fn pause(&self, failures: u32, asked: Option<Duration>, rng: &mut impl Rng) -> Duration {
        let ceiling = self.ceiling(failures);
        jittered(ceiling / 2, ceiling, rng) + asked.unwrap_or_default().min(MAX_ASKED)
    }
}

fn jittered(from: Duration, to: Duration, rng: &mut impl Rng) -> Duration {
    from + (to - from).mul_f64(rng.random_range(0.0..=1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const BACKOFF: Backoff = Backoff { initial: Duration::from_millis(200), max: Duration::from_secs(30) };

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum() {
        let seconds: Vec<f64> = [1, 2, 3, 8, 9, 1_000_000].map(|n| BACKOFF.ceiling(n).as_secs_f64()).to_vec();
        assert_eq!(seconds, [0.2, 0.4, 0.8, 25.6, 30.0, 30.0]);
    }

    proptest! {
        #[test]
        fn a_wait_lies_between_what_was_asked_and_the_ceiling_above_it(failures in 1..100_u32, asked in 0..100_000_u64, seed in any::<u64>()) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let asked = Duration::from_secs(asked);
            let floor = asked.min(MAX_ASKED);
            let wait = BACKOFF.wait(failures, Some(asked), &mut rng);
            prop_assert!(floor <= wait && wait <= floor + BACKOFF.ceiling(failures));
            let pause = BACKOFF.pause(failures, None, &mut rng);
            prop_assert!(BACKOFF.ceiling(failures) / 2 <= pause && pause <= BACKOFF.ceiling(failures));
        }
    }

    #[test]
    fn waits_spread_over_all_of_the_ceiling() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let waits: Vec<f64> = (0..1_000).map(|_| BACKOFF.wait(9, None, &mut rng).as_secs_f64()).collect();
        let mean = waits.iter().sum::<f64>() / 1_000.0;
        assert!((14.0..16.0).contains(&mean), "{mean}");
        assert!(waits.iter().any(|w| *w < 1.0) && waits.iter().any(|w| *w > 29.0));
    }
}
