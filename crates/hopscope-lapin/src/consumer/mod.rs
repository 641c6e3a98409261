//! [`TracedConsumer`]: lapin's stream of deliveries, each with what is known about it.

mod batches;
mod failed;
mod run;

pub use failed::Again;
pub use run::Options;

use crate::TracedChannel;
use crate::receive::receive;
use futures::Stream;
use hopscope_sdk::Traced;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A [`lapin::Consumer`] as a stream of traced deliveries. A receive is recorded when the stream gives a delivery
/// out, not when lapin prefetched it.
///
/// Take the stream and settle through [`Settle`](crate::Settle), or give a handler to [`run`](Self::run) or
/// [`run_batches`](Self::run_batches).
#[derive(Clone, Debug)]
pub struct TracedConsumer {
    consumer: lapin::Consumer,
    channel: TracedChannel,
    no_ack: bool,
}

impl TracedConsumer {
    pub(crate) fn new(consumer: lapin::Consumer, channel: TracedChannel, no_ack: bool) -> Self {
        Self { consumer, channel, no_ack }
    }

    /// lapin's consumer, untraced: its tag and queue.
    pub fn inner(&self) -> &lapin::Consumer {
        &self.consumer
    }
}

impl Stream for TracedConsumer {
    type Item = lapin::Result<Traced<lapin::message::Delivery>>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(Pin::new(&mut self.consumer).poll_next(task));
        Poll::Ready(next.map(|delivery| {
            delivery.map(|message| {
                let (queue, tag) = (self.consumer.queue(), self.consumer.tag());
                let settings = &self.channel.settings;
                let delivery = receive(settings, "consume", queue.as_str(), tag.as_str(), &message);
                Traced::new(message, delivery)
            })
        }))
    }
}
