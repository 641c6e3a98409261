//! One message there and back with every setting of the SDK, on a real Kafka.

use crate::kit::{Bench, MASKED, TIMEOUT, in_time};
use expect_test::expect_file;
use hopscope_rdkafka::{ReadHeaders, TracedConsumer, TracedProducer};
use hopscope_sdk::Conventions;
use hopscope_sdk::kit::exchange::{self, Arrived, Case};
use rdkafka::consumer::Consumer;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

async fn round(bench: &Bench, case: &Case) -> Arrived {
    let producer = TracedProducer::from_config_with(&bench.config, case.telemetry.clone()).expect("valid");
    let headers = case.headers.iter().fold(OwnedHeaders::new(), |headers, &(key, value)| {
        headers.insert(Header { key, value: Some(value) })
    });
    let record = FutureRecord::to(&bench.topic).key("4711").payload("{}").headers(headers);
    let sent = in_time(producer.send(record, TIMEOUT)).await.expect("delivered");
    let consumer = TracedConsumer::from_config_with(&bench.config, case.telemetry.clone()).expect("valid");
    let mut at = TopicPartitionList::new();
    at.add_partition_offset(&bench.topic, sent.partition, Offset::Offset(sent.offset)).expect("valid");
    consumer.inner().assign(&at).expect("assigned");
    let message = in_time(consumer.recv()).await.expect("the message");
    if case.handle(message.delivery()).await.is_some() {
        in_time(consumer.commit_message(&message)).await.expect("committed");
    }
    Arrived::new(message.delivery().clone(), &ReadHeaders(message.message().headers()))
}

#[tokio::test]
async fn every_format_crosses() {
    let bench = Bench::new(&[]).await;
    exchange::formats(true, async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn contexts_are_replaced_or_told() {
    let bench = Bench::new(&[]).await;
    exchange::old_contexts_are_replaced(async |case| round(&bench, case).await).await;
    exchange::broken_contexts_are_told(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn relations_by_destination() {
    let bench = Bench::new(&[]).await;
    exchange::relations(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn baggage_by_the_list() {
    let bench = Bench::new(&[]).await;
    exchange::baggage(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn headers_by_the_list_and_a_hash_of_the_body() {
    let bench = Bench::new(&[]).await;
    exchange::capture(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn sampled_away_and_kept() {
    let bench = Bench::new(&[]).await;
    exchange::sampling(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn counted_though_no_span_is_kept() {
    let bench = Bench::new(&[]).await;
    exchange::metrics(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn work_that_is_lost_is_unknown_or_panicked() {
    let bench = Bench::new(&[]).await;
    exchange::lost_work(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn process_ends_before_the_settlement_begins() {
    let bench = Bench::new(&[]).await;
    exchange::settlement("commit", async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn names_of_every_generation_of_the_conventions() {
    for (file, conventions) in
        [("messaging", Conventions::Current), ("messaging_dup", Conventions::Both), ("old", Conventions::Old)]
    {
        let bench = Bench::new(&[]).await;
        let names = [(bench.topic.as_str(), "orders"), (bench.group(), "payment")];
        let text =
            exchange::conventions(conventions, MASKED, &names, async |case| round(&bench, case).await).await;
        // Whether the cluster is known when a new client sends is a matter of luck.
        let text = text.replace("  messaging.kafka.cluster.id = *\n", "");
        expect_file![format!("../golden/{file}.txt")].assert_eq(&text);
    }
}
