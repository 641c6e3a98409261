use super::support::brokers::{broker, unique};
use super::support::moody::Mood;
use super::support::{Rig, within};
use super::{Record, a_trace, mixture, mixture_is_told, moody, plain, stored, up};
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, stream};
use async_nats::{Client, HeaderMap};
use hopscope_server::Config;
use hopscope_server::config::{NatsSource, Start};

/// A subject of its own, with a stream of the same name or without.
pub(super) struct Subject {
    name: String,
    client: Client,
    stream: Option<stream::Stream>,
}

impl Subject {
    pub(super) async fn kept() -> Self {
        let mut subject = Self::unkept().await;
        let config = stream::Config {
            name: unique("HOPSCOPE"),
            subjects: vec![subject.name.clone()],
            ..stream::Config::default()
        };
        let context = jetstream::new(subject.client.clone());
        subject.stream = Some(context.create_stream(config).await.expect("a new stream"));
        subject
    }

    async fn unkept() -> Self {
        let client = async_nats::connect(broker("HOPSCOPE_TEST_NATS")).await.expect("a server that answers");
        Self { name: unique("hopscope.trace"), client, stream: None }
    }

    pub(super) async fn put(&self, records: &[Record]) {
        for record in records {
            let mut headers = HeaderMap::new();
            record.headers.iter().for_each(|(name, value)| headers.insert(*name, *value));
            let body = record.body.clone().into();
            self.client.publish_with_headers(self.name.clone(), headers, body).await.expect("sent");
        }
        self.client.flush().await.expect("flushed");
    }

    pub(super) fn config(&self, servers: &str) -> Config {
        let source = NatsSource {
            name: None,
            servers: servers.to_owned(),
            subject: self.name.clone(),
            stream: self.stream.as_ref().map(|stream| stream.cached_info().config.name.clone()),
            group: "hopscope".to_owned(),
            start: Start::Earliest,
            credentials: None,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
        };
        Config { receive_nats: vec![source], ..Config::on_free_ports("memory") }
    }

    /// Messages that are not settled: not delivered yet, or delivered and not acknowledged.
    async fn unsettled(&self) -> u64 {
        let stream = self.stream.as_ref().expect("a stream");
        let mut consumer: PullConsumer = stream.get_consumer("hopscope").await.expect("the durable consumer");
        let info = consumer.info().await.expect("its state");
        info.num_pending + info.num_ack_pending as u64
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_stream_are_found_and_settled() {
    let subject = Subject::kept().await;
    let trace = a_trace();
    subject.put(&mixture(trace)).await;
    let rig = Rig::with(subject.config(&broker("HOPSCOPE_TEST_NATS"))).await;
    mixture_is_told(&rig, "nats", trace).await;
    within(60, "what nobody can read is settled too", || async { subject.unsettled().await == 0 }).await;
    let books = rig.books("nats").await;
    assert_eq!(books.invalid_requests.0, super::UNREADABLE, "none of them is delivered again: {books:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_before_the_store_has_it() {
    const MESSAGES: u64 = 80;
    let subject = Subject::kept().await;
    let trace = a_trace();
    subject.put(&plain(trace, 1, MESSAGES)).await;
    let config = subject.config(&broker("HOPSCOPE_TEST_NATS"));
    let (rig, mood) = moody(config.clone(), Mood::Stuck).await;
    within(60, "as many are under way as may be", || async { rig.books("nats").await.queued.0 == 32 }).await;
    assert_eq!(subject.unsettled().await, MESSAGES);
    mood.send(Mood::Failing(hopscope_store::ErrorKind::Unavailable)).expect("a store");
    within(60, "the store refuses", || async { rig.books("nats").await.refused.0 >= 32 }).await;
    rig.stop().await;
    assert_eq!(subject.unsettled().await, MESSAGES);

    let rig = Rig::with(config).await;
    stored(&rig, "nats", MESSAGES as i64).await;
    assert_eq!(rig.events_of(trace).await, MESSAGES as usize);
    within(60, "all of it is acknowledged", || async { subject.unsettled().await == 0 }).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_subject_are_found() {
    let subject = Subject::unkept().await;
    let trace = a_trace();
    let rig = Rig::with(subject.config(&broker("HOPSCOPE_TEST_NATS"))).await;
    up(&rig, "nats", true).await;
    // Connected is before subscribed, and nobody keeps what comes between: a message that arrives says so.
    within(60, "the subscription", || async {
        subject.put(&plain(trace + 1, 1, 1)).await;
        rig.books("nats").await.received.0 > 0
    })
    .await;
    let before = rig.books("nats").await.stored.0;
    assert_eq!(before, 1);
    subject.put(&mixture(trace)).await;
    stored(&rig, "nats", before + super::READABLE).await;
    assert_eq!(rig.events_of(trace).await, super::READABLE as usize);
    rig.stop().await;
}
