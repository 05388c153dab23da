//! What people do with published config sets, for the verbs: check and publish, see who runs what and what was published, stop a delivery.

mod apply;
mod author;
mod checkout;
mod consumers;
mod guard;
pub mod plan;
mod published;
mod pull;
mod status;
mod wait;

pub use apply::{Applied, ApplyError, Change, Publisher};
pub use author::author;
pub use checkout::{Ancestry, Checkout};
pub use consumers::known_consumers;
pub use guard::{Destruction, Refused};
pub use plan::{Plan, SavedPlan};
pub use published::{LookupError, Published, look_up};
pub use pull::{PullError, Pulled, pull};
pub use status::{ConsumerLine, Drift, Local, Lookout, Now, Standing, Status, name_of};
pub use wait::{Straggler, wait_for_workers};
