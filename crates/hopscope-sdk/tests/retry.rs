//! Attempts in place, as the process span shows them.

use hopscope_sdk::kit::{MapHeaders, Recorder};
use hopscope_sdk::{Details, Failure, Place, Processing, Retry, Verdict};
use std::cell::Cell;
use std::future::pending;
use std::time::Duration;
use tokio::time::Instant;

fn processing(recorder: &Recorder) -> Processing {
    let place = Place::Nats { subject: "orders" };
    recorder.telemetry().receive("next", place, &Details::default(), &MapHeaders::default()).process()
}

/// `hopscope.attempt`, `hopscope.retry.delay_ms` and `error.type` of each retry; `hopscope.retry.count`.
fn told(recorder: &Recorder) -> (Vec<[String; 3]>, Option<String>) {
    let spans = recorder.finished();
    let span = spans.last().expect("the process span");
    let events = span.events.iter().map(|event| {
        assert_eq!(event.name, "hopscope.retry");
        ["hopscope.attempt", "hopscope.retry.delay_ms", "error.type"].map(|key| {
            let found = event.attributes.iter().find(|attribute| attribute.key.as_str() == key);
            found.map(|attribute| attribute.value.to_string()).unwrap_or_default()
        })
    });
    let count = span.attributes.iter().find(|attribute| attribute.key.as_str() == "hopscope.retry.count");
    (events.collect(), count.map(|attribute| attribute.value.to_string()))
}

#[tokio::test(start_paused = true)]
async fn each_retry_is_an_event_and_the_number_an_attribute() {
    let recorder = Recorder::default();
    let processing = processing(&recorder);
    let times = Cell::new(0);
    let begun = Instant::now();
    let retry = Retry::times(5).exponential(Duration::from_secs(1), 2.0, LONG).without_jitter();
    let done = retry
        .run_as(
            &processing,
            |error: &&'static str| Failure::new(*error, ""),
            || {
                times.set(times.get() + 1);
                async { if times.get() < 3 { Err("Busy") } else { Ok(times.get()) } }
            },
        )
        .await;
    assert_eq!((done, begun.elapsed()), (Ok(3), Duration::from_secs(3)));
    processing.succeed();
    let events = [["1", "1000", "Busy"], ["2", "2000", "Busy"]].map(|event| event.map(str::to_owned));
    assert_eq!(told(&recorder), (events.to_vec(), Some("2".to_owned())));
}

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn the_last_error_comes_back_and_a_first_success_says_nothing() {
    let recorder = Recorder::default();
    let failing = processing(&recorder);
    let retry = Retry::times(3).fixed(Duration::from_secs(1));
    let result: Result<(), _> = retry.run(&failing, || async { Err(std::fmt::Error) }).await;
    assert_eq!(result, Err(std::fmt::Error));
    failing.fail(&std::fmt::Error);
    let (events, count) = told(&recorder);
    assert_eq!((events.len(), count.as_deref()), (2, Some("2")), "the third attempt was the last");

    let succeeding = processing(&recorder);
    let result: Result<(), std::fmt::Error> = retry.run(&succeeding, || async { Ok(()) }).await;
    result.expect("at once");
    succeeding.succeed();
    assert_eq!(told(&recorder), (vec![], None));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_one_tells_the_number_of_then() {
    let recorder = Recorder::default();
    let processing = processing(&recorder);
    let times = Cell::new(0);
    let retry = Retry::times(9);
    let work = retry.run(&processing, || {
        times.set(times.get() + 1);
        async {
            if times.get() == 3 {
                pending::<()>().await;
            }
            Err::<(), _>(std::fmt::Error)
        }
    });
    tokio::time::timeout(Duration::from_secs(1), work).await.expect_err("the third attempt hangs");
    drop(processing);
    let (events, count) = told(&recorder);
    assert_eq!((events.len(), count.as_deref()), (2, Some("2")));
}

#[tokio::test]
async fn through_the_broker_the_verdict_is_noted_too() {
    let recorder = Recorder::default();
    let processing = processing(&recorder);
    let retry = Retry::times(3).fixed(Duration::from_millis(250));
    let failure = Failure::new("Busy", "");
    let delay = Duration::from_millis(250);
    assert_eq!(retry.decide(&processing, 2, &failure), Verdict::Again { delay });
    assert_eq!(retry.decide(&processing, 3, &failure), Verdict::GiveUp);
    processing.fail(failure);
    let events = [["2", "250", "Busy"].map(str::to_owned)];
    assert_eq!(told(&recorder), (events.to_vec(), None));
}

/// A handler's future goes to other threads: so does one that is tried again.
#[test]
fn the_work_can_be_spawned() {
    fn sent(_: impl Send) {}
    let recorder = Recorder::default();
    let processing = processing(&recorder);
    let retry = Retry::never();
    sent(retry.run(&processing, || async { Ok::<(), std::fmt::Error>(()) }));
}
