//! Trace data as messages on a topic of a real RocketMQ.

use crate::kit::{Bench, WAIT, named};
use crate::proxy::Proxy;
use hopscope_rocketmq::RocketMqSink;
use hopscope_sdk::kit;
use hopscope_sdk::setup::{Batching, Counts, Export, Setup, TopicError, TopicSink};
use hopscope_sdk::{Details, Place};
use rocketmq_client_rust::{ConsumeConcurrentlyStatus, DefaultMQProducer};
use rocketmq_model::common::message::MessageTrait;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::unbounded_channel;

const HEADERS: &[(&str, &str)] = &[
    ("content-type", "application/x-protobuf"),
    ("hopscope-signal", "traces"),
    ("content-encoding", "zstd"),
];

async fn producer(bench: &Bench, message_bytes_max: u32) -> DefaultMQProducer {
    let mut producer = DefaultMQProducer::builder(bench.runtime.clone())
        .client_config(bench.config.clone())
        .producer_group(kit::unique("producer"))
        .max_message_size(message_bytes_max)
        .send_msg_timeout(20_000)
        .build();
    producer.start().await.expect("start");
    producer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_has_the_body_and_every_header() {
    let bench = Bench::new();
    let sink = RocketMqSink::new(producer(&bench, 4 << 20).await).to(bench.topic.as_str());
    // Longer than what the client compresses on its way.
    let body = [b"\x00\xff spans".to_vec(), vec![7; 10_000]].concat();
    sink.send(body.clone(), HEADERS).await.expect("stored");
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let (seen, mut received) = unbounded_channel();
    consumer.listen_concurrently(move |message, _| {
        let headers: Vec<_> =
            HEADERS.iter().map(|(name, _)| message.message().user_property(&(*name).into())).collect();
        let _ = seen.send((message.message().body(), headers));
        Ok(ConsumeConcurrentlyStatus::ConsumeSuccess)
    });
    consumer.inner_mut().start().await.expect("start");
    let (got, headers) =
        tokio::time::timeout(WAIT, received.recv()).await.expect("in time").expect("a listener");
    assert_eq!(got.as_deref(), Some(body.as_slice()));
    let headers: Vec<_> = headers.iter().map(|value| value.as_deref().unwrap_or_default()).collect();
    assert_eq!(headers, HEADERS.iter().map(|(_, value)| *value).collect::<Vec<_>>());
    consumer.inner_mut().shutdown().await;
    assert_eq!(named(&bench.recorder.finished(), "send").len(), 0, "it is not traced itself");
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_long_is_told_apart_from_a_broker_that_is_away() {
    let bench = Bench::new();
    let sink = RocketMqSink::new(producer(&bench, 4 << 20).await).to(bench.topic.as_str());
    sink.send(vec![1], HEADERS).await.expect("stored");
    let of_client = sink.send(vec![1; 5 << 20], HEADERS).await;
    assert!(matches!(of_client, Err(TopicError::TooLarge(_))), "{of_client:?}");
    // Its client lets more through than the broker takes. Not to be compressed: bytes by chance.
    let generous = RocketMqSink::new(producer(&bench, 16 << 20).await).to(bench.topic.as_str());
    let noise =
        (0_u64..9 << 16).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).to_le_bytes());
    let of_broker = generous.send(noise.collect(), HEADERS).await;
    assert!(matches!(of_broker, Err(TopicError::TooLarge(_))), "{of_broker:?}");
    sink.send(vec![1], HEADERS).await.expect("the next is none the worse");

    // By its own name, which RocketMQ must allow.
    let by_default = RocketMqSink::new(producer(&bench, 4 << 20).await);
    by_default.send(vec![1], HEADERS).await.expect("stored");

    let mut nobody = Bench::new();
    nobody.config.namesrv_addr = Some("127.0.0.1:1".into());
    let away = RocketMqSink::new(producer(&nobody, 4 << 20).await).send(vec![1], HEADERS).await;
    assert!(matches!(away, Err(TopicError::Later(_))), "{away:?}");
    nobody.close();
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_spans_wait_and_then_they_are_delivered() {
    let mut bench = Bench::new();
    let proxy = Proxy::to(&kit::broker("HOPSCOPE_TEST_ROCKETMQ")).await;
    bench.config.namesrv_addr = Some(proxy.address().into());
    let sink = RocketMqSink::new(producer(&bench, 4 << 20).await).to(bench.topic.as_str());
    let (export, batching) = (Export::Topic(Arc::new(sink)), Batching::INTERACTIVE);
    let setup = Setup { export, batching, metrics: Some(false), ..Setup::default() };
    let guard = setup.start().expect("a set-up");
    let tell = || {
        let place = Place::Nats { subject: "orders" };
        (0..3).for_each(|_| guard.telemetry().send("publish", place, &Details::default()).accepted());
    };
    let flush = |deadline| tokio::task::block_in_place(|| guard.flush(deadline));
    tell();
    assert!(flush(WAIT), "{:?}", guard.counts());
    proxy.cut();
    tell();
    assert!(!flush(Duration::from_secs(1)), "nobody takes them");
    assert_eq!(guard.counts().queued, 3);
    tokio::time::timeout(WAIT, proxy.restore_after_a_refusal()).await.expect("it tries again");
    let until = Instant::now() + WAIT;
    while !flush(Duration::from_secs(2)) && Instant::now() < until {}
    assert_eq!(guard.counts(), Counts { ended: 6, exported: 6, ..Counts::default() });
    bench.close();
}
