//! Queue → batch → sink: ordering, retry, breaker, bisecting, dead letters. One worker a consumer; it knows no pipeline beyond a queue record's headers.

mod bisect;
mod breaker;
mod call;
mod dead;
mod dispatch;
mod engine;
mod lanes;
mod rate;
mod record;
mod retry;
mod settle;
mod status;
mod streak;
mod worker;

pub use dead::{DeadLetters, Letter, Reason};
pub use engine::{Clock, Command, Engine, EngineParts};
pub use record::{Ack, Entry, Incoming, Unreadable};
pub use status::DeliveryState;
pub use worker::DeliveryWorker;
