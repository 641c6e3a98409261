//! Handlers side by side, on a real Kafka: commits, back-pressure, failures.

use crate::kit::{Bench, Counter, in_time, payload};
use expect_test::expect;
use hopscope_rdkafka::{GivenUp, Options, Received, RunError};
use hopscope_sdk::work::Order;
use std::future::pending;
use std::io::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Barrier, Semaphore};

fn options() -> Options {
    Options { order: Order::None, commit_every: Duration::from_millis(50), ..Options::default() }
}

#[tokio::test]
async fn as_many_at_a_time_as_there_are_workers_and_all_is_committed() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 24).await;
    let (four, done) = (Arc::new(Barrier::new(4)), Counter::new());
    let counted = done.clone();
    let handler = move |_: Received| {
        let (four, done) = (Arc::clone(&four), counted.clone());
        async move {
            // Nobody gets past who is alone.
            four.wait().await;
            done.add();
            Ok::<_, Error>(())
        }
    };
    let options = Options { workers_max: 4, ..options() };
    in_time(bench.consumer().run(options, handler, done.reaches(24))).await.expect("a clean end");
    assert_eq!(bench.committed(&bench.topic, 0).await, Some(24));
    assert_eq!((bench.count("poll"), bench.count("process")), (24, 24));
}

#[tokio::test]
async fn a_commit_never_passes_a_message_that_is_at_work() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 10).await;
    let (gate, done) = (Arc::new(Semaphore::new(0)), Counter::new());
    let (held, counted) = (Arc::clone(&gate), done.clone());
    let handler = move |message: Received| {
        let (gate, done) = (Arc::clone(&held), counted.clone());
        async move {
            if payload(&message) == "3" {
                drop(gate.acquire().await);
            }
            done.add();
            Ok::<_, Error>(())
        }
    };
    let stop = async {
        done.reaches(9).await;
        while bench.count("commit") == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.committed(&bench.topic, 0).await, Some(3), "3 is at work, 4 to 9 are done");
        gate.add_permits(1);
        done.reaches(10).await;
    };
    in_time(bench.consumer().run(options(), handler, stop)).await.expect("a clean end");
    assert_eq!(bench.committed(&bench.topic, 0).await, Some(10));
}

#[tokio::test]
async fn a_key_keeps_its_order_and_others_do_not_wait() {
    let bench = Bench::new(&[]).await;
    let producer = bench.producer();
    for (key, payload) in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4")] {
        let record = rdkafka::producer::FutureRecord::to(&bench.topic).key(key).payload(payload);
        in_time(producer.send(record, crate::kit::TIMEOUT)).await.expect("delivered");
    }
    let (gate, seen) = (Arc::new(Semaphore::new(0)), Arc::new(std::sync::Mutex::new(Vec::new())));
    let done = Counter::new();
    let (held, noted, counted) = (Arc::clone(&gate), Arc::clone(&seen), done.clone());
    let handler = move |message: Received| {
        let (gate, seen, done) = (Arc::clone(&held), Arc::clone(&noted), counted.clone());
        async move {
            match payload(&message) {
                "1" => drop(gate.acquire().await),
                "3" => gate.add_permits(1),
                _ => {}
            }
            seen.lock().expect("no panic").push(payload(&message).to_owned());
            done.add();
            Ok::<_, Error>(())
        }
    };
    let options = Options { order: Order::ByKey, ..options() };
    in_time(bench.consumer().run(options, handler, done.reaches(4))).await.expect("a clean end");
    let seen = seen.lock().expect("no panic").clone();
    let of_a: Vec<_> = seen.iter().filter(|payload| *payload != "3").collect();
    assert_eq!(of_a, ["1", "2", "4"], "1 waits for 3, and the others of its key for 1");
}

#[tokio::test]
async fn slow_handlers_pause_the_partitions_and_keep_the_group() {
    let mut bench = Bench::new(&[]).await;
    bench.config.set("session.timeout.ms", "6000").set("max.poll.interval.ms", "6000");
    bench.fill(0, 40).await;
    let (gate, done) = (Arc::new(Semaphore::new(0)), Counter::new());
    let (held, counted) = (Arc::clone(&gate), done.clone());
    let handler = move |_: Received| {
        let (gate, done) = (Arc::clone(&held), counted.clone());
        async move {
            drop(gate.acquire().await);
            done.add();
            Ok::<_, Error>(())
        }
    };
    let stop = async {
        while bench.count("poll") < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Time is what this is about: longer than a consumer may go without polling.
        tokio::time::sleep(Duration::from_millis(7500)).await;
        assert!(
            bench.count("poll") <= 4,
            "one at work, one that waits, one or two in hand: {}",
            bench.count("poll")
        );
        gate.add_permits(40);
        done.reaches(40).await;
    };
    let options = Options { workers_max: 1, waiting_max: 1, ..options() };
    in_time(bench.consumer().run(options, handler, stop)).await.expect("a clean end");
    assert_eq!(bench.committed(&bench.topic, 0).await, Some(40));
    assert_eq!(bench.count("process"), 40, "each once: nobody took the partition away");
}

async fn fails_at_1(message: Received) -> Result<(), Error> {
    if payload(&message) == "1" { Err(Error::other("no cover")) } else { Ok(()) }
}

#[tokio::test]
async fn what_is_given_up_stops_the_run_and_is_not_committed() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 3).await;
    let options = Options { order: Order::ByLane, ..options() };
    let error = in_time(bench.consumer().run(options, fails_at_1, pending())).await.expect_err("given up");
    let RunError::GivenUp(at, failure) = error else { panic!("{error}") };
    assert_eq!((at.offset, failure.message()), (1, "no cover"));
    assert_eq!(bench.committed(&bench.topic, 0).await, Some(1));
}

#[tokio::test]
async fn what_is_given_up_may_be_passed_over() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 3).await;
    let options = Options { given_up: GivenUp::Skip, ..options() };
    let stop = async {
        while bench.count("process") < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    in_time(bench.consumer().run(options, fails_at_1, stop)).await.expect("a clean end");
    assert_eq!(bench.committed(&bench.topic, 0).await, Some(3));
    let failed = bench.only(&["error.type", "hopscope.disposition"]);
    assert!(
        failed.contains("error.type = std::io::error::Error\n  hopscope.disposition = reject"),
        "{failed}"
    );
}

#[tokio::test]
async fn a_panic_fails_the_message_and_harms_no_other() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 2).await;
    let handler = |message: Received| async move {
        assert_ne!(payload(&message), "1", "not this one");
        Ok::<_, Error>(())
    };
    let options = Options { order: Order::ByLane, ..options() };
    let error = in_time(bench.consumer().run(options, handler, pending())).await.expect_err("given up");
    assert!(error.to_string().contains("panic: assertion"), "{error}");
    assert_eq!(bench.committed(&bench.topic, 0).await, Some(1));
    bench.check_only(&["error.type", "hopscope.disposition"], expect![[r#"
        poll orders (client) parent: - links: []
        poll orders (client) parent: - links: []
        process orders (consumer) parent: - links: []
          hopscope.disposition = accept
        process orders (consumer) parent: - links: []
          error.type = panic
          Error { description: "assertion `left != right` failed: not this one\n  left: \"1\"\n right: \"1\"" }
        commit orders (client) parent: - links: []
    "#]]);
}

#[tokio::test]
async fn a_batch_is_one_call_and_only_what_failed_comes_again() {
    let bench = Bench::new(&[]).await;
    bench.fill(0, 7).await;
    let sizes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = Arc::clone(&sizes);
    let handler = move |messages: Vec<Received>| {
        noted.lock().expect("no panic").push(messages.len());
        let failed = messages.iter().position(|message| payload(message) == "5");
        async move {
            use hopscope_sdk::work::BatchOutcome;
            let failure = hopscope_sdk::Failure::new("Invalid", "no amount");
            failed.map_or(BatchOutcome::Ok, |index| BatchOutcome::Partly(vec![(index, failure)]))
        }
    };
    let options =
        Options { batch_max: 5, batch_wait: Duration::from_secs(2), order: Order::ByLane, ..options() };
    let error =
        in_time(bench.consumer().run_batches(options, handler, pending())).await.expect_err("given up");
    let RunError::GivenUp(at, _) = error else { panic!("{error}") };
    assert_eq!((at.offset, bench.committed(&bench.topic, 0).await), (5, Some(5)));
    assert_eq!(*sizes.lock().expect("no panic"), [5, 2], "a full one, and one that had waited");
}

#[tokio::test]
async fn a_batch_that_fails_or_panics_is_not_committed() {
    let options =
        Options { batch_max: 2, batch_wait: Duration::from_secs(5), order: Order::ByLane, ..options() };
    for panics in [false, true] {
        let bench = Bench::new(&[]).await;
        bench.fill(0, 4).await;
        let handler = move |messages: Vec<Received>| {
            let is_first = payload(&messages[0]) == "0";
            async move {
                use hopscope_sdk::work::BatchOutcome;
                assert!(is_first || !panics, "not this one");
                let failure = hopscope_sdk::Failure::new("Invalid", "no amount");
                if is_first { BatchOutcome::Ok } else { BatchOutcome::Failed(failure) }
            }
        };
        let error = in_time(bench.consumer().run_batches(options.clone(), handler, pending())).await;
        let RunError::GivenUp(at, failure) = error.expect_err("given up") else { panic!("given up") };
        assert_eq!(at.offset, 2, "the first of those that failed");
        assert_eq!(failure.kind(), if panics { "panic" } else { "Invalid" });
        assert_eq!(bench.committed(&bench.topic, 0).await, Some(2));
    }
}
