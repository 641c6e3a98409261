//! Trace data as messages on a queue of a real RabbitMQ.

use crate::kit::proxy::Proxy;
use crate::kit::*;
use hopscope_lapin::AmqpSink;
use hopscope_sdk::kit::broker;
use hopscope_sdk::setup::{TopicError, TopicSink};
use lapin::ConnectionProperties;
use lapin::types::{AMQPValue, FieldTable};

const HEADERS: &[(&str, &str)] = &[
    ("content-type", "application/x-protobuf"),
    ("hopscope-signal", "traces"),
    ("content-encoding", "zstd"),
];

fn sink() -> AmqpSink {
    AmqpSink::new(broker("HOPSCOPE_TEST_AMQP"), ConnectionProperties::default())
}

#[tokio::test]
async fn a_message_is_persistent_on_a_queue_that_is_made_with_every_header() {
    let bench = Bench::new("sink").await;
    let sink = sink().to_queue(bench.queue("work"));
    let body = b"\x00\xff spans".to_vec();
    in_time(sink.send(body.clone(), HEADERS)).await.expect("confirmed");
    // As it is: a second declaration with other arguments would be refused.
    bench.declare(&bench.queue("quorum"), quorum()).await;
    let to_quorum = self::sink().to_queue(bench.queue("quorum"));
    in_time(to_quorum.send(body.clone(), HEADERS)).await.expect("confirmed");
    for queue in ["work", "quorum"] {
        let message = bench.get(&bench.queue(queue)).await;
        let message = &message.message().delivery;
        assert_eq!(message.data, body);
        let properties = &message.properties;
        let told = [properties.content_type(), properties.content_encoding()]
            .map(|value| value.as_ref().map(|value| value.as_str().to_owned()));
        assert_eq!(told, [Some("application/x-protobuf".into()), Some("zstd".into())]);
        let headers = properties.headers().as_ref().expect("headers").inner();
        assert_eq!(headers.get("hopscope-signal"), Some(&text("traces")));
        assert_eq!((headers.len(), *properties.delivery_mode()), (1, Some(2)));
    }
    // Durable: it can be declared so again.
    bench.declare(&bench.queue("work"), FieldTable::default()).await;
    let spans = bench.finish(&["work", "quorum"]).await;
    assert_eq!(of(&spans, "publish").len(), 0, "it is not traced itself");
}

#[tokio::test]
async fn what_no_queue_gets_is_later_until_one_is_bound() {
    let bench = Bench::new("unbound").await;
    bench.topology(FieldTable::default()).await;
    let sink = sink().to_exchange(bench.exchange(), "trace");
    let returned = in_time(sink.send(vec![1], HEADERS)).await;
    let Err(TopicError::Later(why)) = returned else { panic!("{returned:?}") };
    assert!(why.to_string().contains("reason=312 NO_ROUTE"), "{why}");
    bench.bind(&bench.queue("work"), "trace").await;
    in_time(sink.send(vec![2], HEADERS)).await.expect("confirmed");
    assert_eq!(bench.get(&bench.queue("work")).await.message().delivery.data, [2]);
    bench.finish(&["work"]).await;
}

#[tokio::test]
async fn what_is_too_long_is_told_apart_from_a_full_queue() {
    let bench = Bench::new("long").await;
    let full = arguments([("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", text("reject-publish"))]);
    bench.declare(&bench.queue("work"), full).await;
    let sink = sink().to_queue(bench.queue("work"));
    let too_long = in_time(sink.send(vec![1; 17 << 20], HEADERS)).await;
    assert!(matches!(too_long, Err(TopicError::TooLarge(_))), "{too_long:?}");
    in_time(sink.send(vec![1], HEADERS)).await.expect("the next is none the worse");
    let refused = in_time(sink.send(vec![2], HEADERS)).await;
    assert!(matches!(refused, Err(TopicError::Later(_))), "{refused:?}");
    bench.get(&bench.queue("work")).await;
    bench.finish(&["work"]).await;
}

#[tokio::test]
async fn a_connection_that_is_lost_is_made_again_and_a_broker_that_is_away_is_later() {
    let bench = Bench::new("away").await;
    let address = broker("HOPSCOPE_TEST_AMQP");
    let (login, rest) = address.split_once('@').expect("an address with a login");
    let (host, vhost) = rest.split_once('/').expect("an address with a vhost");
    let proxy = Proxy::new(host.to_owned()).await;
    let sink = AmqpSink::new(format!("{login}@127.0.0.1:{}/{vhost}", proxy.port), Default::default())
        .to_queue(bench.queue("work"));
    in_time(sink.send(vec![1], HEADERS)).await.expect("confirmed");
    proxy.cut();
    in_time(async { while sink.send(vec![2], HEADERS).await.is_err() {} }).await;
    // For good: nobody listens there any more.
    proxy.cut();
    drop(proxy);
    let away = in_time(async {
        loop {
            if let Err(error) = sink.send(vec![3], HEADERS).await {
                break error;
            }
        }
    });
    assert!(matches!(away.await, TopicError::Later(_)));
    let away = in_time(sink.send(vec![4], HEADERS)).await;
    assert!(matches!(away, Err(TopicError::Later(_))), "{away:?}");
    bench.finish(&["work"]).await;
}
