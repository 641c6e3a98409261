//! Random small worlds for comparing a store with [`Memory`](crate::memory::Memory): few distinct values, so
//! that everything collides with everything.

use super::build::context;
use super::{NOW_NS, SECOND_NS};
use hopscope_model::query::{Comparison, Field, Free, Literal, Term, Time};
use hopscope_model::{
    Batch, BatchBuilder, Key, MessageEvent, Outcome, Position, Progress, ProgressKind, Query, Source, Spread,
    Stage, Tally, Temporality, Tenant, Value,
};
use std::ops::Range;

/// Seeds to play: `HOPSCOPE_COUNT` of them (else `count`) from `HOPSCOPE_SEED` on (else 0). The seed alone plays
/// one again.
pub fn seeds(count: u64) -> Range<u64> {
    let given = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = given("HOPSCOPE_SEED");
    let count = given("HOPSCOPE_COUNT").unwrap_or(if first.is_some() { 1 } else { count });
    first.unwrap_or(0)..first.unwrap_or(0) + count
}

/// SplitMix64: small, seeded, good enough for choosing.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// True once in `one_in`.
    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    fn name(&mut self, prefix: &str, of: u64) -> String {
        match self.below(of + 1) {
            0 => String::new(),
            number => format!("{prefix}{number}"),
        }
    }
}

/// One event.
pub fn event(random: &mut Random) -> MessageEvent {
    let own = context(random.below(4), random.below(12));
    MessageEvent {
        trace: own.trace,
        span: own.span,
        parent: context(0, random.below(6)).span,
        creation: (!random.chance(4)).then(|| context(random.below(4), random.below(6))),
        start_ns: NOW_NS - random.below(8) as i64 * SECOND_NS,
        duration_ns: (!random.chance(3)).then(|| random.below(500) * 1_000_000),
        system: ["kafka", "nats", ""][random.below(3) as usize].into(),
        cluster: random.name("cluster-", 2),
        destination: random.name("dest-", 2),
        address: random.name("dest-", 2),
        lane: random.name("", 2),
        position: (!random.chance(3)).then(|| random.below(5) as i64),
        message_id: random.name("word-", 5),
        correlation_id: random.name("word-", 5),
        keys: (0..random.below(3)).map(|_| format!("word-{}", random.below(6))).collect(),
        group: random.name("group-", 2),
        service: random.name("service-", 2),
        attempt: (!random.chance(3)).then(|| 1 + random.below(3) as u32),
        outcome: match random.below(3) {
            0 => Outcome::Ok,
            1 => Outcome::Unknown,
            _ => Outcome::Failed { reason: random.name("reason-", 2) },
        },
        attributes: (0..random.below(3)).map(|_| attribute(random)).collect(),
        ..MessageEvent::new(Stage::ALL[random.below(Stage::ALL.len() as u64) as usize])
    }
}

/// One attribute, of the kinds that look alike.
fn attribute(random: &mut Random) -> (String, Value) {
    let value = match random.below(6) {
        0 => Value::Text("1".into()),
        1 => Value::Int(random.below(3) as i64),
        2 => Value::Double(random.below(3) as f64),
        3 => Value::Bytes("01".into()),
        4 => Value::Text("a \"word\"".into()),
        _ => Value::Bool(true),
    };
    (format!("attribute.{}", random.below(2)), value)
}

/// One batch of up to `events_max` events and some progress, `number` seconds after now. Some events were sent
/// before, with other content: `sent` is what was, and becomes longer.
pub fn batch(random: &mut Random, number: i64, events_max: u64, sent: &mut Vec<MessageEvent>) -> Batch {
    let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, NOW_NS + number * SECOND_NS);
    for _ in 0..random.below(events_max + 1) {
        let new = event(random);
        let first = (!sent.is_empty() && random.chance(3))
            .then(|| sent[random.below(sent.len() as u64) as usize].clone());
        let event = match first {
            Some(first) if random.chance(2) => first,
            // The same identity: trace, span, stage, creation, coordinates and message id.
            Some(first) => MessageEvent {
                parent: new.parent,
                start_ns: new.start_ns,
                correlation_id: new.correlation_id,
                keys: new.keys,
                service: new.service,
                outcome: new.outcome,
                attributes: new.attributes,
                ..first
            },
            None => new,
        };
        builder.push_event(&event);
        sent.push(event);
    }
    for _ in 0..random.below(4) {
        builder.push_progress_owned(&progress(random));
    }
    for _ in 0..random.below(6) {
        builder.push_tally_owned(&tally(random));
    }
    builder.finish()
}

/// One sample of a few series, some of which restart, fall, or say not since when they count.
pub fn tally(random: &mut Random) -> Tally {
    let series = random.below(6);
    let run = random.below(2) as i64;
    let count = random.below(20);
    let temporality = match series {
        4 => Temporality::Delta,
        5 => Temporality::Level,
        _ => Temporality::Cumulative,
    };
    Tally {
        system: ["kafka", "nats"][series as usize % 2].into(),
        destination: format!("dest-{}", series % 3),
        group: format!("group-{}", series % 4),
        service: format!("service-{}", series % 2),
        temporality,
        start_ns: if series == 3 { 0 } else { NOW_NS - (300 - run * 140) * SECOND_NS },
        at_ns: NOW_NS - random.below(290) as i64 * SECOND_NS,
        count,
        spread: (series < 2).then(|| Spread {
            sum: Some(count * 3),
            buckets: if count > 0 { vec![(5, count)] } else { Vec::new() },
            ..Spread::default()
        }),
        ..super::sent(series, 0, 0)
    }
}

/// One sample of progress.
pub fn progress(random: &mut Random) -> Progress {
    let place = random.below(6) as i64;
    Progress {
        kind: match random.below(3) {
            0 => ProgressKind::Floor { next: place },
            1 => ProgressKind::Settled { position: place },
            _ => ProgressKind::Seen,
        },
        system: ["kafka", "nats"][random.below(2) as usize].into(),
        cluster: random.name("cluster-", 2),
        destination: random.name("dest-", 2),
        lane: random.name("", 2),
        ..super::progress_at(&random.name("group-", 2), "", random.below(6) as i64, ProgressKind::Seen)
    }
}

/// Coordinates.
pub fn position(random: &mut Random) -> Position {
    Position {
        system: ["kafka", "nats", ""][random.below(3) as usize].into(),
        cluster: random.name("cluster-", 2),
        destination: random.name("dest-", 2),
        lane: random.name("", 2),
        position: random.below(5) as i64,
    }
}

/// One key.
pub fn key(random: &mut Random) -> Key {
    match random.below(9) {
        0 => Key::Trace(context(random.below(4), 0).trace),
        1 => Key::Span(context(0, random.below(12)).span),
        2 => Key::Children(context(0, random.below(6)).span),
        3 => Key::Creation(context(random.below(4), random.below(6))),
        4 => Key::Position(position(random)),
        5 => Key::MessageId {
            system: ["kafka", ""][random.below(2) as usize].into(),
            destination: random.name("dest-", 2),
            id: format!("word-{}", random.below(6)),
        },
        6 => Key::Correlation(format!("word-{}", random.below(6))),
        7 => Key::Business(format!("word-{}", random.below(6))),
        _ => Key::Progress(position(random)),
    }
}

/// One query of up to two terms.
pub fn query(random: &mut Random) -> Query {
    let terms = (0..random.below(3)).map(|_| match random.below(5) {
        0 => Term::Attribute {
            negated: random.chance(3),
            name: format!("attribute.{}", random.below(2)),
            value: ["1", "0", "true", "01", "a \"word\"", "*"][random.below(6) as usize].into(),
        },
        1 | 2 => free(random),
        _ => field(random),
    });
    let terms = terms.collect();
    let mut time = || random.chance(3).then(|| Time::Ago(random.below(8) * SECOND_NS as u64));
    Query { terms, since: time(), until: time() }
}

fn free(random: &mut Random) -> Term {
    Term::Free(match random.below(5) {
        0 => Free::Trace(context(random.below(4), 0).trace),
        1 => Free::Span(context(0, random.below(12)).span),
        2 => Free::Context(context(random.below(4), random.below(6))),
        3 => Free::Position(position(random)),
        _ => Free::Word(["word-1", "word-2", "dest-1", "service-1"][random.below(4) as usize].into()),
    })
}

fn field(random: &mut Random) -> Term {
    let field = Field::ALL[random.below(Field::ALL.len() as u64) as usize];
    let text = |text: &str| Literal::Text(text.into());
    let value = match field {
        Field::Service => text(["service-1", "service-*", "*"][random.below(3) as usize]),
        Field::Destination => text("dest-1"),
        Field::System => text("kafka"),
        Field::Group => text("group-1"),
        Field::Key | Field::MessageId => text(["word-1", "word-2", "word-*"][random.below(3) as usize]),
        Field::Outcome => text("failed"),
        Field::State => text("expired"),
        Field::Stage => text("send"),
        Field::Duration => Literal::Duration(250_000_000),
        Field::Attempt => Literal::Number(2),
    };
    let comparison = match value {
        Literal::Text(_) => Comparison::Equal,
        _ => [Comparison::Less, Comparison::Equal, Comparison::GreaterOrEqual][random.below(3) as usize],
    };
    Term::Field { negated: random.chance(3), field, comparison, value }
}
