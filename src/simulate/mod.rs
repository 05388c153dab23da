//! Synthetic onboarding journeys, seeded: who applies, where they drop off, and what goes wrong on the way to Kafka. Pure; no clock, no I/O.

mod dice;
mod fault;
mod journey;
mod person;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use dice::Dice;
pub use fault::Fault;
pub use journey::card_steps;
use journey::{Emitter, Planned};
use person::Person;

/// The events topic of apps and website in the starter root.
pub const WEB_TOPIC: &str = "web.events";
/// The events topic of the loan workflow engine in the starter root.
pub const LOAN_TOPIC: &str = "engine.loan";

/// What to simulate. Shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulationOptions {
    pub seed: u64,
    /// How many people; `u64::MAX` for as many as are taken.
    pub users: u64,
    /// When the first one arrives.
    pub start: Timestamp,
    /// Mean time between two arrivals: with journeys of some hours, it says how many are under way at once.
    pub arrivals: SignedDuration,
    /// Share of people who want a loan, not a card.
    pub loans: f64,
    /// Chance of a page viewed before each step.
    pub page_views: f64,
    /// Share of events that are broken on the way, and so never arrive whole.
    pub broken: f64,
    /// Share of events that arrive twice, byte for byte.
    pub duplicates: f64,
    /// Share of events that arrive minutes to hours after they happened.
    pub late: f64,
}

impl SimulationOptions {
    /// 2026-01-05T08:00:00Z, a Monday morning.
    pub const START: Timestamp = Timestamp::constant(1_767_600_000, 0);

    pub fn new(seed: u64) -> SimulationOptions {
        SimulationOptions {
            seed,
            users: 1000,
            start: SimulationOptions::START,
            arrivals: SignedDuration::from_secs(10),
            loans: 0.08,
            page_views: 0.2,
            broken: 0.005,
            duplicates: 0.003,
            late: 0.01,
        }
    }
}

/// One event on its way to Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedEvent {
    pub topic: &'static str,
    /// The record's key: the user, or the device of somebody without an account.
    pub key: Arc<str>,
    /// When it arrives. The event itself says when it happened.
    pub time: Timestamp,
    pub value: Arc<[u8]>,
    /// The name that its emitter meant.
    pub name: &'static str,
    pub broken: Option<Fault>,
    /// Whether it arrives for the second time.
    pub duplicate: bool,
}

/// Events of interleaved users in the order they arrive. The same options give the same bytes.
pub struct Simulation {
    options: SimulationOptions,
    arrivals: Dice,
    next_arrival: Timestamp,
    arrived: u64,
    /// What people who have arrived will still send.
    coming: BinaryHeap<Reverse<Coming>>,
}

impl Simulation {
    pub fn new(options: SimulationOptions) -> Simulation {
        let arrivals = Dice::new(options.seed, 0);
        Simulation { next_arrival: options.start, options, arrivals, arrived: 0, coming: BinaryHeap::new() }
    }

    /// People who have sent something so far.
    pub fn users(&self) -> u64 {
        self.arrived
    }

    /// Lets everybody in who arrives before the next event does.
    fn admit(&mut self) {
        while self.arrived < self.options.users && self.coming.peek().is_none_or(|first| first.0.event.time >= self.next_arrival) {
            self.arrived += 1;
            let mut dice = Dice::new(self.options.seed, self.arrived);
            let person = Person::draw(&mut dice);
            for (number, planned) in journey::plan(&person, self.next_arrival, &self.options, &mut dice).into_iter().enumerate() {
                self.send(&person, planned, number as u64, &mut dice);
            }
            let pause = SignedDuration::from_millis(self.arrivals.pause(self.options.arrivals.as_millis() as i64));
            self.next_arrival = later(self.next_arrival, pause);
        }
    }

    /// The road to Kafka: an event may be broken, late, or sent twice.
    fn send(&mut self, person: &Person, planned: Planned, number: u64, dice: &mut Dice) {
        let broken = dice.chance(self.options.broken).then(|| Fault::draw(dice));
        let late = dice.chance(self.options.late);
        let twice = broken.is_none() && dice.chance(self.options.duplicates);
        let key = match planned.event.get("userId") {
            None if planned.emitter == Emitter::Web => &person.device,
            _ => &person.user,
        };
        let event = SimulatedEvent {
            topic: if planned.emitter == Emitter::Web { WEB_TOPIC } else { LOAN_TOPIC },
            key: key.as_str().into(),
            time: if late { later(planned.at, SignedDuration::from_millis(dice.pause(45 * 60_000))) } else { planned.at },
            name: planned.name,
            value: match broken {
                Some(fault) => fault.apply(planned.event, planned.emitter),
                None => fault::to_bytes(&planned.event),
            }
            .into(),
            broken,
            duplicate: false,
        };
        if twice {
            let again = SimulatedEvent {
                time: later(event.time, SignedDuration::from_millis(dice.pause(20_000))),
                duplicate: true,
                ..event.clone()
            };
            self.coming.push(Reverse(Coming { user: self.arrived, number, event: again }));
        }
        self.coming.push(Reverse(Coming { user: self.arrived, number, event }));
    }
}

impl Iterator for Simulation {
    type Item = SimulatedEvent;

    fn next(&mut self) -> Option<SimulatedEvent> {
        self.admit();
        self.coming.pop().map(|next| next.0.event)
    }
}

/// At the end of the calendar time stands still.
fn later(at: Timestamp, pause: SignedDuration) -> Timestamp {
    at.checked_add(pause).unwrap_or(at)
}

/// An event that will arrive; ordered by when, then by who sent it and in which order.
struct Coming {
    user: u64,
    number: u64,
    event: SimulatedEvent,
}

impl Coming {
    fn order(&self) -> (Timestamp, u64, u64, bool) {
        (self.event.time, self.user, self.number, self.event.duplicate)
    }
}

impl PartialEq for Coming {
    fn eq(&self, other: &Coming) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Coming {}

impl PartialOrd for Coming {
    fn partial_cmp(&self, other: &Coming) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Coming {
    fn cmp(&self, other: &Coming) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}
