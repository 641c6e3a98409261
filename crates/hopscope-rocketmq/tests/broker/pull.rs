//! The pull consumer: by hand, and concurrent with commits.

use crate::kit::{Bench, WAIT, all, attribute, body, named, next, told};
use expect_test::expect;
use hopscope_rocketmq::{DeadLetter, PullOptions, Traced, TracedLitePullConsumer};
use hopscope_sdk::work::{Order, WorkersConfig};
use rocketmq_client_rust::{DefaultLitePullConsumer, ReadOffsetType};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_queue::MessageQueue;
use rocketmq_model::common::message::message_single::Message;
use std::sync::Arc;
use std::time::Duration;

pub async fn consumer(bench: &Bench) -> TracedLitePullConsumer {
    let consumer = DefaultLitePullConsumer::builder(bench.runtime.clone())
        .name_server_addr(bench.config.namesrv_addr.clone().expect("an address"))
        .consumer_group(bench.group.as_str())
        .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset)
        .auto_commit(false)
        .build()
        .expect("a consumer");
    consumer.start().await.expect("start");
    consumer.subscribe(&bench.topic).await.expect("subscribe");
    TracedLitePullConsumer::new(consumer).with_telemetry(bench.recorder.telemetry())
}

pub async fn committed(consumer: &TracedLitePullConsumer, queue: &MessageQueue) -> i64 {
    let store = consumer.inner().offset_store().await.expect("a store");
    store.read_offset(queue, ReadOffsetType::ReadFromStore).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_is_one_receive_and_a_commit_is_confirmed() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    let sent = producer.send_with_timeout(bench.message(), 10_000).await.expect("sent").expect("a result");
    let consumer = consumer(&bench).await;
    let poll = async {
        loop {
            let messages = consumer.poll(Duration::from_millis(500)).await;
            if !messages.is_empty() {
                return messages;
            }
        }
    };
    let messages = tokio::time::timeout(WAIT, poll).await.expect("in time");
    messages.iter().for_each(|message| drop(message.process().succeed()));
    let queue = sent.message_queue.expect("a queue");
    consumer.commit(&queue, 1).await.expect("committed");
    assert_eq!(committed(&consumer, &queue).await, 1);
    let nowhere = MessageQueue::from_parts(bench.topic.as_str(), "broker-z", 0);
    consumer.commit(&nowhere, 1).await.expect_err("no such broker");
    consumer.inner().shutdown().await;
    bench.check(&bench.recorder.finished()[1..], &expect![[r#"
        poll notify (client) parent: - links: [elsewhere]
          hopscope.attempt = 1
          messaging.batch.message_count = 1
          messaging.consumer.group.name = mailer
          messaging.destination.name = notify
          messaging.operation.name = poll
          messaging.operation.type = receive
          messaging.rocketmq.broker.name = broker-a
          messaging.rocketmq.queue.id = *
          messaging.system = rocketmq
          server.address = 127.0.0.1
          server.port = *
          link hopscope.broker_time=* hopscope.origin_time=* messaging.message.body.size=2 messaging.message.id=* messaging.rocketmq.message.keys=["order-1"] messaging.rocketmq.message.tag=mail messaging.rocketmq.offset_message_id=* messaging.rocketmq.queue.offset=*
        process notify (consumer) parent: elsewhere links: [elsewhere]
          hopscope.attempt = 1
          hopscope.broker_time = *
          hopscope.disposition = accept
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
        commit notify (client) parent: - links: []
          hopscope.progress.next = 1
          messaging.consumer.group.name = mailer
          messaging.destination.name = notify
          messaging.operation.name = commit
          messaging.operation.type = settle
          messaging.rocketmq.broker.name = broker-a
          messaging.rocketmq.queue.id = *
          messaging.system = rocketmq
        commit notify (client) parent: - links: []
          error.type = core.argument.invalid
          hopscope.progress.next = 1
          messaging.consumer.group.name = mailer
          messaging.destination.name = notify
          messaging.operation.name = commit
          messaging.operation.type = settle
          messaging.rocketmq.broker.name = broker-z
          messaging.rocketmq.queue.id = *
          messaging.system = rocketmq
          Error { description: "core.argument.invalid: Argument is invalid" }
    "#]]);
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_of_a_pull_consumer_work_side_by_side_and_commits_wait_for_them() {
    let bench = Bench::new();
    let producer = Arc::new(bench.producer().await);
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    let queue = MessageQueue::from_parts(bench.topic.as_str(), "broker-a", 1);
    let mut start = None;
    for text in ["slow", "bad", "good", "panic"] {
        let message =
            Message::builder().topic(bench.topic.as_str()).body_slice(text.as_bytes()).build_unchecked();
        let sent = producer.send_to_queue(message, queue.clone()).await.expect("sent").expect("a result");
        start.get_or_insert(sent.queue_offset);
    }
    let start = i64::try_from(start.expect("sent")).expect("small");
    let consumer = consumer(&bench).await;
    let (calls, mut called) = told();
    let release = Arc::new(tokio::sync::Notify::new());
    let gate = Arc::clone(&release);
    let handler = move |message: Traced<Arc<MessageExt>>| {
        let (calls, gate) = (calls.clone(), Arc::clone(&gate));
        async move {
            let text = body(message.message());
            if text == "slow" {
                gate.notified().await;
            }
            let _ = calls.send(1);
            match text.as_str() {
                "bad" => Err(std::io::Error::other("no template")),
                "panic" => panic!("no template"),
                _ => Ok(()),
            }
        }
    };
    let options = PullOptions {
        workers: WorkersConfig { workers_max: 8, waiting_max: 8, order: Order::None },
        dead_letter: Some(DeadLetter {
            producer: Arc::clone(&producer),
            topic: format!("{}-dead", bench.topic),
        }),
        commit_interval: Duration::from_millis(50),
        ..PullOptions::default()
    };
    let stop = async {
        // All but the slow one are done; the slow one holds up the commit of its queue.
        for _ in 0..4 {
            next(&mut called).await;
        }
        assert!(committed(&consumer, &queue).await <= start, "no commit passes the slow one");
        release.notify_one();
        next(&mut called).await;
    };
    consumer.run(options, handler, stop).await;
    assert_eq!(committed(&consumer, &queue).await, start + 4);
    consumer.inner().shutdown().await;

    let spans = bench.recorder.finished();
    let failed: Vec<_> = named(&spans, "process")
        .into_iter()
        .filter(|span| !attribute(span, "error.type").is_empty())
        .collect();
    assert_eq!(failed.len(), 2);
    assert_eq!(all(&failed, "hopscope.disposition"), ["reject", "reject"]);
    let mut ended = all(&named(&spans, "process"), "hopscope.disposition");
    ended.sort();
    assert_eq!(ended, ["accept", "accept", "accept", "reject", "reject"]);
    let letters = named(&spans, &format!("send {}-dead", bench.topic));
    assert_eq!(all(&letters, "hopscope.copied_from.kind"), ["dead_letter", "dead_letter"]);
    let commits = named(&spans, "commit");
    assert_eq!(attribute(commits[commits.len() - 1], "hopscope.confirmed"), "");
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_dead_letter_is_refused_stays_the_groups() {
    let bench = Bench::new();
    let producer = Arc::new(bench.producer().await);
    let sent = producer.send_with_timeout(bench.message(), 10_000).await.expect("sent").expect("a result");
    let consumer = consumer(&bench).await;
    let (calls, mut called) = told();
    let handler = move |_: Traced<Arc<MessageExt>>| {
        let _ = calls.send(1);
        async { Err(std::io::Error::other("no template")) }
    };
    let no_topic = DeadLetter { producer: Arc::clone(&producer), topic: "not a topic".into() };
    let options = PullOptions { dead_letter: Some(no_topic), ..PullOptions::default() };
    let stop = async {
        next(&mut called).await;
    };
    consumer.run(options, handler, stop).await;
    let queue = sent.message_queue.expect("a queue");
    assert!(committed(&consumer, &queue).await < 1, "nothing was committed");
    consumer.inner().shutdown().await;
    let spans = bench.recorder.finished();
    assert_eq!(all(&named(&spans, "process"), "hopscope.disposition"), ["retry"]);
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_handler_holds_up_polling() {
    let bench = Bench::new();
    let producer = bench.producer().await;
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    let queue = MessageQueue::from_parts(bench.topic.as_str(), "broker-a", 0);
    for _ in 0..8 {
        let batch = (0..10).map(|_| bench.message()).collect();
        producer.send_batch_to_queue(batch, queue.clone()).await.expect("sent");
    }
    let consumer = consumer(&bench).await;
    let (calls, mut called) = told();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = Arc::clone(&gate);
    let handler = move |_: Traced<Arc<MessageExt>>| {
        let (calls, gate) = (calls.clone(), Arc::clone(&held));
        async move {
            let _ = calls.send(1);
            gate.acquire().await.expect("open").forget();
            Ok::<_, std::fmt::Error>(())
        }
    };
    let workers = WorkersConfig { workers_max: 1, waiting_max: 1, order: Order::None };
    let options = PullOptions { workers, ..PullOptions::default() };
    let polled = || -> usize {
        named(&bench.recorder.finished(), "poll").iter().map(|span| span.links.len().max(1)).sum()
    };
    let stop = async {
        next(&mut called).await;
        // Time is what this is about: long enough to poll all of them.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(polled() <= 40, "polled={}", polled());
        gate.add_permits(81);
        for _ in 1..81 {
            next(&mut called).await;
        }
    };
    consumer.run(options, handler, stop).await;
    assert_eq!(polled(), 81);
    consumer.inner().shutdown().await;
    bench.close();
}
