use super::support::brokers::{broker, unique};
use super::support::moody::Mood;
use super::support::{Rig, within};
use super::{Record, UNREADABLE, a_trace, mixture, mixture_is_told, moody, plain, stored};
use hopscope_server::Config;
use hopscope_server::config::AmqpSource;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

/// A queue of its own and a connection to put something there.
pub(super) struct Queue {
    pub(super) name: String,
    _connection: Connection,
    channel: Channel,
}

impl Queue {
    /// `arguments` of `None` leaves it to the receiver to make the queue.
    pub(super) async fn new(arguments: Option<FieldTable>) -> Self {
        let address = broker("HOPSCOPE_TEST_AMQP");
        let connection =
            Connection::connect(&address, ConnectionProperties::default()).await.expect("connect");
        let channel = connection.create_channel().await.expect("channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        let queue = Self { name: unique("hopscope.trace"), _connection: connection, channel };
        if let Some(arguments) = arguments {
            queue.declare(&queue.name, arguments).await;
        }
        queue
    }

    async fn declare(&self, name: &str, arguments: FieldTable) {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.queue_declare(name.into(), durable, arguments).await.expect("a queue");
    }

    pub(super) async fn put(&self, records: &[Record]) {
        for record in records {
            let mut properties = BasicProperties::default();
            let mut headers = FieldTable::default();
            for (name, value) in &record.headers {
                let text = ShortString::from(*value);
                match *name {
                    "content-type" => properties = properties.with_content_type(text),
                    "content-encoding" => properties = properties.with_content_encoding(text),
                    name => {
                        headers.insert(name.into(), AMQPValue::LongString((*value).into()));
                    }
                }
            }
            let published = self.channel.basic_publish(
                ShortString::default(),
                self.name.as_str().into(),
                BasicPublishOptions::default(),
                &record.body,
                properties.with_headers(headers),
            );
            published.await.expect("published").await.expect("confirmed");
        }
    }

    /// Messages that wait in a queue.
    async fn waiting(&self, name: &str) -> i64 {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let queue =
            self.channel.queue_declare(name.into(), passive, FieldTable::default()).await.expect("there");
        i64::from(queue.message_count())
    }

    fn config(&self) -> Config {
        self.config_at(broker("HOPSCOPE_TEST_AMQP"))
    }

    pub(super) fn config_at(&self, url: String) -> Config {
        let source = AmqpSource { name: None, url, queue: self.name.clone() };
        Config { receive_amqp: vec![source], ..Config::on_free_ports("memory") }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_are_found_and_what_nobody_can_read_goes_to_the_dead_letters() {
    let mut arguments = FieldTable::default();
    let dead = unique("dead");
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(dead.as_str().into()));
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let queue = Queue::new(Some(arguments)).await;
    queue.declare(&dead, FieldTable::default()).await;
    let trace = a_trace();
    queue.put(&mixture(trace)).await;
    let rig = Rig::with(queue.config()).await;
    mixture_is_told(&rig, "amqp", trace).await;
    within(60, "the dead letters", || async { queue.waiting(&dead).await == UNREADABLE }).await;
    let books = rig.books("amqp").await;
    assert_eq!(books.invalid_requests.0, UNREADABLE, "none of them is delivered again: {books:?}");
    rig.stop().await;
    assert_eq!(queue.waiting(&queue.name).await, 0, "the rest is acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_not_there_is_made_and_nothing_is_acknowledged_before_the_store_has_it() {
    const MESSAGES: u64 = 80;
    let queue = Queue::new(None).await;
    let trace = a_trace();
    let (rig, mood) = moody(queue.config(), Mood::Stuck).await;
    super::up(&rig, "amqp", true).await;
    queue.put(&plain(trace, 1, MESSAGES)).await;
    within(60, "a prefetch is under way", || async { rig.books("amqp").await.queued.0 == 32 }).await;
    mood.send(Mood::Failing(hopscope_store::ErrorKind::Unavailable)).expect("a store");
    within(60, "the store refuses", || async { rig.books("amqp").await.refused.0 >= 32 }).await;
    rig.stop().await;
    within(60, "all of them are back", || async { queue.waiting(&queue.name).await == MESSAGES as i64 })
        .await;

    let rig = Rig::with(queue.config()).await;
    stored(&rig, "amqp", MESSAGES as i64).await;
    assert_eq!(rig.events_of(trace).await, MESSAGES as usize);
    rig.stop().await;
    assert_eq!(queue.waiting(&queue.name).await, 0);
}
