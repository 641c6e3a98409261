//! SIGKILL at random moments while a Kafka topic is read: at the end every span of it is there, none twice.
//!
//! The moments that matter are those between the store's fsync and the commit of the offset: what is read again after
//! them is known already.

#![allow(clippy::print_stdout)] // the counts of a run

mod support;

use hopscope_client::Client;
use hopscope_client::api::Receiver;
use hopscope_model::{SpanId, TraceId};
use hopscope_wire::Kind;
use hopscope_wire::otlp::{ResourceData, SpanData, encode_request};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::collections::BTreeSet;
use std::time::Duration;
use support::{Random, Server};

const KILLS: u64 = 12;
const RECORDS: u64 = 3_000;
const SPANS_PER_RECORD: u64 = 20;
const PARTITIONS: i32 = 3;
const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_while_a_topic_is_read_lose_nothing_and_double_nothing() {
    let mut random = Random::printed("kill_topic");
    let brokers = std::env::var("HOPSCOPE_TEST_KAFKA").expect(
        "no broker to test against, variable=HOPSCOPE_TEST_KAFKA\nhint: `cargo xtask test` starts one",
    );
    let topic = format!("hopscope.trace-{}-{:x}", std::process::id(), random.next());
    make(&brokers, &topic).await;
    let trace = TraceId((u128::from(random.next()) << 64 | 1).to_be_bytes());
    let producing = tokio::spawn(produce(brokers.clone(), topic.clone(), trace));

    let folder = tempfile::tempdir().expect("a folder");
    // A killed member of a group stands in the way of the next one until its session is over.
    let source = format!(
        "receive_kafka=brokers={brokers} topics={topic} group={topic} session.timeout.ms=1000 heartbeat.interval.ms=300"
    );
    let settings = ["seal_rows=5000", source.as_str()];
    let (mut killed_reading, mut read_again) = (0, 0);
    for _ in 0..KILLS {
        let server = Server::start_with(folder.path(), &settings);
        let enough = 1 + random.below(RECORDS * SPANS_PER_RECORD / KILLS);
        let books = reads(&server, |books| books.stored.0 as u64 >= enough || books.done()).await;
        tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
        killed_reading += u64::from(!books.done());
        read_again += books.duplicates();
        server.kill();
    }
    producing.await.expect("everything is produced");

    let server = Server::start_with(folder.path(), &settings);
    reads(&server, Books::done).await;
    let found = spans(&server.page, trace).await;
    let distinct: BTreeSet<&String> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "spans shown twice");
    assert_eq!(distinct.len() as u64, RECORDS * SPANS_PER_RECORD, "spans are missing");
    println!(
        "kill_topic: {KILLS} kills, {killed_reading} while reading, {read_again} spans read again and known"
    );
    assert!(killed_reading > 0, "no kill came while the topic was read: this run proves nothing");
    assert_eq!(server.terminate(), Some(0), "SIGTERM is a graceful stop");
}

/// What a test asks the books of the receiver.
trait Books {
    fn done(&self) -> bool;
    fn duplicates(&self) -> i64;
}

impl Books for Receiver {
    /// Nothing is left at the broker and nothing under way.
    fn done(&self) -> bool {
        let empty = self
            .connection
            .as_ref()
            .is_some_and(|connection| connection.up && connection.lag.as_ref().is_some_and(|lag| lag.0 == 0));
        empty && self.queued.0 == 0
    }

    fn duplicates(&self) -> i64 {
        self.dropped
            .iter()
            .filter(|dropped| dropped.reason == "duplicate")
            .map(|dropped| dropped.events.0)
            .sum()
    }
}

/// Waits until the receiver's books say so.
async fn reads(server: &Server, so: impl Fn(&Receiver) -> bool) -> Receiver {
    let client = Client::new(&server.page).expect("the printed address is one");
    let asking = async {
        loop {
            let status = client.status().await.expect("a status");
            let books =
                status.receivers.into_iter().find(|books| books.name == "kafka").expect("it reads Kafka");
            if so(&books) {
                return books;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, asking).await.expect("the topic is read in time")
}

async fn make(brokers: &str, topic: &str) {
    let mut client = ClientConfig::new();
    let admin: AdminClient<_> =
        client.set("bootstrap.servers", brokers).create().expect("a valid configuration");
    let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    let made = admin.create_topics([&new], &AdminOptions::new()).await.expect("a broker that answers");
    made.into_iter().for_each(|topic| drop(topic.expect("a new topic")));
}

async fn produce(brokers: String, topic: String, trace: TraceId) {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers).set("linger.ms", "5");
    let producer: FutureProducer = client.create().expect("a valid configuration");
    for record in 0..RECORDS {
        let first = record * SPANS_PER_RECORD;
        let spans = (first..first + SPANS_PER_RECORD).map(|number| span(trace, number)).collect();
        let body = encode_request(&[ResourceData { spans, ..ResourceData::default() }]);
        let partition = (record % PARTITIONS as u64) as i32;
        let sent = FutureRecord::<(), _>::to(&topic).payload(&body).partition(partition);
        // In its buffer is enough: that all of it arrives is seen at the end.
        let _delivery = producer.send_result(sent).map_err(|(error, _)| error).expect("room in the buffer");
    }
    let flush = move || rdkafka::producer::Producer::flush(&producer, TIMEOUT);
    tokio::task::spawn_blocking(flush).await.expect("no panic").expect("everything is delivered");
}

fn span(trace: TraceId, number: u64) -> SpanData {
    SpanData {
        trace,
        span: SpanId((number + 1).to_be_bytes()),
        name: "work".to_owned(),
        kind: Kind::Internal,
        start_ns: 1_795_243_117_000_000_000 + number,
        end_ns: 1_795_243_117_000_000_100 + number,
        ..SpanData::default()
    }
}

async fn spans(page: &str, trace: TraceId) -> Vec<String> {
    let client = Client::new(page).expect("the printed address is one");
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let answer = client.trace(&trace.to_string(), 2_000, after.as_deref()).await.expect("an answer");
        assert!(answer.coverage.complete, "{:?}", answer.coverage);
        found.extend(answer.events.into_iter().map(|event| event.span_id));
        after = answer.next;
        if after.is_none() {
            return found;
        }
    }
}
