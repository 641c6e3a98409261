//! What a [`Key`] finds: the rules that every store shares. An index only ever proposes rows; these decide.

use hopscope_model::{EventRef, Key, Position, Progress, ProgressKind, SpanId};
use std::collections::BTreeMap;

/// Whether this event is under that key.
pub(crate) fn event_matches(key: &Key, event: &EventRef<'_>) -> bool {
    match key {
        // Absent ids and texts are no keys: they would find everything that lacks one.
        Key::Trace(trace) => !trace.is_zero() && event.trace() == *trace,
        Key::Span(span) => *span != SpanId::ZERO && event.span() == *span,
        Key::Children(parent) => *parent != SpanId::ZERO && event.parent() == *parent,
        Key::Creation(context) => event.creation() == Some(*context),
        Key::Position(at) => {
            event.position() == Some(at.position)
                && event.lane() == at.lane
                && at_destination(at, event.system(), event.cluster(), event.destination())
        }
        Key::MessageId { system, destination, id } => {
            !id.is_empty()
                && event.message_id() == id
                && (system.is_empty() || event.system() == system)
                && (destination.is_empty() || event.destination() == destination)
        }
        Key::Correlation(id) => !id.is_empty() && event.correlation_id() == id,
        Key::Business(key) => event.keys().any(|own| own == key),
        Key::Progress(_) => false,
    }
}

/// An absent system or cluster, on either side of the cluster, leaves it open.
fn at_destination(at: &Position, system: &str, cluster: &str, destination: &str) -> bool {
    destination == at.destination
        && (at.system.is_empty() || system == at.system)
        && (at.cluster.is_empty() || cluster.is_empty() || cluster == at.cluster)
}

/// What [`Key::Progress`] answers out of all samples: for every group its newest sample of each kind on the
/// lane, its newest on the whole destination, and the first floor that passed the position. In order of time.
///
/// It may be applied to parts and then to what it chose from them: the answer is the same.
pub(crate) fn select_progress(samples: impl Iterator<Item = Progress>, at: &Position) -> Vec<Progress> {
    #[derive(Default)]
    struct OfGroup {
        kinds: [Option<Progress>; 3],
        anywhere: Option<Progress>,
        passed: Option<Progress>,
    }
    let mut groups: BTreeMap<(String, String, String), OfGroup> = BTreeMap::new();
    for sample in samples {
        if !at_destination(at, &sample.system, &sample.cluster, &sample.destination) {
            continue;
        }
        let name = (sample.system.clone(), sample.cluster.clone(), sample.group.clone());
        let group = groups.entry(name).or_default();
        keep(&mut group.anywhere, &sample, |new, old| sort_key(new) > sort_key(old));
        if sample.lane != at.lane {
            continue;
        }
        keep(&mut group.kinds[kind_code(sample.kind)], &sample, |new, old| sort_key(new) > sort_key(old));
        if matches!(sample.kind, ProgressKind::Floor { next } if next > at.position) {
            keep(&mut group.passed, &sample, |new, old| sort_key(new) < sort_key(old));
        }
    }
    let chosen = groups
        .into_values()
        .flat_map(|group| group.kinds.into_iter().flatten().chain(group.anywhere).chain(group.passed));
    let mut chosen: Vec<Progress> = chosen.collect();
    chosen.sort_by(|one, other| sort_key(one).cmp(&sort_key(other)));
    chosen.dedup();
    chosen
}

fn keep(slot: &mut Option<Progress>, sample: &Progress, better: impl Fn(&Progress, &Progress) -> bool) {
    if slot.as_ref().is_none_or(|old| better(sample, old)) {
        *slot = Some(sample.clone());
    }
}

fn kind_code(kind: ProgressKind) -> usize {
    match kind {
        ProgressKind::Floor { .. } => 0,
        ProgressKind::Settled { .. } => 1,
        ProgressKind::Seen => 2,
    }
}

/// Time first; the rest makes the order total, so that equal times never make two answers.
fn sort_key(sample: &Progress) -> (i64, usize, i64, [&str; 6], u8) {
    let place = match sample.kind {
        ProgressKind::Floor { next } => next,
        ProgressKind::Settled { position } => position,
        ProgressKind::Seen => 0,
    };
    let names =
        [&*sample.group, &sample.lane, &sample.service, &sample.cluster, &sample.system, &sample.destination];
    (sample.at_ns, kind_code(sample.kind), place, names, sample.grade.code())
}
