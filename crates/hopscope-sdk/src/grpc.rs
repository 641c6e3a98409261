//! A pair of interceptors for `tonic`, where its layers cannot be used. With the feature `tonic`.
//!
//! Prefer [`ServerLayer`](crate::http::ServerLayer) and [`ClientLayer`](crate::http::ClientLayer), which fit tonic's
//! `Server::layer` and around a `Channel`: they see the whole call, and make spans. An interceptor sees a request's
//! beginning alone: the one of the client writes the current context into its metadata, the one of the server leaves
//! the caller's context in the request's extensions, where the handler takes it from.
//!
//! ```
//! use hopscope_sdk::grpc::{self, Caller};
//! use hopscope_sdk::opentelemetry::trace::FutureExt;
//!
//! async fn pay(request: tonic::Request<String>) -> Result<tonic::Response<String>, tonic::Status> {
//!     let caller = Caller::of(&request);
//!     async { Ok(tonic::Response::new("paid".to_owned())) }.with_context(caller).await
//! }
//! let server = grpc::server_interceptor(hopscope_sdk::Telemetry::global());
//! let client = grpc::client_interceptor(hopscope_sdk::Telemetry::global());
//! ```

use crate::http::HttpHeaders;
use crate::{Telemetry, carrier};
use opentelemetry::Context;
use std::mem;
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Writes the current context into the metadata of a call. It never refuses one.
pub fn client_interceptor(telemetry: Telemetry) -> impl Interceptor + Clone + Send + Sync + 'static {
    move |mut request: Request<()>| -> Result<Request<()>, Status> {
        let mut headers = mem::take(request.metadata_mut()).into_headers();
        carrier::inject(telemetry.formats(), &Context::current(), &mut HttpHeaders(&mut headers));
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        Ok(request)
    }
}

/// Leaves the caller's context in the extensions of a call: see [`Caller`]. It never refuses one.
pub fn server_interceptor(telemetry: Telemetry) -> impl Interceptor + Clone + Send + Sync + 'static {
    move |mut request: Request<()>| -> Result<Request<()>, Status> {
        let headers = request.metadata().clone().into_headers();
        let origin = carrier::extract(telemetry.formats(), &HttpHeaders(&headers));
        request.extensions_mut().insert(Caller(origin.into_context(&Context::new())));
        Ok(request)
    }
}

/// The context of whoever calls, as [`server_interceptor`] found it.
#[derive(Clone, Debug)]
pub struct Caller(Context);

impl Caller {
    /// The caller's context; an empty one where the interceptor was not there, or nothing was found.
    pub fn of<T>(request: &Request<T>) -> Context {
        request.extensions().get::<Self>().map(|Self(context)| context.clone()).unwrap_or_default()
    }
}
