//! Faults of services that use the SDK: contexts that do not arrive, spans that are sampled away or dropped.

use crate::estate::Estate;
use crate::program::{INJECT, MESSAGES, TRACEPARENT};

#[test]
fn a_sender_that_writes_no_context() {
    let estate = Estate::empty();
    estate.run("send", "checkout", "sent", &[(INJECT, "false")]);
    estate.run("consume", "payment", "sent", &[]);
    let found = estate.doctor(&[]).only("propagation_broken");
    let who = (found.service.as_str(), found.other_service.as_str(), found.destination.as_str());
    assert_eq!(who, ("payment", "checkout", "orders"));
    assert_eq!(
        (found.severity.as_str(), found.fact("missing"), found.fact("received")),
        ("error", "40", "40")
    );
    assert_eq!((found.fact("suspect"), found.fact("source")), ("sender_or_between", "counted"));
    assert!(found.next.contains("checkout") && found.next.contains("MirrorMaker"), "{found:?}");
    estate.shows(&found);
    // Who asks about somebody else is told of that one alone.
    estate.doctor(&["--service", "nobody", "--destination", "orders"]).only("service_never_seen");
    estate.doctor(&["--service", "checkout", "--destination", "orders"]).only("propagation_broken");
    estate.doctor(&["--destination", "payments"]).only("destination_never_seen");
}

#[test]
fn a_hop_before_one_consumer_strips_the_headers() {
    let estate = Estate::healthy();
    estate.run("consume", "audit", "sent", &[(TRACEPARENT, ""), ("DOCTOR_GROUP", "audit")]);
    let found = estate.doctor(&[]).only("propagation_broken");
    assert_eq!((found.service.as_str(), found.group.as_str()), ("audit", "audit"));
    assert_eq!(found.fact("suspect"), "consumer");
    assert!(found.next.starts_with("look at audit"), "{found:?}");
}

#[test]
fn nobody_traced_sends_there() {
    let estate = Estate::empty();
    estate.run("send", "legacy", "sent", &[("OTEL_SDK_DISABLED", "true"), (INJECT, "false")]);
    estate.run("consume", "payment", "sent", &[]);
    let found = estate.doctor(&[]).only("sender_not_traced");
    assert_eq!((found.service.as_str(), found.fact("missing")), ("payment", "40"));
    assert!(found.next.contains("trace whoever sends to orders"), "{found:?}");
}

#[test]
fn a_foreign_client_that_writes_a_context_that_is_none() {
    let estate = Estate::healthy();
    let broken = "00-not-a-trace-id";
    estate.run("consume", "audit", "sent", &[(TRACEPARENT, broken), ("DOCTOR_GROUP", "audit")]);
    let found = estate.doctor(&[]).only("context_broken");
    assert_eq!((found.service.as_str(), found.fact("broken")), ("audit", "40"));
    assert!(found.fact("problem").contains("traceparent"), "{found:?}");
    assert!(found.next.contains("valid traceparent"), "{found:?}");
    estate.shows(&found);
}

#[test]
fn spans_that_were_sampled_away() {
    let estate = Estate::empty();
    let sampler = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.1")];
    estate.run("send", "checkout", "sent", &sampler);
    estate.run("consume", "payment", "sent", &[]);
    let found = estate.doctor(&["--service", "checkout"]).only("spans_sampled_away");
    let number = |name: &str| found.fact(name).parse::<usize>().expect("a number");
    assert_eq!(number("sampled_away") + number("ended"), MESSAGES, "{found:?}");
    assert!(number("sampled_away") > MESSAGES / 2 && found.service == "checkout", "{found:?}");
    assert!(found.next.contains("OTEL_TRACES_SAMPLER_ARG"), "{found:?}");
}

#[test]
fn spans_that_the_queue_dropped_are_told_exactly() {
    let estate = Estate::empty();
    let told = estate.run("send", "checkout", "sent", &[("OTEL_BSP_MAX_QUEUE_SIZE", "5")]);
    let dropped =
        told.split_once("dropped=").expect("its line").1.split_whitespace().next().expect("a number");
    assert_ne!(dropped, "0", "the queue of five did overflow");
    estate.run("consume", "payment", "sent", &[]);
    let found = estate.doctor(&[]).only("spans_dropped");
    assert_eq!(
        (found.service.as_str(), found.fact("dropped"), found.fact("ended")),
        ("checkout", dropped, "40")
    );
    assert!(!found.instance.is_empty() && found.next.contains("queue_bytes_max"), "{found:?}");
}
