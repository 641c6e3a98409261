//! Asking the store about one message, breadth-first: the model says what to ask next, this loop asks, under
//! named limits. A limit that was hit becomes a gap of the story, never silence.

use super::{Api, Failure};
use crate::config::Config;
use hopscope_model::{
    Coverage, EventId, Evidence, Gap, GapKind, Key, Limits, MessageEvent, MessageRef, Tenant, Trajectory,
    assemble, wants,
};
use hopscope_store::Store;
use std::collections::{BTreeSet, HashSet, VecDeque};

/// How much may be asked for one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct GatherLimits {
    pub(super) events_max: usize,
    pub(super) rounds_max: usize,
    pub(super) bytes_max: usize,
}

impl GatherLimits {
    /// For a whole story.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            events_max: config.message_events_max,
            rounds_max: config.message_rounds_max,
            bytes_max: config.message_bytes_max,
        }
    }

    /// For a line in a list: its states, not what it caused.
    pub(super) fn brief(config: &Config) -> Self {
        let whole = Self::of(config);
        Self { events_max: whole.events_max.min(200), rounds_max: whole.rounds_max.min(4), ..whole }
    }
}

/// A story and what was searched for it.
pub(super) struct Told {
    /// The best reference for it: coordinates, however it was asked for, where they name it alone.
    pub(super) reference: MessageRef,
    pub(super) trajectory: Trajectory,
    pub(super) coverage: Coverage,
}

/// The story of one message as of `now_ns`; `None` when nothing of it is stored.
pub(super) async fn tell(
    api: &Api,
    message: &MessageRef,
    known: Evidence,
    limits: GatherLimits,
    now_ns: i64,
) -> Result<Option<Told>, Failure> {
    let (evidence, hit) = gather(&*api.store, &api.tenant, message, known, limits).await?;
    let coverage = evidence.coverage.clone();
    let told = assemble(message, &evidence, now_ns).map(|mut trajectory| {
        trajectory.gaps.extend(hit.map(|detail| Gap { kind: GapKind::LimitHit, detail }));
        Told { reference: reference(message, &trajectory), trajectory, coverage }
    });
    Ok(told)
}

/// One message may be asked for in several ways; lists and trees name it in one.
fn reference(asked: &MessageRef, trajectory: &Trajectory) -> MessageRef {
    let reused = trajectory.gaps.iter().any(|gap| gap.kind == GapKind::PositionReused);
    match trajectory.subject.coordinates() {
        Some(position) if !reused => MessageRef::Position(position),
        _ => asked.clone(),
    }
}

/// Evidence about `message`, what is known already included, and the limit that was hit, in words.
///
/// The first page of every question comes first; further pages only when nothing else is left to ask, so
/// that one busy key (a handler with 100,000 children) does not eat the limits of all the others.
async fn gather(
    store: &dyn Store,
    tenant: &Tenant,
    message: &MessageRef,
    known: Evidence,
    limits: GatherLimits,
) -> Result<(Evidence, Option<String>), Failure> {
    let page =
        Limits { events_max: (limits.events_max / 4).max(1), bytes_max: (limits.bytes_max / 4).max(1) };
    let mut gathered = Gathered::new(known);
    let mut asked = BTreeSet::new();
    let mut further: VecDeque<(Vec<Key>, String)> = VecDeque::new();
    for _ in 0..limits.rounds_max {
        let keys = wants(message, &gathered.evidence, &asked);
        let (keys, after) = match keys.is_empty() {
            false => (keys, None),
            true => match further.pop_front() {
                None => return Ok((gathered.evidence, None)),
                Some((keys, after)) => (keys, Some(after)),
            },
        };
        asked.extend(keys.iter().cloned());
        let left = gathered.left(limits);
        if left.events_max == 0 || left.bytes_max == 0 {
            return Ok((gathered.evidence, Some(hit(limits))));
        }
        let limits = Limits {
            events_max: page.events_max.min(left.events_max),
            bytes_max: page.bytes_max.min(left.bytes_max),
        };
        let mut found = store.events(tenant, &keys, &limits, after.as_deref()).await?;
        further.extend(found.next.take().map(|next| (keys, next)));
        gathered.add(found);
    }
    let done = further.is_empty() && wants(message, &gathered.evidence, &asked).is_empty();
    Ok((gathered.evidence, (!done).then(|| hit(limits))))
}

fn hit(limits: GatherLimits) -> String {
    let GatherLimits { events_max, rounds_max, bytes_max } = limits;
    format!(
        "there is more than was looked at message_events_max={events_max} message_rounds_max={rounds_max} \
         message_bytes_max={bytes_max}"
    )
}

/// Evidence with every identity once.
struct Gathered {
    evidence: Evidence,
    seen: HashSet<EventId>,
    bytes: usize,
}

impl Gathered {
    fn new(known: Evidence) -> Self {
        let mut new = Self { evidence: Evidence::default(), seen: HashSet::new(), bytes: 0 };
        new.add(known);
        new
    }

    fn left(&self, limits: GatherLimits) -> Limits {
        Limits {
            events_max: limits.events_max.saturating_sub(self.evidence.events.len()),
            bytes_max: limits.bytes_max.saturating_sub(self.bytes),
        }
    }

    fn add(&mut self, found: Evidence) {
        for event in found.events {
            if self.seen.insert(event.id()) {
                self.bytes += event_bytes(&event);
                self.evidence.events.push(event);
            }
        }
        self.evidence.events.sort_by_cached_key(|event| (event.start_ns, event.id()));
        for progress in found.progress {
            if !self.evidence.progress.contains(&progress) {
                self.evidence.progress.push(progress);
            }
        }
        self.evidence.progress.sort_by_key(|progress| progress.at_ns);
        self.evidence.coverage.merge(&found.coverage);
    }
}

/// About how much memory it takes.
fn event_bytes(event: &MessageEvent) -> usize {
    let attributes = event.attributes.iter().map(|(key, value)| key.len() + value.to_string().len() + 56);
    let keys = event.keys.iter().map(|key| key.len() + 24);
    size_of::<MessageEvent>() + attributes.sum::<usize>() + keys.sum::<usize>() + event.links.len() * 24
}
