//! `/api/v1/rates`: messages over time by destination and group. What services count themselves is exact; where
//! a service sends no metrics, its spans are counted, and the answer says so.

mod templates;

use super::{Api, Failure, json};
use crate::clock::now_ns;
use axum::Json;
use axum::extract::{Query as Parameters, State};
use hopscope_client::api::{Bound, Durations, Flow, Int64, Rate, RatesAnswer};
use hopscope_model::query::Time;
use hopscope_model::{Coverage, Measure, Quantile, Query, Spread, Stage};
use hopscope_store::{Aggregation, Counted, Dimension, Latency, Row};
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::str::FromStr;
use std::sync::Arc;
use utoipa::IntoParams;

/// Combinations of names and steps counted for one answer; past it the coverage says so.
const ROWS_MAX: usize = 100_000;

/// Steps of one answer: what a small line can show.
const STEPS: i64 = 60;

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: u64 = 3_600_000_000_000;

/// Lengths of a step, in seconds.
const STEP_SECONDS: [i64; 12] = [10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400];

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Begin of the range: `15m`, `24h`, an instant as in a query. Absent: an hour ago.
    since: Option<String>,
    /// Only what matches: fields that are names (`dest:`, `group:`, `service:`, `system:`, `stage:`, `outcome:`).
    q: Option<String>,
}

/// Messages over time, by destination and group.
#[utoipa::path(get, path = "/api/v1/rates", params(Asked), responses((status = 200, body = RatesAnswer)))]
pub(super) async fn rates(
    State(api): State<Arc<Api>>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<RatesAnswer>, Failure> {
    let range = Range::of(&asked, now_ns())?;
    let mut books = Books::default();
    let mut coverage = Coverage::default();
    for of in [Counted::Tallies, Counted::Events] {
        let counted = api.store.aggregate(&api.tenant, &range.aggregation(of)).await?;
        counted.rows.iter().for_each(|row| books.add(&range, row));
        coverage.segments = counted.coverage.segments;
        coverage.received_ns = counted.coverage.received_ns;
        coverage.complete &= counted.coverage.complete;
        let new = counted.coverage.why_not.into_iter().filter(|why| !coverage.why_not.contains(why));
        let new: Vec<String> = new.collect();
        coverage.why_not.extend(new);
    }
    let named = Aggregation {
        by: vec![Dimension::Service, Dimension::Instance],
        step_ns: None,
        ..range.aggregation(Counted::Tallies)
    };
    let named = api.store.aggregate(&api.tenant, &named).await?;
    let unnamed: BTreeSet<&String> =
        named.rows.iter().filter(|row| row.values[1].is_empty()).map(|row| &row.values[0]).collect();
    Ok(Json(RatesAnswer {
        from_ns: Int64(range.from_ns),
        to_ns: Int64(range.to_ns),
        step_ns: Int64(range.step_ns),
        rates: books.rates(&range),
        without_instance: unnamed.into_iter().cloned().collect(),
        coverage: json::coverage(&coverage),
    }))
}

/// The range of time that is asked for, and what else.
struct Range {
    query: Query,
    from_ns: i64,
    to_ns: i64,
    step_ns: i64,
}

impl Range {
    fn of(asked: &Asked, now_ns: i64) -> Result<Self, Failure> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let mut query = match given(&asked.q) {
            None => Query::default(),
            Some(q) => Query::from_str(&q).map_err(|error| Failure::invalid(error.to_string()))?,
        };
        if let Some(since) = given(&asked.since) {
            let time = Query::from_str(&format!("since:{since}")).ok().filter(|query| query.terms.is_empty());
            query.since = Some(time.and_then(|query| query.since).ok_or_else(|| {
                Failure::invalid(format!("not a time since={since}")).with_hint("as 15m, 24h or 7d")
            })?);
        }
        let since_ns = query.since.unwrap_or(Time::Ago(HOUR_NS)).resolve(now_ns);
        let to_ns = query.until.map_or(now_ns, |until| until.resolve(now_ns)).min(now_ns);
        let seconds = to_ns.saturating_sub(since_ns) / SECOND_NS;
        let longest = STEP_SECONDS[STEP_SECONDS.len() - 1];
        if seconds <= 0 || seconds / longest > STEPS {
            return Err(
                Failure::invalid("the range is empty or too long").with_hint("up to 60d, as since=24h")
            );
        }
        let step = STEP_SECONDS.into_iter().find(|step| seconds / step <= STEPS).unwrap_or(longest);
        let step_ns = step * SECOND_NS;
        let from_ns = since_ns - since_ns.rem_euclid(step_ns);
        (query.since, query.until) = (Some(Time::At(from_ns)), Some(Time::At(to_ns)));
        Ok(Self { query, from_ns, to_ns, step_ns })
    }

    fn aggregation(&self, of: Counted) -> Aggregation {
        use Dimension::{Cluster, Destination, Group, Service, Stage, System};
        Aggregation {
            of,
            by: vec![System, Cluster, Destination, Group, Service, Stage],
            query: self.query.clone(),
            step_ns: NonZero::new(self.step_ns),
            now_ns: self.to_ns,
            rows_max: ROWS_MAX,
            measured: of == Counted::Events,
        }
    }

    fn step_of(&self, row: &Row) -> usize {
        usize::try_from((row.step_ns - self.from_ns) / self.step_ns).unwrap_or_default()
    }

    fn steps(&self) -> usize {
        usize::try_from((self.to_ns - self.from_ns + self.step_ns - 1) / self.step_ns).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Sent,
    Consumed,
}

/// What a row says, and how good it is at saying it: 0 is best. A service may report one thing several times,
/// under the names of several generations; it counts once.
fn said(row: &Row, stage: Stage) -> Option<(Kind, u8)> {
    let Some(metric) = &row.metric else {
        return match stage {
            Stage::Send => Some((Kind::Sent, 0)),
            Stage::Receive => Some((Kind::Consumed, 0)),
            Stage::Process => Some((Kind::Consumed, 1)),
            _ => None,
        };
    };
    let newest = u8::from(!metric.name.starts_with("messaging.client."));
    match (metric.measure, stage) {
        (Measure::Messages, Stage::Send) => Some((Kind::Sent, newest)),
        (Measure::Messages, Stage::Receive) => Some((Kind::Consumed, newest)),
        (Measure::Messages, Stage::Process) => Some((Kind::Consumed, 2)),
        // Operations, where nobody counts messages.
        (Measure::Duration, Stage::Send) => Some((Kind::Sent, 3)),
        (Measure::Duration, Stage::Process) => Some((Kind::Consumed, 3)),
        _ => None,
    }
}

/// System, cluster, destination.
type Place = (String, String, String);

/// One way in which a service tells one thing.
#[derive(Default)]
struct Told {
    steps: BTreeMap<usize, u64>,
    failed: u64,
    last_ns: i64,
}

/// What one service tells of one thing, by metrics and by spans.
#[derive(Default)]
struct Teller {
    counted: BTreeMap<u8, Told>,
    seen: BTreeMap<u8, Told>,
}

/// What is known of a group of a destination; sends are under the empty group.
#[derive(Default)]
struct Book {
    tellers: BTreeMap<(Kind, String), Teller>,
    process: Spreads,
    queue: Spreads,
}

/// How one thing spread, by how good the evidence is, 0 is best: metrics, then events that arrived.
type Spreads = BTreeMap<u8, Spread>;

/// Of a row the spreads of processing and of the queue, each with its rank.
fn spreads(row: &Row, stage: Stage) -> [Option<(u8, &Spread)>; 2] {
    if let Some(metric) = &row.metric {
        let spread = row.spread.as_ref().map(|spread| (0, spread));
        return match (metric.measure, stage) {
            (Measure::Duration, Stage::Process) => [spread, None],
            (Measure::Queue, _) => [None, spread],
            _ => [None, None],
        };
    }
    let Some(measured) = &row.measured else { return [None, None] };
    // A consumer that tells both has two ends of its time in the queue: the receipt is the sooner one.
    let queue_rank = if stage == Stage::Receive { 1 } else { 2 };
    let process = measured.latency(Latency::Process).map(|spread| (1, spread));
    [process, measured.latency(Latency::Queue).map(|spread| (queue_rank, spread))]
}

#[derive(Default)]
struct Books {
    places: BTreeMap<Place, BTreeMap<String, Book>>,
}

impl Books {
    fn add(&mut self, range: &Range, row: &Row) {
        let [system, cluster, destination, group, service, stage] = row.values.as_slice() else { return };
        let Some(stage) = Stage::from_name(stage).filter(|_| !destination.is_empty()) else { return };
        let destination = templates::of_temporary(system, destination);
        let group = if stage == Stage::Send { "" } else { group };
        let place = (system.clone(), cluster.clone(), destination.to_owned());
        let book = self.places.entry(place).or_default().entry(group.to_owned()).or_default();
        for (all, spread) in [&mut book.process, &mut book.queue].into_iter().zip(spreads(row, stage)) {
            if let Some((rank, spread)) = spread {
                all.entry(rank).or_insert_with(Spread::empty).add(spread);
            }
        }
        let Some((kind, rank)) = said(row, stage) else { return };
        let teller = book.tellers.entry((kind, service.clone())).or_default();
        let ways = if row.metric.is_some() { &mut teller.counted } else { &mut teller.seen };
        let told = ways.entry(rank).or_default();
        *told.steps.entry(range.step_of(row)).or_default() += row.events;
        told.failed += row.failed;
        told.last_ns = told.last_ns.max(row.last_ns);
    }

    fn rates(mut self, range: &Range) -> Vec<Rate> {
        self.join_clusters();
        self.join_templates();
        let mut rates = Vec::new();
        for ((system, cluster, destination), groups) in self.places {
            let sent = groups
                .get("")
                .map_or_else(|| flow(range, None, Kind::Sent), |book| flow(range, Some(book), Kind::Sent));
            let has_groups = groups.keys().any(|group| !group.is_empty());
            for (group, book) in &groups {
                let consumed = flow(range, Some(book), Kind::Consumed);
                // Sends stand with the groups, where there are some.
                if group.is_empty() && has_groups && consumed.source == "none" {
                    continue;
                }
                rates.push(Rate {
                    system: system.clone(),
                    cluster: cluster.clone(),
                    destination: destination.clone(),
                    group: group.clone(),
                    sent: sent.clone(),
                    consumed,
                    process: durations(book.process.values().next()),
                    queue: durations(book.queue.values().next()),
                });
            }
        }
        rates.sort_by_key(|rate| Reverse(rate.sent.total.max(rate.consumed.total)));
        rates
    }

    /// Metrics count under a template what spans name in full: what nobody counts under its own name goes there.
    fn join_templates(&mut self) {
        let is_template = |(_, _, destination): &&Place| templates::is_template(destination);
        let known: Vec<Place> = self.places.keys().filter(is_template).cloned().collect();
        for template in known {
            let (system, cluster, pattern) = &template;
            let is_counted = |groups: &BTreeMap<String, Book>| groups.values().any(Book::is_counted);
            let covered = self.places.iter().filter(|((of, at, name), groups)| {
                of == system && at == cluster && templates::covers(pattern, name) && !is_counted(groups)
            });
            let covered: Vec<Place> = covered.map(|(place, _)| place.clone()).collect();
            for place in covered {
                let Some(groups) = self.places.remove(&place) else { continue };
                let all = self.places.entry(template.clone()).or_default();
                for (group, book) in groups {
                    all.entry(group).or_default().merge(book);
                }
            }
        }
    }

    /// Metrics often name no cluster where spans do: a destination that is known in one cluster only is that one.
    fn join_clusters(&mut self) {
        let mut clusters: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for (system, cluster, destination) in self.places.keys().filter(|(_, cluster, _)| !cluster.is_empty())
        {
            clusters.entry((system.clone(), destination.clone())).or_default().insert(cluster.clone());
        }
        for ((system, destination), known) in clusters {
            let [cluster] = known.iter().collect::<Vec<_>>()[..] else { continue };
            let nameless = (system.clone(), String::new(), destination.clone());
            let Some(groups) = self.places.remove(&nameless) else { continue };
            let named = self.places.entry((system, cluster.clone(), destination)).or_default();
            for (group, book) in groups {
                named.entry(group).or_default().merge(book);
            }
        }
    }
}

impl Book {
    fn is_counted(&self) -> bool {
        self.tellers.values().any(|teller| !teller.counted.is_empty())
    }

    fn merge(&mut self, other: Self) {
        for (own, other) in [(&mut self.process, other.process), (&mut self.queue, other.queue)] {
            for (rank, spread) in other {
                own.entry(rank).or_insert_with(Spread::empty).add(&spread);
            }
        }
        for (teller, other) in other.tellers {
            let own = self.tellers.entry(teller).or_default();
            for (ways, others) in [(&mut own.counted, other.counted), (&mut own.seen, other.seen)] {
                for (rank, told) in others {
                    let way = ways.entry(rank).or_default();
                    told.steps.iter().for_each(|(step, count)| *way.steps.entry(*step).or_default() += count);
                    way.failed += told.failed;
                    way.last_ns = way.last_ns.max(told.last_ns);
                }
            }
        }
    }
}

fn flow(range: &Range, book: Option<&Book>, kind: Kind) -> Flow {
    let mut steps = vec![0u64; range.steps()];
    let (mut failed, mut last_ns, mut exact, mut sampled) = (0u64, range.from_ns, false, false);
    let tellers = book.iter().flat_map(|book| &book.tellers);
    for (_, teller) in tellers.filter(|((of, _), _)| *of == kind) {
        let counts = !teller.counted.is_empty();
        let ways = if counts { &teller.counted } else { &teller.seen };
        let Some(best) = ways.values().next() else { continue };
        exact |= counts;
        sampled |= !counts;
        for (step, count) in &best.steps {
            if let Some(slot) = steps.get_mut(*step) {
                *slot += count;
            }
        }
        // Who counts what was consumed may leave it to another metric to say what failed.
        failed += ways.values().map(|told| told.failed).max().unwrap_or_default();
        last_ns = last_ns.max(if counts { best.last_ns } else { range.to_ns });
    }
    let total: u64 = steps.iter().sum();
    let seconds = (last_ns - range.from_ns).max(range.step_ns.min(range.to_ns - range.from_ns)) as f64 / 1e9;
    Flow {
        source: match (exact, sampled) {
            (true, false) => "exact",
            (true, true) => "mixed",
            (false, true) => "sampled",
            (false, false) => "none",
        }
        .to_owned(),
        total: int(total),
        failed: int(failed),
        per_second: if total == 0 { 0.0 } else { total as f64 / seconds },
        steps: steps.into_iter().map(int).collect(),
    }
}

fn durations(spread: Option<&Spread>) -> Option<Durations> {
    let spread = spread?;
    let bound = |per_mille| {
        Some(match spread.quantile(per_mille)? {
            Quantile::AtMost(ns) => Bound { ns: Int64(ns), more: false },
            Quantile::MoreThan(ns) => Bound { ns: Int64(ns), more: true },
        })
    };
    let count = spread.count();
    Some(Durations {
        count: int(count),
        mean_ns: spread.sum.filter(|_| count > 0).map(|sum| int(sum / count)),
        p50: bound(500)?,
        p99: bound(990)?,
    })
}

fn int(count: u64) -> Int64 {
    Int64(i64::try_from(count).unwrap_or(i64::MAX))
}
