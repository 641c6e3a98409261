//! Faults that the data shows: services that never tell, clocks, ends, instances, names, groups, positions.

use crate::client::{MINUTE_NS, Metric, PROCESS, SECOND_NS, SEND, Service, Span, status};
use crate::estate::Estate;
use hopscope_server::now_ns;

const CHECKOUT: Service = Service::named("checkout", "checkout-1");
const PAYMENT: Service = Service::named("payment", "payment-1");

/// Sent by one service, processed by another.
fn exchange(estate: &Estate, sender: &Service, send: Span, consumer: &Service, process: Span) {
    let all = |of: Span| (0..20).map(|message| Span { message, ..of }.json()).collect();
    sender.send(estate, all(send));
    consumer.send(estate, all(process));
}

#[test]
fn a_service_that_never_told_of_itself() {
    let estate = Estate::healthy();
    let found = estate.doctor(&["--service", "chekout"]).only("service_never_seen");
    assert_eq!(
        (found.service.as_str(), found.fact("similar"), found.fact("known")),
        ("chekout", "checkout", "2")
    );
    assert!(found.next.contains("OTEL_SERVICE_NAME=chekout"), "{found:?}");
    let found = estate.doctor(&["--destination", "order"]).only("destination_never_seen");
    assert_eq!(found.fact("similar"), "orders");
    let found = Estate::empty().doctor(&[]).only("nothing_received");
    assert!(found.text.contains("ever"), "{found:?}");
}

#[test]
fn a_service_that_has_fallen_silent() {
    let estate = Estate::healthy();
    let old = Span { ago_ns: 120 * MINUTE_NS, ..SEND };
    Service::named("billing", "billing-1").send(&estate, vec![old.json()]);
    let found = estate.doctor(&["--service", "billing"]).only("service_silent");
    assert!(found.text.contains("the last was 2 h ago"), "{found:?}");
}

#[test]
fn a_clock_that_is_ahead_and_one_that_is_behind() {
    let estate = Estate::empty();
    let ahead = Span { ago_ns: SEND.ago_ns - 5 * SECOND_NS, ..SEND };
    exchange(&estate, &CHECKOUT, ahead, &PAYMENT, PROCESS);
    let found = estate.doctor(&[]).only("clock_skew");
    assert_eq!((found.service.as_str(), found.other_service.as_str()), ("payment", "checkout"));
    assert_eq!(
        (found.fact("suspect"), found.fact("way"), found.fact("messages")),
        ("checkout", "ahead", "20")
    );
    let skew_ns: i64 = found.fact("skew").parse().expect("a number");
    assert!(
        (4 * SECOND_NS..5 * SECOND_NS).contains(&skew_ns),
        "five seconds less the half between them: {found:?}"
    );
    assert!(found.next.contains("checkout (instance checkout-1)"), "{found:?}");
    estate.shows(&found);

    let estate = Estate::empty();
    let behind = Span { ago_ns: PROCESS.ago_ns + 60 * SECOND_NS, ..PROCESS };
    exchange(&estate, &CHECKOUT, SEND, &PAYMENT, behind);
    let found = estate.doctor(&[]).only("clock_skew");
    assert_eq!((found.fact("suspect"), found.fact("way")), ("payment", "behind"));
}

#[test]
fn work_that_never_ended() {
    let estate = Estate::empty();
    exchange(&estate, &CHECKOUT, SEND, &PAYMENT, PROCESS);
    let open = |message| Span { message, ago_ns: 20 * MINUTE_NS, took_ns: None, ..PROCESS }.json();
    CHECKOUT.send(&estate, vec![Span { message: 90, ago_ns: 21 * MINUTE_NS, ..SEND }.json()]);
    PAYMENT.send(&estate, vec![open(90)]);
    let found = estate.doctor(&[]).only("never_ended");
    assert_eq!(
        (found.service.as_str(), found.instance.as_str(), found.fact("messages")),
        ("payment", "payment-1", "1")
    );
    assert_eq!(found.examples, ["kafka:orders/0/90"]);
    assert!(found.next.contains("crashed"), "{found:?}");
    estate.shows(&found);
}

#[test]
fn a_crash_between_receive_and_process() {
    let estate = Estate::empty();
    exchange(&estate, &CHECKOUT, SEND, &PAYMENT, PROCESS);
    let old = Span { message: 91, ago_ns: 20 * MINUTE_NS, ..SEND };
    CHECKOUT.send(&estate, vec![old.json()]);
    PAYMENT.send(&estate, vec![Span { stage: "receive", group: "payment", ..old }.json()]);
    let found = estate.doctor(&[]).only("received_not_processed");
    assert_eq!((found.service.as_str(), found.fact("messages")), ("payment", "1"));
    assert_eq!(found.examples, ["kafka:orders/0/91"]);
}

#[test]
fn a_process_that_stopped_with_work_open() {
    let estate = Estate::healthy();
    let (from_ns, at_ns) = (now_ns() - 30 * MINUTE_NS, now_ns() - 10 * MINUTE_NS);
    let pending = Metric {
        name: "hopscope.sdk.spans.pending",
        attributes: &[("hopscope.sdk.span.state", "unended")],
        from_ns,
        at_ns,
        count: 3,
        is_level: true,
    };
    Service::named("billing", "billing-7").count(&estate, &pending);
    let found = estate.doctor(&[]).only("stopped_with_work_open");
    let who = (found.service.as_str(), found.instance.as_str(), found.fact("unended"));
    assert_eq!(who, ("billing", "billing-7", "3"));
}

#[test]
fn two_instances_that_report_as_one() {
    let estate = Estate::empty();
    let host = |host| Service { host, ..Service::named("checkout", "") };
    exchange(&estate, &host("a"), SEND, &PAYMENT, PROCESS);
    let (from_ns, at_ns) = (now_ns() - 10 * MINUTE_NS, now_ns() - SECOND_NS);
    let attributes = [("messaging.system", "kafka"), ("messaging.destination.name", "orders")];
    for name in ["a", "b"] {
        let sent = Metric {
            name: "messaging.client.sent.messages",
            attributes: &attributes,
            from_ns,
            at_ns,
            count: 10,
            is_level: false,
        };
        host(name).send(&estate, vec![Span { message: if name == "a" { 50 } else { 51 }, ..SEND }.json()]);
        host(name).count(&estate, &sent);
    }
    let found = estate.doctor(&[]).only("instance_missing");
    assert_eq!(
        (found.service.as_str(), found.severity.as_str(), found.fact("processes")),
        ("checkout", "warning", "2")
    );
    assert_eq!(found.fact("named"), "a, b");
    assert!(found.next.contains("service.instance.id"), "{found:?}");
}

#[test]
fn two_processes_under_one_instance_id() {
    let estate = Estate::empty();
    exchange(&estate, &CHECKOUT, SEND, &PAYMENT, PROCESS);
    for (message, host, ago_ns) in [(50, "a", 9), (51, "b", 8), (52, "a", 7), (53, "b", 6)] {
        let copied = Service { host, ..Service::named("billing", "from-the-image") };
        copied.send(&estate, vec![Span { message, ago_ns: ago_ns * SECOND_NS, ..SEND }.json()]);
    }
    let found = estate.doctor(&[]).only("instance_shared");
    assert_eq!((found.service.as_str(), found.instance.as_str()), ("billing", "from-the-image"));
}

#[test]
fn a_consumer_without_its_group() {
    let estate = Estate::empty();
    exchange(&estate, &CHECKOUT, SEND, &PAYMENT, Span { group: "", ..PROCESS });
    let found = estate.doctor(&[]).only("group_missing");
    let who = (found.service.as_str(), found.destination.as_str(), found.fact("events"));
    assert_eq!(who, ("payment", "orders", "20"));
    assert!(found.next.contains("messaging.consumer.group.name"), "{found:?}");
    estate.shows(&found);
}

#[test]
fn a_consumer_without_partition_and_offset() {
    let estate = Estate::empty();
    exchange(&estate, &CHECKOUT, SEND, &PAYMENT, Span { has_position: false, ..PROCESS });
    let found = estate.doctor(&[]).only("position_missing");
    assert_eq!((found.service.as_str(), found.fact("stages")), ("payment", "process"));
    assert!(found.next.contains("messaging.kafka.offset"), "{found:?}");
}

#[test]
fn a_service_without_name() {
    let estate = Estate::empty();
    exchange(&estate, &Service::named("unknown_service:java", "j-1"), SEND, &PAYMENT, PROCESS);
    let found = estate.doctor(&[]).only("service_missing");
    assert_eq!((found.service.as_str(), found.fact("events")), ("unknown_service:java", "20"));
    assert!(found.next.contains("OTEL_SERVICE_NAME"), "{found:?}");
}

#[test]
fn a_destination_for_each_message() {
    let estate = Estate::empty();
    for message in 0..25 {
        let destination: &'static str =
            Box::leak(format!("order-{}-created", 4700 + message).into_boxed_str());
        CHECKOUT.send(&estate, vec![Span { message, destination, ..SEND }.json()]);
    }
    let found = estate.doctor(&[]).only("destination_per_message");
    let who = (found.service.as_str(), found.fact("template"), found.fact("destinations"));
    assert_eq!(who, ("checkout", "order-{}-created", "25"));
}

#[test]
fn metrics_that_arrive_and_spans_that_do_not() {
    let estate = Estate::healthy();
    let attributes = [("messaging.system", "kafka"), ("messaging.destination.name", "orders")];
    let (from_ns, at_ns) = (now_ns() - 10 * MINUTE_NS, now_ns() - SECOND_NS);
    let name = "messaging.client.sent.messages";
    let sent = Metric { name, attributes: &attributes, from_ns, at_ns, count: 500, is_level: false };
    Service::named("billing", "billing-1").count(&estate, &sent);
    let found = estate.doctor(&[]).only("spans_missing");
    assert_eq!(
        (found.service.as_str(), found.fact("messages"), found.fact("stored")),
        ("billing", "500", "0")
    );
    assert!(found.next.contains("OTEL_TRACES_EXPORTER"), "{found:?}");
}

#[test]
fn a_sender_of_nonsense_to_the_server() {
    let estate = Estate::healthy();
    let url = format!("{}/v1/traces", estate.server.otlp_http);
    assert_eq!(status(&url, "application/json", b"[]".to_vec()), 400);
    let found = estate.doctor(&[]).only("requests_refused");
    assert_eq!((found.fact("receiver"), found.fact("refused")), ("otlp_http", "1"));
}

#[test]
fn more_events_than_are_looked_at_one_by_one_are_told() {
    let estate = Estate::empty();
    let all = |of: Span| (0..2_100).map(|message| Span { message, ..of }.json()).collect();
    CHECKOUT.send(&estate, all(SEND));
    PAYMENT.send(&estate, all(PROCESS));
    let told = estate.doctor(&[]);
    assert_eq!((told.findings.as_slice(), told.exit), (&[][..], 0), "{told:?}");
    assert_eq!(told.check("attributes").looked_at.0, 4_200, "counts are of all of them");
    let text = estate.text(&[]);
    assert!(text.contains("sample_events=4000 sample_events_max=4000"), "{text}");
}
