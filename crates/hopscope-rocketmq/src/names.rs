//! Names of message properties that are read here (RocketMQ's `MessageConst`).

/// The message's id, made by the producer's client: what Java's `getMsgId` gives a consumer.
pub(crate) const UNIQ_KEY: &str = "UNIQ_KEY";
/// Business keys, blanks between.
pub(crate) const KEYS: &str = "KEYS";
/// Tag.
pub(crate) const TAGS: &str = "TAGS";
/// Correlation id of request/reply.
pub(crate) const CORRELATION_ID: &str = "CORRELATION_ID";
/// On copies that a broker made (retry, dead letter): the topic that the message was sent to.
pub(crate) const RETRY_TOPIC: &str = "RETRY_TOPIC";
/// Delay level of a scheduled message; `0` on copies.
pub(crate) const DELAY: &str = "DELAY";
/// A scheduled message's time, in one of three forms.
pub(crate) const TIMERS: [&str; 3] = ["TIMER_DELAY_MS", "TIMER_DELAY_SEC", "TIMER_DELIVER_MS"];
/// Begin of the name of a group's retry topic.
pub(crate) const RETRY_PREFIX: &str = "%RETRY%";
/// Begin of the name of a group's dead-letter topic.
pub(crate) const DEAD_LETTER_PREFIX: &str = "%DLQ%";
/// Where our own headers say what a message is a copy of, by kind: one of them is on every copy that we made.
pub(crate) const OUR_COPIES: [&str; 3] =
    ["hopscope-dead-letter-destination", "hopscope-retry-destination", "hopscope-redrive-destination"];
