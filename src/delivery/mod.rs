//! Queue → batch → sink: ordering, retry, breaker, bisecting, dead letters. One worker a consumer; it knows no pipeline beyond a queue record's headers.

mod bisect;
mod breaker;
mod lanes;
mod rate;
mod retry;
mod streak;
