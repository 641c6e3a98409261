//! Publishing.

use crate::kit::{Bench, in_time, next};
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::message::PublishMessage;
use expect_test::expect;
use std::future::IntoFuture;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[tokio::test]
async fn a_publish_that_no_stream_takes_fails() {
    let bench = Bench::new().await;
    let ack = bench.jetstream.publish(bench.subject(), "{}".into()).await.expect("sent");
    in_time(ack.into_future()).await.expect_err("no stream");
    bench.check(expect![[r#"
        publish SHIPMENTS.new (producer) parent: - links: []
          error.type = StreamNotFound
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
          Error { description: "no stream found for given subject" }
    "#]]);
}

#[tokio::test]
async fn of_a_batch_each_message_says_how_it_ended() {
    let bench = Bench::new().await;
    bench.stream().await;
    let message = |id: &str| PublishMessage::build().payload("{}".into()).message_id(id);
    let twice = (bench.subject(), message("a"));
    let nowhere = (format!("{}-nobody", bench.stream), message("b"));
    let acks =
        in_time(bench.jetstream.publish_batch([(bench.subject(), message("a")), twice, nowhere])).await;
    let stored: Vec<_> =
        acks.iter().map(|ack| ack.as_ref().ok().map(|ack| (ack.sequence, ack.duplicate))).collect();
    assert_eq!(stored, [Some((1, false)), Some((1, true)), None]);
    bench.check_only(
        &["messaging.batch.message_count", "messaging.message.id"],
        expect![[r#"
            create SHIPMENTS.new (producer) parent: - links: []
              messaging.message.id = a
            create SHIPMENTS.new (producer) parent: - links: []
              messaging.message.id = a
            create SHIPMENTS-nobody (producer) parent: - links: []
              messaging.message.id = b
            publish (client) parent: - links: [create SHIPMENTS.new, create SHIPMENTS.new, create SHIPMENTS-nobody]
              messaging.batch.message_count = 3
              link messaging.destination.name=SHIPMENTS.new messaging.message.body.size=2 messaging.message.id=a messaging.nats.sequence=1 messaging.nats.stream=SHIPMENTS
              link messaging.destination.name=SHIPMENTS.new messaging.message.body.size=2 messaging.message.id=a messaging.nats.duplicate=true messaging.nats.sequence=1 messaging.nats.stream=SHIPMENTS
              link error.type=StreamNotFound messaging.destination.name=SHIPMENTS-nobody messaging.message.body.size=2 messaging.message.id=b
        "#]],
    );
    let spans = bench.recorder.finished();
    assert_eq!(spans.iter().filter(|span| span.name.starts_with("create ")).count(), 3);
}

#[tokio::test]
async fn an_acknowledgement_that_nobody_waits_for_is_unconfirmed() {
    let bench = Bench::new().await;
    bench.stream().await;
    bench.jetstream.publish(bench.subject(), "{}".into()).await.expect("sent").forget();
    drop(bench.jetstream.publish(bench.subject(), "{}".into()).await.expect("sent"));
    bench.check_only(
        &["hopscope.outcome", "hopscope.outcome.reason"],
        expect![[r#"
        publish SHIPMENTS.new (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = unconfirmed
        publish SHIPMENTS.new (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = dropped
    "#]],
    );
}

#[tokio::test]
async fn a_batch_without_messages_is_nothing() {
    let bench = Bench::new().await;
    let none: [(&str, PublishMessage); 0] = [];
    assert!(bench.jetstream.publish_batch(none).await.is_empty());
    assert!(bench.recorder.finished().is_empty());
}

/// A schedule is an order to the server in the message's headers: what it publishes then is the message with its context.
#[tokio::test]
async fn a_delayed_message_comes_later_and_from_its_sender() {
    let bench = Bench::new().await;
    let name = &bench.stream;
    // As the server's interface has it: the client knows this setting only with a feature of its own.
    let config = format!(r#"{{"name":"{name}","subjects":["{name}.>"],"allow_msg_schedules":true}}"#);
    let create = bench.client.request(format!("$JS.API.STREAM.CREATE.{name}"), config.into());
    in_time(create).await.expect("a server that answers");
    let stream = bench.jetstream.inner().get_stream(name).await.expect("a new stream");
    let due = SystemTime::now() + Duration::from_secs(2);
    let since = due.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let config = pull::Config { filter_subject: bench.subject(), ..pull::Config::default() };
    let consumer = stream.create_consumer(config).await.expect("a new consumer");
    let message = PublishMessage::build()
        .payload("{}".into())
        .header("Nats-Schedule", format!("@at {}", rfc3339(since)).as_str())
        .header("Nats-Schedule-Target", bench.subject().as_str());
    let sent = bench.jetstream.send_publish(format!("{}.later", bench.stream), message).await.expect("sent");
    in_time(sent.into_future()).await.expect("stored");
    let mut messages = bench.jetstream.messages(&consumer).await.expect("messages");
    let message = next(&mut messages).await;
    assert!(SystemTime::now() >= UNIX_EPOCH + Duration::from_secs(since), "not before it is due");
    let origin = message.delivery().origin().context.clone().expect("a context");
    assert_eq!(origin.span_id(), bench.of("publish")[0].span_context.span_id());
}

/// Seconds since 1970 as the server wants a time.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of year 0, in eras of 400 years.
    let from_march = days + 719_468;
    let (era, day) = (from_march / 146_097, from_march % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}
