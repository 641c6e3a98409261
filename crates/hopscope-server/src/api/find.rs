//! `/api/v1/find`: messages that match what a person typed or pasted.
//!
//! What names something directly (an id, coordinates, a key) is looked up without a time range; everything
//! else is a search from the newest event backwards. Either way events are grouped into messages, and each
//! message is told briefly for its states.

use super::gather::{GatherLimits, Told, tell};
use super::{Api, Failure, json};
use crate::clock::now_ns;
use axum::Json;
use axum::extract::{Query as Parameters, State};
use futures::stream::{self, StreamExt, TryStreamExt};
use hopscope_client::api::{FindAnswer, MessageSummary, Recognised};
use hopscope_model::query::{Free, Term};
use hopscope_model::{Coverage, Evidence, Key, Limits, MessageRef, Query, Trajectory, messages};
use hopscope_store::Page;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::IntoParams;

const MESSAGES_DEFAULT: usize = 20;
/// Pages of events looked at for one page of messages; past it the answer is shorter and says where to go on.
const ROUNDS_MAX: usize = 16;
/// About the most bytes of events looked at for one page.
const BYTES_MAX: usize = 16 << 20;
/// Messages that are told at the same time.
const TOLD_AT_ONCE: usize = 8;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// What to look for: a query, an id, or a pasted log line. Absent or empty: everything, newest first.
    q: Option<String>,
    /// Most messages; 20 where absent.
    limit: Option<usize>,
    /// `next` of the page before.
    after: Option<String>,
}

/// Messages that match, newest first.
#[utoipa::path(get, path = "/api/v1/find", params(Asked), responses((status = 200, body = FindAnswer)))]
pub(super) async fn find(
    State(api): State<Arc<Api>>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<FindAnswer>, Failure> {
    let query = Query::parse_input(asked.q.as_deref().unwrap_or("")).map_err(|error| {
        let failure = Failure::invalid(format!("{} at_byte={}", error.message, error.at_byte));
        error.hint.into_iter().fold(failure, Failure::with_hint)
    })?;
    let messages_max = asked.limit.unwrap_or(MESSAGES_DEFAULT).clamp(1, api.config.find_messages_max);
    let wanted = Wanted { query: &query, keys: query.keys(), messages_max, now_ns: now_ns() };
    let found = look(&api, &wanted, asked.after.as_deref()).await?;
    Ok(Json(FindAnswer {
        query: query.to_string(),
        recognised: recognised(&query),
        messages: found.messages,
        coverage: json::coverage(&found.coverage),
        next: found.next,
    }))
}

struct Wanted<'a> {
    query: &'a Query,
    keys: Vec<Key>,
    messages_max: usize,
    now_ns: i64,
}

#[derive(Default)]
struct Found {
    messages: Vec<MessageSummary>,
    coverage: Coverage,
    next: Option<String>,
}

/// Where the next events come from.
#[derive(Clone, Debug, PartialEq)]
enum Cursor {
    /// What lies under the query's keys.
    Keys(Option<String>),
    /// Newest first.
    Search(Option<String>),
}

impl Cursor {
    fn first(wanted: &Wanted<'_>) -> Self {
        if wanted.keys.is_empty() { Self::Search(None) } else { Self::Keys(None) }
    }

    fn read(text: &str, wanted: &Wanted<'_>) -> Option<Self> {
        match (text.strip_prefix("k."), text.strip_prefix("s.")) {
            (Some(after), _) if !wanted.keys.is_empty() => Some(Self::Keys(Some(after.to_owned()))),
            (_, Some(after)) => Some(Self::Search(Some(after.to_owned()))),
            _ => None,
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Keys(after) => after.as_ref().map(|after| format!("k.{after}")),
            Self::Search(after) => after.as_ref().map(|after| format!("s.{after}")),
        }
    }
}

/// Page by page of events until there are enough messages. A page never has more events than messages are
/// still wanted, so that no message found has to be thrown away.
async fn look(api: &Api, wanted: &Wanted<'_>, after: Option<&str>) -> Result<Found, Failure> {
    let mut cursor = match after {
        None => Cursor::first(wanted),
        Some(after) => Cursor::read(after, wanted).ok_or_else(|| {
            Failure::invalid("not a cursor of this query").with_hint("take `next` of the page before")
        })?,
    };
    let mut found = Found::default();
    let mut seen = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let (evidence, further) =
            page(api, wanted, &cursor, wanted.messages_max - found.messages.len()).await?;
        found.coverage.merge(&evidence.coverage);
        let nothing_under_keys = cursor == Cursor::Keys(None) && evidence.events.is_empty();
        for told in stories(api, wanted, &evidence).await? {
            found.coverage.merge(&told.coverage);
            let fits = matches(wanted, &told.trajectory, &cursor);
            if fits && seen.insert(told.reference.clone()) {
                found.messages.push(json::summary(&told.reference, &told.trajectory));
            }
        }
        cursor = match further {
            // A word that is no key may still be the name of a destination or a service.
            None if nothing_under_keys => Cursor::Search(None),
            None => return Ok(found),
            Some(further) => further,
        };
        if found.messages.len() >= wanted.messages_max {
            break;
        }
    }
    found.next = cursor.text();
    Ok(found)
}

async fn page(
    api: &Api,
    wanted: &Wanted<'_>,
    cursor: &Cursor,
    events_max: usize,
) -> Result<(Evidence, Option<Cursor>), Failure> {
    match cursor {
        Cursor::Keys(after) => {
            let limits = Limits { events_max, bytes_max: BYTES_MAX };
            let mut found = api.store.events(&api.tenant, &wanted.keys, &limits, after.as_deref()).await?;
            let next = found.next.take().map(|next| Cursor::Keys(Some(next)));
            Ok((found, next))
        }
        Cursor::Search(after) => {
            let page = Page { events_max, after: after.clone(), now_ns: wanted.now_ns };
            let found = api.store.search(&api.tenant, wanted.query, &page).await?;
            let mut evidence =
                Evidence { events: found.events, coverage: found.coverage, ..Evidence::default() };
            evidence.events.sort_by_cached_key(|event| (event.start_ns, event.id()));
            Ok((evidence, found.next.map(|next| Cursor::Search(Some(next)))))
        }
    }
}

/// The messages that these events are of, newest first, each told briefly.
async fn stories(api: &Api, wanted: &Wanted<'_>, evidence: &Evidence) -> Result<Vec<Told>, Failure> {
    let limits = GatherLimits::brief(&api.config);
    let told = stream::iter(messages(evidence)).map(|reference| async move {
        let known = about(&reference, evidence, wanted.now_ns);
        tell(api, &reference, known, limits, wanted.now_ns).await
    });
    let told: Vec<Option<Told>> = told.buffered(TOLD_AT_ONCE).try_collect().await?;
    Ok(told.into_iter().flatten().collect())
}

/// The part of the evidence that a message was seen in: what need not be asked for again. Progress is asked for.
fn about(reference: &MessageRef, evidence: &Evidence, now_ns: i64) -> Evidence {
    let own = hopscope_model::assemble(reference, evidence, now_ns);
    let events = own.into_iter().flat_map(|own| own.events).map(|joined| joined.event).collect();
    Evidence { events, coverage: evidence.coverage.clone(), ..Evidence::default() }
}

fn matches(wanted: &Wanted<'_>, story: &Trajectory, cursor: &Cursor) -> bool {
    let states = wanted.query.states();
    let state_fits = states
        .iter()
        .all(|(negated, state)| story.groups.iter().any(|group| group.state == *state) != *negated);
    // Under keys lies more than was asked for: the other terms are still to be compared.
    state_fits && (matches!(cursor, Cursor::Search(_)) || any_event_matches(wanted, story))
}

/// Every term holds for one of the message's events: a key is on its send, a group on its process.
fn any_event_matches(wanted: &Wanted<'_>, story: &Trajectory) -> bool {
    let mut builder = hopscope_model::BatchBuilder::new(
        hopscope_model::Tenant::default(),
        hopscope_model::Source::Otlp,
        wanted.now_ns,
    );
    story.events.iter().for_each(|joined| builder.push_event(&joined.event));
    let batch = builder.finish();
    let holds = |term: &Term| {
        let alone = Query { terms: vec![term.clone()], ..Query::default() };
        batch.events().any(|event| alone.matches(event, wanted.now_ns))
    };
    let time = Query { terms: Vec::new(), ..wanted.query.clone() };
    let in_time = batch.events().any(|event| time.matches(event, wanted.now_ns));
    in_time && wanted.query.terms.iter().all(holds)
}

fn recognised(query: &Query) -> Vec<Recognised> {
    let one = |free: &Free| Recognised { text: free.to_string(), kind: free.kind().to_owned() };
    let of = |term: &Term| match term {
        Term::Free(free) => vec![one(free)],
        Term::AnyOf(alternatives) => alternatives.iter().map(one).collect(),
        Term::Field { .. } | Term::Attribute { .. } => Vec::new(),
    };
    query.terms.iter().flat_map(of).collect()
}
