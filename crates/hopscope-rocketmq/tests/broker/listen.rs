//! Listeners in the client's own words.

use crate::kit::{Bench, attribute, next, told};
use expect_test::expect;
use opentelemetry_sdk::trace::SpanData;
use rocketmq_client_rust::{ClientError, ConsumeConcurrentlyStatus, ConsumeOrderlyStatus};
use rocketmq_model::common::message::message_single::Message;
use std::sync::atomic::{AtomicU32, Ordering};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_sent_reconsumed_and_dead_lettered() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    let sent = producer.send_with_timeout(bench.message(), 10_000).await.expect("sent").expect("a result");

    let (calls, mut called) = told();
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    consumer.listen_concurrently(move |message, _| {
        let _ = calls.send(u32::try_from(message.message().reconsume_times()).expect("not negative"));
        Ok(ConsumeConcurrentlyStatus::ReconsumeLater)
    });
    consumer.inner_mut().start().await.expect("start");
    assert_eq!((next(&mut called).await, next(&mut called).await), (0, 1));

    let (calls, mut called) = told();
    let mut undertaker =
        bench.consumer(&format!("%DLQ%{}", bench.group), &format!("{}-dead", bench.group)).await;
    undertaker.listen_concurrently(move |_, _| {
        let _ = calls.send(0);
        Ok(ConsumeConcurrentlyStatus::ConsumeSuccess)
    });
    undertaker.inner_mut().start().await.expect("start");
    next(&mut called).await;
    consumer.inner_mut().shutdown().await;
    undertaker.inner_mut().shutdown().await;

    let spans = bench.recorder.finished();
    let id = sent.msg_id.as_ref().expect("an id").to_string();
    assert!(spans.iter().all(|span| attribute(span, "messaging.message.id") == id), "UNIQ_KEY on every step");
    let offset = |span: &SpanData| attribute(span, "messaging.rocketmq.queue.offset");
    assert_eq!(offset(&spans[0]), sent.queue_offset.to_string());
    assert_eq!(offset(&spans[0]), offset(&spans[1]), "sender and receiver agree on the coordinates");
    bench.check(
        &spans,
        &expect![[r#"
            send notify (producer) parent: - links: []
              messaging.destination.name = notify
              messaging.message.body.size = 2
              messaging.message.id = *
              messaging.operation.name = send
              messaging.operation.type = send
              messaging.rocketmq.broker.name = broker-a
              messaging.rocketmq.message.keys = ["order-1"]
              messaging.rocketmq.message.tag = mail
              messaging.rocketmq.message.type = normal
              messaging.rocketmq.offset_message_id = *
              messaging.rocketmq.queue.id = *
              messaging.rocketmq.queue.offset = *
              messaging.system = rocketmq
            receive notify (client) parent: send notify links: [send notify]
              hopscope.attempt = 1
              hopscope.broker_time = *
              hopscope.origin_time = *
              messaging.consumer.group.name = mailer
              messaging.destination.name = notify
              messaging.message.body.size = 2
              messaging.message.id = *
              messaging.operation.name = receive
              messaging.operation.type = receive
              messaging.rocketmq.broker.name = broker-a
              messaging.rocketmq.message.keys = ["order-1"]
              messaging.rocketmq.message.tag = mail
              messaging.rocketmq.offset_message_id = *
              messaging.rocketmq.queue.id = *
              messaging.rocketmq.queue.offset = *
              messaging.system = rocketmq
              server.address = 127.0.0.1
              server.port = *
            process notify (consumer) parent: send notify links: [send notify]
              error.type = RECONSUME_LATER
              hopscope.attempt = 1
              hopscope.broker_time = *
              hopscope.disposition = retry
              hopscope.origin_time = *
              messaging.consumer.group.name = mailer
              messaging.destination.name = notify
              messaging.message.body.size = 2
              messaging.message.id = *
              messaging.operation.name = process
              messaging.operation.type = process
              messaging.rocketmq.broker.name = broker-a
              messaging.rocketmq.message.keys = ["order-1"]
              messaging.rocketmq.message.tag = mail
              messaging.rocketmq.offset_message_id = *
              messaging.rocketmq.queue.id = *
              messaging.rocketmq.queue.offset = *
              messaging.system = rocketmq
              server.address = 127.0.0.1
              server.port = *
              Error { description: "" }
            reconsume_later notify (client) parent: process notify links: [send notify]
              hopscope.attempt = 1
              hopscope.confirmed = false
              hopscope.disposition = retry
              messaging.consumer.group.name = mailer
              messaging.destination.name = notify
              messaging.message.id = *
              messaging.operation.name = reconsume_later
              messaging.operation.type = settle
              messaging.rocketmq.broker.name = broker-a
              messaging.rocketmq.queue.id = *
              messaging.rocketmq.queue.offset = *
              messaging.system = rocketmq
              server.address = 127.0.0.1
              server.port = *
            receive %RETRY%mailer (client) parent: send notify links: [send notify]
              hopscope.attempt = 2
              hopscope.broker_time = *
              hopscope.copied_from.attempts = 1
              hopscope.copied_from.destination = notify
              hopscope.copied_from.group = mailer
              hopscope.copied_from.kind = retry
              hopscope.copied_from.message_id = *
              hopscope.origin_time = *
              messaging.consumer.group.name = mailer
              messaging.destination.name = %RETRY%mailer
              messaging.message.body.size = 2
              messaging.message.id = *
              messaging.operation.name = receive
              messaging.operation.type = receive
              messaging.rocketmq.broker.name = broker-a
              messaging.rocketmq.logical_topic = notify
              messaging.rocketmq.message.keys = ["order-1"]
              messaging.rocketmq.message.tag = mail
              messaging.rocketmq.offset_message_id = *
              messaging.rocketmq.queue.id = *
              messaging.rocketmq.queue.offset = *
              messaging.system = rocketmq
              server.address = 127.0.0.1
              server.port = *
            process %RETRY%mailer (consumer) parent: send notify links: [send notify]
              error.type = RECONSUME_LATER
              hopscope.attempt = 2
              hopscope.broker_time = *
              hopscope.copied_from.attempts = 1
              hopscope.copied_from.destination = notify
              hopscope.copied_from.group = mailer
              hopscope.copied_from.kind = retry
              hopscope.copied_from.message_id = *
              hopscope.disposition = reject
              hopscope.origin_time = *
              messaging.consumer.group.name = mailer
              messaging.destination.name = %RETRY%mailer
              messaging.message.body.size = 2
              messaging.message.id = *
              messaging.operation.name = process
              messaging.operation.type = process
              messaging.rocketmq.broker.name = broker-a
              messaging.rocketmq.logical_topic = notify
              messaging.rocketmq.message.keys = ["order-1"]
              messaging.rocketmq.message.tag = mail
              messaging.rocketmq.offset_message_id = *
              messaging.rocketmq.queue.id = *
              messaging.rocketmq.queue.offset = *
              messaging.system = rocketmq
              server.address = 127.0.0.1
              server.port = *
              Error { description: "" }
            reconsume_later %RETRY%mailer (client) parent: process %RETRY%mailer links: [send notify]
              hopscope.attempt = 2
              hopscope.confirmed = false
              hopscope.disposition = reject
              messaging.consumer.group.name = mailer
              messaging.destination.name = %RETRY%mailer
              messaging.message.id = *
              messaging.operation.name = reconsume_later
              messaging.operation.type = settle
              messaging.rocketmq.broker.name = broker-a
              messaging.rocketmq.logical_topic = notify
              messaging.rocketmq.queue.id = *
              messaging.rocketmq.queue.offset = *
              messaging.system = rocketmq
              server.address = 127.0.0.1
              server.port = *
            receive %DLQ%mailer (client) parent: send notify links: [send notify]
              hopscope.attempt = 1
              hopscope.broker_time = *
              hopscope.copied_from.attempts = 2
              hopscope.copied_from.destination = notify
              hopscope.copied_from.group = mailer
              hopscope.copied_from.kind = dead_letter
              hopscope.copied_from.message_id = *
              hopscope.origin_time = *
              messaging.consumer.group.name = mailer-dead
              messaging.destination.name = %DLQ%mailer
              messaging.message.body.size = 2
              messaging.message.id = *
              messaging.operation.name = receive
              messaging.operation.type = receive
              messaging.rocketmq.broker.name = broker-a
              messaging.rocketmq.message.keys = ["order-1"]
              messaging.rocketmq.message.tag = mail
              messaging.rocketmq.offset_message_id = *
              messaging.rocketmq.queue.id = *
              messaging.rocketmq.queue.offset = *
              messaging.system = rocketmq
              server.address = 127.0.0.1
              server.port = *
            process %DLQ%mailer (consumer) parent: send notify links: [send notify]
              hopscope.attempt = 1
              hopscope.broker_time = *
              hopscope.copied_from.attempts = 2
              hopscope.copied_from.destination = notify
              hopscope.copied_from.group = mailer
              hopscope.copied_from.kind = dead_letter
              hopscope.copied_from.message_id = *
              hopscope.disposition = accept
              hopscope.origin_time = *
              messaging.consumer.group.name = mailer-dead
              messaging.destination.name = %DLQ%mailer
              messaging.message.body.size = 2
              messaging.message.id = *
              messaging.operation.name = process
              messaging.operation.type = process
              messaging.rocketmq.broker.name = broker-a
              messaging.rocketmq.message.keys = ["order-1"]
              messaging.rocketmq.message.tag = mail
              messaging.rocketmq.offset_message_id = *
              messaging.rocketmq.queue.id = *
              messaging.rocketmq.queue.offset = *
              messaging.system = rocketmq
              server.address = 127.0.0.1
              server.port = *
            success %DLQ%mailer (client) parent: process %DLQ%mailer links: [send notify]
              hopscope.attempt = 1
              hopscope.confirmed = false
              hopscope.disposition = accept
              messaging.consumer.group.name = mailer-dead
              messaging.destination.name = %DLQ%mailer
              messaging.message.id = *
              messaging.operation.name = success
              messaging.operation.type = settle
              messaging.rocketmq.broker.name = broker-a
              messaging.rocketmq.queue.id = *
              messaging.rocketmq.queue.offset = *
              messaging.system = rocketmq
              server.address = 127.0.0.1
              server.port = *
        "#]],
    );
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_and_panics_of_a_listener_are_failures_and_come_again() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    let (calls, mut called) = told();
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    consumer.listen_concurrently(move |message, _| {
        let times = u32::try_from(message.message().reconsume_times()).expect("not negative");
        let _ = calls.send(times);
        match times {
            0 => panic!("no template"),
            _ => Err(ClientError::illegal_argument("no address")),
        }
    });
    consumer.inner_mut().start().await.expect("start");
    assert_eq!((next(&mut called).await, next(&mut called).await), (0, 1));
    consumer.inner_mut().shutdown().await;
    let spans = bench.recorder.finished();
    let processed: Vec<_> = spans.iter().filter(|span| span.name.starts_with("process")).collect();
    let kinds: Vec<_> = processed.iter().map(|span| attribute(span, "error.type")).collect();
    assert_eq!(kinds, ["panic", "core.argument.invalid"]);
    let settled = spans.iter().filter(|span| span.name.starts_with("reconsume_later"));
    let asked: Vec<_> = settled.map(|span| attribute(span, "hopscope.disposition")).collect();
    assert_eq!(asked, ["retry", "reject"], "after the last one comes the dead-letter topic");
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_queue_gives_the_same_message_again() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    let first = |queues: &[_], _: &Message, _: &()| queues.first().cloned();
    producer.send_with_selector(bench.message(), first, ()).await.expect("sent");
    let (calls, mut called) = told();
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let times = AtomicU32::new(0);
    consumer.listen_orderly(move |_, _| {
        let before = times.fetch_add(1, Ordering::Relaxed);
        let _ = calls.send(before);
        match before {
            0 => Ok(ConsumeOrderlyStatus::SuspendCurrentQueueAMoment),
            _ => Ok(ConsumeOrderlyStatus::Success),
        }
    });
    consumer.inner_mut().start().await.expect("start");
    assert_eq!((next(&mut called).await, next(&mut called).await), (0, 1));
    consumer.inner_mut().shutdown().await;
    let spans = bench.recorder.finished();
    let received: Vec<_> = spans.iter().filter(|span| span.name.starts_with("receive")).collect();
    let all = |name: &str| received.iter().map(|span| attribute(span, name)).collect::<Vec<_>>();
    assert_eq!(all("hopscope.attempt"), ["1", "2"]);
    assert_eq!(all("messaging.rocketmq.queue.offset"), ["0", "0"], "no copy is made");
    assert_eq!(all("hopscope.copied_from.kind"), ["", ""]);
    bench.close();
}
