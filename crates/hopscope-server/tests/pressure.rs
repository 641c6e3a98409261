//! A store that is slow, full or broken: senders are told to come back, nothing is lost, nothing is counted twice.
#![allow(clippy::expect_used)]

mod support;

use hopscope_server::{Config, Server};
use hopscope_store::ErrorKind;
use hopscope_store::memory::Memory;
use prost::Message;
use std::sync::Arc;
use support::moody::{Mood, Moody};
use support::raw_grpc::{EXPORT, call};
use support::{Rig, channel, request, send_span, until};
use tokio::sync::watch;

async fn rig(config: Config, mood: Mood) -> (Rig, watch::Sender<Mood>) {
    let (set, mood) = watch::channel(mood);
    let store = Arc::new(Moody { inside: Memory::new(), mood });
    (Rig::around(Server::start_with(config, store).await.expect("a server")), set)
}

#[tokio::test]
async fn a_full_queue_refuses_and_what_it_took_is_stored() {
    let config = Config { queue_requests_max: 2, ..Config::on_free_ports("memory") };
    let (rig, mood) = rig(config, Mood::Stuck).await;
    let url = rig.traces_url();
    let sender = |n: u64| {
        let sent = rig.http.post(&url).header("content-type", "application/x-protobuf");
        tokio::spawn(sent.body(request("checkout", vec![send_span(1, n, n as i64)]).encode_to_vec()).send())
    };
    let waiting = [sender(1), sender(2)];
    until("both are under way", || async { rig.books("otlp_http").await.queued.0 == 2 }).await;

    let refused = rig.send(&request("checkout", vec![send_span(1, 3, 3)])).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    let body = refused.bytes().await.expect("a status");
    assert!(String::from_utf8_lossy(&body).contains("google.rpc.RetryInfo"), "{body:?}");
    let message = request("checkout", vec![send_span(1, 4, 4)]).encode_to_vec();
    let status = call(&channel(&rig.server).await, EXPORT, message.clone()).await.expect_err("a refusal");
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert!(String::from_utf8_lossy(status.details()).contains("google.rpc.RetryInfo"), "{status:?}");

    mood.send(Mood::Well).expect("a store");
    for sent in waiting {
        assert_eq!(sent.await.expect("no panic").expect("an answer").status(), 200);
    }
    assert_eq!(
        rig.send(&request("checkout", vec![send_span(1, 3, 3)])).await.status(),
        200,
        "come back later"
    );
    call(&channel(&rig.server).await, EXPORT, message).await.expect("come back later");
    assert_eq!(rig.events_of(1).await, 4);
    let books = rig.books("otlp_http").await;
    assert_eq!((books.stored.0, books.queued.0), (3, 0), "{books:?}");
    rig.stop().await;
}

#[tokio::test]
async fn bytes_under_way_are_bounded_too() {
    const SENDERS: u128 = 20;
    let config = Config { queue_bytes_max: 100_000, ..Config::on_free_ports("memory") };
    let (rig, mood) = rig(config, Mood::Stuck).await;
    let mut sent = tokio::task::JoinSet::new();
    for trace in 1..=SENDERS {
        let spans = (1..60).map(|n| send_span(trace, n, n as i64)).collect();
        let post = rig.http.post(rig.traces_url()).header("content-type", "application/x-protobuf");
        let answer = post.body(request("checkout", spans).encode_to_vec()).send();
        sent.spawn(async move { answer.await.expect("an answer").status().as_u16() });
    }
    // The store is stuck, so whoever is answered now was refused.
    assert_eq!(sent.join_next().await.expect("an answer").expect("no panic"), 429);
    mood.send(Mood::Well).expect("a store");
    let rest = sent.join_all().await;
    let stored = rest.iter().filter(|status| **status == 200).count();
    assert!(stored > 0 && rest.iter().all(|status| matches!(status, 200 | 429)), "{rest:?}");
    let books = rig.books("otlp_http").await;
    assert_eq!(books.stored.0, stored as i64 * 59, "{books:?}");
    rig.stop().await;
}

#[tokio::test]
async fn a_store_that_cannot_is_unavailable_until_it_can() {
    let (rig, mood) = rig(Config::on_free_ports("memory"), Mood::Failing(ErrorKind::Unavailable)).await;
    let message = request("checkout", vec![send_span(1, 1, 1), send_span(1, 2, 2)]);
    let refused = rig.send(&message).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let channel = channel(&rig.server).await;
    let status = call(&channel, EXPORT, message.encode_to_vec()).await.expect_err("a refusal");
    assert_eq!(status.code(), tonic::Code::Unavailable);
    mood.send(Mood::Failing(ErrorKind::Invalid)).expect("a store");
    assert_eq!(rig.send(&message).await.status(), 400);
    let books = rig.books("otlp_http").await;
    assert_eq!((books.received.0, books.refused.0, books.stored.0), (4, 4, 0), "{books:?}");
    mood.send(Mood::Well).expect("a store");
    assert_eq!(rig.send(&message).await.status(), 200);
    assert_eq!(rig.events_of(1).await, 2);
    rig.stop().await;
}

#[tokio::test]
async fn a_sender_who_hangs_up_while_the_store_works_changes_nothing() {
    let (rig, mood) = rig(Config::on_free_ports("memory"), Mood::Stuck).await;
    let sent = rig.http.post(rig.traces_url()).header("content-type", "application/x-protobuf");
    let waiting =
        tokio::spawn(sent.body(request("checkout", vec![send_span(1, 1, 1)]).encode_to_vec()).send());
    until("it is under way", || async { rig.books("otlp_http").await.queued.0 == 1 }).await;
    waiting.abort();
    mood.send(Mood::Well).expect("a store");
    until("it is stored", || async { rig.books("otlp_http").await.stored.0 == 1 }).await;
    assert_eq!(rig.events_of(1).await, 1);
    rig.stop().await;
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way() {
    let (rig, mood) = rig(Config::on_free_ports("memory"), Mood::Stuck).await;
    let sent = rig.http.post(rig.traces_url()).header("content-type", "application/x-protobuf");
    let waiting =
        tokio::spawn(sent.body(request("checkout", vec![send_span(1, 1, 1)]).encode_to_vec()).send());
    until("it is under way", || async { rig.books("otlp_http").await.queued.0 == 1 }).await;
    let ledger = rig.server.ledgers()[1].clone();
    let stopping = tokio::spawn(rig.server.stop());
    mood.send(Mood::Well).expect("a store");
    assert_eq!(waiting.await.expect("no panic").expect("an answer").status(), 200);
    stopping.await.expect("no panic").expect("gracefully");
    assert_eq!(ledger.counts().stored, 1);
}

#[tokio::test]
async fn a_disk_with_less_free_than_the_reserve_refuses_and_reads_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().display().to_string();
    let rig = Rig::with(Config::on_free_ports(data.clone())).await;
    assert_eq!(rig.send(&request("checkout", vec![send_span(1, 1, 1)])).await.status(), 200);
    rig.stop().await;
    let rig = Rig::with(Config { disk_reserve_bytes: usize::MAX, ..Config::on_free_ports(data) }).await;
    let refused = rig.send(&request("checkout", vec![send_span(1, 2, 2)])).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(rig.events_of(1).await, 1);
    rig.stop().await;
}
