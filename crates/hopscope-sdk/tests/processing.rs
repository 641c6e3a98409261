//! The processing guard over awaits, tasks, threads, cancellation and panics.

use expect_test::{Expect, expect};
use hopscope_sdk::kit::{MapHeaders, Recorder};
use hopscope_sdk::opentelemetry::baggage::BaggageExt;
use hopscope_sdk::opentelemetry::{Context, KeyValue};
use hopscope_sdk::{Delivery, Details, Place, Processing, Sending, Telemetry};

const IN: Place<'static> = Place::Nats { subject: "in" };
const OUT: Place<'static> = Place::Nats { subject: "out" };

fn delivery(telemetry: &Telemetry) -> Delivery {
    telemetry.receive("receive", IN, &Details::default(), &MapHeaders::default())
}

fn send_out(telemetry: &Telemetry) {
    let sending: Sending = telemetry.send("publish", OUT, &Details::default());
    sending.confirm(OUT, &Details::default());
}

/// The lines that tell relations and outcomes, without the rest.
fn check(recorder: &Recorder, expected: Expect) {
    let text = recorder.text(&[], &[]);
    let told = |line: &&str| {
        !line.starts_with(' ')
            || line.contains("hopscope.")
            || line.contains("error")
            || line.contains("Error")
    };
    let lines: String = text.lines().filter(told).map(|line| format!("{line}\n")).collect();
    expected.assert_eq(&lines);
}

#[tokio::test]
async fn what_a_handler_sends_is_its_child_in_tasks_and_threads_too() {
    let recorder = Recorder::default();
    let telemetry = recorder.telemetry();
    let processing: Processing = delivery(&telemetry).process();
    processing
        .run(async {
            tokio::task::yield_now().await;
            send_out(&telemetry);
        })
        .await;
    let task = telemetry.clone();
    tokio::spawn(processing.run(async move { send_out(&task) })).await.expect("no panic");
    let processing = std::thread::spawn({
        let telemetry = telemetry.clone();
        move || {
            let entered = processing.enter();
            send_out(&telemetry);
            drop(entered);
            processing
        }
    })
    .join()
    .expect("no panic");
    processing.succeed();
    send_out(&telemetry);
    check(
        &recorder,
        expect![[r#"
        receive in (client) parent: - links: []
        publish out (producer) parent: process in links: []
        publish out (producer) parent: process in links: []
        publish out (producer) parent: process in links: []
        process in (consumer) parent: - links: []
          hopscope.disposition = accept
        publish out (producer) parent: - links: []
    "#]],
    );
}

#[tokio::test]
async fn a_cancelled_handler_is_unknown() {
    let recorder = Recorder::default();
    let processing = delivery(&recorder.telemetry()).process();
    let task = tokio::spawn(async move {
        let forever = processing.run(std::future::pending::<()>());
        forever.await;
        processing.succeed();
    });
    tokio::task::yield_now().await;
    task.abort();
    assert!(task.await.is_err_and(|error| error.is_cancelled()));
    check(
        &recorder,
        expect![[r#"
        receive in (client) parent: - links: []
        process in (consumer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = dropped
    "#]],
    );
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_failure_with_its_message() {
    let recorder = Recorder::default();
    let processing = delivery(&recorder.telemetry()).process();
    let task = tokio::spawn(async move {
        processing.run(async { panic!("no stock, sku={}", 7) }).await;
        processing.succeed();
    });
    assert!(task.await.is_err_and(|error| error.is_panic()));
    check(
        &recorder,
        expect![[r#"
        receive in (client) parent: - links: []
        process in (consumer) parent: - links: []
          error.type = panic
          Error { description: "no stock, sku=7" }
    "#]],
    );
}

#[tokio::test]
async fn a_failure_declared_after_a_panic_is_that_panic() {
    let recorder = Recorder::default();
    let processing = delivery(&recorder.telemetry()).process();
    let part = tokio::spawn(processing.run(async { panic!("part") })).await;
    processing.fail(&part.expect_err("it panicked"));
    check(
        &recorder,
        expect![[r#"
        receive in (client) parent: - links: []
        process in (consumer) parent: - links: []
          error.type = panic
          Error { description: "part" }
    "#]],
    );
}

#[tokio::test]
async fn a_panic_that_was_recovered_from_is_no_failure() {
    let recorder = Recorder::default();
    let processing = delivery(&recorder.telemetry()).process();
    let _ = tokio::spawn(processing.run(async { panic!("part") })).await;
    processing.succeed();
    check(
        &recorder,
        expect![[r#"
        receive in (client) parent: - links: []
        process in (consumer) parent: - links: []
          hopscope.disposition = accept
    "#]],
    );
}

#[test]
fn a_panic_on_a_thread_without_run_is_a_failure_too() {
    let recorder = Recorder::default();
    let processing = delivery(&recorder.telemetry()).process();
    let thread = std::thread::spawn(move || {
        let _entered = processing.enter();
        panic!("on a thread");
    });
    assert!(thread.join().is_err());
    check(
        &recorder,
        expect![[r#"
        receive in (client) parent: - links: []
        process in (consumer) parent: - links: []
          error.type = panic
          Error { description: "" }
    "#]],
    );
}

#[test]
fn baggage_of_the_message_reaches_what_the_handler_sends() {
    let recorder = Recorder::default();
    let telemetry = recorder.telemetry();
    let mut headers = MapHeaders::default();
    let context = Context::new().with_baggage([KeyValue::new("tenant", "blue")]);
    let entered = context.attach();
    telemetry.send("publish", IN, &Details::default()).inject(&mut headers);
    drop(entered);
    let processing = telemetry.receive("receive", IN, &Details::default(), &headers).process();
    let entered = processing.enter();
    let mut out = MapHeaders::default();
    telemetry.send("publish", OUT, &Details::default()).inject(&mut out);
    drop(entered);
    assert!(out.0.contains(&("baggage".to_owned(), Some(b"tenant=blue".to_vec()))), "{out:?}");
}
