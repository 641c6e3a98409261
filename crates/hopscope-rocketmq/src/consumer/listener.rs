//! [`Listener`]: messages for a handler that answers in the client's words.

use super::queues::Queues;
use crate::failure::failure;
use crate::received::Reader;
use hopscope_sdk::{Declared, Disposition, Failure, Outcome, Traced};
use rocketmq_client_rust::{ClientResult, ConsumeConcurrentlyStatus, ConsumeOrderlyStatus};
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_queue::MessageQueue;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// What a listener answers, whichever kind it is.
pub(super) trait Answer: Copy {
    const SUCCESS: Self;
    /// How the client asks for another delivery.
    const AGAIN: &'static str;
    /// The client's own word where the answer is not a success.
    fn not_success(self) -> Option<&'static str>;
}

impl Answer for ConsumeConcurrentlyStatus {
    const SUCCESS: Self = Self::ConsumeSuccess;
    const AGAIN: &'static str = "reconsume_later";
    fn not_success(self) -> Option<&'static str> {
        match self {
            Self::ConsumeSuccess => None,
            Self::ReconsumeLater => Some("RECONSUME_LATER"),
        }
    }
}

impl Answer for ConsumeOrderlyStatus {
    const SUCCESS: Self = Self::Success;
    const AGAIN: &'static str = "suspend";
    #[allow(deprecated, reason = "the client still takes them from a listener")]
    fn not_success(self) -> Option<&'static str> {
        match self {
            Self::Success | Self::Commit => None,
            Self::Rollback => Some("ROLLBACK"),
            Self::SuspendCurrentQueueAMoment => Some("SUSPEND_CURRENT_QUEUE_A_MOMENT"),
        }
    }
}

pub(super) struct Listener {
    pub reader: Reader,
    pub queues: Arc<Queues>,
    /// A message that was reconsumed this often goes to the dead-letter topic when it fails again.
    pub reconsume_times_max: i32,
}

impl Listener {
    /// One delivery of the client, message by message. What the client does with the answer (offset, message sent
    /// back) it does later and tells nobody: the settlement is recorded as sent, not as confirmed.
    pub fn consume<A: Answer>(
        &self,
        queue: &MessageQueue,
        messages: &[&MessageExt],
        mut handler: impl FnMut(&Traced<&MessageExt>) -> ClientResult<A>,
    ) -> ClientResult<A> {
        let receive = |message| self.reader.receive("receive", queue.topic(), message);
        let traced: Vec<_> = messages.iter().map(|message| Traced::new(*message, receive(message))).collect();
        let mut declared = Vec::with_capacity(traced.len());
        let mut last = Ok(Ok(A::SUCCESS));
        for message in &traced {
            let refused = self.refused(message.message());
            let (ended, answer) = self.handle(queue, message, refused, &mut handler);
            declared.extend(ended.map(|ended| (ended, refused)));
            last = answer;
            if !is_success(&last) {
                break;
            }
        }
        for (declared, refused) in declared {
            if is_success(&last) {
                declared.settle_as("success", Disposition::Accept).sent();
            } else {
                declared.settle_as(A::AGAIN, refused).sent();
            }
        }
        last.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// What becomes of this message if it is not a success.
    fn refused(&self, message: &MessageExt) -> Disposition {
        if message.reconsume_times() >= self.reconsume_times_max {
            Disposition::Reject
        } else {
            Disposition::Retry
        }
    }

    /// Runs the handler on one message. A panic is recorded and given back, to go on: the client takes it as "again".
    /// Where the queue was lost meanwhile nothing is left to settle.
    fn handle<A: Answer>(
        &self,
        queue: &MessageQueue,
        message: &Traced<&MessageExt>,
        refused: Disposition,
        handler: &mut impl FnMut(&Traced<&MessageExt>) -> ClientResult<A>,
    ) -> (Option<Declared>, std::thread::Result<ClientResult<A>>) {
        let processing = message.process();
        let entered = processing.enter();
        // The panic goes on as soon as all is recorded, so nobody sees half-done work who would not have seen it
        // anyway.
        let answer = catch_unwind(AssertUnwindSafe(|| handler(message)));
        drop(entered);
        let failure = match &answer {
            Ok(Ok(answer)) => answer.not_success().map(|word| Failure::new(word, "")),
            Ok(Err(error)) => Some(failure(error)),
            Err(payload) => Some(Failure::panic(&**payload)),
        };
        let declared = match (failure, self.queues.lost(queue)) {
            (Some(failure), None) => Some(processing.declare(Outcome::Failed(failure), Some(refused))),
            (None, None) => Some(processing.succeed()),
            (Some(failure), Some(_)) => {
                processing.fail(failure);
                None
            }
            (None, Some(reason)) => {
                processing.declare(Outcome::Unknown(reason), None);
                None
            }
        };
        (declared, answer)
    }
}

fn is_success<A: Answer>(answer: &std::thread::Result<ClientResult<A>>) -> bool {
    matches!(answer, Ok(Ok(answer)) if answer.not_success().is_none())
}
