//! What a consumer's delivery is doing, for status, metrics and logs.

use std::fmt;

/// One of `telemetry::DELIVERY_STATES`, with why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryState {
    Delivering,
    /// The sink is down, slow or busy; probes go on.
    Paused {
        why: String,
    },
    /// Nobody would be served; probes go on, nothing is dead-lettered.
    Misconfigured {
        why: String,
    },
    /// Takes nothing new and delivers what it has.
    Draining,
}

impl DeliveryState {
    /// As it stands in metrics and status.
    pub fn name(&self) -> &'static str {
        match self {
            DeliveryState::Delivering => "delivering",
            DeliveryState::Paused { .. } => "paused",
            DeliveryState::Misconfigured { .. } => "misconfigured",
            DeliveryState::Draining => "draining",
        }
    }

    /// Why it is not delivering, in one line.
    pub fn why(&self) -> Option<&str> {
        match self {
            DeliveryState::Paused { why } | DeliveryState::Misconfigured { why } => Some(why),
            DeliveryState::Delivering | DeliveryState::Draining => None,
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why() {
            None => f.write_str(self.name()),
            Some(why) => write!(f, "{}: {why}", self.name()),
        }
    }
}
