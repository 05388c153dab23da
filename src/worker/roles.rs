//! Which halves of the work one process does.

use std::collections::BTreeSet;

/// The orchestrator, the delivery of all consumers, or of some: each scales alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles {
    pub orchestrator: bool,
    pub delivery: DeliveryRole,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryRole {
    All,
    None,
    /// These consumers, by name.
    Only(BTreeSet<String>),
}

impl Roles {
    /// Both halves, unless one of them or some consumers are picked.
    pub fn pick(orchestrator: bool, consumers: &[String]) -> Roles {
        match (orchestrator, consumers.is_empty()) {
            (false, true) => Roles { orchestrator: true, delivery: DeliveryRole::All },
            (true, true) => Roles { orchestrator: true, delivery: DeliveryRole::None },
            (orchestrator, false) => Roles { orchestrator, delivery: DeliveryRole::Only(consumers.iter().cloned().collect()) },
        }
    }

    pub fn delivers(&self, consumer: &str) -> bool {
        match &self.delivery {
            DeliveryRole::All => true,
            DeliveryRole::None => false,
            DeliveryRole::Only(names) => names.contains(consumer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_flags_one_process_does_both_halves() {
        let roles = Roles::pick(false, &[]);
        assert!(roles.orchestrator && roles.delivers("warehouse"));
    }

    #[test]
    fn flags_pick_and_may_be_joined() {
        let only = ["engagement".to_owned()];
        assert!(!Roles::pick(true, &[]).delivers("engagement"));
        assert!(!Roles::pick(false, &only).orchestrator);
        let both = Roles::pick(true, &only);
        assert!(both.orchestrator && both.delivers("engagement") && !both.delivers("warehouse"));
    }
}
