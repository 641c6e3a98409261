//! The README's table of what is recorded, compared with what a real Kafka made of it.
//! `UPDATE_EXPECT=1` rewrites it.

use crate::kit::{Bench, TIMEOUT, in_time};
use hopscope_rdkafka::{DeadLetter, Options, Received};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::FutureRecord;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- recorded -->\n";
const END: &str = "<!-- /recorded -->";

/// Sends alone and in a batch; a handler that fails, and its dead letter; commits.
async fn everything(bench: &Bench) {
    let dead = DeadLetter::name(&bench.topic, "payment");
    bench.make(&dead, 1, &[]).await;
    bench.send(OwnedHeaders::new()).await;
    let record = || FutureRecord::to(&bench.topic).key("4711").payload("{}");
    let sent = in_time(bench.producer().send_batch(vec![record(), record()], TIMEOUT)).await;
    assert!(sent.iter().all(Result::is_ok));
    let handler = |message: Received| async move {
        match rdkafka::message::Message::offset(message.message()) {
            0 => Err(std::io::Error::other("no cover")),
            _ => Ok(()),
        }
    };
    let options =
        Options { dead_letter: Some(DeadLetter::to(bench.producer(), &dead)), ..Options::default() };
    let stop = async {
        while bench.count("process") < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    in_time(bench.consumer().run(options, handler, stop)).await.expect("a clean end");
    let reader = bench.reader(&dead);
    in_time(reader.recv()).await.expect("the dead letter");
}

fn table(bench: &Bench) -> String {
    let mut spans: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for span in bench.recorder.finished() {
        let operation = span.name.split(' ').next().unwrap_or_default();
        let kind = format!("{:?}", span.span_kind).to_lowercase();
        let of_span = spans.entry(format!("`{operation} {{topic}}` | {kind}")).or_default();
        // Known from the client's first answer on: on the first spans or not.
        let keys = span.attributes.iter().map(|set| set.key.to_string());
        of_span.extend(keys.filter(|key| key != "messaging.kafka.cluster.id"));
    }
    let mut every = spans.values().cloned();
    let first = every.next().unwrap_or_default();
    let all = every.fold(first, |all, of| all.intersection(&of).cloned().collect());
    let list = |keys: &mut dyn Iterator<Item = &String>| {
        keys.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "On every span: {}; `messaging.kafka.cluster.id` once the client knows it.\n\n| Span | Kind | And |\n|---|---|---|\n",
        list(&mut all.iter())
    );
    for (span, keys) in &spans {
        let _ = writeln!(text, "| {span} | {} |", list(&mut keys.difference(&all)));
    }
    text
}

#[tokio::test]
async fn the_table_of_what_is_recorded() {
    let bench = Bench::new(&[]).await;
    everything(&bench).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).expect("the README");
    let (before, rest) = readme.split_once(BEGIN).expect("a mark where it begins");
    let (written, after) = rest.split_once(END).expect("a mark where it ends");
    let recorded = table(&bench);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, [before, BEGIN, &recorded, END, after].concat()).expect("a file to write");
    } else {
        assert_eq!(written, recorded, "UPDATE_EXPECT=1 rewrites the table");
    }
}
