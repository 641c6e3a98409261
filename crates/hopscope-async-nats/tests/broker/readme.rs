//! The README's table of what is recorded, compared with what a real NATS server made of it.
//! `UPDATE_EXPECT=1` rewrites it.

use crate::kit::{Bench, Seen, in_time, next};
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::message::PublishMessage;
use hopscope_async_nats::{DeadLetter, Options, Received, TracedClient};
use hopscope_sdk::{Retry, kit};
use std::path::Path;
use std::time::Duration;

/// Publishes alone and in a batch; a handler that fails, is tried again, and its dead letter; a batch that is fetched; core
/// NATS with a request.
async fn everything(bench: &Bench) {
    let config = pull::Config { max_ack_pending: 1, ..pull::Config::default() };
    let consumer = bench.pull(config).await;
    bench.publish().await;
    let letters = DeadLetter::name(&bench.subject(), "packing");
    let dead = bench.stream_of(&format!("DEAD-{}", bench.stream), letters.clone()).await;
    let seen = Seen::default();
    let (noted, told) = (seen.clone(), seen.clone());
    let handler = move |_: Received| {
        let times = noted.note("");
        async move { if times < 3 { Err(std::io::Error::other("no truck")) } else { Ok(()) } }
    };
    let options = Options {
        retry: Retry::times(2),
        dead_letter: Some(DeadLetter::to(bench.jetstream.clone(), letters)),
        double_ack: true,
        ..Options::default()
    };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    let second = async {
        told.until(2).await;
        bench.publish_as("s-2").await;
        told.until(3).await;
    };
    in_time(messages.run(options, handler, second)).await.expect("a clean end");
    let config = pull::Config { durable_name: Some("audit".into()), ..pull::Config::default() };
    let audit = dead.create_consumer(config).await.expect("a new consumer");
    let letter = next(&mut bench.jetstream.messages(&audit).await.expect("messages")).await.process();
    letter.run(bench.jetstream.redrive(letter.received(), None)).await.expect("sent back");
    letter.ack().await.expect("sent");

    let message = |id: &str| (bench.subject(), PublishMessage::build().payload("{}".into()).message_id(id));
    in_time(bench.jetstream.publish_batch([message("b-1"), message("b-2")])).await;
    let stream = bench.jetstream.inner().get_stream(&bench.stream).await.expect("the stream");
    let config = pull::Config { durable_name: Some("billing".into()), ..pull::Config::default() };
    let billing = stream.create_consumer(config).await.expect("a new consumer");
    let batch = in_time(bench.jetstream.receive_batch(&billing, 2, Duration::from_secs(10))).await;
    for message in batch.expect("a pull") {
        message.process().ack().await.expect("sent");
    }
    core(bench).await;
}

async fn core(bench: &Bench) {
    let client = TracedClient::new(bench.client.clone()).with_telemetry(bench.recorder.telemetry());
    let subject = format!("free.{}", bench.stream);
    let mut requests = client.queue_subscribe(subject.clone(), "packing".into()).await.expect("subscribed");
    bench.client.flush().await.expect("the server knows");
    let respond = async {
        let request = in_time(requests.next()).await.expect("a request");
        let work = request.process();
        let reply = client.reply(request.message(), async_nats::HeaderMap::new(), "yes".into());
        assert!(work.run(reply).await.expect("sent"));
        work.succeed();
    };
    let (reply, ()) = tokio::join!(in_time(client.request(subject, "free?".into())), respond);
    reply.expect("a reply");
}

#[tokio::test]
async fn the_table_of_what_is_recorded() {
    let bench = Bench::new().await;
    everything(&bench).await;
    let recorded = kit::recorded(&bench.recorder.finished(), "subject", &[], "");
    kit::readme_is_current(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"), &recorded);
}
