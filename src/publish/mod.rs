//! What people do with published config sets, for the verbs: who runs what, what was published, what an operator stopped.

mod author;
mod consumers;
mod published;
mod pull;
mod status;

pub use author::author;
pub use consumers::known_consumers;
pub use published::{LookupError, Published, look_up};
pub use pull::{PullError, Pulled, pull};
pub use status::{ConsumerLine, Drift, Local, Lookout, Now, Standing, Status, name_of};
