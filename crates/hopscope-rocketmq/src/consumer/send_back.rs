//! [`SendBack`]: one message goes back to the broker, to come again after a while or to be given up.

use rocketmq_client_rust::{ClientError, ClientResult, DefaultMQPushConsumer};
use rocketmq_model::common::message::message_ext::MessageExt;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// `CONSUMER_SEND_MSG_BACK` for single messages: the broker itself makes the copy, and confirms it.
///
/// The client does the same with what a listener answers, but for everything of a batch alike, at levels of its own,
/// and without a word.
#[derive(Clone)]
pub(super) struct SendBack(Arc<Call>);

type Call = dyn Fn(MessageExt, i32) -> Sent + Send + Sync;
type Sent = Pin<Box<dyn Future<Output = ClientResult<()>> + Send>>;

/// The level that means "to the dead-letter topic, at once".
pub(super) const DEAD_LETTER: i32 = -1;

impl SendBack {
    pub fn new(consumer: &DefaultMQPushConsumer) -> Self {
        // Weak, because the consumer owns the listener which owns this.
        let client = consumer.default_mq_push_consumer_impl().map(Arc::downgrade);
        Self(Arc::new(move |mut message, level| {
            let client = client.as_ref().and_then(std::sync::Weak::upgrade);
            Box::pin(async move {
                let client =
                    client.ok_or_else(|| ClientError::not_initialized("DefaultMQPushConsumerImpl"))?;
                let broker = message.broker_name().into();
                client.send_message_back_with_broker_name(&mut message, level, Some(broker), None).await
            })
        }))
    }

    pub async fn send(&self, message: &MessageExt, level: i32) -> ClientResult<()> {
        (self.0)(message.clone(), level).await
    }
}

impl fmt::Debug for SendBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendBack")
    }
}

/// The first level whose delay is not shorter, counting from 1; the last where all are.
pub(super) fn level(levels: &[Duration], delay: Duration) -> i32 {
    let before = levels.iter().take_while(|level| **level < delay).count();
    i32::try_from(before.min(levels.len().saturating_sub(1))).map_or(1, |before| before + 1)
}

/// Delays of a broker's levels, as `messageDelayLevel` says where nobody changed it.
pub(super) fn levels_default() -> Vec<Duration> {
    const MINUTE: u64 = 60;
    let minutes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 60, 120].map(|minutes| minutes * MINUTE);
    [1, 5, 10, 30].into_iter().chain(minutes).map(Duration::from_secs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_rounded_up_to_a_level() {
        let levels = levels_default();
        assert_eq!(levels.len(), 18);
        let of = |seconds| level(&levels, Duration::from_secs(seconds));
        assert_eq!([0, 1, 2, 5, 6, 61, 7200, 9999].map(of), [1, 1, 2, 2, 3, 6, 18, 18]);
        assert_eq!(level(&[], Duration::from_secs(3)), 1, "a broker always has a first level");
    }
}
