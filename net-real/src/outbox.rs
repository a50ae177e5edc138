//! What waits to be sent on one connection, and how much of it may wait: the only state that a
//! connection's task shares with the task that owns core.
//!
//! Messages are kept decoded: their payloads are mostly shared with the tree, so that bytes exist
//! only for what the socket is about to take.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// A message that can wait in an [`Outbox`].
pub(crate) trait Outgoing {
    /// About how many bytes it keeps alive, or will take on the wire.
    fn weight(&self) -> usize;
    /// Is it the answer to something that was counted by [`Outbox::admit`]?
    fn settles(&self) -> bool;
}

#[derive(Debug)]
pub(crate) struct Outbox<M> {
    waiting: Mutex<Waiting<M>>,
    /// Of messages pushed and not on the socket yet.
    weight: AtomicUsize,
    /// The part of it that nothing asked for, and that pausing the reader therefore does not bound.
    unsolicited: AtomicUsize,
    /// What was read and not settled yet: requests of a client, bytes of a peer.
    in_flight: AtomicUsize,
    /// To the writer: messages, or an end, wait.
    filled: Notify,
    /// To the reader: go on.
    resumed: Notify,
    closing: Notify,
    cut: Notify,
}

#[derive(Debug)]
struct Waiting<M> {
    messages: Vec<M>,
    closed: bool,
}

/// What a writer took, to be given back to [`Outbox::written`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    weight: usize,
    unsolicited: usize,
    settled: usize,
    /// Nothing will come after it.
    pub(crate) last: bool,
}

impl Taken {
    fn of<M: Outgoing>(messages: &[M], last: bool) -> Self {
        let mut taken = Self { weight: 0, unsolicited: 0, settled: 0, last };
        for message in messages {
            let weight = message.weight();
            taken.weight += weight;
            if message.settles() {
                taken.settled += 1;
            } else {
                taken.unsolicited += weight;
            }
        }
        taken
    }
}

impl<M> Default for Outbox<M> {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(Waiting { messages: Vec::new(), closed: false }),
            weight: AtomicUsize::new(0),
            unsolicited: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            filled: Notify::new(),
            resumed: Notify::new(),
            closing: Notify::new(),
            cut: Notify::new(),
        }
    }
}

impl<M: Outgoing> Outbox<M> {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting<M>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds all of `messages`; wakes the writer if it had nothing. Tells the weight of all that waits
    /// without having been asked for.
    pub(crate) fn push(&self, messages: &mut Vec<M>) -> usize {
        let Taken { weight, unsolicited, .. } = Taken::of(messages, false);
        self.weight.fetch_add(weight, Relaxed);
        let unsolicited = self.unsolicited.fetch_add(unsolicited, Relaxed) + unsolicited;
        let mut waiting = self.waiting();
        let was_empty = waiting.messages.is_empty();
        if was_empty {
            std::mem::swap(&mut waiting.messages, messages);
        } else {
            waiting.messages.append(messages);
        }
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
        unsolicited
    }

    /// Send what waits, then close.
    pub(crate) fn close(&self) {
        self.waiting().closed = true;
        self.filled.notify_one();
        self.closing.notify_one();
    }

    /// Close now; what waits is lost.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    /// For the writer: waits for messages or the end, and takes what there is into the empty `into`.
    pub(crate) async fn take(&self, into: &mut Vec<M>) -> Taken {
        loop {
            {
                let mut waiting = self.waiting();
                if !waiting.messages.is_empty() || waiting.closed {
                    std::mem::swap(&mut waiting.messages, into);
                    return Taken::of(into, waiting.closed);
                }
            }
            self.filled.notified().await;
        }
    }

    /// For the writer: all of it is on the socket.
    pub(crate) fn written(&self, taken: Taken) {
        self.weight.fetch_sub(taken.weight, Relaxed);
        self.unsolicited.fetch_sub(taken.unsolicited, Relaxed);
        self.settle(taken.settled);
    }

    /// For the reader: so much more is in flight.
    pub(crate) fn admit(&self, amount: usize) {
        self.in_flight.fetch_add(amount, Relaxed);
    }

    /// So much of what was admitted is dealt with.
    pub(crate) fn settle(&self, amount: usize) {
        // An answer to what was never counted must not wrap around.
        let in_flight = self.in_flight.load(Relaxed);
        self.in_flight.fetch_sub(amount.min(in_flight), Relaxed);
        self.resumed.notify_one();
    }

    /// For the reader: waits until less than both bounds is in flight and waiting, and tells how much
    /// more may be in flight.
    pub(crate) async fn room(&self, in_flight_max: usize, weight_max: usize) -> usize {
        loop {
            let room = in_flight_max.saturating_sub(self.in_flight.load(Relaxed));
            if room > 0 && self.weight.load(Relaxed) < weight_max {
                return room;
            }
            self.resumed.notified().await;
        }
    }

    /// Waits for [`Self::close`].
    pub(crate) async fn closing(&self) {
        self.closing.notified().await;
    }

    /// Waits for [`Self::cut`].
    pub(crate) async fn cut_off(&self) {
        self.cut.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Outgoing for u8 {
        fn weight(&self) -> usize {
            usize::from(*self)
        }
        /// The odd ones are answers.
        fn settles(&self) -> bool {
            *self % 2 == 1
        }
    }

    async fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::select! { biased; value = future => Some(value), () = async {} => None }
    }

    #[tokio::test]
    async fn messages_keep_their_order_and_count_until_they_are_written() {
        let outbox = Outbox::default();
        assert_eq!(outbox.push(&mut vec![1, 2]), 2);
        assert_eq!(outbox.push(&mut vec![3]), 2);
        let mut taken = Vec::new();
        let batch = outbox.take(&mut taken).await;
        assert_eq!(taken, [1, 2, 3]);
        assert!(!batch.last);
        assert_eq!(outbox.push(&mut vec![4]), 6);
        outbox.written(batch);
        assert_eq!(outbox.push(&mut vec![5, 6]), 10);
    }

    #[tokio::test]
    async fn closing_lets_what_waits_go_first() {
        let outbox = Outbox::default();
        outbox.push(&mut vec![7]);
        outbox.close();
        let mut taken = Vec::new();
        assert!(outbox.take(&mut taken).await.last);
        assert_eq!(taken, [7]);
    }

    #[tokio::test]
    async fn a_reader_waits_while_too_much_is_in_flight_or_unsent() {
        let outbox = Outbox::default();
        outbox.admit(2);
        assert_eq!(ready(outbox.room(3, 10)).await, Some(1));
        outbox.admit(1);
        assert_eq!(ready(outbox.room(3, 10)).await, None);

        outbox.push(&mut vec![9, 0, 9]);
        let batch = outbox.take(&mut Vec::new()).await;
        outbox.written(batch);
        // The two answers made room; the 0 answered nothing.
        assert_eq!(ready(outbox.room(3, 10)).await, Some(2));
        assert_eq!(ready(outbox.room(1, 10)).await, None);

        outbox.push(&mut vec![10]);
        assert_eq!(ready(outbox.room(2, 10)).await, None);
    }
}
