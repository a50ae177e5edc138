//! As much of the crate testcontainers as zookeeper-client's tests use, but a container is a
//! service of processes on loopback: the server's command stands in `INTEROP_SERVER`, and how many
//! servers it has, where the test does not say, in `INTEROP_SERVERS`.

mod service;

pub mod clients {
    //! What starts containers.
    pub use crate::service::Cli;
}

pub mod core {
    //! Containers, and what is said of one before it starts.
    pub use crate::service::{Container, Healthcheck, LogStream, RunnableImage, WaitFor};
}

pub mod images {
    //! Which images there are.
    pub mod generic {
        //! An image by its name.
        pub use crate::service::GenericImage;
    }
}
