use super::Story;
use super::brokers::{Wire, broker, unique};
use hopscope_lapin::AmqpSink;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use std::time::Duration;

/// The same address by another way.
async fn by_wire(address: &str) -> (Wire, String) {
    let (login, rest) = address.split_once('@').expect("an address with a login");
    let (host, vhost) = rest.split_once('/').expect("an address with a vhost");
    let wire = Wire::to(host).await;
    let address = format!("{login}@{}/{vhost}", wire.address);
    (wire, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_carries_it_through_an_outage_on_a_queue_that_the_sink_makes() {
    let (address, queue) = (broker("HOPSCOPE_TEST_AMQP"), unique("hopscope.trace"));
    let (wire, by_wire) = by_wire(&address).await;
    let sink = AmqpSink::new(by_wire, ConnectionProperties::default()).to_queue(queue.as_str());
    let sources = [("receive_amqp", format!("url={address} queue={queue}"))];
    let mut story = Story::new(&sources, sink).await;
    story.tell(5);
    story.is_delivered();
    story.is_told(1).await;

    wire.cut();
    story.tell(5);
    assert!(!story.flush(Duration::from_millis(500)), "nobody takes them");
    wire.mend();
    story.is_delivered();
    story.is_told(1).await;
    story.end().await;
    delete(&address, &[&queue]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_carries_it_by_an_exchange_to_two_queues() {
    let address = broker("HOPSCOPE_TEST_AMQP");
    let exchange = unique("hopscope.trace");
    let queues = ["a", "b"].map(|which| format!("{exchange}.{which}"));
    let connection = Connection::connect(&address, ConnectionProperties::default()).await.expect("connected");
    let channel = connection.create_channel().await.expect("a channel");
    let (none, options) =
        (FieldTable::default, ExchangeDeclareOptions { auto_delete: true, ..Default::default() });
    let name = ShortString::from(exchange.as_str());
    channel.exchange_declare(name.clone(), ExchangeKind::Topic, options, none()).await.expect("an exchange");
    for queue in &queues {
        let (queue, durable) =
            (ShortString::from(queue.as_str()), QueueDeclareOptions { durable: true, ..Default::default() });
        channel.queue_declare(queue.clone(), durable, none()).await.expect("a queue");
        let bind =
            channel.queue_bind(queue, name.clone(), "spans".into(), QueueBindOptions::default(), none());
        bind.await.expect("bound");
    }
    let source = |queue: &String| format!("url={address} queue={queue}");
    let sources = [("receive_amqp", format!("{}; {}", source(&queues[0]), source(&queues[1])))];
    let sink = AmqpSink::new(&address, ConnectionProperties::default()).to_exchange(name, "spans");
    let mut story = Story::new(&sources, sink).await;
    story.tell(5);
    story.is_delivered();
    story.is_told(2).await;
    story.end().await;
    delete(&address, &[&queues[0], &queues[1]]).await;
}

async fn delete(address: &str, queues: &[&String]) {
    let connection = Connection::connect(address, ConnectionProperties::default()).await.expect("connected");
    let channel = connection.create_channel().await.expect("a channel");
    for queue in queues {
        let deleted = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await;
        deleted.expect("it was there");
    }
}
