//! The read API v1, health, metrics, and the way to the web interface. `hopscope_client::api` is what it
//! answers; every answer about stored data carries its coverage.

mod counts;
mod doctor;
mod failure;
mod find;
mod gather;
mod guard;
mod json;
mod live;
mod message;
mod openapi;
mod rates;
mod status;
mod store;
mod trace;

pub(crate) use failure::Failure;
pub use openapi::openapi_json;

use crate::config::Config;
use crate::ingest::Ingest;
use crate::ledger::Ledger;
use crate::live::Live;
use crate::serve::Addresses;
use crate::{clock, ui};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hopscope_model::Tenant;
use hopscope_store::Store;
use hopscope_store::embedded::Embedded;
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What every handler may ask.
pub(crate) struct Api {
    config: Config,
    addresses: Addresses,
    store: Arc<dyn Store>,
    /// The same, where it is on disk.
    embedded: Option<Arc<Embedded>>,
    tenant: Tenant,
    ingest: Arc<Ingest>,
    ledgers: Vec<Arc<Ledger>>,
    live: Arc<Live>,
    started_ns: i64,
    questions: Semaphore,
}

impl Api {
    /// All that is needed to answer.
    pub(crate) fn new(
        config: &Config,
        addresses: Addresses,
        store: &Arc<dyn Store>,
        embedded: Option<&Arc<Embedded>>,
        ingest: &Arc<Ingest>,
        ledgers: &[Arc<Ledger>],
        live: Arc<Live>,
    ) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            addresses,
            store: Arc::clone(store),
            embedded: embedded.map(Arc::clone),
            tenant: Tenant::default(),
            ingest: Arc::clone(ingest),
            ledgers: ledgers.to_vec(),
            live,
            started_ns: clock::now_ns(),
            questions: Semaphore::new(config.api_requests_max),
        })
    }
}

/// Everything on the port of the API, as a service of hyper.
pub(crate) fn service(
    api: Arc<Api>,
    stop: CancellationToken,
) -> impl Service<http::Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    hyper_util::service::TowerToHyperService::new(router(api, stop))
}

fn router(api: Arc<Api>, stop: CancellationToken) -> Router {
    let answers = Router::new()
        .route("/api/v1/find", get(find::find))
        .route("/api/v1/messages/{reference}", get(message::message))
        .route("/api/v1/traces/{trace_id}", get(trace::trace))
        .route("/api/v1/destinations", get(counts::destinations))
        .route("/api/v1/services", get(counts::services))
        .route("/api/v1/rates", get(rates::rates))
        .route("/api/v1/doctor", get(doctor::doctor))
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/store", get(store::store))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), limited));
    let live = Router::new().route("/api/v1/live", get(live::live)).with_state((Arc::clone(&api), stop));
    Router::new()
        .route("/api/v1/openapi.json", get(openapi::serve))
        .route("/api/{*path}", get(no_such_answer))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(status::ready))
        .route("/metrics", get(metrics))
        .fallback(ui::serve)
        .merge(answers)
        .with_state(Arc::clone(&api))
        .merge(live)
        .layer(middleware::from_fn_with_state(api, guard::guard))
}

/// A bounded number of questions at once, each for a bounded time.
async fn limited(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = api.questions.try_acquire() else {
        let message = format!("too many questions at once api_requests_max={}", api.config.api_requests_max);
        return Failure::busy(message).into_response();
    };
    let time_max = Duration::from_millis(api.config.api_ms_max);
    tokio::time::timeout(time_max, next.run(request)).await.unwrap_or_else(|_| {
        let message = format!("the answer took too long api_ms_max={}", api.config.api_ms_max);
        Failure::unavailable(message)
            .with_hint("narrow the question: a time range, a destination")
            .into_response()
    })
}

async fn no_such_answer() -> Failure {
    Failure::not_found("the API has no such path").with_hint("/api/v1/openapi.json lists all of them")
}

async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let metrics = crate::metrics::Metrics {
        ledgers: api.ledgers.clone(),
        ingest: Arc::clone(&api.ingest),
        live: Arc::clone(&api.live),
    };
    match crate::metrics::page(metrics) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(http::header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
