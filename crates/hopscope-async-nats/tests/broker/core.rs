//! Core NATS: subscriptions, requests and replies.

use crate::kit::{Bench, attribute, in_time};
use async_nats::{HeaderMap, Request};
use expect_test::expect;
use hopscope_async_nats::TracedClient;
use std::time::Duration;

#[tokio::test]
async fn core_publish_and_subscribe_in_a_queue_group() {
    let bench = Bench::new().await;
    let client = TracedClient::new(bench.client.clone()).with_telemetry(bench.recorder.telemetry());
    let subject = bench.subject();
    let mut subscriber = client.queue_subscribe(subject.clone(), "packing".into()).await.expect("subscribed");
    client.publish(subject, "{}".into()).await.expect("sent");
    let message = in_time(subscriber.next()).await.expect("a message");
    assert_eq!(message.message().payload.as_ref(), b"{}");
    message.process().succeed();
    bench.check(expect![[r#"
        publish SHIPMENTS.new (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = unconfirmed
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
        receive SHIPMENTS.new (client) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          messaging.consumer.group.name = packing
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.operation.name = receive
          messaging.operation.type = receive
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
        process SHIPMENTS.new (consumer) parent: publish SHIPMENTS.new links: [publish SHIPMENTS.new]
          hopscope.disposition = accept
          messaging.consumer.group.name = packing
          messaging.destination.name = SHIPMENTS.new
          messaging.message.body.size = 2
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.system = nats
          server.address = 127.0.0.1
          server.port = *
    "#]]);
}

impl Bench {
    fn core(&self) -> TracedClient {
        TracedClient::new(self.client.clone()).with_telemetry(self.recorder.telemetry())
    }
}

#[tokio::test]
async fn a_request_ends_with_its_reply_which_is_linked_to_it() {
    let bench = Bench::new().await;
    let client = bench.core();
    let mut requests = client.subscribe(bench.subject()).await.expect("subscribed");
    bench.client.flush().await.expect("the server knows");
    let respond = async {
        let request = in_time(requests.next()).await.expect("a request");
        let work = request.process();
        let reply = work.run(client.reply(request.message(), HeaderMap::new(), "yes".into())).await;
        assert!(reply.expect("sent"));
        work.succeed();
    };
    let (reply, ()) = tokio::join!(in_time(client.request(bench.subject(), "free?".into())), respond);
    let reply = reply.expect("a reply");
    assert_eq!(reply.message().payload.as_ref(), b"yes");
    let spans = bench.recorder.finished();
    let named =
        |operation: &str| spans.iter().filter(|span| span.name.starts_with(operation)).collect::<Vec<_>>();
    let (request, publish) = (named("request ")[0], named("publish ")[0]);
    let receives = named("receive ");
    assert_eq!(publish.name, "publish _INBOX.>", "no span is named for one reply");
    // The responder's work links to the request, the reply to the responder's publish, under the request.
    assert_eq!(receives[0].links.links[0].span_context.span_id(), request.span_context.span_id());
    assert_eq!(receives[1].links.links[0].span_context.span_id(), publish.span_context.span_id());
    assert_eq!(receives[1].parent_span_id, request.span_context.span_id());
    let conversation = attribute(request, "messaging.message.conversation_id");
    assert!(conversation.starts_with("_INBOX."), "{conversation}");
    for span in [publish, receives[0], receives[1]] {
        assert_eq!(attribute(span, "messaging.message.conversation_id"), conversation);
    }
}

#[tokio::test]
async fn no_responders_and_no_reply_in_time_are_failures() {
    let bench = Bench::new().await;
    let client = bench.core();
    in_time(client.request(bench.subject(), "free?".into())).await.expect_err("nobody listens");
    let _silent = client.subscribe(bench.subject()).await.expect("subscribed");
    bench.client.flush().await.expect("the server knows");
    let request = Request::new().timeout(Some(Duration::from_millis(50)));
    in_time(client.send_request(bench.subject(), request)).await.expect_err("nobody replies");
    bench.check_only(
        &["error.type"],
        expect![[r#"
        request SHIPMENTS.new (producer) parent: - links: []
          error.type = NoResponders
          Error { description: "no responders: no responders" }
        request SHIPMENTS.new (producer) parent: - links: []
          error.type = TimedOut
          Error { description: "request timed out: deadline has elapsed" }
    "#]],
    );
}
