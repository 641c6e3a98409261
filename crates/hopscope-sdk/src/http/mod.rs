//! HTTP and gRPC between two queues: layers for `tower` (axum, hyper, tonic), so that a chain service → queue → service →
//! HTTP → service stays one. With the feature `tower`.
//!
//! [`ServerLayer`] reads the caller's context in the formats of the estate, and makes a SERVER span current for the inner
//! service; [`ClientLayer`] makes a CLIENT span under the current one and writes it into the request. What a handler
//! under a `ServerLayer` sends to a broker is a child of its request, and what a message handler calls through a
//! `ClientLayer` is a child of its message.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use hopscope_sdk::Telemetry;
//! use hopscope_sdk::http::ServerLayer;
//!
//! let telemetry = Telemetry::global();
//! let app: axum::Router = axum::Router::new()
//!     .route("/orders/{id}", axum::routing::get(async || "shipped"))
//!     .layer(ServerLayer::new(telemetry).with_route(|request| {
//!         request.extensions.get::<axum::extract::MatchedPath>().map(|path| path.as_str().to_owned())
//!     }));
//! # Ok(())
//! # }
//! ```
//!
//! The spans say what OpenTelemetry's conventions for HTTP require and no more: method, route where it is given, status,
//! and the error; for gRPC its service and method. Where other instrumentation makes spans for HTTP already, take
//! [`without_spans`](ServerLayer::without_spans): then context alone is passed.
//!
//! A span ends with the head of the response, not with its body; a request whose future is dropped before has an unknown
//! outcome. It is not: a layer for logs or metrics, or a guess at routes (a path is no route: it would make a name per
//! order).

mod client;
mod headers;
mod server;
mod span;

pub use client::{ClientLayer, ClientService};
pub use headers::HttpHeaders;
pub use server::{ServerLayer, ServerService};
pub use span::Responding;
