//! What waits to be sent on one connection, and how much of what was read on it is not answered yet:
//! the only state that a connection's task shares with the task that owns core.
//!
//! Messages are kept decoded: their payloads are mostly shared with the tree, so that bytes exist
//! only for what the socket is about to take.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::load::Load;

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
    /// Core wants to know when the weight is down to this again.
    drained_at: usize,
    drain_awaited: AtomicBool,
    unsettled: Mutex<Unsettled>,
    load: Arc<Load>,
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

/// What was read and not dealt with yet, oldest first: the bytes of each.
#[derive(Debug, Default)]
struct Unsettled {
    lengths: VecDeque<usize>,
    bytes: usize,
}

/// What a writer took, to be given back to [`Outbox::written`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    weight: usize,
    /// Nothing will come after it.
    pub(crate) last: bool,
}

impl<M> Default for Outbox<M> {
    fn default() -> Self {
        Self::new(Arc::default(), 0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<M> Outbox<M> {
    /// Of a connection that shares in `load`, and is drained when `drained_at` of weight is left.
    pub(crate) fn new(load: Arc<Load>, drained_at: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting { messages: Vec::new(), closed: false }),
            weight: AtomicUsize::new(0),
            drained_at,
            drain_awaited: AtomicBool::new(false),
            unsettled: Mutex::default(),
            load,
            filled: Notify::new(),
            resumed: Notify::new(),
            closing: Notify::new(),
            cut: Notify::new(),
        }
    }

    /// For the reader: so many bytes more are in flight.
    pub(crate) fn admit(&self, lengths: impl IntoIterator<Item = usize>) {
        let mut unsettled = lock(&self.unsettled);
        for length in lengths {
            unsettled.bytes += length;
            unsettled.lengths.push_back(length);
        }
    }

    /// The oldest that was admitted is dealt with, and more of them.
    pub(crate) fn settle(&self, count: usize) {
        if count == 0 {
            return;
        }
        let mut unsettled = lock(&self.unsettled);
        for _ in 0..count {
            // An answer to what was never counted settles nothing.
            let Some(length) = unsettled.lengths.pop_front() else { break };
            unsettled.bytes -= length;
            self.load.give_back(length);
        }
        drop(unsettled);
        self.resumed.notify_one();
    }

    /// For the reader: waits until less than both bounds is in flight, and until the whole server has
    /// room for more; tells how many messages more may be in flight.
    pub(crate) async fn room(&self, count_max: usize, bytes_max: usize) -> usize {
        loop {
            let (count, bytes) = {
                let unsettled = lock(&self.unsettled);
                (unsettled.lengths.len(), unsettled.bytes)
            };
            let room = count_max.saturating_sub(count).min(self.load.room(count));
            if room > 0 && bytes < bytes_max {
                return room;
            }
            self.resumed.notified().await;
        }
    }

    pub(crate) fn load(&self) -> &Load {
        &self.load
    }

    /// Core waits for this connection to drain. Has it already? Then it is not told again.
    pub(crate) fn await_drained(&self) -> bool {
        self.drain_awaited.store(true, SeqCst);
        self.has_drained()
    }

    /// For whoever finds out first, the writer or who asked.
    fn has_drained(&self) -> bool {
        self.drain_awaited.load(SeqCst)
            && self.weight.load(SeqCst) <= self.drained_at
            && self.drain_awaited.swap(false, SeqCst)
    }

    /// Send what waits, then close.
    pub(crate) fn close(&self) {
        lock(&self.waiting).closed = true;
        self.filled.notify_one();
        self.closing.notify_one();
    }

    /// Close now; what waits is lost.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    /// For the writer: all of it is on the socket. Has the connection drained, and is that awaited?
    pub(crate) fn written(&self, taken: Taken) -> bool {
        self.weight.fetch_sub(taken.weight, SeqCst);
        self.has_drained()
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

impl<M: Outgoing> Outbox<M> {
    /// Adds all of `messages`; wakes the writer if it had nothing. Tells the weight of all that waits.
    pub(crate) fn push(&self, messages: &mut Vec<M>) -> usize {
        let weight = weight(messages);
        self.settle(messages.iter().filter(|message| message.settles()).count());
        let waits = self.weight.fetch_add(weight, SeqCst) + weight;
        let mut waiting = lock(&self.waiting);
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
        waits
    }

    /// For the writer: waits for messages or the end, and takes what there is into the empty `into`.
    pub(crate) async fn take(&self, into: &mut Vec<M>) -> Taken {
        loop {
            {
                let mut waiting = lock(&self.waiting);
                if !waiting.messages.is_empty() || waiting.closed {
                    std::mem::swap(&mut waiting.messages, into);
                    return Taken { weight: weight(into), last: waiting.closed };
                }
            }
            self.filled.notified().await;
        }
    }
}

fn weight<M: Outgoing>(messages: &[M]) -> usize {
    messages.iter().map(Outgoing::weight).sum()
}

/// What is not answered yet will not be: the connection is gone.
impl<M> Drop for Outbox<M> {
    fn drop(&mut self) {
        self.settle(usize::MAX);
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
        assert_eq!(outbox.push(&mut vec![1, 2]), 3);
        assert_eq!(outbox.push(&mut vec![3]), 6);
        let mut taken = Vec::new();
        let batch = outbox.take(&mut taken).await;
        assert_eq!(taken, [1, 2, 3]);
        assert!(!batch.last);
        assert_eq!(outbox.push(&mut vec![4]), 10);
        outbox.written(batch);
        assert_eq!(outbox.push(&mut vec![5, 6]), 15);
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
    async fn a_reader_waits_while_too_much_is_in_flight() {
        let outbox = Outbox::default();
        outbox.admit([10, 10]);
        assert_eq!(ready(outbox.room(3, 100)).await, Some(1));
        outbox.admit([80]);
        assert_eq!(ready(outbox.room(3, 1000)).await, None);
        assert_eq!(ready(outbox.room(9, 100)).await, None);

        // The two answers make room; the 0 answered nothing.
        outbox.push(&mut vec![9, 0, 9]);
        assert_eq!(ready(outbox.room(3, 100)).await, Some(2));
        assert_eq!(ready(outbox.room(1, 100)).await, None);
        assert_eq!(ready(outbox.room(3, 80)).await, None);
        // More answers than questions.
        outbox.push(&mut vec![9, 9]);
        assert_eq!(ready(outbox.room(3, 100)).await, Some(3));
    }

    #[tokio::test]
    async fn it_is_told_once_that_a_connection_has_drained() {
        let outbox = Outbox::new(Arc::default(), 5);
        outbox.push(&mut vec![5]);
        assert!(outbox.await_drained());
        outbox.push(&mut vec![1]);
        assert!(!outbox.await_drained());
        let batch = outbox.take(&mut Vec::new()).await;
        outbox.push(&mut vec![2]);
        assert!(outbox.written(batch));
        let batch = outbox.take(&mut Vec::new()).await;
        assert!(!outbox.written(batch));
    }
}
