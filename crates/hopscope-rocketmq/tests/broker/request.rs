//! Request and reply.

use crate::kit::{Bench, attribute, called_once, named, told};
use rocketmq_client_rust::{ConsumeConcurrentlyStatus, MessageUtil};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_is_linked_with_its_request_and_none_is_a_failure() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    producer.request(bench.message(), 1_000).await.map(drop).expect_err("nobody replies");

    let replier = Arc::new(bench.producer().await);
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let runtime = tokio::runtime::Handle::current();
    let (calls, mut replied) = told();
    consumer.listen_concurrently(move |message, _| {
        if let Ok(reply) = MessageUtil::create_reply_message(message.message(), b"done") {
            let sent = runtime.block_on(replier.send(reply));
            let _ = calls.send(1);
            sent?;
        }
        Ok(ConsumeConcurrentlyStatus::ConsumeSuccess)
    });
    consumer.inner_mut().start().await.expect("start");
    let reply = producer.request(bench.message(), 20_000).await.expect("a reply");
    assert_eq!(reply.get_body().expect("a body").as_ref(), b"done");
    // Of the two requests and the plain message, to which nobody waits for a reply.
    for _ in 0..3 {
        called_once(&mut replied).await;
    }
    consumer.inner_mut().shutdown().await;

    let spans = bench.recorder.finished();
    let requests = named(&spans, "request");
    assert_ne!(attribute(requests[0], "error.type"), "", "a time-out");
    let asked = requests[1];
    assert_eq!(attribute(asked, "error.type"), "");
    let received = spans.iter().find(|span| {
        span.parent_span_id == asked.span_context.span_id()
            && span.name.starts_with("receive")
            && attribute(span, "messaging.consumer.group.name").is_empty()
    });
    let received = received.expect("the reply was received as a child of the request");
    let sent: Vec<_> = named(&spans, "send ");
    let linked = received
        .links
        .iter()
        .any(|link| sent.iter().any(|span| span.span_context.span_id() == link.span_context.span_id()));
    assert!(linked, "it links to the send that made the reply");
    bench.close();
}
