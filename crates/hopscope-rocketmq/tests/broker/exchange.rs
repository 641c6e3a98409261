//! One message there and back with every setting of the SDK, on a real RocketMQ.

use crate::kit::{Bench, MASKED, WAIT};
use expect_test::expect_file;
use hopscope_rocketmq::{ReadHeaders, TracedLitePullConsumer, TracedProducer};
use hopscope_sdk::kit::exchange::{self, Arrived, Case};
use hopscope_sdk::{Conventions, kit};
use rocketmq_client_rust::{DefaultLitePullConsumer, DefaultMQProducer};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_single::Message;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Each round has a topic and a group of its own, so that nothing of another one is polled.
struct Rounds {
    bench: Bench,
    begun: AtomicU32,
}

impl Rounds {
    fn close(self) {
        self.bench.close();
    }
}

async fn bench() -> Rounds {
    Rounds { bench: Bench::new(), begun: AtomicU32::new(0) }
}

async fn round(rounds: &Rounds, case: &Case) -> Arrived {
    let bench = &rounds.bench;
    let number = rounds.begun.fetch_add(1, Ordering::Relaxed);
    let (topic, group) = (format!("{}-{number}", bench.topic), format!("{}-{number}", bench.group));
    let producer = DefaultMQProducer::builder(bench.runtime.clone())
        .client_config(bench.config.clone())
        .producer_group(kit::unique("producer"))
        .build();
    let mut producer = TracedProducer::new(producer).with_telemetry(case.telemetry.clone());
    producer.inner_mut().start().await.expect("start");
    let mut message =
        Message::builder().topic(topic.as_str()).key("order-1").body_slice(b"{}").build_unchecked();
    case.headers.iter().for_each(|(name, value)| message.put_property((*name).into(), (*value).into()));
    let sent = producer.send_with_timeout(message, 10_000).await.expect("sent").expect("a result");
    let queue = sent.message_queue.expect("a queue");

    let consumer = DefaultLitePullConsumer::builder(bench.runtime.clone())
        .name_server_addr(bench.config.namesrv_addr.clone().expect("an address"))
        .consumer_group(group)
        .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset)
        .auto_commit(false)
        .build()
        .expect("a consumer");
    consumer.start().await.expect("start");
    consumer.assign(vec![queue.clone()]).await.expect("assigned");
    let consumer = TracedLitePullConsumer::new(consumer).with_telemetry(case.telemetry.clone());
    let poll = async {
        loop {
            if let Some(message) = consumer.poll(Duration::from_millis(500)).await.pop() {
                return message;
            }
        }
    };
    let message = tokio::time::timeout(WAIT, poll).await.expect("in time");
    if case.handle(message.delivery()).await.is_some() {
        consumer.commit(&queue, 1).await.expect("committed");
    }
    // Neither is shut down: that would wait for the poll that is under way. They end with the bench.
    Arrived::new(message.delivery().clone(), &ReadHeaders(message.message().get_properties()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_format_crosses() {
    let bench = bench().await;
    exchange::formats(false, async |case| round(&bench, case).await).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contexts_are_replaced_or_told() {
    let bench = bench().await;
    exchange::old_contexts_are_replaced(async |case| round(&bench, case).await).await;
    exchange::broken_contexts_are_told(async |case| round(&bench, case).await).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relations_by_destination() {
    let bench = bench().await;
    exchange::relations(async |case| round(&bench, case).await).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baggage_by_the_list() {
    let bench = bench().await;
    exchange::baggage(async |case| round(&bench, case).await).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_by_the_list_and_a_hash_of_the_body() {
    let bench = bench().await;
    exchange::capture(async |case| round(&bench, case).await).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sampled_away_and_kept() {
    let bench = bench().await;
    exchange::sampling(async |case| round(&bench, case).await).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counted_though_no_span_is_kept() {
    let bench = bench().await;
    exchange::metrics(async |case| round(&bench, case).await).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_is_lost_is_unknown_or_panicked() {
    let bench = bench().await;
    exchange::lost_work(async |case| round(&bench, case).await).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_ends_before_the_settlement_begins() {
    let bench = bench().await;
    exchange::settlement("commit", async |case| round(&bench, case).await).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_every_generation_of_the_conventions() {
    for (file, conventions) in
        [("messaging", Conventions::Current), ("messaging_dup", Conventions::Both), ("old", Conventions::Old)]
    {
        let bench = bench().await;
        let names = [(bench.bench.topic.as_str(), "notify"), (bench.bench.group.as_str(), "mailer")];
        let text =
            exchange::conventions(conventions, MASKED, &names, async |case| round(&bench, case).await).await;
        expect_file![format!("../golden/{file}.txt")].assert_eq(&text);
        bench.close();
    }
}
