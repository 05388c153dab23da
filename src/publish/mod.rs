//! What `apply` and its kin do: the checks before a set is published, the publication itself, and what is told of it.

mod apply;
mod author;
mod checkout;
mod guard;
mod wait;

pub use apply::{Applied, ApplyError, Change, Publisher};
pub use author::author;
pub use checkout::{Ancestry, Checkout};
pub use guard::{Destruction, Refused};
pub use wait::{Straggler, wait_for_workers};
