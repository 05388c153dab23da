//! What comes before and after a publication, as functions of values: what would change.

pub mod plan;

pub use plan::{Plan, SavedPlan};
