use super::Story;
use super::brokers::{Wire, broker, unique};
use async_nats::jetstream::{self, stream};
use hopscope_async_nats::NatsSink;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jetstream_carries_it_through_an_outage_and_two_consumers_that_read_it() {
    let (address, subject) = (broker("HOPSCOPE_TEST_NATS"), unique("hopscope.trace"));
    let direct = jetstream::new(async_nats::connect(&address).await.expect("a server that answers"));
    let name = unique("HOPSCOPE");
    let config =
        stream::Config { name: name.clone(), subjects: vec![subject.clone()], ..stream::Config::default() };
    direct.create_stream(config).await.expect("a new stream");
    let source = |group| format!("servers={address} stream={name} subject={subject} group={group}");
    let sources = [("receive_nats", format!("{}; {}", source("a"), source("b")))];
    let wire = Wire::to(address.trim_start_matches("nats://")).await;
    let client = async_nats::connect(wire.address.to_string()).await.expect("a server that answers");
    let sink = NatsSink::jetstream(jetstream::new(client)).to(&subject);
    let mut story = Story::new(&sources, sink).await;
    story.tell(5);
    story.is_delivered();
    story.is_told(2).await;

    wire.cut();
    story.tell(5);
    assert!(!story.flush(Duration::from_millis(500)), "nobody takes them");
    wire.mend();
    story.is_delivered();
    story.is_told(2).await;
    story.end().await;
    direct.delete_stream(&name).await.expect("it was there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn core_nats_carries_it_to_who_is_there() {
    let (address, subject) = (broker("HOPSCOPE_TEST_NATS"), unique("hopscope.trace"));
    let client = async_nats::connect(&address).await.expect("a server that answers");
    let sources = [("receive_nats", format!("servers={address} subject={subject}"))];
    let mut story = Story::new(&sources, NatsSink::core(client).to(&subject)).await;
    // Nobody keeps what comes before the subscription.
    let connected = async {
        loop {
            let status = story.client.status().await.expect("a status");
            let is_up = |receiver: &hopscope_client::api::Receiver| {
                receiver.connection.as_ref().is_some_and(|connection| connection.up)
            };
            if status.receivers.iter().any(|receiver| receiver.name == "nats" && is_up(receiver)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(super::WAIT, connected).await.expect("it reads");
    story.tell(5);
    story.is_delivered();
    story.is_told(1).await;
    story.end().await;
}
