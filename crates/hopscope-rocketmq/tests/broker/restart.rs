//! The connection to a real RocketMQ is cut in the middle of the work, and comes back.

use crate::kit::{Bench, WAIT, all, body, named, options};
use crate::proxy::Proxy;
use crate::pull::{committed, consumer};
use hopscope_rocketmq::{Options, PullOptions, Traced, TracedProducer};
use hopscope_sdk::kit;
use hopscope_sdk::work::{Order, WorkersConfig};
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_queue::MessageQueue;
use rocketmq_model::common::message::message_single::Message;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// What handlers have finished.
#[derive(Clone)]
struct Done(Arc<watch::Sender<BTreeSet<String>>>);

impl Done {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn note(&self, what: String) {
        self.0.send_if_modified(|done| done.insert(what));
    }

    async fn has(&self, what: &str) {
        let mut seen = self.0.subscribe();
        let has = seen.wait_for(|done| done.contains(what));
        let has = tokio::time::timeout(WAIT, has).await;
        assert!(has.is_ok(), "{what} in {:?}", self.0.borrow());
    }
}

fn message(bench: &Bench, text: &str) -> Message {
    Message::builder().topic(bench.topic.as_str()).body_slice(text.as_bytes()).build_unchecked()
}

/// Sends until the broker has it, as an application does that must not lose it.
async fn deliver(producer: &TracedProducer, message: impl Fn() -> Message) {
    let deliver = async { while producer.send_with_timeout(message(), 3_000).await.is_err() {} };
    tokio::time::timeout(WAIT, deliver).await.expect("delivered, in the end");
}

/// A bench behind a proxy.
async fn behind_a_proxy() -> (Bench, Proxy) {
    let mut bench = Bench::new();
    let proxy = Proxy::to(&kit::broker("HOPSCOPE_TEST_ROCKETMQ")).await;
    bench.config.namesrv_addr = Some(proxy.address().into());
    (bench, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_that_was_sent_before_meanwhile_or_after() {
    let (bench, proxy) = behind_a_proxy().await;
    let producer = bench.producer().await;
    let done = Done::new();
    let noted = done.clone();
    let handler = async move |message: &Traced<&MessageExt>| {
        noted.note(body(message.message()));
        Ok::<(), std::fmt::Error>(())
    };
    deliver(&producer, || message(&bench, "before")).await;
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let stop = async {
        done.has("before").await;
        proxy.cut();
        let meanwhile = deliver(&producer, || message(&bench, "meanwhile"));
        tokio::join!(meanwhile, proxy.restore_after_a_refusal());
        done.has("meanwhile").await;
        deliver(&producer, || message(&bench, "after")).await;
        done.has("after").await;
    };
    consumer.run(Options { ..options() }, handler, stop).await.expect("started");
    let spans = bench.recorder.finished();
    let sent = named(&spans, "send ");
    let failed = all(&sent, "error.type").iter().filter(|kind| !kind.is_empty()).count();
    assert_eq!(sent.len() - failed, 3, "a send that failed says so, and its repetition is one of its own");
    let unknown = all(&named(&spans, "process "), "hopscope.outcome");
    assert!(unknown.iter().all(String::is_empty), "every process has an end: {unknown:?}");
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_commit_passes_what_is_not_finished_when_the_connection_is_cut() {
    let (bench, proxy) = behind_a_proxy().await;
    let direct = Bench::new();
    let producer = direct.producer().await;
    let send = async |text: &str| {
        let queue = MessageQueue::from_parts(bench.topic.as_str(), "broker-a", 1);
        producer.send_to_queue(message(&bench, text), queue).await.expect("sent").expect("a result")
    };
    deliver(&producer, || message(&bench, "first")).await;
    let first = send("slow").await;
    let (queue, start) =
        (first.message_queue.expect("a queue"), i64::try_from(first.queue_offset).expect("small"));
    send("before").await;
    let consumer = consumer(&bench).await;
    let (done, release) = (Done::new(), Arc::new(Notify::new()));
    let (noted, gate) = (done.clone(), Arc::clone(&release));
    let handler = move |message: Traced<Arc<MessageExt>>| {
        let (noted, gate, text) = (noted.clone(), Arc::clone(&gate), body(message.message()));
        async move {
            if text == "slow" {
                gate.notified().await;
            }
            noted.note(text);
            Ok::<(), std::fmt::Error>(())
        }
    };
    let options = PullOptions {
        workers: WorkersConfig { workers_max: 8, waiting_max: 8, order: Order::None },
        commit_interval: Duration::from_millis(50),
        ..PullOptions::default()
    };
    let stop = async {
        done.has("before").await;
        proxy.cut();
        send("meanwhile").await;
        tokio::time::timeout(WAIT, proxy.restore_after_a_refusal()).await.expect("it tries again");
        done.has("meanwhile").await;
        assert!(committed(&consumer, &queue).await <= start, "no commit passes the slow one");
        release.notify_one();
        done.has("slow").await;
    };
    consumer.run(options, handler, stop).await;
    assert_eq!(committed(&consumer, &queue).await, start + 3);
    consumer.inner().shutdown().await;
    direct.close();
    bench.close();
}
