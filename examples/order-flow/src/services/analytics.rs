//! Kafka `orders` in, by the batch; after the first orders it only says that it is still there.

use crate::names::Names;
use crate::order::{BATCH, Order, Trouble};
use crate::report::{Said, What};
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::Result;
use hopscope_rdkafka::{DeadLetter, Options as Run, Received, TracedConsumer, TracedProducer};
use hopscope_sdk::Failure;
use hopscope_sdk::work::BatchOutcome;
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;
use tokio::sync::watch;

/// Options of `order-flow analytics`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Orders to read before it stays behind
    #[arg(long, default_value_t = BATCH)]
    take: u32,
}

/// Longest wait for a batch to fill.
const BATCH_WAIT: Duration = Duration::from_secs(2);
/// How often it looks whether it is a member again.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often it commits where it stands.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

pub(crate) async fn run(common: &Common, options: &Options, mut stop: Stop) -> Result<()> {
    let names = Names::new(&common.suffix);
    let consumer = TracedConsumer::from_config(&common.brokers.kafka("analytics", &names.analytics))?;
    let producer = TracedProducer::from_config(&common.brokers.kafka("analytics", ""))?;
    consumer.inner().subscribe(&[&names.orders])?;
    report::ready("analytics", "");
    let take = i64::from(options.take);
    // How many it has read, and where that leaves it.
    let (read, mut has_read) = watch::channel((0, 0));
    if take > 0 {
        let run = Run {
            batch_max: options.take as usize,
            batch_wait: BATCH_WAIT,
            dead_letter: Some(DeadLetter::to(producer, names.orders_dead.as_str())),
            ..Run::default()
        };
        let handler = move |orders: Vec<Received>| {
            let outcome = count(&orders);
            let next = orders.iter().map(|order| order.message().offset() + 1).max().unwrap_or_default();
            read.send_modify(|(count, stands_at)| {
                (*count, *stands_at) = (*count + orders.len() as i64, next.max(*stands_at));
            });
            async { outcome }
        };
        let (mut enough, mut stop) = (has_read.clone(), stop.clone());
        let until = async move {
            tokio::select! {
                _ = enough.wait_for(|(count, _)| *count >= take) => {}
                () = stop.requested() => {}
            }
        };
        consumer.run_batches(run, handler, until).await?;
    }
    stay_behind(&consumer, &names, has_read.borrow_and_update().1, &mut stop).await
}

/// One line in a table for each order; an order without an amount has none.
fn count(orders: &[Received]) -> BatchOutcome {
    let counted = orders.iter().enumerate().filter_map(|(index, order)| {
        match Order::from_body(order.message().payload().unwrap_or_default()) {
            Ok(order) if order.meets(Trouble::Uncounted) => {
                Some((index, Failure::new("no_amount", format!("{} has no amount", order.order))))
            }
            Ok(_) => None,
            Err(refusal) => Some((index, Failure::from(&refusal))),
        }
    });
    BatchOutcome::Partly(counted.collect())
}

/// It stays a member of its group, says where that stands, and reads no more.
async fn stay_behind(
    consumer: &TracedConsumer,
    names: &Names,
    stands_at: i64,
    stop: &mut Stop,
) -> Result<()> {
    // The client hands out what becomes of its membership while somebody receives. A message that slips through before
    // the pause is not looked at.
    let kafka = consumer.inner();
    kafka.subscribe(&[&names.orders])?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    while kafka.assignment()?.count() == 0 {
        tokio::select! {
            message = kafka.recv() => drop(message?),
            _ = look.tick() => {}
            () = stop.requested() => return Ok(()),
        }
    }
    kafka.pause(&kafka.assignment()?)?;
    report::say(&Said { service: "analytics".into(), what: What::Behind, ..Said::default() });
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&names.orders, 0, Offset::Offset(stands_at))?;
    let mut again = tokio::time::interval(COMMIT_EVERY);
    loop {
        tokio::select! {
            _ = again.tick(), if stands_at > 0 => consumer.commit(offsets.clone()).await?,
            message = kafka.recv() => drop(message?),
            () = stop.requested() => return Ok(()),
        }
    }
}
