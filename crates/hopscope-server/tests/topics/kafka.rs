use super::support::brokers::{broker, unique};
use super::support::moody::Mood;
use super::support::{Rig, within};
use super::{Record, a_trace, duplicates, mixture, mixture_is_told, moody, plain, stored};
use hopscope_server::Config;
use hopscope_server::config::{KafkaSource, Start};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
const PARTITIONS: i32 = 2;

pub(super) struct Topic {
    name: String,
    group: String,
    client: ClientConfig,
}

impl Topic {
    pub(super) async fn new() -> Self {
        let (name, group) = (unique("hopscope.trace"), unique("hopscope"));
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", broker("HOPSCOPE_TEST_KAFKA")).set("group.id", &group);
        let admin: AdminClient<_> = client.create().expect("a valid configuration");
        let new = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1));
        let made = admin.create_topics([&new], &AdminOptions::new()).await.expect("a broker that answers");
        made.into_iter().for_each(|topic| drop(topic.expect("a new topic")));
        Self { name, group, client }
    }

    fn source(&self) -> KafkaSource {
        KafkaSource {
            name: None,
            brokers: broker("HOPSCOPE_TEST_KAFKA"),
            topics: vec![self.name.clone()],
            group: self.group.clone(),
            start: Start::Earliest,
            client: [("session.timeout.ms".to_owned(), "6000".to_owned())].into(),
        }
    }

    pub(super) fn config(&self) -> Config {
        Config { receive_kafka: vec![self.source()], ..Config::on_free_ports("memory") }
    }

    pub(super) async fn put(&self, records: &[Record]) {
        let producer: FutureProducer = self.client.create().expect("a valid configuration");
        for (number, record) in records.iter().enumerate() {
            let add = |all: OwnedHeaders, (key, value): &(&str, &str)| {
                all.insert(Header { key, value: Some(*value) })
            };
            let headers = record.headers.iter().fold(OwnedHeaders::new(), add);
            let partition = number as i32 % PARTITIONS;
            let sent = FutureRecord::<(), _>::to(&self.name).payload(&record.body).partition(partition);
            producer.send(sent.headers(headers), TIMEOUT).await.expect("delivered");
        }
    }

    /// Records that the group has committed, all partitions together.
    async fn committed(&self) -> i64 {
        let (client, topic) = (self.client.clone(), self.name.clone());
        let ask = move || {
            let consumer: BaseConsumer = client.create().expect("a valid configuration");
            let mut of = TopicPartitionList::new();
            of.add_partition_range(&topic, 0, PARTITIONS - 1);
            let answer = consumer.committed_offsets(of, TIMEOUT).expect("a broker that answers");
            answer
                .elements()
                .iter()
                .filter_map(|one| match one.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                })
                .sum()
        };
        tokio::task::spawn_blocking(ask).await.expect("no panic")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_found_and_committed_and_a_second_reading_adds_nothing() {
    let topic = Topic::new().await;
    let trace = a_trace();
    let records = mixture(trace);
    topic.put(&records).await;
    let again = KafkaSource { group: unique("hopscope"), ..topic.source() };
    let config = Config { receive_kafka: vec![topic.source(), again], ..Config::on_free_ports("memory") };
    let rig = Rig::with(config).await;
    let told = || async {
        rig.books("kafka").await.invalid_requests.0 + rig.books("kafka-2").await.invalid_requests.0 == 4
            && rig.client.status().await.expect("a status").stored_events.0 == 5
            && duplicates(&rig, "kafka").await + duplicates(&rig, "kafka-2").await == 5
    };
    within(60, "both groups have read everything and each event is there once", told).await;
    assert_eq!(rig.events_of(trace).await, 5);
    within(60, "everything is committed, what nobody can read too", || async {
        topic.committed().await == records.len() as i64
    })
    .await;
    within(60, "nothing waits any more", || async {
        rig.books("kafka")
            .await
            .connection
            .is_some_and(|connection| connection.lag.is_some_and(|lag| lag.0 == 0))
    })
    .await;
    rig.stop().await;

    topic.put(&plain(trace, 100, 1)).await;
    let rig = Rig::with(topic.config()).await;
    stored(&rig, "kafka", 1).await;
    let books = rig.books("kafka").await;
    assert_eq!(books.received.0, 1, "a restart goes on where the group stood: {books:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_committed_before_the_store_has_it() {
    // More than are read at the same time, so that partitions are paused.
    const RECORDS: u64 = 100;
    let topic = Topic::new().await;
    let trace = a_trace();
    topic.put(&plain(trace, 1, RECORDS)).await;
    let (rig, mood) = moody(topic.config(), Mood::Stuck).await;
    within(60, "as many are under way as may be", || async { rig.books("kafka").await.queued.0 == 32 }).await;
    // Longer than the pause needs and than the commit interval: the condition is that nothing happens.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(rig.books("kafka").await.queued.0, 32);
    assert_eq!(topic.committed().await, 0);
    mood.send(Mood::Failing(hopscope_store::ErrorKind::Unavailable)).expect("a store");
    within(60, "the store refuses", || async { rig.books("kafka").await.refused.0 >= 32 }).await;
    assert_eq!(topic.committed().await, 0);
    mood.send(Mood::Well).expect("a store");
    stored(&rig, "kafka", RECORDS as i64).await;
    assert_eq!(rig.events_of(trace).await, RECORDS as usize);
    within(60, "all of it is committed", || async { topic.committed().await == RECORDS as i64 }).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_does_not_have_when_the_server_stops_is_read_by_the_next() {
    let topic = Topic::new().await;
    let trace = a_trace();
    topic.put(&plain(trace, 1, 20)).await;
    let failing = Mood::Failing(hopscope_store::ErrorKind::Unavailable);
    let (rig, _mood) = moody(topic.config(), failing).await;
    within(60, "the store refuses", || async { rig.books("kafka").await.refused.0 >= 20 }).await;
    rig.stop().await;
    let rig = Rig::with(topic.config()).await;
    stored(&rig, "kafka", 20).await;
    assert_eq!(rig.events_of(trace).await, 20);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixture_by_the_configuration_as_text() {
    let topic = Topic::new().await;
    let trace = a_trace();
    topic.put(&mixture(trace)).await;
    let text = format!(
        "brokers={} topics={} group={} name=audit fetch.wait.max.ms=100",
        broker("HOPSCOPE_TEST_KAFKA"),
        topic.name,
        topic.group
    );
    let loaded = hopscope_server::config::merge(None, [], &[("receive_kafka".to_owned(), text)]);
    let receive_kafka = loaded.expect("a good configuration").config.receive_kafka;
    let rig = Rig::with(Config { receive_kafka, ..Config::on_free_ports("memory") }).await;
    mixture_is_told(&rig, "audit", trace).await;
    rig.stop().await;
}
