//! Kafka `orders` in; after the first orders it only says that it is still there.

use crate::names::Names;
use crate::report::{Said, What};
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::Result;
use hopscope_rdkafka::TracedConsumer;
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

/// Options of `order-flow analytics`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Orders to read before it stays behind
    #[arg(long, default_value_t = 5)]
    take: u32,
}

/// How often it commits where it stands.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

pub(crate) async fn run(common: &Common, options: &Options, mut stop: Stop) -> Result<()> {
    let names = Names::new(&common.suffix);
    let consumer = TracedConsumer::from_config(&common.brokers.kafka("analytics", &names.analytics))?;
    consumer.inner().subscribe(&[&names.orders])?;
    report::ready("analytics", "");
    let mut stands_at = TopicPartitionList::new();
    for _ in 0..options.take {
        let message = tokio::select! {
            message = consumer.recv() => message?,
            () = stop.requested() => return Ok(()),
        };
        message.process().succeed();
        let place = message.message();
        stands_at = TopicPartitionList::new();
        stands_at.add_partition_offset(
            place.topic(),
            place.partition(),
            Offset::Offset(place.offset() + 1),
        )?;
        consumer.commit(stands_at.clone()).await?;
    }
    // It stays a member of the group: paused, it goes on polling.
    consumer.inner().pause(&consumer.inner().assignment()?)?;
    report::say(&Said { service: "analytics".into(), what: What::Behind, ..Said::default() });
    let mut again = tokio::time::interval(COMMIT_EVERY);
    loop {
        tokio::select! {
            _ = again.tick() => consumer.commit(stands_at.clone()).await?,
            message = consumer.recv() => drop(message?),
            () = stop.requested() => return Ok(()),
        }
    }
}
