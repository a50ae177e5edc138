//! The integration tests of the crate zookeeper-client, as it was published; who runs this says
//! where they are.

include!(env!("ZOOKEEPER_CLIENT_TESTS"));
