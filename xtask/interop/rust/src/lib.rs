//! Nothing: what runs are the tests, of the crate zookeeper-client, in `tests/suite.rs`.
