//! The README's table of what is recorded, compared with what a real RocketMQ made of it.
//! `UPDATE_EXPECT=1` rewrites it.

use crate::kit::{Bench, WAIT, next, options, told};
use hopscope_rocketmq::{Options, Traced, TracedLitePullConsumer};
use hopscope_sdk::{Retry, kit};
use rocketmq_client_rust::{ConsumeConcurrentlyStatus, DefaultLitePullConsumer};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_model::common::message::message_single::Message;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Sends alone and in a batch; a handler that fails, is tried again, and its dead letter, which is sent back; a listener;
/// a pull consumer.
async fn everything(bench: &Bench) {
    let producer = Arc::new(bench.producer().await);
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let (calls, mut called) = told();
    let times = AtomicU32::new(0);
    let handler = async move |_: &Traced<&_>| {
        let time = times.fetch_add(1, Ordering::SeqCst);
        let _ = calls.send(time);
        if time < 2 { Err(std::io::Error::other("no template")) } else { Ok(()) }
    };
    let handling = Options { retry: Retry::times(2).fixed(Duration::from_millis(500)), ..options() };
    let stop = async {
        while next(&mut called).await < 1 {}
        read_the_dead_letter(bench, &producer).await;
        while next(&mut called).await < 2 {}
    };
    consumer.run(handling, handler, stop).await.expect("started");
    producer.send_batch(vec![bench.message(), bench.message()]).await.expect("sent");
    pull(bench, &producer).await;
}

async fn read_the_dead_letter(bench: &Bench, producer: &Arc<hopscope_rocketmq::TracedProducer>) {
    let mut reader = bench.consumer(&format!("%DLQ%{}", bench.group), &format!("{}-dead", bench.group)).await;
    let (calls, mut called) = told();
    let (redriver, runtime) = (Arc::clone(producer), tokio::runtime::Handle::current());
    reader.listen_concurrently(move |message, _| {
        runtime.block_on(redriver.redrive(message.message(), message.delivery()))?;
        let _ = calls.send(1);
        Ok(ConsumeConcurrentlyStatus::ConsumeSuccess)
    });
    reader.inner_mut().start().await.expect("start");
    next(&mut called).await;
    reader.inner_mut().shutdown().await;
}

/// In a topic of its own: one poll takes one message, which is no copy.
async fn pull(bench: &Bench, producer: &hopscope_rocketmq::TracedProducer) {
    let topic = format!("{}-pull", bench.topic);
    let message = Message::builder().topic(topic.as_str()).tags("mail").key("order-1").body_slice(b"{}");
    producer.send_with_timeout(message.build_unchecked(), 10_000).await.expect("sent");
    let consumer = DefaultLitePullConsumer::builder(bench.runtime.clone())
        .name_server_addr(bench.config.namesrv_addr.clone().expect("an address"))
        .consumer_group(format!("{}-pull", bench.group))
        .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset)
        .auto_commit(false)
        .build()
        .expect("a consumer");
    consumer.start().await.expect("start");
    consumer.subscribe(&topic).await.expect("subscribe");
    let consumer = TracedLitePullConsumer::new(consumer).with_telemetry(bench.recorder.telemetry());
    let poll = async {
        loop {
            if let Some(message) = consumer.poll(Duration::from_millis(500)).await.pop() {
                return message;
            }
        }
    };
    let message = tokio::time::timeout(WAIT, poll).await.expect("in time");
    message.process().succeed();
    let message = message.message();
    let queue = rocketmq_model::common::message::message_queue::MessageQueue::from_parts(
        topic.as_str(),
        message.broker_name(),
        message.queue_id(),
    );
    consumer.commit(&queue, message.queue_offset() + 1).await.expect("committed");
    consumer.inner().shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_of_what_is_recorded() {
    let bench = Bench::new();
    everything(&bench).await;
    let spans = bench.recorder.finished();
    let recorded = kit::recorded(&spans, "topic", &[], "");
    kit::readme_is_current(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"), &recorded);
    bench.close();
}
