//! One message there and back with every setting of the SDK, on a real RabbitMQ.

use crate::kit::{Bench, MASKED, in_time, text};
use expect_test::expect_file;
use hopscope_lapin::{ReadHeaders, Settle, TracedChannel};
use hopscope_sdk::Conventions;
use hopscope_sdk::kit::exchange::{self, Arrived, Case};
use lapin::BasicProperties;
use lapin::options::*;
use lapin::types::FieldTable;
use std::time::Duration;

async fn bench() -> Bench {
    let bench = Bench::new("exchange").await;
    bench.topology(FieldTable::default()).await;
    bench
}

async fn round(bench: &Bench, case: &Case) -> Arrived {
    let channel = bench.connection.create_channel().await.expect("channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirm_select");
    let channel = TracedChannel::new(channel).with_telemetry(case.telemetry.clone());
    let mut headers = FieldTable::default();
    for (name, value) in case.headers {
        headers.insert((*name).into(), text(value));
    }
    let properties = BasicProperties::default().with_headers(headers);
    let options = BasicPublishOptions::default();
    let publish = channel.basic_publish(bench.exchange(), "pay".into(), options, b"{}", properties);
    in_time(publish).await.expect("publish").await.expect("confirm");
    let get = async {
        loop {
            match channel.basic_get(bench.queue("work"), BasicGetOptions::default()).await.expect("get") {
                Some(message) => break message,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let message = in_time(get).await;
    match case.handle(message.delivery()).await {
        Some(declared) if case.succeeds() => message.ack(declared, BasicAckOptions::default()).await,
        Some(declared) => message.nack(declared, BasicNackOptions::default()).await,
        // Away with it, unseen, so that the next one is the next one.
        None => message.message().delivery.acker.ack(BasicAckOptions::default()).await,
    }
    .expect("settled");
    let headers = message.message().delivery.properties.headers().as_ref();
    let arrived = Arrived::new(message.delivery().clone(), &ReadHeaders(headers));
    channel.inner().close(200, "".into()).await.expect("close");
    arrived
}

#[tokio::test]
async fn every_format_crosses() {
    let bench = bench().await;
    exchange::formats(true, async |case| round(&bench, case).await).await;
    bench.finish(&["work"]).await;
}

#[tokio::test]
async fn contexts_are_replaced_or_told() {
    let bench = bench().await;
    exchange::old_contexts_are_replaced(async |case| round(&bench, case).await).await;
    exchange::broken_contexts_are_told(async |case| round(&bench, case).await).await;
    bench.finish(&["work"]).await;
}

#[tokio::test]
async fn relations_by_destination() {
    let bench = bench().await;
    exchange::relations(async |case| round(&bench, case).await).await;
    bench.finish(&["work"]).await;
}

#[tokio::test]
async fn baggage_by_the_list() {
    let bench = bench().await;
    exchange::baggage(async |case| round(&bench, case).await).await;
    bench.finish(&["work"]).await;
}

#[tokio::test]
async fn headers_by_the_list_and_a_hash_of_the_body() {
    let bench = bench().await;
    exchange::capture(async |case| round(&bench, case).await).await;
    bench.finish(&["work"]).await;
}

#[tokio::test]
async fn sampled_away_and_kept() {
    let bench = bench().await;
    exchange::sampling(async |case| round(&bench, case).await).await;
    bench.finish(&["work"]).await;
}

#[tokio::test]
async fn counted_though_no_span_is_kept() {
    let bench = bench().await;
    exchange::metrics(async |case| round(&bench, case).await).await;
    bench.finish(&["work"]).await;
}

#[tokio::test]
async fn work_that_is_lost_is_unknown_or_panicked() {
    let bench = bench().await;
    exchange::lost_work(async |case| round(&bench, case).await).await;
    bench.finish(&["work"]).await;
}

#[tokio::test]
async fn process_ends_before_the_settlement_begins() {
    let bench = bench().await;
    exchange::settlement("ack", async |case| round(&bench, case).await).await;
    bench.finish(&["work"]).await;
}

#[tokio::test]
async fn names_of_every_generation_of_the_conventions() {
    for (file, conventions) in
        [("messaging", Conventions::Current), ("messaging_dup", Conventions::Both), ("old", Conventions::Old)]
    {
        let bench = bench().await;
        let names = [(bench.name.as_str(), "<test>")];
        let text =
            exchange::conventions(conventions, &MASKED, &names, async |case| round(&bench, case).await).await;
        expect_file![format!("../golden/{file}.txt")].assert_eq(&text);
        bench.finish(&["work"]).await;
    }
}
