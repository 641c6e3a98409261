//! Property: counts that rollups answer are those of the memory store, however the events were sealed and merged, in
//! whatever order they came, and no event is looked at for them.

use hopscope_model::query::Time;
use hopscope_model::{Batch, BatchBuilder, Disposition, MessageEvent, Query, Source, Stage, Tenant};
use hopscope_store::embedded::sim_dir::SimDir;
use hopscope_store::embedded::{Embedded, Options};
use hopscope_store::kit::{DIMENSIONS, NOW_NS, SECOND_NS, random, random::Random, run};
use hopscope_store::memory::Memory;
use hopscope_store::{Aggregation, Dimension, Latency, Row, Store};
use proptest::prelude::*;
use std::num::NonZero;
use std::sync::Arc;

const MINUTE_NS: i64 = 60 * SECOND_NS;
const HOUR_NS: i64 = 60 * MINUTE_NS;

/// Some hours of events, of which some began long before they came.
fn event(random: &mut Random) -> MessageEvent {
    let start_ns = NOW_NS - random.below(5 * 3_600) as i64 * SECOND_NS - random.below(3) as i64;
    let ago =
        |random: &mut Random| (!random.chance(3)).then(|| start_ns - random.below(90_000) as i64 * 1_000);
    MessageEvent {
        start_ns: if random.chance(20) { start_ns - 40 * HOUR_NS } else { start_ns },
        broker_ns: ago(random),
        origin_ns: ago(random),
        disposition: [None, Some(Disposition::Accept), Some(Disposition::Reject)][random.below(3) as usize],
        body_bytes: (!random.chance(3)).then(|| random.below(10_000)),
        ..random::event(random)
    }
}

fn batch(random: &mut Random, number: i64, sent: &mut Vec<MessageEvent>) -> Batch {
    let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, NOW_NS + number * SECOND_NS);
    for _ in 0..random.below(60) {
        let again = !sent.is_empty() && random.chance(4);
        let next = if again { sent[random.below(sent.len() as u64) as usize].clone() } else { event(random) };
        builder.push_event(&next);
        sent.push(next);
    }
    builder.finish()
}

async fn counts(store: &dyn Store, aggregation: &Aggregation) -> Vec<Row> {
    let answer = store.aggregate(&Tenant::default(), aggregation).await.expect("answers");
    assert!(answer.coverage.complete, "{:?}", answer.coverage);
    answer.rows
}

fn asked(random: &mut Random) -> Aggregation {
    let step_ns =
        [0, 0, SECOND_NS * 30, MINUTE_NS, 7 * MINUTE_NS, HOUR_NS, 2 * HOUR_NS][random.below(7) as usize];
    let unit = [1, SECOND_NS, MINUTE_NS, MINUTE_NS, HOUR_NS][random.below(5) as usize];
    let mut at = |hours: u64| {
        let at = NOW_NS - random.below(hours * 3_600) as i64 * SECOND_NS;
        Some(Time::At(at - at.rem_euclid(unit)))
    };
    let (mut since, mut until) = (at(5), at(2));
    if step_ns == 0 {
        // A range that is open on one side.
        let open = random.below(3);
        since = since.filter(|_| open != 1);
        until = until.filter(|_| open != 2);
    }
    let terms = [
        "",
        "dest:dest-1",
        "service:service-* -outcome:failed",
        "stage:send",
        "group:group-1 system:kafka",
        "dest:*",
    ];
    let terms: Query = terms[random.below(terms.len() as u64) as usize].parse().expect("a query");
    let open = step_ns == 0 && random.chance(2);
    let query = if open { terms } else { Query { since, until, ..terms } };
    let by = DIMENSIONS.into_iter().filter(|_| random.chance(3)).collect();
    let step_ns = NonZero::new(step_ns);
    let measured = random.chance(2);
    Aggregation { by, query, step_ns, now_ns: NOW_NS, rows_max: 100_000, measured, ..Aggregation::default() }
}

async fn check(seed: u64) {
    let mut random = Random(seed);
    let memory = Memory::new();
    let dir = SimDir::new();
    let options = Options {
        seal_rows: 1 + random.below(200) as usize,
        compact_rows: 20 + random.below(400) as usize,
        compact_segments_max: 2 + random.below(5) as usize,
        ..Options::default()
    };
    let open = || Embedded::open_in(Arc::new(dir.clone()), options.clone()).expect("open");
    let mut embedded = open();
    let mut sent = Vec::new();
    for number in 0..2 + random.below(8) as i64 {
        let batch = batch(&mut random, number, &mut sent);
        memory.append(batch.clone()).await.expect("append");
        embedded.append(batch).await.expect("append");
        match random.below(5) {
            0 | 1 => embedded.seal().await.expect("seal"),
            2 => embedded.compact().await.expect("compact"),
            3 => {
                drop(embedded);
                embedded = open();
            }
            _ => {}
        }
    }
    for _ in 0..12 {
        let aggregation = asked(&mut random);
        let (one, other) = (counts(&memory, &aggregation).await, counts(&embedded, &aggregation).await);
        assert_eq!(one, other, "{aggregation:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn sums_are_those_of_the_events(seed in any::<u64>()) {
        run(check(seed));
    }
}

/// What the page of rates asks for 30 days, and the newest day by minutes.
fn dashboards() -> [Aggregation; 2] {
    use Dimension::{Cluster, Destination, Group, Service, Stage, System};
    let of = |days: i64, step_ns: i64| Aggregation {
        by: vec![System, Cluster, Destination, Group, Service, Stage],
        query: Query {
            since: Some(Time::At(NOW_NS - days * 24 * HOUR_NS)),
            until: Some(Time::At(NOW_NS + HOUR_NS)),
            ..Query::default()
        },
        step_ns: NonZero::new(step_ns),
        now_ns: NOW_NS,
        rows_max: 100_000,
        measured: true,
        ..Aggregation::default()
    };
    [of(30, 12 * HOUR_NS), of(1, MINUTE_NS)]
}

#[test]
fn a_dashboard_reads_no_block_of_events() {
    run(async {
        let (mut random, mut sent, dir, memory) = (Random(3), Vec::new(), SimDir::new(), Memory::new());
        let store = Embedded::open_in(Arc::new(dir.clone()), Options::default()).expect("open");
        for number in 0..12 {
            let batch = batch(&mut random, number, &mut sent);
            memory.append(batch.clone()).await.expect("append");
            store.append(batch).await.expect("stored");
            if number % 4 == 3 {
                store.seal().await.expect("sealed");
            }
        }
        drop(store);
        let store = Embedded::open_in(Arc::new(dir.clone()), Options::default()).expect("open");
        let events = dir.files().into_iter().filter(|(path, _)| path.ends_with(".parquet"));
        for (path, len) in events {
            (0..len).step_by(4_096).for_each(|at| dir.flip(&path, at, 0));
        }
        for asked in dashboards() {
            assert_eq!(counts(&store, &asked).await, counts(&memory, &asked).await, "{asked:?}");
        }
        let by_instance =
            Aggregation { by: vec![Dimension::Instance], rows_max: 9, ..Aggregation::default() };
        let answer = store.aggregate(&Tenant::default(), &by_instance).await.expect("answers");
        assert!(!answer.coverage.complete, "the events cannot be read");
    });
}

#[test]
fn latencies_are_those_that_one_event_tells() {
    let process = MessageEvent {
        start_ns: NOW_NS + 1_000,
        duration_ns: Some(500),
        broker_ns: Some(NOW_NS),
        origin_ns: Some(NOW_NS - 200),
        attempt: Some(2),
        disposition: Some(Disposition::Reject),
        body_bytes: Some(77),
        ..MessageEvent::new(Stage::Process)
    };
    let alone = MessageEvent {
        broker_ns: None,
        origin_ns: None,
        duration_ns: None,
        attempt: Some(1),
        ..process.clone()
    };
    let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, NOW_NS);
    builder.push_event(&process);
    builder.push_event(&MessageEvent { message_id: "other".into(), ..alone });
    run(async {
        let store = Embedded::open_in(Arc::new(SimDir::new()), Options::default()).expect("open");
        store.append(builder.finish()).await.expect("stored");
        store.seal().await.expect("sealed");
        let aggregation =
            Aggregation { measured: true, rows_max: 1, now_ns: NOW_NS, ..Aggregation::default() };
        let row = counts(&store, &aggregation).await.swap_remove(0);
        let told = row.measured.expect("asked for");
        assert_eq!((told.retries, told.dead_letters, told.body_bytes, told.unpaired), (1, 2, 154, 1));
        let sum = |latency| told.latency(latency).and_then(|spread| spread.sum);
        let sums = Latency::ALL.map(sum);
        assert_eq!(sums, [None, Some(1_000), Some(500), None, Some(1_700)]);
    });
}
