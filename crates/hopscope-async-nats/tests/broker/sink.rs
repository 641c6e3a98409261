//! Trace data as messages on a subject of a real NATS server.

use crate::kit::proxy::Proxy;
use crate::kit::{Bench, in_time};
use async_nats::connection::State;
use async_nats::jetstream::stream;
use futures::StreamExt;
use hopscope_async_nats::NatsSink;
use hopscope_sdk::kit;
use hopscope_sdk::setup::{MESSAGE_BYTES_MAX, TopicError, TopicSink};

const HEADERS: &[(&str, &str)] = &[
    ("content-type", "application/x-protobuf"),
    ("hopscope-signal", "traces"),
    ("content-encoding", "zstd"),
];

#[tokio::test]
async fn a_message_has_the_body_and_every_header() {
    let bench = Bench::new().await;
    bench.stream().await;
    let body = b"\x00\xff spans".to_vec();
    let mut subscriber = bench.client.subscribe(bench.subject()).await.expect("subscribed");
    let jetstream = bench.jetstream.inner().clone();
    for sink in [NatsSink::jetstream(jetstream), NatsSink::core(bench.client.clone())] {
        let sink = sink.to(bench.subject());
        in_time(sink.send(body.clone(), HEADERS)).await.expect("delivered");
        let message = in_time(subscriber.next()).await.expect("a message");
        assert_eq!(message.payload, body);
        let headers = message.headers.expect("headers");
        let get = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        assert!(HEADERS.iter().all(|(name, value)| get(name).as_deref() == Some(*value)), "{headers:?}");
        assert_eq!(sink.message_bytes_max(), MESSAGE_BYTES_MAX, "less than the server's limit");
    }
    assert_eq!(bench.of("publish").len(), 0, "it is not traced itself");
}

#[tokio::test]
async fn what_is_too_long_is_told_apart_from_what_has_no_stream() {
    let bench = Bench::new().await;
    let (client, jetstream) = (bench.client.clone(), bench.jetstream.inner().clone());
    let nowhere = NatsSink::jetstream(jetstream.clone()).to(bench.subject());
    let answer = in_time(nowhere.send(vec![1], HEADERS)).await;
    assert!(matches!(answer, Err(TopicError::Later(_))), "{answer:?}");
    let config = stream::Config {
        name: bench.stream.clone(),
        subjects: vec![bench.subject()],
        max_message_size: 1_000,
        ..stream::Config::default()
    };
    jetstream.create_stream(config).await.expect("a new stream");
    let sink = NatsSink::jetstream(jetstream).to(bench.subject());
    in_time(sink.send(vec![1; 500], HEADERS)).await.expect("delivered");
    let of_stream = in_time(sink.send(vec![1; 5_000], HEADERS)).await;
    assert!(matches!(of_stream, Err(TopicError::TooLarge(_))), "{of_stream:?}");
    for sink in [sink, NatsSink::core(client).to(bench.subject())] {
        let of_server = in_time(sink.send(vec![1; 2_000_000], HEADERS)).await;
        assert!(matches!(of_server, Err(TopicError::TooLarge(_))), "{of_server:?}");
        in_time(sink.send(vec![1; 500], HEADERS)).await.expect("the next is none the worse");
    }
}

#[tokio::test]
async fn while_the_server_is_away_it_is_later_at_once() {
    let bench = Bench::new().await;
    bench.stream().await;
    let address = kit::broker("HOPSCOPE_TEST_NATS");
    let proxy = Proxy::new(address.trim_start_matches("nats://").to_owned()).await;
    let client = async_nats::connect(format!("127.0.0.1:{}", proxy.port)).await.expect("connected");
    let jetstream = async_nats::jetstream::new(client.clone());
    for sink in [NatsSink::jetstream(jetstream), NatsSink::core(client.clone())] {
        let sink = sink.to(bench.subject());
        in_time(sink.send(vec![1], HEADERS)).await.expect("delivered");
    }
    // For good: nobody listens there any more.
    proxy.cut();
    drop(proxy);
    bench.until(async || client.connection_state() != State::Connected).await;
    let jetstream = async_nats::jetstream::new(client.clone());
    for sink in [NatsSink::jetstream(jetstream), NatsSink::core(client.clone())] {
        let away = in_time(sink.to(bench.subject()).send(vec![2], HEADERS)).await;
        assert!(matches!(away, Err(TopicError::Later(_))), "{away:?}");
    }
}
