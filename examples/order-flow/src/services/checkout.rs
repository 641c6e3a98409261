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

pub(crate) async fn run(common: &Common, options: &Options, mut stop: Stop) -> Result<()> {
    let producer = TracedProducer::from_config(&common.brokers.kafka("checkout", ""))?;
    let checkout = Arc::new(Checkout { producer, topic: Names::new(&common.suffix).orders });
    let app = Router::new().route("/orders", post(traced)).with_state(checkout);
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    report::ready("checkout", &listener.local_addr()?.to_string());
    axum::serve(listener, app).with_graceful_shutdown(async move { stop.requested().await }).await?;
    Ok(())
}

/// An ordinary server span: what a web framework's own instrumentation would make.
async fn traced(
    State(checkout): State<Arc<Checkout>>,
    Json(order): Json<Order>,
) -> Result<Json<Placed>, StatusCode> {
    let tracer = global::tracer("order-flow");
    let span = tracer
        .span_builder("POST /orders")
        .with_kind(SpanKind::Server)
        .with_attributes([
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("http.route", "/orders"),
            KeyValue::new("url.path", "/orders"),
        ])
        .start(&tracer);
    let context = Context::current_with_span(span);
    let placed = place(&checkout, &order).with_context(context.clone()).await;
    let status = if placed.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    context.span().set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    let (partition, offset) = placed.map_err(|error| {
        context.span().set_status(Status::error(error.to_string()));
        status
    })?;
    let trace_id = context.span().span_context().trace_id().to_string();
    report::handled("checkout", &order.order, "", "order placed", &context);
    Ok(Json(Placed { trace_id, partition, offset }))
}

async fn place(checkout: &Checkout, order: &Order) -> Result<(i32, i64)> {
    let body = order.to_body();
    let record = FutureRecord::to(&checkout.topic).key(&order.order).payload(&body);
    let stored = checkout.producer.send(record, Duration::from_secs(10)).await;
    let stored = stored.map_err(|(error, _)| error)?;
    Ok((stored.partition, stored.offset))
}
