//! `/api/v1/doctor`: what keeps an estate from being seen whole. Gathers the evidence; [`crate::doctor`] judges it.

use super::{Api, Failure, json};
use crate::clock::now_ns;
use crate::doctor::{self, Evidence, LastSeen};
use axum::Json;
use axum::extract::{Query as Parameters, State};
use hopscope_client::api::{DoctorAnswer, Int64};
use hopscope_model::query::{Comparison, Field, Literal, Term, Time};
use hopscope_model::{Coverage, Query, Stage};
use hopscope_store::{Aggregation, Counted, Page};
use serde::Deserialize;
use std::str::FromStr;
use std::sync::Arc;
use utoipa::IntoParams;

/// Combinations of names counted for one answer; past it the coverage says so.
const ROWS_MAX: usize = 50_000;

/// Events that are looked at one by one; past it the answer says so.
const SAMPLE_EVENTS_MAX: usize = 4_000;

/// Parts of the range that the sample is taken from, so that it is not of the last minute alone.
const SLICES: i64 = 8;

/// How far ahead of this server a clock may be for its events to be looked at still.
const AHEAD_NS_MAX: i64 = 3_600_000_000_000;

const HOUR_NS: u64 = 3_600_000_000_000;
const RANGE_NS_MAX: i64 = 60 * 24 * 3_600_000_000_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Begin of the range: `15m`, `24h`, an instant as in a query. Absent: an hour ago.
    since: Option<String>,
    /// Only what concerns that service.
    service: Option<String>,
    /// Only what concerns that destination.
    dest: Option<String>,
}

/// What keeps the estate, one service or one destination from being seen whole: who, the evidence, the next step.
#[utoipa::path(get, path = "/api/v1/doctor", params(Asked), responses((status = 200, body = DoctorAnswer)))]
pub(super) async fn doctor(
    State(api): State<Arc<Api>>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<DoctorAnswer>, Failure> {
    let now_ns = now_ns();
    let from_ns = since(asked.since.as_deref(), now_ns)?;
    let asked = doctor::Asked {
        service: asked.service.unwrap_or_default(),
        destination: asked.dest.unwrap_or_default(),
    };
    let mut coverage = Coverage::default();
    let evidence = evidence(&api, &asked, from_ns, now_ns, &mut coverage).await?;
    let (findings, checks) = doctor::diagnose(&evidence, &asked);
    if !evidence.is_whole {
        coverage.why_not.push(format!(
            "only some events were looked at one by one sample_events={} sample_events_max={SAMPLE_EVENTS_MAX}",
            evidence.sample.len()
        ));
    }
    Ok(Json(DoctorAnswer {
        from_ns: Int64(from_ns),
        to_ns: Int64(now_ns),
        findings,
        checks,
        coverage: json::coverage(&coverage),
    }))
}

fn since(text: Option<&str>, now_ns: i64) -> Result<i64, Failure> {
    let time = match text.filter(|text| !text.is_empty()) {
        None => Time::Ago(HOUR_NS),
        Some(text) => {
            let query = Query::from_str(&format!("since:{text}")).ok().filter(|query| query.terms.is_empty());
            query.and_then(|query| query.since).ok_or_else(|| {
                Failure::invalid(format!("not a time since={text}")).with_hint("as 15m, 24h or 7d")
            })?
        }
    };
    let from_ns = time.resolve(now_ns);
    match now_ns.saturating_sub(from_ns) {
        1..=RANGE_NS_MAX => Ok(from_ns),
        _ => Err(Failure::invalid("the range is empty or too long").with_hint("up to 60d, as since=24h")),
    }
}

async fn evidence(
    api: &Api,
    asked: &doctor::Asked,
    from_ns: i64,
    now_ns: i64,
    coverage: &mut Coverage,
) -> Result<Evidence, Failure> {
    let mut evidence = Evidence { from_ns, now_ns, ..Evidence::default() };
    let query = |from_ns, until_ns| Query {
        since: Some(Time::At(from_ns)),
        until: Some(Time::At(until_ns)),
        ..Query::default()
    };
    for of in [Counted::Tallies, Counted::Events] {
        let aggregation = Aggregation {
            of,
            by: doctor::DIMENSIONS.to_vec(),
            query: query(from_ns, now_ns.saturating_add(AHEAD_NS_MAX)),
            now_ns,
            rows_max: ROWS_MAX,
            ..Aggregation::default()
        };
        let counted = api.store.aggregate(&api.tenant, &aggregation).await?;
        coverage.merge(&counted.coverage);
        match of {
            Counted::Tallies => evidence.counted = doctor::counts(&counted.rows),
            Counted::Events => evidence.stored = doctor::counts(&counted.rows),
        }
    }
    evidence.is_whole = true;
    let width = (now_ns - from_ns) / SLICES + 1;
    // The oldest first: what a quiet hour leaves over, a busy one may have.
    for slice in 0..SLICES {
        let begin = from_ns + slice * width;
        let is_last = slice + 1 == SLICES;
        let end = if is_last { now_ns.saturating_add(AHEAD_NS_MAX) } else { begin + width };
        let mut query = query(begin, end);
        query.terms = vec![field(Field::Stage, Stage::Work.name(), true)];
        let left = SAMPLE_EVENTS_MAX - evidence.sample.len();
        let events_max = left / usize::try_from(SLICES - slice).unwrap_or(1);
        let found = api.store.search(&api.tenant, &query, &Page { events_max, after: None, now_ns }).await?;
        coverage.merge(&found.coverage);
        evidence.is_whole &= found.next.is_none();
        evidence.sample.extend(found.events);
    }
    evidence.receivers =
        api.ledgers.iter().map(|ledger| (ledger.receiver().to_owned(), ledger.counts())).collect();
    evidence.last_seen = last_seen(api, asked, &evidence, coverage).await?;
    Ok(evidence)
}

/// Of what is not in the range, when it last was: asked of all that is stored, and only then.
async fn last_seen(
    api: &Api,
    asked: &doctor::Asked,
    evidence: &Evidence,
    coverage: &Coverage,
) -> Result<LastSeen, Failure> {
    let newest = async |terms: Vec<Term>| {
        let page = Page { events_max: 1, after: None, now_ns: evidence.now_ns };
        let found = api.store.search(&api.tenant, &Query { terms, ..Query::default() }, &page).await?;
        Ok::<_, Failure>(found.events.first().map(|event| event.start_ns))
    };
    let mut seen =
        LastSeen { anything_ns: coverage.received_ns.map(|(_, last)| last), ..LastSeen::default() };
    let both = || evidence.counted.iter().chain(&evidence.stored);
    if !asked.service.is_empty() && !both().any(|count| count.service == asked.service) {
        seen.service_ns = newest(vec![field(Field::Service, &asked.service, false)]).await?;
    }
    if !asked.destination.is_empty() && !both().any(|count| count.destination == asked.destination) {
        seen.destination_ns = newest(vec![field(Field::Destination, &asked.destination, false)]).await?;
    }
    Ok(seen)
}

fn field(field: Field, value: &str, negated: bool) -> Term {
    Term::Field { negated, field, comparison: Comparison::Equal, value: Literal::Text(value.to_owned()) }
}
