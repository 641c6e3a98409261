//! What a [`Key`] finds: the rules that every store shares. An index only ever proposes rows; these decide.

use hopscope_model::{EventRef, Key, Position, Progress, ProgressKind, ProgressRow, SpanId, Texts};
use std::collections::{BTreeMap, HashMap};

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

/// For every sample of progress whether [`select_progress`] may ever choose it, whatever it is asked: of each
/// group and lane the newest of each kind, and the floors that passed what none before them had passed.
pub(crate) fn thinned_progress(samples: &[SortKey<'_>]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by_key(|number| samples[*number]);
    order.dedup_by_key(|number| samples[*number]);
    let mut keep = vec![false; samples.len()];
    let mut newest: HashMap<([&str; 5], usize), usize> = HashMap::new();
    let mut passed: HashMap<[&str; 5], i64> = HashMap::new();
    for number in order {
        let (_, kind, place, [group, lane, _, cluster, system, destination], _) = samples[number];
        let lane = [group, lane, cluster, system, destination];
        newest.insert((lane, kind), number);
        if kind == FLOOR && passed.get(&lane).is_none_or(|before| place > *before) {
            passed.insert(lane, place);
            keep[number] = true;
        }
    }
    newest.into_values().for_each(|number| keep[number] = true);
    keep
}

fn keep(slot: &mut Option<Progress>, sample: &Progress, better: impl Fn(&Progress, &Progress) -> bool) {
    if slot.as_ref().is_none_or(|old| better(sample, old)) {
        *slot = Some(sample.clone());
    }
}

const FLOOR: usize = 0;

fn kind_code(kind: ProgressKind) -> usize {
    match kind {
        ProgressKind::Floor { .. } => FLOOR,
        ProgressKind::Settled { .. } => 1,
        ProgressKind::Seen => 2,
    }
}

/// Time, kind, place, all names, grade: everything there is of a sample. Time is first; the rest makes the order
/// total, so that equal times never make two answers.
pub(crate) type SortKey<'a> = (i64, usize, i64, [&'a str; 6], u8);

fn sort_key(sample: &Progress) -> SortKey<'_> {
    let names =
        [&*sample.group, &sample.lane, &sample.service, &sample.cluster, &sample.system, &sample.destination];
    (sample.at_ns, kind_code(sample.kind), place_of(sample.kind), names, sample.grade.code())
}

/// That of a sample in a batch with these texts.
pub(crate) fn sort_key_of_row<'a>(texts: &'a Texts, row: &ProgressRow) -> SortKey<'a> {
    let names = [row.group, row.lane, row.service, row.cluster, row.system, row.destination];
    let names = names.map(|name| texts.get(name));
    (row.at_ns, kind_code(row.kind), place_of(row.kind), names, row.grade.code())
}

fn place_of(kind: ProgressKind) -> i64 {
    match kind {
        ProgressKind::Floor { next } => next,
        ProgressKind::Settled { position } => position,
        ProgressKind::Seen => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::random::{self, Random};

    #[test]
    fn what_is_thinned_is_never_missed() {
        let mut left_out = 0;
        for seed in 0..200 {
            let mut random = Random(seed);
            let samples: Vec<Progress> = (0..60).map(|_| random::progress(&mut random)).collect();
            let keep = thinned_progress(&samples.iter().map(sort_key).collect::<Vec<_>>());
            left_out += keep.iter().filter(|keep| !**keep).count();
            let thin =
                || samples.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(sample, _)| sample.clone());
            for _ in 0..20 {
                let at = random::position(&mut random);
                let all = select_progress(samples.iter().cloned(), &at);
                assert_eq!(select_progress(thin(), &at), all, "seed {seed} {at:?}");
            }
        }
        assert!(left_out > 200, "{left_out}");
    }
}
