//! Dead letters: the broker's own, one's own, and the way back.

use crate::kit::{Bench, attribute, body, called_once, named, next, options, told};
use hopscope_rocketmq::Options;
use hopscope_sdk::{Failure, Retry};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Given up at once, read from `%DLQ%`, sent back, and then it succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_is_dead_lettered_by_the_broker_and_can_be_sent_back() {
    let bench = Bench::new();
    let producer = Arc::new(bench.producer().await);
    let sent = producer.send_with_timeout(bench.message(), 10_000).await.expect("sent").expect("a result");
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let mut undertaker =
        bench.consumer(&format!("%DLQ%{}", bench.group), &format!("{}-dead", bench.group)).await;
    let is_mended = Arc::new(AtomicBool::new(false));

    let (calls, mut called) = told();
    let (gave_up, mut given_up) = told();
    let mended = Arc::clone(&is_mended);
    let handler = async move |_: &hopscope_rocketmq::Traced<&_>| {
        let is_mended = mended.load(Ordering::SeqCst);
        if is_mended {
            let _ = calls.send(1);
            Ok(())
        } else {
            let _ = gave_up.send(1);
            Err(std::io::Error::other("no template"))
        }
    };
    let once = Options { retry: Retry::never(), ..options() };
    let redriver = Arc::clone(&producer);
    let back = async move |message: &hopscope_rocketmq::Traced<&_>| {
        is_mended.store(true, Ordering::SeqCst);
        redriver.redrive(message.message(), message.delivery()).await.map(drop)
    };
    let (done, mut is_done) = tokio::sync::watch::channel(false);
    let mut told_too = done.subscribe();
    tokio::join!(
        async {
            let stop = async {
                next(&mut called).await;
                let _ = done.send(true);
            };
            consumer.run(once.clone(), handler, stop).await.expect("started");
        },
        async {
            // The topic is there once the first letter is.
            next(&mut given_up).await;
            let stop = async {
                let _ = is_done.wait_for(|done| *done).await;
            };
            undertaker.run(once.clone(), back, stop).await.expect("started");
        },
        async {
            let _ = told_too.wait_for(|done| *done).await;
        }
    );

    let spans = bench.recorder.finished();
    let processed = named(&spans, "process");
    assert_eq!(processed.len(), 3);
    let of = |kind: &str| {
        let found = processed.iter().find(|span| attribute(span, "hopscope.copied_from.kind") == kind);
        *found.unwrap_or_else(|| panic!("nothing was handled, kind={kind:?}"))
    };
    let (failed, letter, again) = (of(""), of("dead_letter"), of("redrive"));
    let copied = failed.events.iter().find(|event| event.name == "hopscope.copied").expect("an event");
    assert!(copied.attributes.iter().any(|set| set.value.as_str().starts_with("%DLQ%")));
    assert_eq!(attribute(failed, "hopscope.disposition"), "reject");
    let id = sent.msg_id.expect("an id");
    for (name, value) in [("destination", bench.topic.as_str()), ("message_id", &id), ("group", &bench.group)]
    {
        assert_eq!(attribute(letter, &format!("hopscope.copied_from.{name}")), value);
    }
    assert_eq!(attribute(again, "hopscope.copied_from.destination"), format!("%DLQ%{}", bench.group));
    let sends = named(&spans, "send ");
    assert_eq!(sends[1].name, format!("send {}", bench.topic));
    assert_eq!(attribute(sends[1], "hopscope.copied_from.kind"), "redrive");
    let linked: Vec<_> = sends[1].links.iter().map(|link| link.span_context.span_id()).collect();
    assert!(linked.contains(&sends[0].span_context.span_id()), "the copy links to what made the original");
    assert_eq!(sends[1].parent_span_id, letter.span_context.span_id(), "sent by the work on the dead letter");
    bench.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_in_a_topic_of_ones_own_says_why() {
    let bench = Bench::new();
    let producer = Arc::new(bench.producer().await);
    producer.send_with_timeout(bench.message(), 10_000).await.expect("sent");
    let dead = format!("{}-dead", bench.topic);
    let (calls, mut called) = told();
    let (letters, to) = (Arc::clone(&producer), dead.clone());
    let mut consumer = bench.consumer(&bench.topic, &bench.group).await;
    let handler = async move |message: &hopscope_rocketmq::Traced<&_>| {
        let processing = message.process();
        let failure = Failure::new("Declined", "no cover");
        let sent = letters.dead_letter(&processing, message.message(), &to, &failure).await;
        processing.fail(failure).settle("pass_over").sent();
        let _ = calls.send(1);
        sent.map(drop)
    };
    consumer.run(options(), handler, called_once(&mut called)).await.expect("started");

    let (calls, mut called) = told();
    let mut reader = bench.consumer(&dead, &format!("{}-reader", bench.group)).await;
    let handler = async move |message: &hopscope_rocketmq::Traced<&_>| {
        assert_eq!(body(message.message()), "{}");
        let _ = calls.send(1);
        Ok::<(), std::fmt::Error>(())
    };
    reader.run(options(), handler, called_once(&mut called)).await.expect("started");

    let spans = bench.recorder.finished();
    let read = named(&spans, &format!("process {dead}"));
    let of = |name: &str| attribute(read[0], &format!("hopscope.copied_from.{name}"));
    assert_eq!((of("kind"), of("destination")), ("dead_letter".into(), bench.topic.clone()));
    assert_eq!((of("reason"), of("error_type")), ("no cover".into(), "Declined".into()));
    assert_eq!((of("group"), of("attempts")), (bench.group.clone(), "1".into()));
    assert_ne!(of("position"), "");
    let failed = named(&spans, &format!("process {}", bench.topic));
    let copied =
        failed.iter().flat_map(|span| span.events.iter()).any(|event| event.name == "hopscope.copied");
    assert!(copied, "the original says where its copy went");
    bench.close();
}
