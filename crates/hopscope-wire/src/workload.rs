//! Workload W1: the load that benches and tests share. It is no part of what a server does.
//!
//! Kafka messages, one Send and one Process span each, about 488 bytes of OTLP a span: random ids, 10 to 11
//! attributes, 4 resource attributes, 4 consumer groups, 3 % retries, 20 % with a message id in place of a
//! position, 1 % late by an hour. The same seed gives the same bytes.

use crate::otlp::{AnyValue, LinkData, ResourceData, SpanData, encode_request};
use crate::span::{Kind, Status};
use hopscope_model::{SpanContext, SpanId, TraceId};

/// SplitMix64 (Steele, Lea, Flood 2014): one line, passes the usual tests, needs no dependency.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of that seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    /// True in `percent` of 100 cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn context(&mut self) -> SpanContext {
        let (high, low, span) = (self.bits(), self.bits(), self.bits());
        let mut trace = [0; 16];
        trace[..8].copy_from_slice(&high.to_be_bytes());
        trace[8..].copy_from_slice(&low.to_be_bytes());
        SpanContext { trace: TraceId(trace), span: SpanId(span.max(1).to_be_bytes()) }
    }
}

/// Start of the first message, ns since the epoch: November 2026.
pub const BEGIN_NS: u64 = 1_795_000_000_000_000_000;

/// Time between two messages, ns.
pub const INTERVAL_NS: u64 = 100_000;

/// How late a late message is, ns.
pub const LATE_NS: u64 = 3_600_000_000_000;

const TOPICS: [&str; 6] = ["orders", "payments", "shipments", "refunds", "invoices", "notifications"];
const GROUPS: [&str; 4] = ["payment", "analytics", "fulfilment", "search-indexer"];
const PARTITIONS: u64 = 24;

/// Produces messages without end.
#[derive(Clone, Debug)]
pub struct Workload {
    random: Random,
    messages: u64,
    offsets: Vec<u64>,
    begin_ns: u64,
    interval_ns: u64,
}

/// One part of a workload that is too long to be made from its begin: for runs that are resumed.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Parts before this one; each has the same number of messages.
    pub number: u64,
    /// Messages of a part.
    pub messages: u64,
    /// Start of the first message of the first part, ns since the epoch.
    pub begin_ns: u64,
    /// Time between two messages, ns.
    pub interval_ns: u64,
}

impl Workload {
    /// The messages of that seed.
    pub fn new(seed: u64) -> Self {
        let first = Part { number: 0, messages: 0, begin_ns: BEGIN_NS, interval_ns: INTERVAL_NS };
        Self::part(seed, first)
    }

    /// The messages of that part: other ids than any other part's, offsets and times that go on from the part before.
    pub fn part(seed: u64, part: Part) -> Self {
        let Part { number, messages, begin_ns, interval_ns } = part;
        Self {
            random: Random::new(seed ^ number.rotate_left(32)),
            messages: number * messages,
            // No lane has more than all messages of the parts before.
            offsets: vec![number * messages; TOPICS.len() * PARTITIONS as usize],
            begin_ns,
            interval_ns,
        }
    }

    /// Start of the message that comes next, ns since the epoch, where it is not late.
    pub fn next_ns(&self) -> u64 {
        self.begin_ns + self.messages * self.interval_ns
    }

    /// The next spans, of a producing and a consuming service: `spans` of them, one more if that is odd.
    pub fn spans(&mut self, spans: usize) -> Vec<ResourceData> {
        let messages = spans.div_ceil(2);
        let mut producer = resource("checkout", "checkout-7c9f6d5b8-x2v4q");
        let mut consumer = resource("order-worker", "order-worker-5d8f7c6b9-h8k2m");
        for _ in 0..messages {
            let [send, process] = self.message();
            producer.spans.push(send);
            consumer.spans.push(process);
        }
        vec![producer, consumer]
    }

    /// The next spans as an encoded request.
    pub fn request(&mut self, spans: usize) -> Vec<u8> {
        encode_request(&self.spans(spans))
    }

    fn message(&mut self) -> [SpanData; 2] {
        let on_time_ns = self.next_ns();
        self.messages += 1;
        let random = &mut self.random;
        let topic = random.below(TOPICS.len() as u64);
        let partition = random.below(PARTITIONS);
        let next = &mut self.offsets[(topic * PARTITIONS + partition) as usize];
        let offset = *next;
        *next += 1;
        let positioned = !random.percent(20);
        let late = if random.percent(1) { LATE_NS } else { 0 };
        let start_ns = on_time_ns - late;
        let sent = random.context();
        let root = random.context().span;
        let key = format!("order-{:09}", random.below(1_000_000_000));
        let message_id = format!("{:016x}", random.bits());
        let common = |name: &str, kind: &str| {
            let mut attributes = vec![
                text("messaging.system", "kafka"),
                text("messaging.operation.name", name),
                text("messaging.operation.type", kind),
                text("messaging.destination.name", TOPICS[topic as usize]),
                text("messaging.destination.partition.id", &partition.to_string()),
                text("messaging.kafka.message.key", &key),
                text("server.address", "kafka-2"),
                int("server.port", 9092),
            ];
            attributes.push(match positioned {
                true => int("messaging.kafka.offset", offset as i64),
                false => text("messaging.message.id", &message_id),
            });
            attributes
        };
        let mut attributes = common("send", "send");
        attributes.push(text("messaging.client.id", "producer-1"));
        attributes.push(int("messaging.message.body.size", 200 + random.below(2_000) as i64));
        let send_ns = 300_000 + random.below(3_000_000);
        let send = SpanData {
            trace: sent.trace,
            span: sent.span,
            parent: root,
            flags: 0x101,
            name: format!("send {}", TOPICS[topic as usize]),
            kind: Kind::Producer,
            start_ns,
            end_ns: start_ns + send_ns,
            attributes,
            ..SpanData::default()
        };

        let group = GROUPS[random.below(GROUPS.len() as u64) as usize];
        let mut attributes = common("process", "process");
        attributes.push(text("messaging.consumer.group.name", group));
        let retried = random.percent(3);
        attributes.push(match retried {
            true => int("hopscope.attempt", 2 + random.below(3) as i64),
            false => text("messaging.client.id", "consumer-3"),
        });
        let begin_ns = send.end_ns + 1_000_000 + random.below(20_000_000);
        let process = SpanData {
            trace: sent.trace,
            span: random.context().span,
            parent: sent.span,
            flags: 0x301,
            name: format!("process {}", TOPICS[topic as usize]),
            kind: Kind::Consumer,
            start_ns: begin_ns,
            end_ns: begin_ns + 500_000 + random.below(30_000_000),
            attributes,
            events: Vec::new(),
            links: vec![LinkData { context: sent, flags: 0x301, attributes: Vec::new() }],
            status: if retried && random.percent(50) { Status::Error } else { Status::Unset },
            status_message: "inventory service answered 503".to_owned(),
        };
        [send, process]
    }
}

fn resource(service: &str, instance: &str) -> ResourceData {
    ResourceData {
        attributes: vec![
            text("service.name", service),
            text("service.instance.id", instance),
            text("service.version", "4.17.2"),
            text("deployment.environment.name", "production"),
        ],
        scope: "example.instrumentation.kafka".to_owned(),
        spans: Vec::new(),
    }
}

fn text(key: &str, value: &str) -> (String, AnyValue) {
    (key.to_owned(), value.into())
}

fn int(key: &str, value: i64) -> (String, AnyValue) {
    (key.to_owned(), value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_goes_on_where_the_one_before_ended() {
        let part = |number| Part { number, messages: 50, begin_ns: BEGIN_NS, interval_ns: 7 };
        let (mut first, second) = (Workload::part(1, part(0)), Workload::part(1, part(1)));
        let spans = |workload: &mut Workload| workload.request(100);
        assert_ne!(spans(&mut first), spans(&mut second.clone()));
        assert_eq!(first.next_ns(), second.next_ns());
        assert!(second.offsets.iter().zip(&first.offsets).all(|(next, used)| next >= used));
    }

    #[test]
    fn is_as_described() {
        let resources = Workload::new(1).spans(10_000);
        let spans: Vec<&SpanData> = resources.iter().flat_map(|resource| &resource.spans).collect();
        assert_eq!(spans.len(), 10_000);
        let has = |span: &SpanData, key: &str| span.attributes.iter().any(|(name, _)| name == key);
        let share = |wanted: &dyn Fn(&SpanData) -> bool| {
            spans.iter().filter(|span| wanted(span)).count() as f64 / 10_000.0
        };
        let bytes_per_span = Workload::new(1).request(10_000).len() / 10_000;
        println!("bytes/span={bytes_per_span}");
        assert!((440..=540).contains(&bytes_per_span), "bytes_per_span={bytes_per_span}");
        assert!(spans.iter().all(|span| (10..=11).contains(&span.attributes.len())));
        assert!((0.18..0.22).contains(&share(&|span| !has(span, "messaging.kafka.offset"))));
        assert!((0.012..0.018).contains(&share(&|span| has(span, "hopscope.attempt"))));
        assert!((0.006..0.014).contains(&share(&|span| span.start_ns < BEGIN_NS)));
        assert_eq!(Workload::new(1).request(100), Workload::new(1).request(100));
        assert_ne!(Workload::new(1).request(100), Workload::new(2).request(100));
    }
}
