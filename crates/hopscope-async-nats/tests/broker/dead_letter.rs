//! Messages that were given up: written, read, sent back.

use crate::kit::{Bench, Seen, attribute, in_time, next};
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream;
use expect_test::expect;
use hopscope_async_nats::{DeadLetter, Options, Received};
use hopscope_sdk::Retry;
use std::io::Error;

impl Bench {
    /// A stream of dead letters, a consumer of it, and where to.
    async fn letters(&self) -> (PullConsumer, DeadLetter) {
        let subject = DeadLetter::name(&self.subject(), "packing");
        let stream = self.stream_of(&format!("DEAD-{}", self.stream), subject.clone()).await;
        let config = pull::Config { durable_name: Some("audit".into()), ..pull::Config::default() };
        let consumer = stream.create_consumer(config).await.expect("a new consumer");
        (consumer, DeadLetter::to(self.jetstream.clone(), subject))
    }
}

#[tokio::test]
async fn what_is_given_up_is_copied_read_and_sent_back() {
    let bench = Bench::new().await;
    let consumer = bench.pull(pull::Config::default()).await;
    let (audit, letters) = bench.letters().await;
    let message = PublishMessage::build()
        .payload("{}".into())
        .message_id("s-1")
        .header("order", "4711")
        .header("Nats-Expected-Last-Sequence", "0");
    bench.jetstream.send_publish(bench.subject(), message).await.expect("sent").await.expect("stored");
    let handler =
        async |message: Received| match message.delivery().with_details(|of| of.copied_from.is_some()) {
            false => Err(Error::other("no truck")),
            true => Ok(()),
        };
    let options = Options {
        retry: Retry::times(2),
        dead_letter: Some(letters),
        double_ack: true,
        ..Options::default()
    };
    let bench_ref = &bench;
    let stop = async {
        let mut dead = bench_ref.jetstream.messages(&audit).await.expect("messages");
        let letter = in_time(dead.next()).await.expect("a letter").expect("a letter");
        let headers = letter.message().headers.as_ref().expect("headers");
        let value = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        assert_eq!(value("order").as_deref(), Some("4711"));
        assert_eq!(value("hopscope-dead-letter-attempts").as_deref(), Some("2"));
        assert_eq!(value("hopscope-dead-letter-reason").as_deref(), Some("no truck"));
        assert_eq!(value("Nats-Expected-Last-Sequence"), None);
        let work = letter.process();
        let ack = work.run(bench_ref.jetstream.redrive(&letter, None)).await.expect("stored");
        assert_eq!((ack.stream.as_str(), ack.sequence), (bench_ref.stream.as_str(), 2));
        bench_ref.until(async || bench_ref.of("ack").len() == 1).await;
        let again = work.run(bench_ref.jetstream.redrive(&letter, None)).await.expect("stored");
        assert!(again.duplicate, "sent back twice, stored once");
        work.double_ack().await.expect("confirmed");
    };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    in_time(messages.run(options, handler, stop)).await.expect("a clean end");
    const SHOWN: &[&str] = &[
        "hopscope.attempt",
        "hopscope.copied_from.kind",
        "hopscope.copied_from.destination",
        "hopscope.copied_from.position",
        "hopscope.copied_from.attempts",
        "hopscope.disposition",
    ];
    expect![[r#"
        publish SHIPMENTS.new (producer) parent: - links: []
        publish dlt.packing.SHIPMENTS.new (producer) parent: process SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.copied_from.attempts = 2
          hopscope.copied_from.destination = SHIPMENTS
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.position = 1
        publish SHIPMENTS.new (producer) parent: process dlt.packing.SHIPMENTS.new links: [publish dlt.packing.SHIPMENTS.new]
          hopscope.copied_from.destination = DEAD-SHIPMENTS
          hopscope.copied_from.kind = redrive
          hopscope.copied_from.position = 1
        publish SHIPMENTS.new (producer) parent: process dlt.packing.SHIPMENTS.new links: [publish dlt.packing.SHIPMENTS.new]
          hopscope.copied_from.destination = DEAD-SHIPMENTS
          hopscope.copied_from.kind = redrive
          hopscope.copied_from.position = 1
    "#]].assert_eq(&bench.only_of("publish", SHOWN));
    expect![[r#"
        receive SHIPMENTS.new (client) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 1
        receive SHIPMENTS.new (client) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 2
        receive dlt.packing.SHIPMENTS.new (client) parent: publish dlt.packing.SHIPMENTS.new links: [publish dlt.packing.SHIPMENTS.new]
          hopscope.attempt = 1
          hopscope.copied_from.attempts = 2
          hopscope.copied_from.destination = SHIPMENTS
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.position = 1
        receive SHIPMENTS.new (client) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 1
          hopscope.copied_from.destination = DEAD-SHIPMENTS
          hopscope.copied_from.kind = redrive
          hopscope.copied_from.position = 1
    "#]].assert_eq(&bench.only_of("receive", SHOWN));
    expect![[r#"
        process SHIPMENTS.new (consumer) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 1
          hopscope.disposition = retry
          Error { description: "no truck" }
        process SHIPMENTS.new (consumer) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 2
          hopscope.disposition = reject
          Error { description: "no truck" }
        process SHIPMENTS.new (consumer) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.attempt = 1
          hopscope.copied_from.destination = DEAD-SHIPMENTS
          hopscope.copied_from.kind = redrive
          hopscope.copied_from.position = 1
          hopscope.disposition = accept
        process dlt.packing.SHIPMENTS.new (consumer) parent: publish dlt.packing.SHIPMENTS.new links: [publish dlt.packing.SHIPMENTS.new]
          hopscope.attempt = 1
          hopscope.copied_from.attempts = 2
          hopscope.copied_from.destination = SHIPMENTS
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.position = 1
          hopscope.disposition = accept
    "#]].assert_eq(&bench.only_of("process", SHOWN));
    let asked: Vec<_> = ["nak", "term", "ack"].map(|operation| bench.of(operation).len()).into();
    assert_eq!(asked, [1, 1, 2]);
    let copied = bench.of("process").iter().flat_map(|span| span.events.iter().cloned()).collect::<Vec<_>>();
    assert!(copied.iter().any(|event| event.name == "hopscope.copied"), "{copied:?}");
}

#[tokio::test]
async fn what_cannot_be_copied_is_not_given_up() {
    let bench = Bench::new().await;
    let consumer = bench.pull(pull::Config::default()).await;
    bench.publish().await;
    let letters = DeadLetter::to(bench.jetstream.clone(), format!("dlt.{}", bench.stream));
    let seen = Seen::default();
    let (noted, told) = (seen.clone(), seen.clone());
    let handler = move |_: Received| {
        noted.note("tried");
        async { Err::<(), _>(Error::other("no truck")) }
    };
    let options = Options { dead_letter: Some(letters), ..Options::default() };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    in_time(messages.run(options, handler, async move { told.until(2).await })).await.expect("a clean end");
    assert!(bench.of("term").is_empty());
    let asked: Vec<_> = bench.of("nak").iter().map(|span| attribute(span, "hopscope.disposition")).collect();
    assert_eq!(asked[0], "retry");
}

#[tokio::test]
async fn a_message_that_says_nothing_of_an_original_is_not_sent_back_blindly() {
    let bench = Bench::new().await;
    let mut messages = bench.consumer(async_nats::jetstream::consumer::AckPolicy::Explicit).await;
    bench.publish().await;
    let message = crate::kit::next(&mut messages).await;
    bench.jetstream.redrive(&message, None).await.expect_err("nobody says where to");
    let ack = bench.jetstream.redrive(&message, Some(&bench.subject())).await.expect("stored");
    assert_eq!(ack.sequence, 2);
}

impl Bench {
    /// The server's own dead letters: a stream of its advisories about this test's stream, and a consumer of it.
    async fn advisories(&self) -> PullConsumer {
        let subject = |event| format!("$JS.EVENT.ADVISORY.CONSUMER.{event}.{}.*", self.stream);
        let config = stream::Config {
            name: format!("GIVEN-UP-{}", self.stream),
            subjects: vec![subject("MAX_DELIVERIES"), subject("MSG_TERMINATED")],
            ..stream::Config::default()
        };
        let stream = self.jetstream.inner().create_stream(config).await.expect("a new stream");
        let config = pull::Config { durable_name: Some("audit".into()), ..pull::Config::default() };
        stream.create_consumer(config).await.expect("a new consumer")
    }
}

#[tokio::test]
async fn what_the_server_gave_up_is_read_from_its_advisories_and_sent_back() {
    let bench = Bench::new().await;
    let consumer = bench.pull(pull::Config { max_deliver: 2, ..pull::Config::default() }).await;
    let audit = bench.advisories().await;
    let mut messages = bench.jetstream.messages(&consumer).await.expect("messages");
    bench.publish().await;
    for _ in 0..2 {
        next(&mut messages).await.process().nak(&Error::other("no truck"), None).await.expect("sent");
    }
    bench.publish_as("s-2").await;
    next(&mut messages).await.process().term(&Error::other("no such street")).await.expect("sent");

    let mut letters = bench.jetstream.messages(&audit).await.expect("messages");
    let mut told = Vec::new();
    for _ in 0..2 {
        let letter = next(&mut letters).await;
        let of = |details: &hopscope_sdk::Details<'_>| {
            let from = details.copied_from.expect("a dead letter");
            assert_eq!((from.destination, from.group), (bench.stream.as_str(), "packing"));
            format!("{:?} {:?} {:?} {}", from.kind, from.position, from.attempts, from.reason)
        };
        told.push(letter.delivery().with_details(of));
        let work = letter.process();
        work.run(bench.jetstream.redrive(&letter, None)).await.expect("sent back");
        work.double_ack().await.expect("confirmed");
    }
    told.sort();
    let terminated = "DeadLetter Some(2) Some(1) std::io::error::Error: no such street";
    assert_eq!(told, ["DeadLetter Some(1) Some(2) max_deliver reached", terminated]);

    let again = next(&mut messages).await;
    assert_eq!(again.message().payload.as_ref(), b"{}");
    let kind = again.delivery().with_details(|details| details.copied_from.map(|from| from.kind));
    assert_eq!(kind, Some(hopscope_sdk::CopyKind::Redrive));
    let publishes = bench.of("publish");
    let (firsts, copies) = publishes.split_at(2);
    let linked: Vec<_> =
        copies.iter().flat_map(|span| span.links.iter()).map(|link| link.span_context.span_id()).collect();
    for first in firsts {
        assert!(linked.contains(&first.span_context.span_id()), "the copy links to what made the original");
    }
}
