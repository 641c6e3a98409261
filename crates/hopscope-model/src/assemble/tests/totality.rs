//! Whatever the events say: a story, never a panic, the same for the same facts, and each event in one message.

use super::build::{self, Build, NOW};
use crate::{
    Disposition, Evidence, Key, MessageRef, Outcome, ProgressKind, SpanContext, Stage, assemble, messages,
    wants,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Few names, so that random events meet.
fn any_event() -> impl Strategy<Value = Build> {
    let ids = (0u8..4, 0u8..6, 0u8..6, prop::option::of((0u8..3, 1u8..6)));
    let place = (
        prop::sample::select(vec!["kafka", "rabbitmq", "nats", "rocketmq", ""]),
        prop::sample::select(vec!["orders", "%RETRY%g", "%DLQ%g", "dead", ""]),
        prop::sample::select(vec!["", "0", "1"]),
        prop::option::of(prop::sample::select(vec![0i64, 1, 2, i64::MAX, i64::MIN])),
        prop::sample::select(vec!["", "", "m1", "m2"]),
        prop::sample::select(vec!["", "", "east", "west"]),
    );
    let facts = (
        prop::sample::select(Stage::ALL),
        prop::sample::select(vec![0i64, 1, -1, 1_000, i64::MAX, i64::MIN, NOW]),
        prop::option::of(prop::sample::select(vec![0u64, 5, u64::MAX])),
        prop::option::of(prop::sample::select(vec![0i64, i64::MIN, i64::MAX])),
        prop::sample::select(vec!["", "g", "h"]),
        prop::option::of(prop::sample::select(vec![0u32, 1, 2, u32::MAX])),
        prop::option::of(prop::sample::select(Disposition::ALL)),
        0u8..3,
    );
    let copied = prop::option::of((
        prop::sample::select(vec!["dead_letter", "retry", "redrive", "?"]),
        prop::sample::select(vec!["orders", "dead", ""]),
        prop::option::of(0i64..3),
    ));
    (ids, place, facts, copied).prop_map(|(ids, place, facts, copied)| {
        let (trace, span, parent, creation) = ids;
        let (system, destination, lane, position, id, cluster) = place;
        let (stage, start, duration, broker, group, attempt, disposition, outcome) = facts;
        let mut built = build::send(trace, span)
            .to(system, destination)
            .id(id)
            .group(group)
            .cluster(cluster)
            .under(parent);
        let event = &mut built.0;
        event.stage = stage;
        event.creation =
            creation.map(|(trace, span)| build::ctx(trace, span)).filter(|context| !context.is_zero());
        event.links = creation.map(|(trace, span)| build::ctx(span, trace)).into_iter().collect();
        (event.lane, event.position) = (lane.into(), position);
        (event.start_ns, event.duration_ns, event.broker_ns) = (start, duration, broker);
        (event.attempt, event.disposition) = (attempt, disposition);
        event.outcome = match outcome {
            0 => Outcome::Ok,
            1 => Outcome::Unknown,
            _ => Outcome::Failed { reason: "no_route".into() },
        };
        match copied {
            Some((kind, from, position)) => {
                let built = built.copied_from(kind, from, group);
                match position {
                    Some(position) => {
                        built.attribute("hopscope.copied_from.position", crate::Value::Int(position))
                    }
                    None => built,
                }
            }
            None => built,
        }
    })
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let kind = prop_oneof![
        prop::sample::select(vec![0i64, 1, 2, i64::MAX, i64::MIN])
            .prop_map(|next| ProgressKind::Floor { next }),
        (0i64..3).prop_map(|position| ProgressKind::Settled { position }),
        Just(ProgressKind::Seen),
    ];
    let progress = (prop::sample::select(vec!["g", "h", ""]), kind, -1_000i64..1_000)
        .prop_map(|(group, kind, ms)| build::progress(group, kind, ms));
    (prop::collection::vec(any_event(), 0..24), prop::collection::vec(progress, 0..6))
        .prop_map(|(events, progress)| Evidence { progress, ..build::evidence(events) })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_evidence_has_a_story(evidence in any_evidence(), as_of in prop::sample::select(vec![NOW, 0, i64::MAX, i64::MIN])) {
        for reference in messages(&evidence) {
            let story = assemble(&reference, &evidence, as_of).expect("a message that is named is found");
            prop_assert!(!story.groups.is_empty() && !story.events.is_empty());
            let events = story.events.len();
            prop_assert!(story.sends.iter().all(|send| send.event < events));
            prop_assert!(story.groups.iter().flat_map(|group| &group.attempts).flat_map(|attempt| &attempt.events).all(|&at| at < events));
            prop_assert!(story.gaps.iter().all(|gap| !gap.detail.is_empty()));
            prop_assert!(story.groups.iter().all(|group| !group.why.to_string().is_empty()));
            prop_assert_eq!(reference.to_string().parse::<MessageRef>(), Ok(reference.clone()));
        }
    }

    #[test]
    fn no_message_is_named_twice(evidence in any_evidence()) {
        let all = messages(&evidence);
        let distinct: BTreeSet<_> = all.iter().collect();
        prop_assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn order_and_repetition_change_nothing(evidence in any_evidence(), seed in any::<u64>()) {
        let mut shuffled = evidence.clone();
        shuffled.events.extend(evidence.events.clone());
        let key = |event: &crate::MessageEvent| event.id().0 ^ u128::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        // The first of an identity counts: keep the order of those.
        shuffled.events.sort_by_key(key);
        let mut first = evidence.clone();
        first.events.sort_by_key(key);
        first.events.dedup_by_key(|event| event.id());
        prop_assert_eq!(messages(&shuffled), messages(&first));
        for reference in messages(&first) {
            prop_assert_eq!(assemble(&reference, &shuffled, NOW), assemble(&reference, &first, NOW));
        }
    }

    #[test]
    fn asking_comes_to_an_end(evidence in any_evidence()) {
        for reference in messages(&evidence).into_iter().take(3) {
            let mut asked: BTreeSet<Key> = BTreeSet::new();
            loop {
                let keys = wants(&reference, &evidence, &asked);
                if keys.is_empty() {
                    break;
                }
                prop_assert!(keys.len() <= crate::WANTED_KEYS_MAX);
                let no_trace = keys.iter().all(|key| !matches!(key, Key::Trace(_)));
                prop_assert!(no_trace, "a whole trace is never asked for");
                for key in keys {
                    prop_assert!(asked.insert(key), "nothing is asked twice");
                }
            }
        }
    }
}

#[test]
fn no_evidence_is_no_story() {
    let reference = MessageRef::Creation(SpanContext::default());
    assert_eq!(assemble(&reference, &Evidence::default(), NOW), None);
    assert_eq!(messages(&Evidence::default()), []);
}
