//! Seeded chance: the same seed gives the same draws on every machine, so only whole numbers and exact float operations are used.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A stream of draws of its own for each person: what one does never shifts what another does.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64, stream: u64) -> Dice {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Dice(rng)
    }

    /// From 0 up to and without `limit`, which is not 0. The modulo's bias is under 2⁻⁴⁰ for the small limits here.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }

    /// From 0 up to and without 1.
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// `list` is not empty.
    pub(super) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// One of the values by their weights, which are not all 0.
    pub(super) fn weighted<T: Copy>(&mut self, list: &[(u64, T)]) -> T {
        let mut draw = self.below(list.iter().map(|(weight, _)| weight).sum());
        for (weight, value) in list {
            if draw < *weight {
                return *value;
            }
            draw -= weight;
        }
        list[list.len() - 1].1
    }

    /// Milliseconds around `mean`, most of them shorter and a few much longer, as people's pauses are: 3u² has mean 1 and ends at 3.
    pub(super) fn pause(&mut self, mean_ms: i64) -> i64 {
        let u = self.unit();
        (3.0 * u * u * mean_ms as f64) as i64 + 1
    }

    pub(super) fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(LETTERS[self.below(36) as usize])).collect()
    }

    /// Version 4, in its usual form.
    pub(super) fn uuid(&mut self) -> String {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_stream_always_give_the_same_draws() {
        let draws = |seed, stream| {
            let mut dice = Dice::new(seed, stream);
            (dice.uuid(), dice.below(1000), dice.letters(5), dice.pause(1000))
        };
        assert_eq!(draws(7, 1), draws(7, 1));
        assert_ne!(draws(7, 1), draws(7, 2));
        assert_ne!(draws(7, 1), draws(8, 1));
    }

    #[test]
    fn pauses_have_the_mean_they_are_asked_for() {
        let mut dice = Dice::new(1, 1);
        let sum: i64 = (0..20_000).map(|_| dice.pause(1000)).sum();
        assert!((950..1050).contains(&(sum / 20_000)), "mean {}", sum / 20_000);
    }

    #[test]
    fn a_weight_of_zero_is_never_drawn() {
        let mut dice = Dice::new(1, 1);
        assert!((0..1000).all(|_| dice.weighted(&[(0, 'a'), (3, 'b'), (0, 'c')]) == 'b'));
    }
}
