//! Requests and replies by direct reply-to.

use crate::kit::*;
use expect_test::expect;
use hopscope_lapin::{RequestError, Requester, Settle};
use lapin::BasicProperties;
use lapin::options::*;
use lapin::types::FieldTable;
use std::time::Duration;

#[tokio::test]
async fn a_reply_is_linked_with_its_request() {
    let bench = Bench::new("request").await;
    bench.topology(FieldTable::default()).await;
    let channel = bench.another().await;
    channel.inner().confirm_select(ConfirmSelectOptions::default()).await.expect("confirm_select");
    let requester = Requester::new(channel).await.expect("consume");
    let mut consumer = bench.consume(bench.queue("work")).await;
    let respond = async {
        let asked = next(&mut consumer).await;
        let work = asked.process();
        let reply = bench.channel.reply(&asked, b"42", BasicProperties::default());
        let confirm = work.run(reply).await.expect("reply").expect("somebody asks");
        confirm.await.expect("confirm");
        asked.ack(work.succeed(), BasicAckOptions::default()).await.expect("ack");
    };
    let properties = BasicProperties::default().with_correlation_id("quote-1".into());
    let ask = requester.request(bench.exchange(), "pay".into(), b"?", properties, WAIT);
    let (reply, ()) = tokio::join!(ask, respond);
    assert_eq!(payload(&reply.expect("a reply")), "42");

    let name = bench.name.clone();
    // The two sides end in any order.
    let mut spans = bench.finish(&["work"]).await;
    spans.sort_by(|one, other| one.name.cmp(&other.name));
    let attributes = ["messaging.message.conversation_id", "messaging.destination.template", "error.type"];
    check_only(
        &spans,
        &name,
        &attributes,
        &expect![[r#"
        ack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [request <test>:pay]
        consume amq.rabbitmq.reply-to (client) parent: request <test>:pay links: [publish amq.rabbitmq.reply-to]
          messaging.destination.template = amq.rabbitmq.reply-to
          messaging.message.conversation_id = quote-1
        consume <test>:pay:<test>.work (client) parent: request <test>:pay links: [request <test>:pay]
          messaging.message.conversation_id = quote-1
        process <test>:pay:<test>.work (consumer) parent: request <test>:pay links: [request <test>:pay]
          messaging.message.conversation_id = quote-1
        publish amq.rabbitmq.reply-to (producer) parent: process <test>:pay:<test>.work links: []
          messaging.destination.template = amq.rabbitmq.reply-to
          messaging.message.conversation_id = quote-1
        request <test>:pay (producer) parent: - links: []
          messaging.message.conversation_id = quote-1
    "#]],
    );
}

#[tokio::test]
async fn no_reply_is_an_outcome() {
    let bench = Bench::new("noreply").await;
    bench.topology(FieldTable::default()).await;
    let channel = bench.another().await;
    channel.inner().confirm_select(ConfirmSelectOptions::default()).await.expect("confirm_select");
    let requester = Requester::new(channel.clone()).await.expect("consume");
    let ask = |key: &'static str, wait| {
        requester.request(bench.exchange(), key.into(), b"?", BasicProperties::default(), wait)
    };
    let short = Duration::from_millis(100);
    let (nowhere, nobody) = tokio::join!(ask("nowhere", WAIT), ask("pay", short));
    assert!(matches!(nowhere, Err(RequestError::Refused(failure)) if failure.kind() == "NO_ROUTE"));
    assert!(matches!(nobody, Err(RequestError::TimedOut)));
    let (closed, ()) = tokio::join!(ask("pay", WAIT), async {
        bench.until_ready(&bench.queue("work"), 2).await;
        channel.inner().close(200, "".into()).await.expect("close");
    });
    assert!(matches!(closed, Err(RequestError::Refused(failure)) if failure.kind() == "channel-closed"));

    let spans = bench.finish(&["work"]).await;
    let mut errors: Vec<_> =
        of(&spans, "request").into_iter().map(|span| attribute(span, "error.type")).collect();
    // The first two go on beside each other, and end in any order.
    errors.sort();
    assert_eq!(errors, ["NO_ROUTE", "channel-closed", "timeout"]);
}
