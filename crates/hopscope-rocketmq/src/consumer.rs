//! [`TracedConsumer`]: the client's push consumer, whose listeners are traced.

use crate::carrier::ReadHeaders;
use crate::failure::failure;
use crate::names;
use crate::origin::{copied_from, property};
use crate::producer::described;
use hopscope_sdk::opentelemetry::KeyValue;
use hopscope_sdk::{
    Declared, Delivery, Details, Disposition, Failure, Outcome, Place, Server, Telemetry, Traced,
};
use rocketmq_client_rust::{
    ClientResult, ConsumeConcurrentlyContext, ConsumeConcurrentlyStatus, ConsumeOrderlyContext,
    ConsumeOrderlyStatus, DefaultMQPushConsumer, MQPushConsumer,
};
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_queue::MessageQueue;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A [`DefaultMQPushConsumer`] whose listeners are traced.
///
/// The handler gets one message at a time, also where the client hands over several. RocketMQ settles what it
/// handed over as a whole: with the first message that is not a success the rest of that batch is not handled, and
/// all of it comes again.
pub struct TracedConsumer {
    consumer: DefaultMQPushConsumer,
    telemetry: Telemetry,
}

impl TracedConsumer {
    /// Around a client, with the global telemetry: call `hopscope_sdk::setup` before.
    pub fn new(consumer: DefaultMQPushConsumer) -> Self {
        Self { consumer, telemetry: Telemetry::global() }
    }

    /// The same, with telemetry of its own; before a listener is registered.
    #[must_use]
    pub fn with_telemetry(mut self, telemetry: Telemetry) -> Self {
        self.telemetry = telemetry;
        self
    }

    /// The client's consumer, untraced.
    pub fn inner(&self) -> &DefaultMQPushConsumer {
        &self.consumer
    }

    /// The client's consumer, to subscribe, to start and to shut down.
    pub fn inner_mut(&mut self) -> &mut DefaultMQPushConsumer {
        &mut self.consumer
    }

    /// Registers a concurrent listener. While the handler runs, its process span is the current one; success,
    /// reconsume-later, an error and a panic are recorded as what they make of the message.
    pub fn listen_concurrently<H>(&mut self, handler: H)
    where
        H: Fn(&Traced<&MessageExt>, &ConsumeConcurrentlyContext) -> ClientResult<ConsumeConcurrentlyStatus>
            + Send
            + Sync
            + 'static,
    {
        let times_max = self.consumer.max_reconsume_times();
        let listener = self.listener(if times_max == -1 { RECONSUME_TIMES_MAX_DEFAULT } else { times_max });
        self.consumer.register_message_listener_concurrently(
            move |messages: &[&MessageExt], context: &ConsumeConcurrentlyContext| {
                listener.consume(context.get_message_queue(), messages, |message| handler(message, context))
            },
        );
    }

    /// Registers an ordered listener, as [`listen_concurrently`](Self::listen_concurrently). A suspended queue
    /// gives the same stored message again.
    pub fn listen_orderly<H>(&mut self, handler: H)
    where
        H: Fn(&Traced<&MessageExt>, &mut ConsumeOrderlyContext) -> ClientResult<ConsumeOrderlyStatus>
            + Send
            + Sync
            + 'static,
    {
        let times_max = self.consumer.max_reconsume_times();
        let listener = self.listener(if times_max == -1 { i32::MAX } else { times_max });
        self.consumer.register_message_listener_orderly(
            move |messages: &[&MessageExt], context: &mut ConsumeOrderlyContext| {
                let queue = context.get_message_queue().clone();
                listener.consume(&queue, messages, |message| handler(message, context))
            },
        );
    }

    fn listener(&self, reconsume_times_max: i32) -> Listener {
        let group = self.consumer.consumer_group().to_string();
        Listener { telemetry: self.telemetry.clone(), group, reconsume_times_max }
    }
}

impl std::fmt::Debug for TracedConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TracedConsumer")
            .field("group", &self.consumer.consumer_group())
            .finish_non_exhaustive()
    }
}

/// What the client takes `max_reconsume_times = -1` for, in a concurrent listener.
const RECONSUME_TIMES_MAX_DEFAULT: i32 = 16;

/// What a listener answers, whichever kind it is.
trait Answer: Copy {
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

struct Listener {
    telemetry: Telemetry,
    group: String,
    /// A message that was reconsumed this often goes to the dead-letter topic when it fails again.
    reconsume_times_max: i32,
}

impl Listener {
    /// One delivery of the client, message by message. What the client does with the answer (offset, message sent
    /// back) it does later and tells nobody: the settlement is recorded as sent, not as confirmed.
    fn consume<A: Answer>(
        &self,
        queue: &MessageQueue,
        messages: &[&MessageExt],
        mut handler: impl FnMut(&Traced<&MessageExt>) -> ClientResult<A>,
    ) -> ClientResult<A> {
        let traced: Vec<_> =
            messages.iter().map(|message| Traced::new(*message, self.receive(queue, message))).collect();
        let mut declared = Vec::with_capacity(traced.len());
        let mut last = Ok(Ok(A::SUCCESS));
        for message in &traced {
            let refused = self.refused(message.message());
            let (ended, answer) = handle(message, refused, &mut handler);
            declared.push((ended, refused));
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

    fn receive(&self, queue: &MessageQueue, message: &MessageExt) -> Delivery {
        let properties = message.get_properties();
        let physical = queue.topic().as_str();
        let place = Place::RocketMq {
            topic: physical,
            logical_topic: if message.topic() == physical { "" } else { message.topic().as_str() },
            broker: queue.broker_name().as_str(),
            queue: Some(queue.queue_id()),
            offset: Some(message.queue_offset()),
        };
        let reconsumed = u32::try_from(message.reconsume_times()).ok();
        let address = message.store_host().ip().to_string();
        let mut attributes = described(properties);
        attributes.push(KeyValue::new("messaging.rocketmq.offset_message_id", message.msg_id().to_string()));
        let details = Details {
            server: Some(Server { address: &address, port: message.store_host().port() }),
            group: &self.group,
            message_id: property(properties, names::UNIQ_KEY),
            correlation_id: property(properties, names::CORRELATION_ID),
            attempt: attempt(physical, reconsumed),
            body_bytes: message.get_body().and_then(|body| u64::try_from(body.len()).ok()),
            broker_time_ns: nanoseconds(message.store_timestamp()),
            origin_time_ns: nanoseconds(message.born_timestamp()),
            copied_from: copied_from(physical, properties, reconsumed),
            attributes: &attributes,
            ..Details::default()
        };
        self.telemetry.receive("receive", place, &details, &ReadHeaders(properties))
    }
}

fn is_success<A: Answer>(answer: &std::thread::Result<ClientResult<A>>) -> bool {
    matches!(answer, Ok(Ok(answer)) if answer.not_success().is_none())
}

/// Runs the handler on one message. A panic is recorded and given back, to go on: the client takes it as "again".
fn handle<A: Answer>(
    message: &Traced<&MessageExt>,
    refused: Disposition,
    handler: &mut impl FnMut(&Traced<&MessageExt>) -> ClientResult<A>,
) -> (Declared, std::thread::Result<ClientResult<A>>) {
    let processing = message.process();
    let entered = processing.enter();
    // The panic goes on as soon as all is recorded, so nobody sees half-done work who would not have seen it anyway.
    let answer = catch_unwind(AssertUnwindSafe(|| handler(message)));
    drop(entered);
    let failure = match &answer {
        Ok(Ok(answer)) => answer.not_success().map(|word| Failure::new(word, "")),
        Ok(Err(error)) => Some(failure(error)),
        Err(payload) => Some(Failure::panic(&**payload)),
    };
    let declared = match failure {
        None => processing.declare(Outcome::Ok, Some(Disposition::Accept)),
        Some(failure) => processing.declare(Outcome::Failed(failure), Some(refused)),
    };
    (declared, answer)
}

/// The broker counts attempts over all copies. On a dead-letter topic the count is still that of the group which gave
/// up; for its reader it is the first delivery.
fn attempt(physical_topic: &str, reconsumed: Option<u32>) -> Option<u32> {
    if physical_topic.starts_with(names::DEAD_LETTER_PREFIX) { Some(1) } else { reconsumed?.checked_add(1) }
}

/// Milliseconds since the Unix epoch to nanoseconds; zero is "not set".
fn nanoseconds(milliseconds: i64) -> Option<i64> {
    milliseconds.checked_mul(1_000_000).filter(|time| *time > 0)
}
