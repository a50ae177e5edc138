//! Sessions: their ids and passwords, and when they expire. Which sessions exist is replicated
//! state and stands in [`crate::tree::Database`].

mod expiry;
mod ids;
mod password;

pub use expiry::Expiry;
pub use ids::SessionIds;
pub use password::password;
