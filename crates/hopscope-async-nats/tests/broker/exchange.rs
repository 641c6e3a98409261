//! One message there and back with every setting of the SDK, on a real NATS server.

use crate::kit::{Bench, MASKED, in_time, next};
use async_nats::HeaderMap;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use expect_test::expect_file;
use hopscope_async_nats::{NatsHeaders, TracedJetStream};
use hopscope_sdk::Conventions;
use hopscope_sdk::kit::exchange::{self, Arrived, Case};
use std::future::IntoFuture;

async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.stream().await;
    bench
}

async fn round(bench: &Bench, case: &Case) -> Arrived {
    let jetstream =
        TracedJetStream::new(bench.jetstream.inner().clone()).with_telemetry(case.telemetry.clone());
    let mut headers = HeaderMap::new();
    case.headers.iter().for_each(|(name, value)| headers.insert(*name, *value));
    let publish = jetstream.publish_with_headers(bench.subject(), headers, "{}".into());
    let stored = in_time(publish.await.expect("sent").into_future()).await.expect("stored");
    let stream = jetstream.inner().get_stream(&bench.stream).await.expect("the stream");
    let config = pull::Config {
        durable_name: Some("packing".into()),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: stored.sequence },
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.expect("a new consumer");
    let message = next(&mut jetstream.messages(&consumer).await.expect("messages")).await;
    if let Some(declared) = case.handle(message.delivery()).await {
        match case.succeeds() {
            true => message.double_ack(declared).await.expect("confirmed"),
            false => message.settle(declared, AckKind::Nak(None)).await.expect("sent"),
        }
    }
    stream.delete_consumer("packing").await.expect("deleted");
    Arrived::new(message.delivery().clone(), &NatsHeaders(message.message().headers.as_ref()))
}

#[tokio::test]
async fn every_format_crosses() {
    let bench = bench().await;
    exchange::formats(false, async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn contexts_are_replaced_or_told() {
    let bench = bench().await;
    exchange::old_contexts_are_replaced(async |case| round(&bench, case).await).await;
    exchange::broken_contexts_are_told(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn relations_by_destination() {
    let bench = bench().await;
    exchange::relations(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn baggage_by_the_list() {
    let bench = bench().await;
    exchange::baggage(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn headers_by_the_list_and_a_hash_of_the_body() {
    let bench = bench().await;
    exchange::capture(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn sampled_away_and_kept() {
    let bench = bench().await;
    exchange::sampling(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn counted_though_no_span_is_kept() {
    let bench = bench().await;
    exchange::metrics(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn work_that_is_lost_is_unknown_or_panicked() {
    let bench = bench().await;
    exchange::lost_work(async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn process_ends_before_the_settlement_begins() {
    let bench = bench().await;
    exchange::settlement("ack", async |case| round(&bench, case).await).await;
}

#[tokio::test]
async fn names_of_every_generation_of_the_conventions() {
    for (file, conventions) in
        [("messaging", Conventions::Current), ("messaging_dup", Conventions::Both), ("old", Conventions::Old)]
    {
        let bench = bench().await;
        let names = [(bench.stream.as_str(), "SHIPMENTS")];
        let text =
            exchange::conventions(conventions, MASKED, &names, async |case| round(&bench, case).await).await;
        expect_file![format!("../golden/{file}.txt")].assert_eq(&text);
    }
}
