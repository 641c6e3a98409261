//! Trace data as records on a topic of a real Kafka.

use crate::kit::proxy::Proxy;
use crate::kit::{Bench, TIMEOUT, in_time};
use hopscope_rdkafka::KafkaSink;
use hopscope_sdk::setup::{Counts, Export, Setup, TopicError, TopicSink};
use hopscope_sdk::{Details, Limits, Place};
use rdkafka::message::{Headers, Message};
use std::sync::Arc;

const HEADERS: &[(&str, &str)] = &[
    ("content-type", "application/x-protobuf"),
    ("hopscope-signal", "traces"),
    ("content-encoding", "zstd"),
];

#[tokio::test]
async fn a_record_has_the_body_and_every_header() {
    let mut bench = Bench::new(&[]).await;
    // Of the application's own producer; it would lose records, keep them long, or hold them in a transaction.
    bench.config.set("request.required.acks", "0").set("delivery.timeout.ms", "300000");
    bench.config.set("transactional.id", &bench.topic).set("linger.ms", "60000");
    let sink = KafkaSink::from_config(&bench.config).expect("a producer").to(&bench.topic);
    let body = b"\x00\xff spans".to_vec();
    in_time(sink.send(body.clone(), HEADERS)).await.expect("delivered");
    let consumer = bench.consumer();
    let record = in_time(consumer.recv()).await.expect("a record");
    let record = record.message();
    assert_eq!(record.payload(), Some(body.as_slice()));
    let headers: Vec<_> = record.headers().expect("headers").iter().collect();
    let headers: Vec<_> = headers.iter().map(|header| (header.key, header.value.expect("a value"))).collect();
    assert_eq!(headers, HEADERS.iter().map(|(key, value)| (*key, value.as_bytes())).collect::<Vec<_>>());
    assert_eq!(bench.count("send"), 0, "it is not traced itself");
}

#[tokio::test]
async fn what_is_too_long_is_told_apart_from_what_has_no_topic() {
    let bench = Bench::new(&[("max.message.bytes", "1000")]).await;
    let sink = KafkaSink::from_config(&bench.config).expect("a producer").to(&bench.topic);
    in_time(sink.send(vec![1; 500], HEADERS)).await.expect("delivered");
    let of_broker = in_time(sink.send(vec![1; 5_000], HEADERS)).await;
    assert!(matches!(of_broker, Err(TopicError::TooLarge(_))), "{of_broker:?}");
    let of_client = in_time(sink.send(vec![1; 2_000_000], HEADERS)).await;
    assert!(matches!(of_client, Err(TopicError::TooLarge(_))), "{of_client:?}");
    in_time(sink.send(vec![1; 500], HEADERS)).await.expect("the next is none the worse");
    let nowhere = KafkaSink::from_config(&bench.config).expect("a producer").to("no-such-topic");
    let answer = in_time(nowhere.send(vec![1], HEADERS)).await;
    assert!(matches!(answer, Err(TopicError::Later(_))), "{answer:?}");
    let mut config = bench.config.clone();
    config.set("message.max.bytes", "100000");
    let short = KafkaSink::from_config(&config).expect("a producer").message_bytes_max();
    assert!((90_000..100_000).contains(&short), "{short}");
}

#[tokio::test]
async fn while_the_broker_is_away_it_is_later_and_then_it_is_delivered() {
    let mut bench = Bench::new(&[]).await;
    let proxy = Proxy::to(bench.config.get("bootstrap.servers").expect("set")).await;
    bench.config.set("bootstrap.servers", proxy.address()).set("reconnect.backoff.max.ms", "500");
    let sink = KafkaSink::from_config(&bench.config).expect("a producer").to(&bench.topic);
    in_time(sink.send(vec![1], HEADERS)).await.expect("delivered");
    proxy.cut();
    let away = in_time(sink.send(vec![2], HEADERS)).await;
    assert!(matches!(away, Err(TopicError::Later(_))), "{away:?}");
    proxy.restore_after_a_refusal().await;
    in_time(async { while sink.send(vec![3], HEADERS).await.is_err() {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_takes_less_than_a_batch_gets_it_in_several_and_one_span_that_is_too_long_is_counted() {
    let bench = Bench::new(&[("max.message.bytes", "10000")]).await;
    let sink = KafkaSink::from_config(&bench.config).expect("a producer").to(&bench.topic);
    let limits = Some(Limits { value_bytes_max: u32::MAX, ..Limits::default() });
    let export = Export::Topic(Arc::new(sink));
    let setup = Setup { export, limits, metrics: Some(false), ..Setup::default() };
    let guard = setup.start().expect("a set-up");
    let (place, long) = (Place::Nats { subject: "orders" }, "x".repeat(20_000));
    for number in 0..200 {
        let key = if number == 100 { long.as_str() } else { "" };
        guard.telemetry().send("publish", place, &Details { key, ..Details::default() }).accepted();
    }
    assert!(tokio::task::block_in_place(|| guard.flush(TIMEOUT)), "{:?}", guard.counts());
    assert_eq!(guard.counts(), Counts { ended: 200, exported: 199, failed: 1, ..Counts::default() });
}
