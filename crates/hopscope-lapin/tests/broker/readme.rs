//! The README's table of what is recorded, compared with what a real RabbitMQ made of it.
//! `UPDATE_EXPECT=1` rewrites it.

use crate::kit::*;
use hopscope_lapin::{Again, DeadLetter, Options, Publish, Settle, Traced, ack_multiple};
use hopscope_sdk::{Retry, kit};
use lapin::message::Delivery;
use lapin::options::*;
use std::path::Path;
use std::sync::Arc;

/// Publishes alone, in a batch and in a transaction; a handler that fails, is tried again, and its dead letter; acks, one
/// of them for several; a get.
async fn everything(bench: &Bench) {
    bench.publish(properties()).await;
    let publish = || Publish {
        exchange: bench.exchange(),
        routing_key: "pay".into(),
        options: BasicPublishOptions::default(),
        payload: b"{}",
        properties: properties(),
    };
    in_time(bench.channel.publish_batch(vec![publish(), publish()])).await;
    let channel = bench.another().await;
    let transaction = channel.transaction().await.expect("tx.select");
    let Publish { exchange, routing_key, options, payload, properties } = publish();
    transaction.basic_publish(exchange, routing_key, options, payload, properties).await.expect("publish");
    transaction.commit().await.expect("commit");

    let mut consumer = bench.consume(bench.queue("work")).await;
    let two = [next(&mut consumer).await, next(&mut consumer).await];
    let declared = two.iter().map(|message| message.process().succeed()).collect();
    assert!(ack_multiple(&two, declared).await.expect("ack"));
    let handler = |_: Arc<Traced<Delivery>>| async { Err::<(), _>(std::io::Error::other("no cover")) };
    let options = Options {
        retry: Retry::times(2),
        again: Again::Requeue,
        workers_max: 1,
        dead_letter: Some(DeadLetter::to_queue(bench.another().await, bench.queue("dead"))),
        ..Options::default()
    };
    let queue = bench.queue("dead");
    let stop = bench.until_ready(&queue, 2);
    in_time(consumer.run(options, handler, stop)).await.expect("an open channel");
    let dead = bench.get(&bench.queue("dead")).await;
    let work = dead.process();
    work.run(bench.channel.redrive(&dead)).await.expect("sent back");
    dead.reject(work.succeed(), BasicRejectOptions { requeue: false }).await.expect("reject");
}

#[tokio::test]
async fn the_table_of_what_is_recorded() {
    let bench = Bench::new("readme").await;
    bench.topology(quorum()).await;
    bench.declare(&bench.queue("dead"), quorum()).await;
    everything(&bench).await;
    let spans = bench.finish(&["work", "dead"]).await;
    let recorded = kit::recorded(&spans, "destination", &[], "");
    kit::readme_is_current(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"), &recorded);
}
