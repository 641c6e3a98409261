//! Stops, lost connections, consumers that go.

use crate::kit::proxy::Proxy;
use crate::kit::{Bench, Seen, attribute, in_time, next, payload};
use async_nats::jetstream::consumer::{AckPolicy, pull};
use hopscope_async_nats::{Options, Received, RunError};
use hopscope_sdk::kit;
use std::convert::Infallible;
use std::time::Duration;

#[tokio::test]
async fn a_stop_waits_for_handlers_and_gives_back_the_rest() {
    let bench = Bench::new().await;
    // Longer than the test may take: nothing comes again that was not given back.
    let config = pull::Config { ack_wait: Duration::from_secs(300), ..pull::Config::default() };
    let mut consumer = bench.pull(config).await;
    bench.fill(6).await;
    let (seen, done) = (Seen::default(), Seen::default());
    let handler = {
        let (seen, done) = (seen.clone(), done.clone());
        move |message: Received| {
            let (seen, done) = (seen.clone(), done.clone());
            async move {
                let number = payload(&message);
                seen.note(number.clone());
                match number.as_str() {
                    "0" => tokio::time::sleep(Duration::from_millis(100)).await,
                    _ => std::future::pending().await,
                }
                done.note(number);
                Ok::<_, Infallible>(())
            }
        }
    };
    let options = Options { workers_max: 2, drain: Duration::from_secs(1), ..Options::default() };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    let told = seen.clone();
    in_time(messages.run(options, handler, async move { told.until(2).await })).await.expect("a clean end");
    assert_eq!(done.all(), ["0"], "it had begun, and was waited for");
    let unknown: Vec<_> =
        bench.of("process").iter().map(|span| attribute(span, "hopscope.outcome.reason")).collect();
    assert_eq!(unknown.iter().filter(|reason| *reason == "shutdown").count(), unknown.len() - 1);
    // Whoever comes next has them all.
    let mut messages = bench.jetstream.messages(&consumer).await.expect("messages");
    let mut again = Vec::new();
    for _ in 0..5 {
        let message = next(&mut messages).await;
        again.push(payload(&message));
        message.process().double_ack().await.expect("confirmed");
    }
    again.sort();
    assert_eq!(again, ["1", "2", "3", "4", "5"]);
    assert_eq!(bench.state_of(&mut consumer).await, (0, 0));
}

#[tokio::test]
async fn a_cut_connection_comes_back_and_nothing_is_lost() {
    let address = kit::broker("HOPSCOPE_TEST_NATS");
    let target = address.trim_start_matches("nats://").to_owned();
    let proxy = Proxy::new(target).await;
    let bench = Bench::at(&format!("nats://127.0.0.1:{}", proxy.port)).await;
    let config = pull::Config { ack_wait: Duration::from_secs(2), ..pull::Config::default() };
    let consumer = bench.pull(config).await;
    let direct = Bench::new().await;
    let publish = async |payload: &'static str| {
        let ack = direct.jetstream.publish(bench.subject(), payload.into()).await.expect("sent");
        ack.await.expect("stored");
    };
    let seen = Seen::default();
    let noted = seen.clone();
    let handler = move |message: Received| {
        noted.note(payload(&message));
        async { Ok::<_, Infallible>(()) }
    };
    let stop = async {
        publish("before").await;
        seen.until(1).await;
        proxy.cut();
        publish("meanwhile").await;
        bench.until(async || seen.all().iter().any(|payload| payload == "meanwhile")).await;
        publish("after").await;
        bench.until(async || seen.all().iter().any(|payload| payload == "after")).await;
    };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    in_time(messages.run(Options::default(), handler, stop)).await.expect("a clean end");
    assert!(bench.of("process").iter().all(|span| attribute(span, "hopscope.outcome").is_empty()));
}

#[tokio::test]
async fn a_consumer_that_is_deleted_ends_the_run_with_the_reason() {
    let bench = Bench::new().await;
    let consumer = bench.pull(pull::Config::default()).await;
    bench.publish().await;
    let seen = Seen::default();
    let noted = seen.clone();
    let handler = move |message: Received| {
        noted.note(payload(&message));
        async { Ok::<_, Infallible>(()) }
    };
    let messages = bench.jetstream.messages(&consumer).await.expect("messages");
    let delete = async {
        seen.until(1).await;
        bench.jetstream.inner().delete_stream(&bench.stream).await.expect("deleted");
    };
    let (ended, ()) = in_time(async {
        tokio::join!(messages.run(Options::default(), handler, std::future::pending()), delete)
    })
    .await;
    assert!(matches!(ended, Err(RunError::Ended(Some(_)))), "{ended:?}");
}

#[tokio::test]
async fn a_guard_that_is_dropped_is_unknown_and_comes_again() {
    let bench = Bench::new().await;
    let config = pull::Config { ack_wait: Duration::from_millis(300), ..pull::Config::default() };
    let consumer = bench.pull(pull::Config { ack_policy: AckPolicy::Explicit, ..config }).await;
    let mut messages = bench.jetstream.messages(&consumer).await.expect("messages");
    bench.publish().await;
    drop(next(&mut messages).await.process());
    let work = next(&mut messages).await.process();
    let panicked = tokio::spawn(async move { work.run(async { panic!("no truck") }).await }).await;
    assert!(panicked.is_err());
    next(&mut messages).await.process().double_ack().await.expect("confirmed");
    let told: Vec<_> = bench
        .of("process")
        .iter()
        .map(|span| ["hopscope.attempt", "hopscope.outcome", "error.type"].map(|key| attribute(span, key)))
        .collect();
    assert_eq!(told, [["1", "unknown", ""], ["2", "", "panic"], ["3", "", ""]]);
}
