//! Transactional messages: half, commit, rollback, and the broker's question.

use crate::kit::{Bench, WAIT, all, body, named, next, options, told};
use expect_test::expect;
use hopscope_rocketmq::{Traced, TracedTransactionProducer};
use hopscope_sdk::kit;
use opentelemetry_sdk::trace::SpanData;
use rocketmq_client_rust::{LocalTransactionState, TransactionListener, TransactionMQProducer};
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_single::Message;
use std::any::Any;

/// Says what the message's tag says.
struct ByTag;

impl TransactionListener for ByTag {
    fn execute_local_transaction(
        &self,
        message: &dyn MessageTrait,
        _: Option<&(dyn Any + Send + Sync)>,
    ) -> LocalTransactionState {
        match message.tags().as_deref() {
            Some("commit") => LocalTransactionState::CommitMessage,
            Some("rollback") => LocalTransactionState::RollbackMessage,
            _ => LocalTransactionState::Unknown,
        }
    }

    fn check_local_transaction(&self, _: &MessageExt) -> LocalTransactionState {
        LocalTransactionState::CommitMessage
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_committed_rolled_back_or_asked_about() {
    let bench = Bench::new();
    let producer = TransactionMQProducer::builder(bench.runtime.clone())
        .client_config(bench.config.clone())
        .producer_group(kit::unique("tx"))
        .transaction_listener(ByTag)
        .build();
    let mut producer = TracedTransactionProducer::with_telemetry(producer, bench.recorder.telemetry());
    producer.inner_mut().start().await.expect("start");
    for tag in ["commit", "rollback", "ask"] {
        let message = Message::builder()
            .topic(bench.topic.as_str())
            .tags(tag)
            .body_slice(tag.as_bytes())
            .build_unchecked();
        producer.send_message_in_transaction(message, None::<()>).await.expect("sent");
    }
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let (calls, mut called) = told();
    let handler = async move |message: &Traced<&_>| {
        let _ = calls.send(u32::from(body(message.message()) == "ask"));
        Ok::<(), std::fmt::Error>(())
    };
    let stop = async {
        let both = async { while next(&mut called).await == 0 {} };
        tokio::time::timeout(WAIT, both).await.expect("the broker asks");
    };
    consumer.run(options(), handler, stop).await.expect("started");
    producer.inner_mut().shutdown().await;

    let spans = bench.recorder.finished();
    let seen = all(&named(&spans, "process"), "messaging.rocketmq.message.tag");
    assert_eq!(seen, ["commit", "ask"], "nobody sees what was rolled back");
    let told: Vec<SpanData> = spans
        .iter()
        .filter(|span| span.name.starts_with("send") || span.name.starts_with("commit"))
        .cloned()
        .collect();
    bench.check(
        &told,
        &expect![[r#"
            send notify (producer) parent: - links: []
              messaging.destination.name = notify
              messaging.message.body.size = 6
              messaging.message.id = *
              messaging.operation.name = send
              messaging.operation.type = send
              messaging.rocketmq.message.tag = commit
              messaging.rocketmq.message.type = transaction
              messaging.rocketmq.offset_message_id = *
              messaging.rocketmq.transaction.outcome = committed
              messaging.system = rocketmq
            send notify (producer) parent: - links: []
              error.type = TRANSACTION_ROLLED_BACK
              messaging.destination.name = notify
              messaging.message.body.size = 8
              messaging.message.id = *
              messaging.operation.name = send
              messaging.operation.type = send
              messaging.rocketmq.message.tag = rollback
              messaging.rocketmq.message.type = transaction
              messaging.rocketmq.offset_message_id = *
              messaging.rocketmq.transaction.outcome = rolled_back
              messaging.system = rocketmq
              Error { description: "the local transaction was rolled back" }
            send notify (producer) parent: - links: []
              hopscope.outcome = unknown
              hopscope.outcome.reason = transaction undecided
              messaging.destination.name = notify
              messaging.message.body.size = 3
              messaging.message.id = *
              messaging.operation.name = send
              messaging.operation.type = send
              messaging.rocketmq.message.tag = ask
              messaging.rocketmq.message.type = transaction
              messaging.rocketmq.offset_message_id = *
              messaging.rocketmq.transaction.outcome = undecided
              messaging.system = rocketmq
            commit notify (client) parent: send notify links: [send notify]
              hopscope.confirmed = false
              hopscope.disposition = accept
              messaging.destination.name = notify
              messaging.message.id = *
              messaging.operation.name = commit
              messaging.operation.type = settle
              messaging.system = rocketmq
        "#]],
    );
    bench.close();
}
