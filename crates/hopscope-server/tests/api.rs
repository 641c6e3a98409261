//! What the page and the command line see: the story of an order that crossed two topics.
#![allow(clippy::expect_used)]

mod support;

use hopscope_client::ErrorKind;
use opentelemetry_proto::tonic::trace::v1::Span;
use support::{Rig, int, process_span, request, send_span, text, until};

/// `orders/0/15` sent by checkout, handled by payment (which sent `payments/0/3`), and analytics is behind.
fn order() -> Vec<(&'static str, Vec<Span>)> {
    let mut caused = send_span(1, 0x30, 3);
    caused.parent_span_id = 0x20u64.to_be_bytes().to_vec();
    caused.start_time_unix_nano += 6_000_000;
    caused.end_time_unix_nano += 7_000_000;
    for attribute in &mut caused.attributes {
        match attribute.key.as_str() {
            "messaging.destination.name" => *attribute = text("messaging.destination.name", "payments"),
            "messaging.kafka.message.key" => *attribute = text("messaging.kafka.message.key", "payment-3"),
            _ => {}
        }
    }
    let mut commit = send_span(2, 0x40, 0);
    commit.name = "commit orders".into();
    commit.kind = 1;
    commit.start_time_unix_nano += 9_000_000;
    commit.attributes = vec![
        text("messaging.system", "kafka"),
        text("messaging.operation.type", "settle"),
        text("messaging.operation.name", "commit"),
        text("messaging.destination.name", "orders"),
        text("messaging.destination.partition.id", "0"),
        text("messaging.consumer.group.name", "analytics"),
        int("hopscope.progress.next", 12),
    ];
    vec![
        ("checkout", vec![send_span(1, 0x10, 15)]),
        ("payment", vec![process_span(1, 0x20, 0x10, 15, "payment"), caused]),
        ("analytics", vec![commit]),
    ]
}

async fn with_order() -> Rig {
    let rig = Rig::in_memory().await;
    for (service, spans) in order() {
        assert_eq!(rig.send(&request(service, spans)).await.status(), 200);
    }
    rig
}

#[tokio::test]
async fn a_message_is_found_by_everything_that_names_it() {
    let rig = with_order().await;
    let trace = format!("{:032x}", 1);
    let pasted = format!("2026-11-21 08:00:01 INFO order placed trace_id={trace} span_id={:016x}", 0x10);
    let queries = [
        "order-15",
        "orders/0/15",
        "kafka:orders/0/15",
        &trace,
        "key:order-15",
        "dest:orders service:checkout",
        &pasted,
    ];
    for query in queries {
        let found = rig.client.find(query, 20, None).await.expect(query);
        let references: Vec<&str> = found.messages.iter().map(|message| message.reference.as_str()).collect();
        assert!(references.contains(&"kafka:orders/0/15"), "{query}: {references:?}");
        assert!(found.coverage.complete, "{query}");
    }
    let nothing = rig.client.find("order-999", 20, None).await.expect("an answer");
    assert!(nothing.messages.is_empty() && nothing.next.is_none());
    rig.stop().await;
}

#[tokio::test]
async fn states_and_terms_narrow() {
    let rig = with_order().await;
    for (query, wanted) in [
        ("order-15 state:succeeded", 1),
        ("order-15 state:dead_lettered", 0),
        ("order-15 group:payment", 1),
        ("order-15 group:nobody", 0),
        ("order-15 dest:payments", 0),
        ("dest:payments", 1),
    ] {
        let found = rig.client.find(query, 20, None).await.expect(query);
        assert_eq!(found.messages.len(), wanted, "{query}: {:?}", found.messages);
    }
    rig.stop().await;
}

#[tokio::test]
async fn the_story_has_states_gaps_and_its_tree() {
    let rig = with_order().await;
    let answer = rig.client.message("kafka:orders/0/15", 4).await.expect("a message");
    let states: Vec<(&str, &str)> =
        answer.message.groups.iter().map(|group| (group.group.as_str(), group.state.as_str())).collect();
    assert_eq!(states, [("analytics", "not_consumed_yet"), ("payment", "succeeded")]);
    let analytics = &answer.trajectory.groups[0];
    assert_eq!(analytics.why.text, "analytics is at 12 of orders/0, this message is at 15");
    let tree: Vec<(&str, i32, Option<&str>, bool)> = answer
        .tree
        .iter()
        .map(|node| (node.message.reference.as_str(), node.distance, node.caused_by.as_deref(), node.more))
        .collect();
    let wanted =
        [("kafka:orders/0/15", 0, None, false), ("kafka:payments/0/3", 1, Some("kafka:orders/0/15"), false)];
    assert_eq!(tree, wanted);
    let back = rig.client.message("kafka:payments/0/3", 4).await.expect("a message");
    let tree: Vec<(&str, i32)> =
        back.tree.iter().map(|node| (node.message.reference.as_str(), node.distance)).collect();
    assert_eq!(tree, [("kafka:orders/0/15", -1), ("kafka:payments/0/3", 0)]);
    let alone = rig.client.message("kafka:orders/0/15", 0).await.expect("a message");
    assert!(alone.tree.len() == 1 && alone.tree[0].more);
    rig.stop().await;
}

#[tokio::test]
async fn pages_of_results_lose_nothing() {
    let rig = Rig::in_memory().await;
    let spans = (1..=50).map(|n| send_span(100 + n as u128, n as u64, n)).collect();
    assert_eq!(rig.send(&request("checkout", spans)).await.status(), 200);
    let (mut seen, mut after) = (std::collections::BTreeSet::new(), None);
    loop {
        let page = rig.client.find("dest:orders", 7, after.as_deref()).await.expect("a page");
        assert!(page.messages.len() <= 7);
        seen.extend(page.messages.into_iter().map(|message| message.reference));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 50);
    rig.stop().await;
}

#[tokio::test]
async fn counts_status_and_what_is_wrong() {
    let rig = with_order().await;
    let destinations = rig.client.destinations(None).await.expect("destinations").destinations;
    let orders = destinations.iter().find(|one| one.destination == "orders").expect("orders");
    assert_eq!((orders.sent.0, orders.processed.0), (1, 1));
    assert_eq!(orders.groups, ["analytics", "payment"]);
    let services = rig.client.services(Some("1h")).await.expect("services").services;
    assert!(services.iter().any(|one| one.service == "payment" && one.sent.0 == 1));
    let status = rig.client.status().await.expect("status");
    assert_eq!(status.stored_events.0, 4);
    assert_eq!(status.otlp_http, rig.server.addresses.otlp_http.to_string());

    let cases = [
        (rig.client.find("duration>soon", 20, None).await.err(), ErrorKind::Invalid),
        (rig.client.message("no reference", 4).await.err(), ErrorKind::Invalid),
        (rig.client.message("kafka:orders/0/999", 4).await.err(), ErrorKind::NotFound),
        (rig.client.trace("xyz", 10, None).await.err(), ErrorKind::Invalid),
        (rig.client.find("dest:orders", 20, Some("rubbish")).await.err(), ErrorKind::Invalid),
        (rig.client.services(Some("soon")).await.err(), ErrorKind::Invalid),
    ];
    for (error, kind) in cases {
        let error = error.expect("an error");
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.hint.is_some(), "{error}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn live_tells_what_became_durable() {
    let rig = Rig::in_memory().await;
    let mut live = rig.client.live().await.expect("a stream");
    until("somebody listens", || async {
        let page =
            rig.http.get(rig.page("/metrics")).send().await.expect("metrics").text().await.expect("text");
        page.contains("hopscope_live_streams 1")
    })
    .await;
    assert_eq!(rig.send(&request("checkout", vec![send_span(9, 1, 1)])).await.status(), 200);
    let told = live.next().await.expect("an event").expect("not the end");
    assert_eq!((told.events.0, told.cut), (1, false));
    assert_eq!(told.trace_ids, [format!("{:032x}", 9)]);
    assert_eq!(told.destinations, ["orders"]);
    // A server that stops ends the stream instead of waiting for it.
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(5), rig.server.stop()).await;
    stopped.expect("in time").expect("gracefully");
    assert_eq!(live.next().await.ok().flatten(), None);
}

#[tokio::test]
async fn a_page_of_another_site_gets_nothing() {
    let rig = Rig::in_memory().await;
    let status = async |host: &str, method: &str, path: &str| {
        let method = method.parse::<reqwest::Method>().expect("a method");
        let request = rig.http.request(method, rig.page(path)).header("host", host);
        request.send().await.expect("an answer")
    };
    assert_eq!(status("localhost:7400", "GET", "/api/v1/status").await.status(), 200);
    assert_eq!(status("evil.example", "GET", "/api/v1/status").await.status(), 421);
    assert_eq!(status("evil.example", "GET", "/metrics").await.status(), 421);
    assert_eq!(status("localhost", "POST", "/api/v1/find").await.status(), 405);
    assert_eq!(status("localhost", "DELETE", "/").await.status(), 405);
    assert_eq!(
        status("localhost", "GET", &format!("/api/v1/find?q={}", "x".repeat(40_000))).await.status(),
        414
    );
    assert_eq!(status("localhost", "GET", "/api/v1/nothing").await.status(), 404);
    let page = status("localhost", "GET", "/m/kafka%3Aorders%2F0%2F15").await;
    assert_eq!(page.status(), 200);
    let header =
        |name: &str| page.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    assert!(header("content-security-policy").contains("script-src 'self';"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("cache-control"), "no-cache");
    assert_eq!(header("access-control-allow-origin"), "");
    rig.stop().await;
}

#[tokio::test]
async fn health_readiness_and_the_description() {
    let rig = Rig::in_memory().await;
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/openapi.json"] {
        assert_eq!(rig.http.get(rig.page(path)).send().await.expect("an answer").status(), 200, "{path}");
    }
    rig.stop().await;
}

/// The story of one message never asks for its whole trace, so the size of the trace is nothing to it.
#[tokio::test]
async fn a_message_in_a_huge_trace_opens_like_any_other() {
    const SENDS: i64 = 20_000;
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data").display().to_string();
    let rig = Rig::with(hopscope_server::Config::on_free_ports(data)).await;
    for part in 0..4 {
        let offsets = part * SENDS / 4..(part + 1) * SENDS / 4;
        let send = |offset: i64| {
            let mut span = send_span(1, offset as u64 + 100, offset);
            // A root each: one import job, each line of it a message.
            span.parent_span_id = 0x10u64.to_be_bytes().to_vec();
            span
        };
        assert_eq!(rig.send(&request("import", offsets.map(send).collect())).await.status(), 200);
    }
    let process = process_span(1, 1_000_000, 777 + 100, 777, "payment");
    assert_eq!(rig.send(&request("payment", vec![process])).await.status(), 200);
    let began = std::time::Instant::now();
    let answer = rig.client.message("kafka:orders/0/777", 4).await.expect("a message");
    assert_eq!(answer.trajectory.events.len(), 2);
    assert!(answer.trajectory.gaps.iter().all(|gap| gap.kind != "limit_hit"), "{:?}", answer.trajectory.gaps);
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
    rig.stop().await;
}
