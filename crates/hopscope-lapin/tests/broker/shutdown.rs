//! What becomes of work that is under way when a consumer stops, is cancelled, or loses its channel or connection.

use crate::kit::proxy::Proxy;
use crate::kit::*;
use hopscope_lapin::{Options, Traced};
use hopscope_sdk::kit::broker;
use hopscope_sdk::work::BatchOutcome;
use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use opentelemetry_sdk::trace::SpanData;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

/// A consumer with two messages at work that wait for the gate, and more behind them.
struct Running {
    seen: Seen,
    gate: Arc<Semaphore>,
    stop: Arc<Notify>,
    run: tokio::task::JoinHandle<lapin::Result<()>>,
}

async fn start(bench: &Bench, messages: usize, options: Options) -> Running {
    bench.fill(messages).await;
    bench.raw().basic_qos(5, BasicQosOptions::default()).await.expect("qos");
    let consumer = bench.consume(bench.queue("work")).await;
    let (seen, gate, stop) = (Seen::default(), Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
    let handler = {
        let (seen, gate) = (seen.clone(), Arc::clone(&gate));
        move |message: Arc<Traced<Delivery>>| {
            let (seen, gate) = (seen.clone(), Arc::clone(&gate));
            async move {
                seen.note(payload(&message));
                gate.acquire().await.expect("open").forget();
                Ok::<_, Infallible>(())
            }
        }
    };
    let told = Arc::clone(&stop);
    let run = tokio::spawn(consumer.run(options, handler, async move { told.notified().await }));
    seen.until(2).await;
    Running { seen, gate, stop, run }
}

fn two() -> Options {
    Options { workers_max: 2, drain: Duration::from_secs(20), ..Options::default() }
}

/// Outcome and reason of each process span.
fn ends(spans: &[SpanData]) -> Vec<String> {
    let of_span = |span: &&SpanData| {
        let told = ["error.type", "hopscope.outcome.reason", "hopscope.disposition"];
        told.map(|name| attribute(span, name)).concat()
    };
    of(spans, "process").iter().map(of_span).collect()
}

#[tokio::test]
async fn a_stop_waits_for_what_is_at_work_and_gives_back_the_rest() {
    let bench = Bench::new("stop").await;
    bench.topology(FieldTable::default()).await;
    let running = start(&bench, 10, two()).await;
    running.stop.notify_one();
    // The two at work are not with the broker.
    bench.until_ready(&bench.queue("work"), 7).await;
    running.gate.add_permits(10);
    in_time(running.run).await.expect("no panic").expect("an open channel");
    bench.until_ready(&bench.queue("work"), 8).await;
    assert_eq!(running.seen.all().len(), 2, "nothing new was begun");
    let spans = bench.finish(&["work"]).await;
    assert_eq!(ends(&spans), ["accept", "accept", "shutdown"]);
}

#[tokio::test]
async fn what_a_stop_does_not_wait_for_is_unknown_and_comes_again() {
    let bench = Bench::new("deadline").await;
    bench.topology(FieldTable::default()).await;
    let options = Options { drain: Duration::from_millis(100), ..two() };
    let running = start(&bench, 2, options).await;
    running.stop.notify_one();
    in_time(running.run).await.expect("no panic").expect("an open channel");
    bench.until_ready(&bench.queue("work"), 2).await;
    let spans = bench.finish(&["work"]).await;
    assert_eq!(ends(&spans), ["shutdown", "shutdown"]);
    assert_eq!(of(&spans, "nack").len(), 2);
}

#[tokio::test]
async fn a_batch_that_a_stop_does_not_wait_for_comes_again() {
    let bench = Bench::new("batchstop").await;
    bench.topology(FieldTable::default()).await;
    bench.fill(3).await;
    let (consumer, seen) = (bench.consume(bench.queue("work")).await, Seen::default());
    let handler = {
        let seen = seen.clone();
        move |batch: Arc<[Traced<Delivery>]>| {
            seen.note(batch.len().to_string());
            std::future::pending::<BatchOutcome>()
        }
    };
    let options = Options {
        batch_max: 2,
        batch_wait: Duration::from_secs(5),
        drain: Duration::from_millis(50),
        ..Options::default()
    };
    let stop = seen.clone();
    in_time(consumer.run_batches(options, handler, async move { stop.until(1).await })).await.expect("open");
    bench.until_ready(&bench.queue("work"), 3).await;
    let spans = bench.finish(&["work"]).await;
    let [process] = of(&spans, "process")[..] else { panic!("one batch") };
    let reasons = process.links.iter().flat_map(|link| &link.attributes);
    assert_eq!(reasons.filter(|set| set.value.as_str() == "shutdown").count(), 2, "{process:?}");
    assert_eq!(of(&spans, "nack").len(), 2, "the third was seen by nobody");
}

#[tokio::test]
async fn a_queue_that_is_deleted_cancels_the_consumer() {
    let bench = Bench::new("cancel").await;
    bench.topology(FieldTable::default()).await;
    let options = Options { drain: Duration::from_millis(100), ..two() };
    let running = start(&bench, 2, options).await;
    let delete = bench.raw().queue_delete(bench.queue("work"), QueueDeleteOptions::default());
    delete.await.expect("delete");
    in_time(running.run).await.expect("no panic").expect("a cancelled consumer is no error");
    let spans = bench.finish(&[]).await;
    assert_eq!(ends(&spans), ["consumer cancelled", "consumer cancelled"]);
}

#[tokio::test]
async fn without_its_channel_nothing_is_settled() {
    let bench = Bench::new("closed").await;
    bench.topology(FieldTable::default()).await;
    let running = start(&bench, 3, two()).await;
    // The broker closes a channel that names an exchange it does not have.
    let missing = bench.raw().exchange_bind(
        "missing".into(),
        "missing".into(),
        "".into(),
        Default::default(),
        Default::default(),
    );
    missing.await.expect_err("no such exchange");
    running.gate.add_permits(10);
    in_time(running.run).await.expect("no panic").expect_err("the channel is closed");
    let spans = bench.recorder.finished();
    assert_eq!(ends(&spans), ["channel closed"; 3]);
    assert!(of(&spans, "ack").is_empty());
    let another = bench.another().await;
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let queue = another.inner().queue_declare(bench.queue("work"), passive, FieldTable::default()).await;
    assert_eq!(queue.expect("a queue").message_count(), 3, "all of them come again");
    another.inner().queue_delete(bench.queue("work"), Default::default()).await.expect("delete");
}

#[tokio::test]
async fn a_connection_that_is_cut_loses_no_message() {
    let address = broker("HOPSCOPE_TEST_AMQP");
    let (before, after) = address.split_once('@').expect("amqp://user:password@host:port/vhost");
    let (target, vhost) = after.split_once('/').expect("a virtual host");
    let proxy = Proxy::new(target.to_owned()).await;
    let bench = Bench::at(&format!("{before}@127.0.0.1:{}/{vhost}", proxy.port), "cut").await;
    // Not auto-delete: the exchange goes with the connection otherwise.
    bench.topology(FieldTable::default()).await;
    let running = start(&bench, 3, two()).await;
    let publish = bench.channel.basic_publish(
        bench.exchange(),
        "pay".into(),
        BasicPublishOptions::default(),
        b"3",
        Default::default(),
    );
    in_time(publish).await.expect("publish").await.expect("confirm");
    proxy.cut();
    // Until lapin has seen it.
    in_time(async {
        while bench.raw().status().connected() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    running.gate.add_permits(10);
    in_time(running.run).await.expect("no panic").expect_err("the connection is gone");
    let spans = bench.recorder.finished();
    assert!(ends(&spans).iter().all(|end| end == "channel closed"), "{:?}", ends(&spans));
    assert!(ends(&spans).len() >= 2);

    // Another consumer gets all of them, and is told that some come again.
    let again = Bench::at(&address, "again").await;
    let mut consumer = again.consume(bench.queue("work")).await;
    let (mut payloads, mut redelivered) = (Vec::new(), 0);
    for _ in 0..4 {
        let message = next(&mut consumer).await;
        payloads.push(payload(&message));
        redelivered += usize::from(message.message().redelivered);
    }
    payloads.sort();
    assert_eq!(payloads, ["0", "1", "2", "3"]);
    assert!(redelivered >= 2);
    again.raw().queue_delete(bench.queue("work"), Default::default()).await.expect("delete");
}

/// With lapin's own recovery the consumer goes on by itself.
#[tokio::test]
async fn a_connection_that_recovers_goes_on() {
    let address = broker("HOPSCOPE_TEST_AMQP");
    let (before, after) = address.split_once('@').expect("amqp://user:password@host:port/vhost");
    let (target, vhost) = after.split_once('/').expect("a virtual host");
    let proxy = Proxy::new(target.to_owned()).await;
    let mut bench = Bench::new("recover").await;
    bench.topology(FieldTable::default()).await;
    let recovering = ConnectionProperties::default().enable_auto_recover();
    let through = format!("{before}@127.0.0.1:{}/{vhost}", proxy.port);
    let connection = Connection::connect(&through, recovering).await.expect("connect");
    let direct = std::mem::replace(&mut bench.connection, connection);
    let channel = bench.connection.create_channel().await.expect("channel");
    let recorded = bench.recorder.telemetry();
    let raw = std::mem::replace(&mut bench.channel, hopscope_lapin::TracedChannel::new(channel));
    bench.channel = bench.channel.clone().with_telemetry(recorded);

    bench.fill(2).await;
    let (consumer, seen) = (bench.consume(bench.queue("work")).await, Seen::default());
    let handler = {
        let seen = seen.clone();
        move |message: Arc<Traced<Delivery>>| {
            let is_first = seen.note(payload(&message)) <= 2;
            async move {
                while is_first && message.message().acker.usable() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Ok::<_, Infallible>(())
            }
        }
    };
    let stop = Arc::new(Notify::new());
    let told = Arc::clone(&stop);
    let run = tokio::spawn(consumer.run(two(), handler, async move { told.notified().await }));
    seen.until(2).await;
    proxy.cut();
    seen.until(4).await;
    let queue = bench.queue("work");
    in_time(async {
        loop {
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            let asked = raw.inner().queue_declare(queue.clone(), passive, FieldTable::default()).await;
            let spans = bench.recorder.finished();
            if asked.expect("a queue").message_count() == 0 && of(&spans, "ack").len() == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    stop.notify_one();
    in_time(run).await.expect("no panic").expect("recovered");
    let mut ends = ends(&bench.recorder.finished());
    ends.sort();
    assert_eq!(ends, ["accept", "accept", "channel closed", "channel closed"]);
    raw.inner().queue_delete(queue, Default::default()).await.expect("delete");
    drop(direct);
}
