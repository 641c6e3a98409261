//! [`Queues`]: which queues this consumer has.

use rocketmq_client_rust::{ArcMessageQueueListener, MessageQueueListener};
use rocketmq_model::common::message::message_queue::MessageQueue;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// The queues of each topic that the last rebalance left to this consumer, and whether it still runs. A queue that
/// was taken away in the middle of a handler is not settled any more: the client drops what it answers.
pub(crate) struct Queues {
    assigned: RwLock<HashMap<String, HashSet<MessageQueue>>>,
    is_closed: AtomicBool,
    /// The application's own listener.
    next: Option<ArcMessageQueueListener>,
}

impl Queues {
    pub fn new(next: Option<ArcMessageQueueListener>) -> Self {
        Self { assigned: RwLock::default(), is_closed: AtomicBool::new(false), next }
    }

    /// The consumer settles nothing any more.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Why nothing of that queue is settled any more.
    pub fn lost(&self, queue: &MessageQueue) -> Option<&'static str> {
        if self.is_closed.load(Ordering::Acquire) {
            return Some("shut down");
        }
        let assigned = self.assigned.read().unwrap_or_else(PoisonError::into_inner);
        // Before its first rebalance was told of, nothing can be said of a topic.
        let is_lost = assigned.get(queue.topic().as_str()).is_some_and(|queues| !queues.contains(queue));
        is_lost.then_some("queue revoked")
    }
}

impl MessageQueueListener for Queues {
    fn message_queue_changed(
        &self,
        topic: &str,
        all: &HashSet<MessageQueue>,
        assigned: &HashSet<MessageQueue>,
    ) {
        self.assigned
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(topic.to_owned(), assigned.clone());
        if let Some(next) = &self.next {
            next.message_queue_changed(topic, all, assigned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_lost_when_a_rebalance_leaves_it_out_or_at_the_end() {
        let [first, second] = [0, 1].map(|id| MessageQueue::from_parts("orders", "broker-a", id));
        let queues = Queues::new(None);
        assert_eq!(queues.lost(&first), None);
        let both = HashSet::from([first.clone(), second.clone()]);
        queues.message_queue_changed("orders", &both, &HashSet::from([first.clone()]));
        assert_eq!((queues.lost(&first), queues.lost(&second)), (None, Some("queue revoked")));
        queues.close();
        assert_eq!(queues.lost(&first), Some("shut down"));
    }
}
