//! `/api/v1/traces/{trace_id}`: the events of a trace, paged.

use super::{Api, Failure, json};
use axum::Json;
use axum::extract::{Path, Query as Parameters, State};
use hopscope_client::api::TraceAnswer;
use hopscope_model::{Key, Limits, TraceId};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// Most events on one page.
const EVENTS_MAX: usize = 2_000;
const EVENTS_DEFAULT: usize = 200;
/// About the most bytes of events on one page.
const BYTES_MAX: usize = 8 << 20;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageOf {
    /// Most events, 1 to 2,000; 200 where absent.
    limit: Option<usize>,
    /// `next` of the page before.
    after: Option<String>,
}

/// The events of a trace, oldest first.
#[utoipa::path(
    get, path = "/api/v1/traces/{trace_id}",
    params(("trace_id" = String, Path, description = "32 hexadecimal digits, dashes allowed"), PageOf),
    responses((status = 200, body = TraceAnswer))
)]
pub(super) async fn trace(
    State(api): State<Arc<Api>>,
    Path(trace_id): Path<String>,
    Parameters(page): Parameters<PageOf>,
) -> Result<Json<TraceAnswer>, Failure> {
    let trace = TraceId::from_hex(&trace_id.replace('-', "")).ok_or_else(|| {
        Failure::invalid(format!("not a trace id trace_id={trace_id}"))
            .with_hint("32 hexadecimal digits, not all zero")
    })?;
    let events_max = page.limit.unwrap_or(EVENTS_DEFAULT).clamp(1, EVENTS_MAX);
    let limits = Limits { events_max, bytes_max: BYTES_MAX };
    let found = api.store.events(&api.tenant, &[Key::Trace(trace)], &limits, page.after.as_deref()).await?;
    Ok(Json(TraceAnswer {
        trace_id: trace.to_string(),
        events: found.events.iter().map(|event| json::event(event, None)).collect(),
        coverage: json::coverage(&found.coverage),
        next: found.next,
    }))
}
