//! Sessions: their ids and passwords, and when they expire. Which global sessions exist is
//! replicated state and stands in [`crate::tree::Database`]; local ones stand in [`LocalSessions`].

mod ended;
mod expiry;
mod ids;
mod local;
mod password;

pub use ended::Ended;
pub use expiry::Expiry;
pub use ids::SessionIds;
pub use local::{LocalSessions, is_home};
pub use password::password;
