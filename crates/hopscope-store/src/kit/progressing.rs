//! Cases: progress of groups on a lane.

use super::{NOW_NS, Subject, at, message, progress_at};
use hopscope_model::{BatchBuilder, Key, Limits, Position, Progress, ProgressKind, Query, Source, Tenant};

use ProgressKind::{Floor, Seen, Settled};

async fn put(subject: &Subject, samples: &[Progress]) {
    let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, NOW_NS);
    samples.iter().for_each(|sample| builder.push_progress_owned(sample));
    subject.append(builder.finish()).await.expect("append");
}

async fn check(subject: &Subject, position: Position, wanted: &[&Progress]) {
    let answer = subject.all_events(&[Key::Progress(position.clone())], &Limits::default()).await;
    assert_eq!(answer.progress.iter().collect::<Vec<_>>(), wanted, "{position:?}");
    assert!(answer.events.is_empty());
}

fn samples() -> Vec<Progress> {
    vec![
        progress_at("payment", "0", 1, Seen),
        progress_at("payment", "0", 2, Floor { next: 10 }),
        progress_at("payment", "0", 3, Floor { next: 12 }),
        progress_at("payment", "0", 4, Settled { position: 40 }),
        progress_at("payment", "0", 5, Floor { next: 15 }),
        progress_at("payment", "0", 6, Settled { position: 41 }),
        progress_at("payment", "0", 7, Floor { next: 5 }),
    ]
}

#[allow(missing_docs)]
pub async fn progress_newest_of_each_kind_and_group(subject: Subject) {
    let mut all = samples();
    all.push(progress_at("analytics", "0", 8, Floor { next: 3 }));
    put(&subject, &all).await;
    check(&subject, at("0", 20), &[&all[0], &all[5], &all[6], &all[7]]).await;
}

#[allow(missing_docs)]
pub async fn progress_newest_on_the_whole_destination(subject: Subject) {
    let all = [
        progress_at("payment", "0", 1, Floor { next: 10 }),
        progress_at("payment", "1", 5, Floor { next: 99 }),
        progress_at("payment", "1", 6, Floor { next: 98 }),
        progress_at("audit", "", 7, Seen),
    ];
    put(&subject, &all).await;
    check(&subject, at("0", 20), &[&all[0], &all[2], &all[3]]).await;
    check(&subject, at("2", 20), &[&all[2], &all[3]]).await;
}

#[allow(missing_docs)]
pub async fn progress_first_floor_that_passed(subject: Subject) {
    let all = samples();
    put(&subject, &all).await;
    let newest = [&all[0], &all[5], &all[6]];
    check(&subject, at("0", 9), &[newest[0], &all[1], newest[1], newest[2]]).await;
    check(&subject, at("0", 10), &[newest[0], &all[2], newest[1], newest[2]]).await;
    check(&subject, at("0", 14), &[newest[0], &all[4], newest[1], newest[2]]).await;
    check(&subject, at("0", 15), &newest).await;
}

#[allow(missing_docs)]
pub async fn progress_of_other_lanes_and_systems_is_left_out(subject: Subject) {
    let all = samples();
    put(&subject, &all).await;
    check(&subject, at("1", 1), &[&all[6]]).await;
    check(&subject, Position { system: "nats".into(), ..at("0", 1) }, &[]).await;
    check(&subject, Position { destination: "payments".into(), ..at("0", 1) }, &[]).await;
    check(&subject, Position { cluster: "other".into(), ..at("0", 1) }, &[]).await;
    check(&subject, Position { cluster: "main".into(), ..at("0", 50) }, &[&all[0], &all[5], &all[6]]).await;
}

#[allow(missing_docs)]
pub async fn progress_over_several_appends(subject: Subject) {
    let all = samples();
    // The order of arrival is not the order of time.
    for part in [&all[4..6], &all[0..2], &all[6..7], &all[2..4]] {
        put(&subject, part).await;
    }
    check(&subject, at("0", 10), &[&all[0], &all[2], &all[5], &all[6]]).await;
}

#[allow(missing_docs)]
pub async fn progress_without_events_is_kept(subject: Subject) {
    let all = samples();
    put(&subject, &all).await;
    subject.put(NOW_NS, &message(1, "payment")).await;
    assert_eq!(subject.all_found(&Query::default(), 10).await.len(), 3);
    check(&subject, at("0", 20), &[&all[0], &all[5], &all[6]]).await;
}
