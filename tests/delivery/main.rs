//! Delivery, from a queue's records to a sink's verdicts: what a user of the system sees of ordering, retries, refusals and pauses.

mod bench;
mod flow;
mod hold;
mod order;
mod refusals;
mod trouble;
