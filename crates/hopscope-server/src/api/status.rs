//! `/api/v1/status` and `/readyz`.

use super::{Api, Failure, json};
use crate::clock::now_ns;
use axum::Json;
use axum::extract::State;
use hopscope_client::api::{Connection, Dropped, Int64, Receiver, StatusAnswer};
use hopscope_model::Query;
use hopscope_store::Page;
use std::sync::Arc;

/// How the server is: where it listens, what it took, what it holds.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = StatusAnswer)))]
pub(super) async fn status(State(api): State<Arc<Api>>) -> Result<Json<StatusAnswer>, Failure> {
    let page = Page { events_max: 1, after: None, now_ns: now_ns() };
    let newest = api.store.search(&api.tenant, &Query::default(), &page).await?;
    let receivers: Vec<Receiver> = api.ledgers.iter().map(|ledger| receiver(ledger)).collect();
    let sum = |of: fn(&Receiver) -> i64| Int64(receivers.iter().map(of).sum());
    let duplicates = |receiver: &Receiver| {
        receiver
            .dropped
            .iter()
            .filter(|dropped| dropped.reason == "duplicate")
            .map(|dropped| dropped.events.0)
            .sum()
    };
    Ok(Json(StatusAnswer {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ns: Int64(api.started_ns),
        now_ns: Int64(now_ns()),
        otlp_grpc: api.addresses.otlp_grpc.to_string(),
        otlp_http: api.addresses.otlp_http.to_string(),
        data: api.config.data.clone(),
        stored_events: sum(|receiver| receiver.stored.0),
        duplicate_events: sum(duplicates),
        receivers,
        coverage: json::coverage(&newest.coverage),
    }))
}

fn receiver(ledger: &crate::Ledger) -> Receiver {
    let counts = ledger.counts();
    let int = |count: u64| Int64(i64::try_from(count).unwrap_or(i64::MAX));
    let dropped =
        |(reason, events): (&&str, &u64)| Dropped { reason: (*reason).to_owned(), events: int(*events) };
    Receiver {
        name: ledger.receiver().to_owned(),
        received: int(counts.received),
        stored: int(counts.stored),
        refused: int(counts.refused),
        dropped: counts.dropped.iter().map(dropped).collect(),
        queued: int(counts.queued),
        invalid_requests: int(counts.invalid_requests()),
        last_error: counts.last_error,
        connection: counts.connection.map(|connection| Connection {
            up: connection.up,
            since_ns: Int64(connection.since_ns),
            why: connection.why,
            lost: int(connection.lost),
            lag: connection.lag.map(int),
        }),
    }
}

/// Ready: the sockets are bound, or this would not be asked; the store answers.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Result<&'static str, Failure> {
    let page = Page { events_max: 1, after: None, now_ns: now_ns() };
    api.store.search(&api.tenant, &Query::default(), &page).await?;
    Ok("ready\n")
}
