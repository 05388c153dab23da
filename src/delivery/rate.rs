//! `rate_limit`: a token bucket over records. It is this worker's alone: two workers of one consumer send twice the rate together, until the share is agreed
//! on through Redis (a later issue).

use std::time::Duration;

use tokio::time::Instant;

/// Tokens are records; they come at the rate and at most a second's worth (at least one) is saved up. A batch may take more than there is: the debt is
/// waited for before the next one, so the rate holds on average and no record is larger than the bucket.
#[derive(Debug, Clone)]
pub struct Rate {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Rate {
    pub fn new(per_second: f64, now: Instant) -> Rate {
        // A rate of zero or none would never let anything pass; settings refuse it, this keeps the arithmetic finite.
        let per_second = per_second.max(1e-6);
        Rate { per_second, tokens: per_second.max(1.0), at: now }
    }

    /// The largest batch to make: a second's worth.
    pub fn burst(&self) -> usize {
        self.per_second.max(1.0) as usize
    }

    /// When the next batch may go; now or earlier where it may go at once.
    pub fn next(&mut self, now: Instant) -> Instant {
        self.refill(now);
        match 1.0 - self.tokens {
            missing if missing <= 1e-9 => now,
            missing => now + Duration::from_secs_f64((missing / self.per_second).min(1e6)),
        }
    }

    /// So many records went.
    pub fn spend(&mut self, records: usize, now: Instant) {
        self.refill(now);
        self.tokens -= records as f64;
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.per_second.max(1.0));
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Batches as large and as early as is allowed: over any stretch the rate holds, with a second's worth and one batch to spare.
        #[test]
        fn a_greedy_sender_is_held_to_the_rate(per_second in 0.2..500.0_f64, wanted in proptest::collection::vec(1..300_usize, 1..60)) {
            let start = Instant::now();
            let (mut rate, mut now, mut sent) = (Rate::new(per_second, start), start, 0);
            for records in wanted {
                now = now.max(rate.next(now));
                let records = records.min(rate.burst());
                rate.spend(records, now);
                sent += records;
                let allowed = per_second * (now - start).as_secs_f64() + 2.0 * per_second.max(1.0) + 1.0;
                prop_assert!(sent as f64 <= allowed, "{sent} sent, {allowed} allowed");
            }
            // And it is used: the last one did not go later than the rate asks for.
            prop_assert!((now - start).as_secs_f64() <= sent as f64 / per_second + 0.001);
        }
    }

    #[test]
    fn an_idle_minute_saves_up_no_more_than_a_second() {
        let start = Instant::now();
        let mut rate = Rate::new(10.0, start);
        let later = start + Duration::from_secs(60);
        rate.spend(10, later);
        assert_eq!(rate.next(later), later + Duration::from_millis(100));
        rate.spend(10, later);
        assert_eq!(rate.next(later), later + Duration::from_millis(1_100), "a debt is waited for");
    }
}
