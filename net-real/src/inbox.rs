//! The one inbox of the task that owns core. Everybody else pushes; a push wakes the task only when
//! the inbox was empty, so a turn takes all that gathered meanwhile.
//!
//! The inbox itself has no bound: each connection bounds its own share (see [`crate::outbox`]), the
//! disk answers what it was asked, and a dial answers once.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use zebu_core::ids::{ConnId, LinkId, ServerId};
use zebu_core::proto::{ClientMessage, ClientRequest};
use zebu_core::server::{Event, Machine, PeerMessage, Port};

use crate::outbox::Outbox;
use crate::settings::Address;

/// What reaches the driver's turn.
#[derive(Debug)]
pub(crate) enum Input {
    ConnOpen {
        conn: ConnId,
        from: SocketAddr,
        outbox: Arc<Outbox<ClientMessage>>,
    },
    Requests {
        conn: ConnId,
        requests: Vec<ClientRequest>,
    },
    ConnGone {
        conn: ConnId,
    },
    /// Before a four-letter word that shows it.
    Machine(Box<Machine>),
    ConnDrained {
        conn: ConnId,
    },
    LinkUp {
        link: LinkId,
        up: LinkUp,
        outbox: Arc<Outbox<PeerMessage>>,
    },
    Messages {
        link: LinkId,
        messages: Vec<PeerMessage>,
    },
    LinkDown {
        link: LinkId,
    },
    DialFailed {
        to: ServerId,
        port: Port,
        why: String,
    },
    /// A report of the disk.
    Disk(Event),
}

/// A peer's connection stands.
#[derive(Debug)]
pub(crate) struct LinkUp {
    pub(crate) port: Port,
    pub(crate) peer: Option<ServerId>,
    pub(crate) dialled: bool,
    /// For logs.
    pub(crate) name: String,
    /// Where an accepted election peer says that it can be dialled.
    pub(crate) address: Option<Address>,
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    gathered: Mutex<Vec<Input>>,
    filled: Notify,
}

impl Inbox {
    pub(crate) fn push(&self, input: Input) {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.push(input);
        let first = gathered.len() == 1;
        drop(gathered);
        if first {
            self.filled.notify_one();
        }
    }

    /// Waits until something may have come.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Everything that gathered, in the order of its coming, into the empty `turn`.
    pub(crate) fn take(&self, turn: &mut Vec<Input>) {
        debug_assert!(turn.is_empty(), "the last turn is over");
        std::mem::swap(&mut *self.gathered.lock().unwrap_or_else(PoisonError::into_inner), turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_wake_up_for_all_that_gathered() {
        let inbox = Inbox::default();
        for n in 0..3 {
            inbox.push(Input::ConnGone { conn: ConnId(n) });
        }
        inbox.filled().await;
        let mut turn = Vec::new();
        inbox.take(&mut turn);
        assert_eq!(turn.len(), 3);
        // No second wake-up is left over.
        assert!(futures_ready(inbox.filled()).await.is_none());
    }

    /// The future's output if it is ready at once.
    async fn futures_ready<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::select! { biased; value = future => Some(value), () = async {} => None }
    }
}
