//! Sends, one by one.

use crate::kit::{Bench, next, told};
use expect_test::expect;
use rocketmq_client_rust::ClientError;
use rocketmq_model::common::message::message_single::Message;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_end_as_the_broker_says() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");

    let (answers, mut answered) = told();
    let callback = move |result: Option<&_>, error: Option<&ClientError>| {
        let _ = answers.send(u32::from(result.is_some() && error.is_none()));
    };
    producer.send_with_callback(bench.message(), callback).await.expect("handed over");
    assert_eq!(next(&mut answered).await, 1);
    producer.send_oneway(bench.message()).await.expect("handed over");
    let mut later = bench.message();
    later.set_delay_time_level(2);
    producer.send_with_timeout(later, 10_000).await.expect("sent");
    let huge = Message::builder().topic(bench.topic.as_str()).body(vec![0; 5 << 20]).build_unchecked();
    producer.send(huge).await.expect_err("more than the broker takes");
    bench.check(
        &bench.recorder.finished(),
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
        send notify (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = unconfirmed
          messaging.destination.name = notify
          messaging.message.body.size = 2
          messaging.operation.name = send
          messaging.operation.type = send
          messaging.rocketmq.message.keys = ["order-1"]
          messaging.rocketmq.message.tag = mail
          messaging.rocketmq.message.type = normal
          messaging.system = rocketmq
        send notify (producer) parent: - links: []
          messaging.destination.name = notify
          messaging.message.body.size = 2
          messaging.message.id = *
          messaging.operation.name = send
          messaging.operation.type = send
          messaging.rocketmq.message.keys = ["order-1"]
          messaging.rocketmq.message.tag = mail
          messaging.rocketmq.message.type = delay
          messaging.rocketmq.offset_message_id = *
          messaging.system = rocketmq
        send notify (producer) parent: - links: []
          error.type = core.argument.invalid
          messaging.destination.name = notify
          messaging.message.body.size = 5242880
          messaging.operation.name = send
          messaging.operation.type = send
          messaging.rocketmq.message.type = normal
          messaging.system = rocketmq
          Error { description: "core.argument.invalid: Argument is invalid" }
    "#]],
    );
    bench.close();
}
