//! HTTP in, Kafka `orders` out.

use crate::names::Names;
use crate::order::Order;
use crate::stop::Stop;
use crate::{Common, report};
use anyhow::Result;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use hopscope_rdkafka::TracedProducer;
use hopscope_sdk::opentelemetry::trace::{FutureExt, SpanKind, Status, TraceContextExt, Tracer};
use hopscope_sdk::opentelemetry::{Context, KeyValue, global};
use rdkafka::producer::FutureRecord;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Options of `order-flow checkout`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to take orders
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// The answer to an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Placed {
    /// Its trace.
    pub trace_id: String,
    /// Where it lies on Kafka.
    pub partition: i32,
    pub offset: i64,
}

struct Checkout {
    producer: TracedProducer,
    topic: String,
}

/// Longest wait for Kafka to have an order.
const STORED_MAX: Duration = Duration::from_secs(10);

pub(crate) async fn run(common: &Common, options: &Options, mut stop: Stop) -> Result<()> {
    let producer = TracedProducer::from_config(&common.brokers.kafka("checkout", ""))?;
    let checkout = Arc::new(Checkout { producer, topic: Names::new(&common.suffix).orders });
    let app =
        Router::new().route("/orders", post(one)).route("/orders/batch", post(many)).with_state(checkout);
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    report::ready("checkout", &listener.local_addr()?.to_string());
    axum::serve(listener, app).with_graceful_shutdown(async move { stop.requested().await }).await?;
    Ok(())
}

async fn one(
    State(checkout): State<Arc<Checkout>>,
    Json(order): Json<Order>,
) -> Result<Json<Placed>, StatusCode> {
    let placed = traced("/orders", async {
        let (body, key) = (order.to_body(), order.order.as_str());
        let record = FutureRecord::to(&checkout.topic).key(key).payload(&body);
        let stored = checkout.producer.send(record, STORED_MAX).await.map_err(|(error, _)| error)?;
        Ok(vec![(order.order.clone(), stored.partition, stored.offset)])
    });
    placed.await?.pop().map(Json).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What a shop of ours took while it was offline: one batch.
async fn many(
    State(checkout): State<Arc<Checkout>>,
    Json(orders): Json<Vec<Order>>,
) -> Result<Json<Vec<Placed>>, StatusCode> {
    let placed = traced("/orders/batch", async {
        let bodies: Vec<_> = orders.iter().map(Order::to_body).collect();
        let record = |(order, body)| {
            let order: &Order = order;
            FutureRecord::to(&checkout.topic).key(order.order.as_str()).payload(body)
        };
        let records = orders.iter().zip(&bodies).map(record).collect();
        let reports = checkout.producer.send_batch(records, STORED_MAX).await;
        let stored = orders.iter().zip(reports).map(|(order, report)| {
            let stored = report.map_err(|(error, _)| error)?;
            Ok((order.order.clone(), stored.partition, stored.offset))
        });
        stored.collect()
    });
    placed.await.map(Json)
}

/// An ordinary server span: what a web framework's own instrumentation would make. Answers where the orders lie.
async fn traced(
    route: &'static str,
    place: impl Future<Output = Result<Vec<(String, i32, i64)>>>,
) -> Result<Vec<Placed>, StatusCode> {
    let tracer = global::tracer("order-flow");
    let span = tracer
        .span_builder(format!("POST {route}"))
        .with_kind(SpanKind::Server)
        .with_attributes([
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("http.route", route),
            KeyValue::new("url.path", route),
        ])
        .start(&tracer);
    let context = Context::current_with_span(span);
    let stored = place.with_context(context.clone()).await;
    let status = if stored.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    context.span().set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    let stored = stored.map_err(|error| {
        context.span().set_status(Status::error(error.to_string()));
        status
    })?;
    let trace_id = context.span().span_context().trace_id().to_string();
    let placed = stored.into_iter().map(|(order, partition, offset)| {
        report::handled("checkout", &order, "", "order placed", &context);
        Placed { trace_id: trace_id.clone(), partition, offset }
    });
    Ok(placed.collect())
}
