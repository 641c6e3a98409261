//! What goes wrong is kept, although the head said no; everything else leaves no span.

use hopscope_sdk::kit::{MapHeaders, Records};
use hopscope_sdk::{
    CopiedFrom, Delivery, Details, Failure, Keep, Place, ProcessingBatch, Root, Sampler, Sampling, Telemetry,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::time::Duration;

const ORDERS: Place<'static> = Place::Kafka { topic: "orders", partition: Some(0), offset: Some(7) };

fn unsampled(keep: Keep) -> Records {
    Records::new(Sampling::all(Sampler::ParentBased(Root::Never)), keep)
}

fn spans(records: &Records) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(&*records.request()).expect("OTLP");
    request.resource_spans.into_iter().flat_map(|of| of.scope_spans).flat_map(|of| of.spans).collect()
}

fn names(records: &Records) -> Vec<String> {
    spans(records).into_iter().map(|span| span.name).collect()
}

fn kept_for(span: &Span) -> Option<String> {
    let set = span.attributes.iter().find(|set| set.key == "hopscope.kept")?;
    let value = set.value.clone()?.value?;
    let opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(text) = value else {
        return None;
    };
    Some(text)
}

fn send(telemetry: &Telemetry) -> MapHeaders {
    let mut headers = MapHeaders::default();
    let sending = telemetry.send("send", ORDERS, &Details::default());
    sending.inject(&mut headers);
    sending.confirm(ORDERS, &Details::default());
    headers
}

fn receive(telemetry: &Telemetry, details: &Details<'_>) -> Delivery {
    telemetry.receive("poll", ORDERS, details, &send(telemetry))
}

#[test]
fn what_goes_well_leaves_nothing_but_a_count() {
    let records = unsampled(Keep::default());
    receive(&records.telemetry(), &Details::default()).process().succeed().settle("commit").confirm();
    assert_eq!(names(&records), [""; 0]);
    let steps = records.steps();
    assert_eq!((steps.open, steps.sampled_away, steps.kept), (0, 4, 0));
}

#[test]
fn a_failure_brings_its_producer_side_and_what_follows_and_the_flag_stays_truthful() {
    let records = unsampled(Keep::default());
    let telemetry = records.telemetry();
    let unrelated = receive(&telemetry, &Details::default());
    let delivery = receive(&telemetry, &Details::default());
    let processing = delivery.process();
    processing.enter();
    let failed = processing.fail(Failure::new("OUT_OF_STOCK", "no such sku"));
    unrelated.process().succeed();
    failed.settle("commit").confirm();
    assert_eq!(names(&records), ["send orders", "poll orders", "process orders", "commit orders"]);
    let spans = spans(&records);
    let kept: Vec<_> = spans.iter().map(|span| kept_for(span).unwrap_or_default()).collect();
    assert_eq!(kept, ["failed", "failed", "failed", "trace"]);
    assert!(spans.iter().all(|span| span.flags & 1 == 0), "the head had said no");
    assert!(spans.windows(2).all(|pair| pair[0].trace_id == pair[1].trace_id));
    assert_eq!(records.steps().kept, 4);
}

#[test]
fn the_header_says_that_it_is_not_sampled() {
    let records = unsampled(Keep::default());
    let headers = send(&records.telemetry());
    let origin = records.telemetry().receive("poll", ORDERS, &Details::default(), &headers);
    assert!(!origin.origin().context.as_ref().expect("a context").is_sampled());
}

#[test]
fn retries_dead_letters_and_slow_work_are_kept() {
    let dead = Details { copied_from: Some(CopiedFrom::default()), ..Details::default() };
    let retried = Details { attempt: Some(2), ..Details::default() };
    for (details, keep, reason) in [
        (dead, Keep::default(), Some("dead_lettered")),
        (retried, Keep::default(), Some("retried")),
        (Details::default(), Keep { slower_than: Some(Duration::ZERO), ..Keep::default() }, Some("slow")),
        (retried, Keep { retried: false, ..Keep::default() }, None),
        (retried, Keep::NOTHING, None),
    ] {
        let records = unsampled(keep);
        receive(&records.telemetry(), &details).process().succeed();
        let spans = spans(&records);
        let process = spans.iter().find(|span| span.name == "process orders");
        let kept =
            process.and_then(kept_for).map(|reason| if reason == "trace" { None } else { Some(reason) });
        let any = spans.iter().find_map(kept_for);
        assert_eq!(any.as_deref(), reason, "{details:?}");
        assert_eq!(kept.is_some(), reason.is_some());
    }
}

#[test]
fn one_failed_message_of_a_batch_brings_its_own_sender_and_no_other() {
    let records = unsampled(Keep::default());
    let telemetry = records.telemetry();
    let deliveries: Vec<_> =
        (0..3).map(|_| telemetry.delivered(ORDERS, &Details::default(), &send(&telemetry))).collect();
    let failing = deliveries[1].origin().context.clone().expect("a context");
    let mut work = ProcessingBatch::start(deliveries).expect("messages");
    work.fail_one(1, Failure::new("OUT_OF_STOCK", ""));
    work.succeed();
    let spans = spans(&records);
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["send orders", "process orders"]);
    assert_eq!(spans[0].span_id, failing.span_id().to_bytes());
}

#[test]
fn the_ring_forgets_the_oldest_and_the_budget_holds() {
    let records = unsampled(Keep { ring_records_max: 8, ..Keep::default() });
    let telemetry = records.telemetry();
    let delivery = receive(&telemetry, &Details::default());
    (0..100).for_each(|_| drop(send(&telemetry)));
    let _ = delivery.process().fail(Failure::new("x", ""));
    assert_eq!(names(&records), ["process orders"], "its sender is long forgotten");

    let records = unsampled(Keep { records_per_second_max: 3, ..Keep::default() });
    let telemetry = records.telemetry();
    for _ in 0..1000 {
        telemetry.send("send", ORDERS, &Details::default()).fail(Failure::new("x", ""));
    }
    let seconds = 5;
    assert!((1..=3 * seconds).contains(&names(&records).len()), "{}", names(&records).len());
}

#[test]
fn of_the_commits_of_a_lane_the_last_is_told() {
    let lane = |partition| Place::Kafka { topic: "orders", partition: Some(partition), offset: None };
    let commit = |records: &Records, partition, group, next| {
        let details = Details { group, ..Details::default() };
        records.telemetry().settle_up_to("commit", lane(partition), &details, next)
    };
    let records = unsampled(Keep::default());
    for next in 1..=9 {
        commit(&records, 0, "payment", next).confirm();
        commit(&records, 1, "payment", 100 + next).sent();
        commit(&records, 1, "audit", 200 + next).confirm();
    }
    // Nothing that a group has reached.
    drop(commit(&records, 2, "payment", 300));
    receive(&records.telemetry(), &Details::default()).process().succeed().settle("commit").confirm();
    let next = |span: &Span| {
        let set = span.attributes.iter().find(|set| set.key == "hopscope.progress.next")?;
        let opentelemetry_proto::tonic::common::v1::any_value::Value::IntValue(next) =
            set.value.clone()?.value?
        else {
            return None;
        };
        Some((next, kept_for(span)?))
    };
    let told = |records: &Records| {
        let mut told: Vec<_> = spans(records).iter().map(next).collect();
        told.sort();
        told
    };
    let of = |next: i64| Some((next, "progress".to_owned()));
    assert_eq!(told(&records), [of(9), of(109), of(209)]);
    let steps = records.steps();
    assert_eq!((steps.sampled_away, steps.kept), (27 + 1 + 4, 3));
    // The same place again is told again: a group may be quiet, or set back.
    commit(&records, 0, "payment", 9).confirm();
    assert_eq!(told(&records), [of(9), of(9), of(109), of(209)]);

    let records = unsampled(Keep { progress: false, ..Keep::default() });
    commit(&records, 0, "payment", 9).confirm();
    assert_eq!(told(&records), []);
}

#[test]
fn a_destination_has_its_own_sampler() {
    let destinations = hopscope_sdk::PerDestination::new(Sampler::Never).with("pay*", Sampler::Always);
    let records = Records::new(Sampling { destinations }, Keep::NOTHING);
    for topic in ["orders", "payments"] {
        let place = Place::Kafka { topic, partition: None, offset: None };
        records.telemetry().send("send", place, &Details::default()).accepted();
    }
    assert_eq!(names(&records), ["send payments"]);
}

/// `b3: 0` is a decision without a context.
#[test]
fn a_sender_that_decided_and_says_no_more_is_heard() {
    for (b3, expected) in [("0", [""; 0].as_slice()), ("1", &["poll orders"])] {
        let records = Records::new(Sampling::default(), Keep::default());
        let headers = MapHeaders(vec![("b3".into(), Some(b3.as_bytes().to_vec()))]);
        records.telemetry().receive("poll", ORDERS, &Details::default(), &headers);
        assert_eq!(names(&records), expected, "b3: {b3}");
    }
}
