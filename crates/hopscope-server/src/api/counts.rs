//! `/api/v1/destinations` and `/api/v1/services`: counts by name.

use super::{Api, Failure, json};
use crate::clock::now_ns;
use axum::Json;
use axum::extract::{Query as Parameters, State};
use hopscope_client::api::{Destination, DestinationsAnswer, Int64, Service, ServicesAnswer};
use hopscope_model::query::Time;
use hopscope_model::{Query, Stage};
use hopscope_store::{Aggregated, Aggregation, Dimension, Row};
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;
use utoipa::IntoParams;

/// Combinations counted for one answer; past it the coverage says so.
const ROWS_MAX: usize = 20_000;

const MINUTE_NS: i64 = 60_000_000_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// Only events since then: `15m`, `24h`, an instant as in a query. Absent: all.
    since: Option<String>,
}

/// Destinations, and what was counted on each.
#[utoipa::path(get, path = "/api/v1/destinations", params(Since), responses((status = 200, body = DestinationsAnswer)))]
pub(super) async fn destinations(
    State(api): State<Arc<Api>>,
    Parameters(since): Parameters<Since>,
) -> Result<Json<DestinationsAnswer>, Failure> {
    use Dimension::{Cluster, Destination, Group, Stage, System};
    let counted = count(&api, &since, vec![System, Cluster, Destination, Group, Stage]).await?;
    Ok(Json(DestinationsAnswer {
        destinations: destinations_of(&counted.rows),
        coverage: json::coverage(&counted.coverage),
    }))
}

/// Services, and what was counted of each.
#[utoipa::path(get, path = "/api/v1/services", params(Since), responses((status = 200, body = ServicesAnswer)))]
pub(super) async fn services(
    State(api): State<Arc<Api>>,
    Parameters(since): Parameters<Since>,
) -> Result<Json<ServicesAnswer>, Failure> {
    let counted = count(&api, &since, vec![Dimension::Service, Dimension::Stage]).await?;
    let coverage = json::coverage(&counted.coverage);
    Ok(Json(ServicesAnswer { services: services_of(&counted.rows), coverage }))
}

async fn count(api: &Api, since: &Since, by: Vec<Dimension>) -> Result<Aggregated, Failure> {
    let now_ns = now_ns();
    let mut query = match since.since.as_deref().filter(|since| !since.is_empty()) {
        None => Query::default(),
        Some(since) => Query::from_str(&format!("since:{since}"))
            .ok()
            .filter(|query| query.since.is_some() && query.terms.is_empty())
            .ok_or_else(|| {
                Failure::invalid(format!("not a time since={since}")).with_hint("as 15m, 24h or 7d")
            })?,
    };
    // A whole minute: what is counted by minutes answers it without a look at events.
    query.since = query.since.map(|since| {
        let since_ns = since.resolve(now_ns);
        Time::At(since_ns.saturating_sub(since_ns.rem_euclid(MINUTE_NS)))
    });
    let aggregation = Aggregation { by, query, now_ns, rows_max: ROWS_MAX, ..Aggregation::default() };
    Ok(api.store.aggregate(&api.tenant, &aggregation).await?)
}

/// What is summed up for one name.
#[derive(Default)]
struct Sum {
    events: u64,
    sent: u64,
    processed: u64,
    failed: u64,
    last_ns: i64,
    groups: BTreeSet<String>,
}

impl Sum {
    fn add(&mut self, row: &Row, stage: &str) {
        self.events += row.events;
        self.failed += row.failed;
        self.last_ns = self.last_ns.max(row.last_ns);
        match Stage::from_name(stage) {
            Some(Stage::Send) => self.sent += row.events,
            Some(Stage::Process) => self.processed += row.events,
            _ => {}
        }
    }
}

fn int(count: u64) -> Int64 {
    Int64(i64::try_from(count).unwrap_or(i64::MAX))
}

fn destinations_of(rows: &[Row]) -> Vec<Destination> {
    let mut sums: BTreeMap<(&str, &str, &str), Sum> = BTreeMap::new();
    for row in rows {
        let [system, cluster, destination, group, stage] = row.values.as_slice() else { continue };
        if destination.is_empty() {
            continue;
        }
        let sum = sums.entry((system, cluster, destination)).or_default();
        sum.add(row, stage);
        if !group.is_empty() {
            sum.groups.insert(group.clone());
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| Reverse(sum.events));
    let destination = |((system, cluster, destination), sum): ((&str, &str, &str), Sum)| Destination {
        system: system.to_owned(),
        cluster: cluster.to_owned(),
        destination: destination.to_owned(),
        groups: sum.groups.into_iter().collect(),
        sent: int(sum.sent),
        processed: int(sum.processed),
        failed: int(sum.failed),
        last_ns: Int64(sum.last_ns),
    };
    sums.into_iter().map(destination).collect()
}

fn services_of(rows: &[Row]) -> Vec<Service> {
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for row in rows {
        let [service, stage] = row.values.as_slice() else { continue };
        if !service.is_empty() {
            sums.entry(service).or_default().add(row, stage);
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| Reverse(sum.events));
    let service = |(service, sum): (&str, Sum)| Service {
        service: service.to_owned(),
        events: int(sum.events),
        sent: int(sum.sent),
        processed: int(sum.processed),
        failed: int(sum.failed),
        last_ns: Int64(sum.last_ns),
    };
    sums.into_iter().map(service).collect()
}
