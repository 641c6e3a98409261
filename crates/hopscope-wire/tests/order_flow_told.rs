//! The order flow, told: what a person reads of the last order, out of nothing but its spans.

use expect_test::{Expect, expect};
use hopscope_model::{Evidence, Key, MessageRef, Stage, Tenant, Trajectory, assemble, messages, wants};
use hopscope_wire::order_flow::order_flow;
use hopscope_wire::otlp::{DecodeLimits, decode_protobuf, encode_request};
use std::collections::BTreeSet;

const START_NS: i64 = 1_795_248_000_000_000_000;

fn everything() -> (Evidence, i64) {
    let flow = order_flow(START_NS, 12, 7);
    let bytes = encode_request(&flow.resources);
    let decoded =
        decode_protobuf(&bytes, &Tenant::default(), flow.end_ns, &DecodeLimits::default()).expect("decodes");
    let batch = decoded.batch;
    let mut events: Vec<_> = batch.events().map(|event| event.to_owned()).collect();
    events.sort_by_key(|event| (event.start_ns, event.id()));
    let mut progress: Vec<_> = batch.progress_owned().collect();
    progress.sort_by_key(|progress| progress.at_ns);
    (Evidence { events, progress, ..Evidence::default() }, flow.end_ns)
}

/// What a store answers for that key.
fn answer(all: &Evidence, key: &Key, into: &mut Evidence) {
    let found = |event: &&hopscope_model::MessageEvent| match key {
        Key::Trace(trace) => event.trace == *trace,
        Key::Span(span) => event.span == *span,
        Key::Children(span) => event.parent == *span,
        Key::Creation(context) => event.creation == Some(*context),
        Key::Position(at) => {
            event.system == at.system
                && event.destination == at.destination
                && event.lane == at.lane
                && event.position == Some(at.position)
        }
        Key::MessageId { system, destination, id } => {
            event.message_id == *id
                && (system.is_empty() || event.system == *system)
                && (destination.is_empty() || event.destination == *destination)
        }
        Key::Business(key) => event.keys.contains(key),
        Key::Correlation(id) => event.correlation_id == *id,
        Key::Progress(_) => false,
    };
    into.events.extend(all.events.iter().filter(found).cloned());
    if let Key::Progress(at) = key {
        let here = |progress: &&hopscope_model::Progress| {
            progress.system == at.system && progress.destination == at.destination
        };
        into.progress.extend(all.progress.iter().filter(here).cloned());
    }
}

fn told(all: &Evidence, reference: &str, as_of_ns: i64) -> (Trajectory, usize, usize) {
    let reference: MessageRef = reference.parse().expect("a reference");
    let (mut asked, mut evidence, mut rounds) = (BTreeSet::new(), Evidence::default(), 0);
    loop {
        let keys = wants(&reference, &evidence, &asked);
        if keys.is_empty() {
            break;
        }
        rounds += 1;
        for key in keys {
            answer(all, &key, &mut evidence);
            asked.insert(key);
        }
    }
    let story = assemble(&reference, &evidence, as_of_ns).expect("it is there");
    (story, asked.len(), rounds)
}

fn check(reference: &str, expected: Expect) {
    let (all, now) = everything();
    let (story, asked, rounds) = told(&all, reference, now);
    let mut text = format!("asked {asked} keys in {rounds} rounds\n");
    text += &render(&story);
    expected.assert_eq(&text);
}

fn ms(latency: Option<hopscope_model::Latency>) -> String {
    latency.map_or("?".into(), |latency| {
        format!("{}{}", latency.ns / 1_000_000, if latency.across_clocks { "~" } else { "" })
    })
}

fn render(story: &Trajectory) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let s = &story.subject;
    let _ = writeln!(
        out,
        "{} {}/{}/{:?} ids {:?} keys {:?} from {} traces {}",
        s.system,
        s.destination,
        s.lane,
        s.position,
        s.message_ids,
        s.keys,
        s.sender,
        s.traces.len()
    );
    for joined in &story.events {
        let _ = writeln!(
            out,
            "  {:8} {:12} {}",
            joined.event.stage.name(),
            joined.by.name(),
            joined.event.service
        );
    }
    for send in &story.sends {
        let _ = writeln!(out, "send {} produce {}", send.outcome.name(), ms(send.produce));
    }
    for group in &story.groups {
        let _ = writeln!(
            out,
            "group {:?} {} ({}): {}; total {}",
            group.group,
            group.state,
            group.grade,
            group.why,
            ms(group.total)
        );
        for a in &group.attempts {
            let _ = writeln!(
                out,
                "  attempt {} {} {:?} {:?} copy {} queue {} wait {} process {} settle {}",
                a.number,
                a.outcome.name(),
                a.disposition,
                a.events,
                a.of_copy.as_ref().map_or(String::new(), ToString::to_string),
                ms(a.queue),
                ms(a.wait),
                ms(a.process),
                ms(a.settle)
            );
        }
    }
    for (name, list) in [("cause", &story.causes), ("effect", &story.effects)] {
        for r in list {
            let _ = writeln!(
                out,
                "{name} {} through {} after {:?} ({} spans between)",
                r.message,
                r.service,
                r.after_ns.map(|ns| ns / 1_000_000),
                r.through.len()
            );
        }
    }
    for copy in &story.copies {
        let _ = writeln!(
            out,
            "copy {} original {} {} in {} by {} attempts {:?} {}",
            copy.kind,
            copy.other_is_original,
            copy.other.as_ref().map_or(String::new(), ToString::to_string),
            copy.destination,
            copy.group,
            copy.attempts,
            copy.reason
        );
    }
    for gap in &story.gaps {
        let _ = writeln!(out, "gap {}: {}", gap.kind, gap.detail);
    }
    out
}

#[test]
fn all_messages_of_the_flow_are_told_apart() {
    let (all, _) = everything();
    let found = messages(&all);
    let sends = all.events.iter().filter(|event| event.stage == Stage::Send).count();
    // The dead letter and the two retries are copies that no client sent.
    assert_eq!(found.len(), sends + 3, "{found:#?}");
}

#[test]
fn the_order() {
    check(
        "kafka:orders/0/11",
        expect![[r#"
            asked 6 keys in 2 rounds
            kafka orders/0/Some(11) ids [] keys ["order-4711"] from checkout traces 2
              send     subject      checkout
              receive  coordinates  payment
              process  coordinates  payment
            send ok produce 2
            group "analytics" not_consumed_yet (observed): analytics is at 5 of orders/0, this message is at 11; total ?
            group "payment" succeeded (observed): its handler said so at attempt 1; total 44~
              attempt 1 ok Some(Accept) [1, 2] copy  queue 2~ wait 0 process 40 settle ?
            effect id:rabbitmq:payments:order-4711-payment through payment after Some(35) (0 spans between)
        "#]],
    );
}

#[test]
fn the_payment_refused_once() {
    check(
        "id:rabbitmq:payments:order-4711-payment",
        expect![[r#"
            asked 9 keys in 3 rounds
            rabbitmq payments//None ids ["order-4711-payment"] keys ["order-4711"] from payment traces 3
              send     subject      payment
              receive  message_id   fulfilment
              process  message_id   fulfilment
              settle   parent       fulfilment
              receive  message_id   fulfilment
              process  message_id   fulfilment
              settle   parent       fulfilment
            send ok produce 3
            group "fulfilment" succeeded (observed): its handler said so at attempt 2; total 720472~
              attempt 1 failed Some(Retry) [1, 2, 3] copy  queue 720006~ wait 0 process 25 settle 0
              attempt 2 ok Some(Accept) [4, 5, 6] copy  queue ? wait 0 process 62 settle 0
            cause kafka:orders/0/11 through payment after Some(35) (0 spans between)
            effect nats:SHIPMENTS//12 through fulfilment after Some(57) (0 spans between)
        "#]],
    );
}

#[test]
fn the_payment_dead_lettered() {
    check(
        "id:rabbitmq:payments:order-4707-payment",
        expect![[r#"
            asked 8 keys in 3 rounds
            rabbitmq payments//None ids ["order-4707-payment"] keys ["order-4707"] from payment traces 2
              send     subject      payment
              receive  message_id   fulfilment
              process  message_id   fulfilment
              settle   parent       fulfilment
            send ok produce 3
            group "fulfilment" dead_lettered (observed): a copy of it is in payments.dlx: the bank has blocked the card; total 58~
              attempt 1 failed Some(Reject) [1, 2, 3] copy  queue 36~ wait 0 process 18 settle 0
            cause kafka:orders/0/7 through payment after Some(35) (0 spans between)
            copy dead_letter original false id:rabbitmq:payments.dlx:order-4707-payment in payments.dlx by fulfilment attempts Some(1) the bank has blocked the card
        "#]],
    );
}

#[test]
fn the_dead_letter() {
    check(
        "id:rabbitmq:payments.dlx:order-4707-payment",
        expect![[r#"
            asked 7 keys in 3 rounds
            rabbitmq payments.dlx//None ids ["order-4707-payment"] keys ["order-4707"] from  traces 1
              process  subject      support
            group "payments.dead" succeeded (observed): its handler said so at attempt 1; total ?
              attempt 1 ok Some(Accept) [0] copy  queue ? wait ? process 5 settle ?
            copy dead_letter original true id:rabbitmq:payments:order-4707-payment in payments by fulfilment attempts Some(1) the bank has blocked the card
        "#]],
    );
}

#[test]
fn the_shipment() {
    check(
        "nats:SHIPMENTS//12",
        expect![[r#"
        asked 10 keys in 3 rounds
        nats SHIPMENTS//Some(12) ids ["order-4711-shipment"] keys ["order-4711"] from fulfilment traces 3
          send     subject      fulfilment
          receive  coordinates  shipping
          process  coordinates  shipping
          settle   coordinates  shipping
          receive  coordinates  shipping
          process  coordinates  shipping
          settle   coordinates  shipping
        send ok produce 2
        group "shipping" succeeded (observed): its handler said so at attempt 2; total 1042~
          attempt 1 failed Some(Retry) [1, 2, 3] copy  queue 3~ wait 0 process 15 settle 0
          attempt 2 ok Some(Accept) [4, 5, 6] copy  queue ? wait 0 process 35 settle 0
        cause id:rabbitmq:payments:order-4711-payment through fulfilment after Some(57) (0 spans between)
        effect rocketmq:notifications/broker-a%2F0/11 through shipping after Some(30) (0 spans between)
    "#]],
    );
}

#[test]
fn the_notification() {
    let (all, _) = everything();
    let reference = messages(&all)
        .into_iter()
        .map(|r| r.to_string())
        .find(|r| r.starts_with("rocketmq:notifications"))
        .expect("sent");
    check(
        &reference,
        expect![[r#"
        asked 8 keys in 3 rounds
        rocketmq notifications/broker-a/0/Some(11) ids ["7F0000013AA430946E0968612E20000B"] keys ["order-4711"] from shipping traces 1
          send     subject      shipping
          process  coordinates  notify
        send ok produce 3
        group "notify" succeeded (observed): its handler said so at attempt 2; total 3026~
          attempt 1 failed Some(Retry) [1] copy  queue 1~ wait ? process 20 settle ?
          attempt 2 ok Some(Accept) [] copy rocketmq:%25RETRY%25notify/broker-a%2F0/11 queue 1~ wait ? process 20 settle ?
        cause nats:SHIPMENTS//12 through shipping after Some(30) (0 spans between)
        copy retry original false rocketmq:%25RETRY%25notify/broker-a%2F0/11 in %RETRY%notify by notify attempts Some(1) 
    "#]],
    );
}
