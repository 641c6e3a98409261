//! The order flow on four real brokers, against a server on its embedded store: the last order is found again by
//! everything that names it, its story is right, those of the orders in trouble are too, and a second run on topics made
//! anew is told apart from the first.

mod troubles;

use hopscope_client::Client;
use hopscope_client::api::{Attempt, GroupStory, MessageAnswer};
use hopscope_sdk::kit;
use hopscope_server::{Config, Server};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Longest wait for a run of the flow, and for its last spans to be found.
const PLAY_MAX: Duration = Duration::from_secs(180);
const FIND_MAX: Duration = Duration::from_secs(30);
/// How often to ask.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Orders of a run, and how many of them analytics reads.
const ORDERS: usize = 12;
const ANALYTICS_TAKE: i64 = 5;
/// Messages of an order: one on each broker, what fulfilment asked the warehouse, and its reply.
const MESSAGES: usize = 6;
/// Steps from one end of the flow to the other, with some to spare.
const DEPTH: u32 = 8;

/// One run of `order-flow play`: the JSON that it printed.
struct Played(Value);

impl Played {
    fn name(&self, of: &str) -> &str {
        self.0["names"][of].as_str().expect("a name")
    }

    fn order(&self, index: usize) -> Order<'_> {
        Order(&self.0["orders"][index])
    }

    /// The one that meets every trouble but the dead letter.
    fn last(&self) -> Order<'_> {
        self.order(ORDERS - 1)
    }
}

#[derive(Clone, Copy)]
struct Order<'a>(&'a Value);

impl<'a> Order<'a> {
    fn text(self, field: &str) -> &'a str {
        self.0[field].as_str().expect("text")
    }

    fn offset(self) -> i64 {
        self.0["offset"].as_i64().expect("an offset")
    }
}

async fn play(suffix: &str, otlp: &str, first: u32) -> Played {
    let run = Command::new(env!("CARGO_BIN_EXE_order-flow"))
        .args(["play", "--fresh", "--orders", &ORDERS.to_string()])
        .args(["--first", &first.to_string()])
        .arg(format!("--suffix={suffix}"))
        .args(["--otlp", otlp])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PLAY_MAX, run).await.expect("played in time").expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the flow failed: {}\n{said}", output.status);
    Played(serde_json::from_slice(&output.stdout).expect("it prints JSON"))
}

/// The story of the message that this reference names, once it satisfies the condition.
async fn told(
    client: &Client,
    reference: &str,
    is_complete: impl Fn(&MessageAnswer) -> bool,
) -> MessageAnswer {
    let mut last = None;
    let asking = async {
        let mut ask = tokio::time::interval(ASK_EVERY);
        loop {
            ask.tick().await;
            if let Ok(answer) = client.message(reference, DEPTH).await {
                if is_complete(&answer) {
                    return answer;
                }
                last = Some(answer);
            }
        }
    };
    match tokio::time::timeout(FIND_MAX, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("not complete in time: {reference}\n{last:#?}"),
    }
}

/// References of all messages of one trajectory: the message found, its causes and its effects.
async fn trajectory(client: &Client, query: &str) -> BTreeSet<String> {
    let found = client.find(query, 20, None).await.expect("an answer");
    // RocketMQ's own copy of a message has its id and its time of birth, and nobody sent it: which of them stands first
    // is for the milliseconds to say.
    let sent = found.messages.iter().find(|message| !message.sender.is_empty());
    let first = sent.unwrap_or_else(|| panic!("nothing found: {query} {found:#?}"));
    let found = client.message(&first.reference, DEPTH).await.expect("the message found");
    // What its causes caused beside it is told of the first of them.
    let first = found.tree.iter().min_by_key(|node| node.distance).expect("itself at least");
    let answer = client.message(&first.message.reference, DEPTH).await.expect("the first cause");
    answer.tree.iter().map(|node| node.message.reference.clone()).collect()
}

fn group<'a>(answer: &'a MessageAnswer, name: &str) -> &'a GroupStory {
    let groups = &answer.trajectory.groups;
    groups.iter().find(|group| group.group == name).unwrap_or_else(|| panic!("no group {name}: {groups:#?}"))
}

fn outcomes(attempts: &[Attempt]) -> Vec<(u32, &str, &str)> {
    attempts
        .iter()
        .map(|attempt| {
            (attempt.number, attempt.outcome.as_str(), attempt.disposition.as_deref().unwrap_or("-"))
        })
        .collect()
}

/// Which of the five latencies are known: queue, wait, process, settle.
fn known(attempt: &Attempt) -> [bool; 4] {
    [&attempt.queue, &attempt.wait, &attempt.process, &attempt.settle].map(Option::is_some)
}

struct References {
    kafka: String,
    rabbitmq: String,
    nats: String,
    rocketmq: String,
}

/// How the four messages of an order are named in the tree.
async fn references(client: &Client, played: &Played, order: Order<'_>) -> References {
    let kafka = format!("kafka:{}/0/{}", played.name("orders"), order.offset());
    let is_whole = |answer: &MessageAnswer| {
        let systems: BTreeSet<_> = answer.tree.iter().map(|node| node.message.system.clone()).collect();
        systems.len() == 4 && answer.tree.len() >= MESSAGES
    };
    let answer = told(client, &kafka, is_whole).await;
    let of = |system: &str, destination: &str| {
        let node = answer
            .tree
            .iter()
            .find(|node| node.message.system == system && node.message.destination == destination);
        node.unwrap_or_else(|| panic!("no {system} {destination}: {:#?}", answer.tree))
            .message
            .reference
            .clone()
    };
    References {
        kafka: of("kafka", played.name("orders")),
        rabbitmq: of("rabbitmq", played.name("payments")),
        nats: of("nats", played.name("stream")),
        rocketmq: of("rocketmq", played.name("notifications")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_is_found_by_everything_that_names_it_and_a_second_run_is_another() {
    for variable in
        ["HOPSCOPE_TEST_KAFKA", "HOPSCOPE_TEST_AMQP", "HOPSCOPE_TEST_NATS", "HOPSCOPE_TEST_ROCKETMQ"]
    {
        kit::broker(variable);
    }
    let data = tempfile::tempdir().expect("a folder");
    let config = Config::on_free_ports(data.path().to_str().expect("a path that is text"));
    let server = Server::start(config).await.expect("a server");
    let client = Client::new(&format!("http://{}", server.addresses.http)).expect("a client");
    let otlp = format!("http://{}", server.addresses.otlp_http);
    let suffix = kit::unique("");

    let first = play(&suffix, &otlp, 4_700).await;
    let of_first = references(&client, &first, first.last()).await;
    the_order_is_told(&client, &first, &of_first).await;
    troubles::are_told(&client, &first).await;
    let story = the_same_by_every_name(&client, &first).await;

    let second = play(&suffix, &otlp, 4_800).await;
    assert_eq!(second.last().offset(), first.last().offset(), "positions start again");
    the_runs_do_not_join(&client, &first, &second, &story).await;
    server.stop().await.expect("a graceful stop");
}

/// States, attempts, both groups, latencies.
async fn the_order_is_told(client: &Client, played: &Played, of: &References) {
    let order = told(client, &of.kafka, |answer| answer.trajectory.groups.len() == 2).await;
    let offset = played.last().offset();
    assert_eq!(order.message.keys, [played.last().text("order")]);
    assert_eq!(order.message.sender, "checkout");
    assert!(order.trajectory.sends[0].produce.is_some(), "send to acknowledgement");
    let payment = group(&order, played.name("payment"));
    assert_eq!((payment.state.as_str(), payment.grade.as_str()), ("succeeded", "observed"));
    assert_eq!(outcomes(&payment.attempts), [(1, "ok", "accept")]);
    assert_eq!(troubles::in_place(&payment.attempts[0]), [(1, 50, "bank_busy")], "the bank was asked twice");
    assert_eq!(
        known(&payment.attempts[0]),
        [true, true, true, false],
        "a commit settles a lane, not a message"
    );
    let analytics = group(&order, played.name("analytics"));
    assert_eq!(analytics.state, "not_consumed_yet");
    assert_eq!(
        analytics.why.text,
        format!(
            "{} is at {ANALYTICS_TAKE} of {}/0, this message is at {offset}",
            played.name("analytics"),
            played.name("orders")
        )
    );
    assert!(analytics.attempts.is_empty() && analytics.total.is_none(), "nothing is made up");

    let twice = [(1, "failed", "retry"), (2, "ok", "accept")];
    let payment = told(client, &of.rabbitmq, |answer| has_attempts(answer, 2)).await;
    let fulfilment = group(&payment, played.name("fulfilment"));
    assert_eq!((fulfilment.state.as_str(), outcomes(&fulfilment.attempts)), ("succeeded", twice.to_vec()));
    assert_eq!(fulfilment.attempts[0].reason, "warehouse_unavailable");
    assert_eq!(known(&fulfilment.attempts[0]), [true, true, true, true]);
    assert_eq!(payment.message.message_id, played.last().text("payment_id"));

    let shipment = told(client, &of.nats, |answer| has_attempts(answer, 2)).await;
    let shipping = group(&shipment, played.name("shipping"));
    assert_eq!((shipping.state.as_str(), outcomes(&shipping.attempts)), ("succeeded", twice.to_vec()));
    assert_eq!(known(&shipping.attempts[0]), [true, true, true, true]);

    let notification = told(client, &of.rocketmq, |answer| has_attempts(answer, 2)).await;
    let notify = group(&notification, played.name("notify"));
    assert_eq!((notify.state.as_str(), outcomes(&notify.attempts)), ("succeeded", twice.to_vec()));
    assert!(
        notify.attempts[0].of_copy.is_none() && notify.attempts[1].of_copy.is_some(),
        "a retry is a copy"
    );
    assert_eq!(notification.message.message_id, played.last().text("notification_id"));
}

fn has_attempts(answer: &MessageAnswer, count: usize) -> bool {
    answer.trajectory.groups.iter().any(|group| group.attempts.len() == count && group.state == "succeeded")
}

/// The same trajectory by trace, by each broker's id, by key, by position and by a line of a log. Answers its messages.
async fn the_same_by_every_name(client: &Client, played: &Played) -> BTreeSet<String> {
    let last = played.last();
    let position = format!("{}/0/{}", played.name("orders"), last.offset());
    let story = trajectory(client, &position).await;
    let key = format!("key:{}", last.text("order"));
    for query in [
        last.text("trace_id"),
        last.text("notification_id"),
        last.text("payment_id"),
        last.text("shipment_id"),
        &key,
        last.text("log"),
    ] {
        assert_eq!(trajectory(client, query).await, story, "query: {query}");
    }
    story
}

/// Both runs have the same positions on Kafka and JetStream; the orders are others.
async fn the_runs_do_not_join(client: &Client, first: &Played, second: &Played, story: &BTreeSet<String>) {
    let (one, two) = (first.last().text("trace_id"), second.last().text("trace_id"));
    let again = trajectory_of_trace(client, two, first.last().text("trace_id")).await;
    assert_eq!(again.len(), story.len(), "the second order went the same way");
    let once = trajectory_of_trace(client, one, second.last().text("trace_id")).await;
    assert_eq!(once.len(), story.len(), "the first order is what it was");
}

/// The messages of the trajectory with that trace; none may have an event of the other run's.
async fn trajectory_of_trace(client: &Client, trace: &str, other: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let asking = async {
        let mut ask = tokio::time::interval(ASK_EVERY);
        while seen.len() < MESSAGES {
            ask.tick().await;
            seen = trajectory(client, trace).await;
        }
    };
    tokio::time::timeout(FIND_MAX, asking).await.expect("the whole trajectory");
    for reference in &seen {
        let answer = client.message(reference, 0).await.expect("a message of the tree");
        let traces: Vec<_> = answer.trajectory.events.iter().map(|event| event.trace_id.as_str()).collect();
        assert!(!traces.contains(&other), "{reference} joins two runs: {traces:?}");
        assert!(traces.contains(&trace), "{reference} has no event of its own run: {traces:?}");
    }
    seen
}
