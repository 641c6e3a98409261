//! What the messaging conventions mean, every generation of them: which stage a span is, where its message
//! lay, how it ended. The spellings are in `names.rs`, the table for people in `docs/attributes.md`.

use crate::fields::Fields;
use crate::names::{self, Name};
use crate::rabbitmq;
use crate::span::{Kind, Raw, SpanView, Status};
use crate::words::Words;
use hopscope_model::{Disposition, EventRow, OutcomeCode, Stage, Text, system};

/// The stage of a span. Without messaging attributes, or where they do not say what happened, it is `Work`.
pub(crate) fn stage(fields: &Fields<'_, '_>, span: &SpanView<'_>) -> Stage {
    if !fields.has(names::MESSAGING.set) {
        return Stage::Work;
    }
    let told = [Name::OperationType, Name::Operation, Name::OperationName];
    let told = told.iter().find_map(|name| stage_of_word(fields.peek(*name)?, span.kind));
    told.or(match span.kind {
        Kind::Producer => Some(Stage::Send),
        Kind::Consumer => Some(Stage::Process),
        _ => None,
    })
    // `orders receive` of older conventions, `receive orders` of newer ones.
    .or_else(|| {
        let mut words = span.name.split(|&byte| byte == b' ');
        let (first, last) = (words.next(), words.next_back());
        last.and_then(|word| stage_of_word(word, span.kind))
            .or_else(|| stage_of_word(first?, span.kind))
            .filter(|_| fields.has(Name::System.bit()))
    })
    .unwrap_or(Stage::Work)
}

/// The stage that a metric's operation says; `Work` where it says none.
pub(crate) fn stage_of_operation(fields: &Fields<'_, '_>) -> Stage {
    let told = [Name::OperationType, Name::Operation, Name::OperationName];
    let told = told.iter().find_map(|name| stage_of_word(fields.peek(*name)?, Kind::Client));
    told.unwrap_or(Stage::Work)
}

fn stage_of_word(word: &[u8], kind: Kind) -> Option<Stage> {
    Some(match lower(word, &mut [0; WORD_BYTES_MAX]) {
        b"send" | b"publish" | b"produce" => Stage::Send,
        b"process" | b"deliver" | b"handle" => Stage::Process,
        b"receive" | b"poll" | b"fetch" | b"pull" | b"recv" => Stage::Receive,
        b"settle" => Stage::Settle,
        b"create" => Stage::Create,
        b"consume" if kind == Kind::Client => Stage::Receive,
        b"consume" => Stage::Process,
        word if settles(word) => Stage::Settle,
        _ => return None,
    })
}

fn settles(word: &[u8]) -> bool {
    disposition_of_word(word).is_some() || word == b"nack"
}

/// What a settle operation asks the broker to do. `nack` alone may mean either of two things.
fn disposition_of_word(word: &[u8]) -> Option<Disposition> {
    Some(match word {
        b"ack" | b"acknowledge" | b"ack_all" | b"ackall" | b"ack_sync" | b"commit" | b"success"
        | b"complete" | b"accept" => Disposition::Accept,
        b"nak" | b"requeue" | b"reconsume_later" | b"retry" | b"abandon" => Disposition::Retry,
        b"reject" | b"term" | b"dead_letter" => Disposition::Reject,
        _ => return None,
    })
}

const WORD_BYTES_MAX: usize = 24;

/// Lower case of a short word; longer ones are no word of the tables above and come back as they are.
fn lower<'b>(word: &'b [u8], buffer: &'b mut [u8; WORD_BYTES_MAX]) -> &'b [u8] {
    match buffer.get_mut(..word.len()) {
        Some(head) if word.iter().any(u8::is_ascii_uppercase) => {
            head.copy_from_slice(word);
            head.make_ascii_lowercase();
            head
        }
        _ => word,
    }
}

/// Fills everything that attributes say into the row, whose stage is set. Keys go to `keys`.
pub(crate) fn fill<'a>(
    fields: &mut Fields<'_, 'a>,
    words: &mut Words<'a>,
    row: &mut EventRow,
    keys: &mut Vec<Text>,
) {
    business_keys(fields, words, keys);
    if row.stage == Stage::Work {
        return;
    }
    row.operation = fields.first(&names::OPERATION_WORD).map_or(Text::NONE, |word| words.name(word));
    let system = system_of(fields.text(Name::System).unwrap_or_default());
    row.system = words.name(system);
    row.cluster = fields.first(&names::CLUSTER).map_or(Text::NONE, |name| words.name(name));
    server(fields, words, row);
    coordinates(system, fields, words, row);
    // Taken already where it was no id but coordinates.
    if fields.taken & names::MESSAGE_ID.set == 0 {
        row.message_id = fields.first(&names::MESSAGE_ID).map_or(Text::NONE, |id| words.id(id));
    }
    row.correlation_id = fields.first(&names::CORRELATION).map_or(Text::NONE, |id| words.id(id));
    row.client = fields.first(&names::CLIENT).map_or(Text::NONE, |id| words.name(id));
    if let Some(bytes) = fields.first_int(&names::BODY_BYTES, |bytes| bytes >= 0) {
        row.body_bytes = bytes;
    }
    if let Some(time) = fields.int(Name::BrokerTime) {
        row.broker_ns = time;
    }
    if let Some(time) = fields.int(Name::OriginTime) {
        row.origin_ns = time;
    }
    if matches!(row.stage, Stage::Receive | Stage::Process | Stage::Settle) {
        let attempt = fields.first_int(&names::ATTEMPT, |n| (1..=i64::from(u32::MAX)).contains(&n));
        row.attempt = attempt.and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
        row.disposition = disposition(fields, row.stage);
    }
}

fn system_of(name: &[u8]) -> &[u8] {
    let known = [system::KAFKA, system::RABBITMQ, system::NATS, system::ROCKETMQ];
    known.iter().map(|known| known.as_bytes()).find(|known| known.eq_ignore_ascii_case(name)).unwrap_or(name)
}

fn disposition(fields: &mut Fields<'_, '_>, stage: Stage) -> Option<Disposition> {
    let said = fields.peek(Name::Disposition).and_then(|word| std::str::from_utf8(word).ok());
    if let Some(disposition) = said.and_then(Disposition::from_name) {
        fields.take(Name::Disposition.bit());
        return Some(disposition);
    }
    if stage != Stage::Settle {
        return None;
    }
    [Name::OperationName, Name::Operation]
        .iter()
        .find_map(|name| disposition_of_word(lower(fields.peek(*name)?, &mut [0; WORD_BYTES_MAX])))
}

fn business_keys<'a>(fields: &mut Fields<'_, 'a>, words: &mut Words<'a>, keys: &mut Vec<Text>) {
    keys.clear();
    if !fields.has(names::KEYS.set) {
        return;
    }
    let mut push = |key: &[u8], words: &mut Words<'a>| {
        let known = |text: &Text| words.builder.text(*text).as_bytes() == key;
        if !key.is_empty() && keys.len() < KEYS_MAX && !keys.iter().any(known) {
            keys.push(words.id(key));
        }
    };
    for name in names::KEYS.names {
        match fields.raw(*name) {
            Some(Raw::Text(key)) => push(key, words),
            Some(Raw::Texts(list)) if list.len() <= KEYS_MAX => list.iter().for_each(|key| push(key, words)),
            Some(Raw::Int(number)) => push(number.to_string().as_bytes(), words),
            _ => continue,
        }
        fields.take(name.bit());
    }
}

/// Most business keys of one message; a longer list stays an attribute.
const KEYS_MAX: usize = 32;

fn server<'a>(fields: &mut Fields<'_, 'a>, words: &mut Words<'a>, row: &mut EventRow) {
    if !fields.has(names::ANY_SERVER.set) {
        return;
    }
    for (address, port) in names::SERVERS {
        if let Some(host) = fields.text(address) {
            row.server = words.server(host, fields.int(port));
            return;
        }
    }
    if let Some(server) = fields.peek(Name::Url).and_then(authority) {
        fields.take(Name::Url.bit());
        row.server = words.name(server);
    }
}

/// `host:port` of `amqp://user:password@host:port/vhost`, of 1.17 and before.
fn authority(url: &[u8]) -> Option<&[u8]> {
    let scheme = url.windows(3).position(|window| window == b"://")?;
    let rest = &url[scheme + 3..];
    let rest = rest.split(|&byte| byte == b'/' || byte == b'?').next()?;
    let host = rest.rsplit(|&byte| byte == b'@').next()?;
    (!host.is_empty()).then_some(host)
}

/// Destination, address, lane, position and group, each system by its own rules.
fn coordinates<'a>(system: &[u8], fields: &mut Fields<'_, 'a>, words: &mut Words<'a>, row: &mut EventRow) {
    let consumer = matches!(row.stage, Stage::Receive | Stage::Process | Stage::Settle);
    if system == system::RABBITMQ.as_bytes() {
        return coordinates_rabbitmq(consumer, fields, words, row);
    }
    let destination = fields.first(&names::DESTINATION).unwrap_or_default();
    row.destination = words.name(destination);
    if consumer {
        row.group = fields.first(&names::GROUP).map_or(Text::NONE, |name| words.name(name));
    }
    match system {
        b"kafka" => coordinates_kafka(destination, fields, words, row),
        b"nats" => coordinates_nats(fields, words, row),
        b"rocketmq" => coordinates_rocketmq(destination, fields, words, row),
        _ => row.lane = partition(fields, words),
    }
}

fn coordinates_kafka<'a>(
    topic: &[u8],
    fields: &mut Fields<'_, 'a>,
    words: &mut Words<'a>,
    row: &mut EventRow,
) {
    row.lane = partition(fields, words);
    // A tombstone offset of -1 is what clients say before the broker answered.
    if let Some(offset) = fields.first_int(&names::KAFKA_OFFSET, |offset| offset >= 0) {
        row.position = offset;
    }
    // Python's confluent-kafka instrumentation puts `topic.partition.offset` into the message id.
    let Some(id) = names::MESSAGE_ID.names.iter().find_map(|name| fields.peek(*name)) else { return };
    let Some((lane, offset)) = python_message_id(topic, id) else { return };
    fields.take(names::MESSAGE_ID.set);
    if row.lane == Text::NONE {
        row.lane = words.name(lane);
    }
    if row.position == hopscope_model::UNKNOWN {
        row.position = offset;
    }
}

fn python_message_id<'a>(topic: &[u8], id: &'a [u8]) -> Option<(&'a [u8], i64)> {
    let rest = id.strip_prefix(topic)?.strip_prefix(b".")?;
    let dot = rest.iter().position(|&byte| byte == b'.')?;
    let (lane, offset) = (&rest[..dot], &rest[dot + 1..]);
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if topic.is_empty() || !digits(lane) || !digits(offset) {
        return None;
    }
    Some((lane, std::str::from_utf8(offset).ok()?.parse().ok()?))
}

/// The partition as text: today's conventions say string, older ones int.
fn partition<'a>(fields: &mut Fields<'_, 'a>, words: &mut Words<'a>) -> Text {
    if !fields.has(names::PARTITION.set) {
        return Text::NONE;
    }
    let lane = names::PARTITION.names.iter().find_map(|name| match fields.raw(*name)? {
        Raw::Text(text) if !text.is_empty() => Some(words.name(text)),
        Raw::Int(number) => Some(words.number(*number)),
        _ => None,
    });
    if lane.is_some() {
        fields.take(names::PARTITION.set);
    }
    lane.unwrap_or_default()
}

fn coordinates_nats<'a>(fields: &mut Fields<'_, 'a>, words: &mut Words<'a>, row: &mut EventRow) {
    // Without a stream it is NATS core, which has no positions.
    let Some(stream) = fields.text(Name::NatsStream) else { return };
    row.address = row.destination;
    row.destination = words.name(stream);
    if let Some(sequence) = fields.int(Name::NatsSequence) {
        row.position = sequence;
    }
}

fn coordinates_rocketmq<'a>(
    topic: &[u8],
    fields: &mut Fields<'_, 'a>,
    words: &mut Words<'a>,
    row: &mut EventRow,
) {
    if let Some(logical) = fields.peek(Name::RocketmqLogicalTopic) {
        fields.take(Name::RocketmqLogicalTopic.bit());
        row.address = if logical == topic { Text::NONE } else { words.name(logical) };
    }
    // A queue id without its broker names one queue of many: only the pair is a lane.
    let broker = names::ROCKETMQ_BROKER.names.iter().find_map(|name| fields.peek(*name));
    let queue = names::ROCKETMQ_QUEUE.names.iter().find_map(|name| fields.peek_int(*name));
    if let (Some(broker), Some(queue)) = (broker, queue) {
        fields.take(names::ROCKETMQ_BROKER.set | names::ROCKETMQ_QUEUE.set);
        row.lane = words.pair(broker, b'/', queue);
    } else {
        row.lane = partition(fields, words);
    }
    if row.lane != Text::NONE
        && let Some(offset) = fields.first_int(&names::ROCKETMQ_OFFSET, |offset| offset >= 0)
    {
        row.position = offset;
    }
}

fn coordinates_rabbitmq<'a>(
    consumer: bool,
    fields: &mut Fields<'_, 'a>,
    words: &mut Words<'a>,
    row: &mut EventRow,
) {
    let key = fields.first(&names::ROUTING_KEY).unwrap_or_default();
    // In 1.17 to 1.19 a consumer's source is the queue, and its destination what was published to.
    let source = if consumer { fields.first(&names::SOURCE) } else { None };
    let joined =
        [Name::DestinationName, Name::Destination].iter().find_map(|name| match fields.raw(*name)? {
            Raw::Text(text) => Some(*text),
            _ => None,
        });
    fields.take(Name::DestinationName.bit() | Name::Destination.bit());
    let joined_name = fields.has(Name::DestinationName.bit());
    let mut parts = match joined {
        // `messaging.destination` never held more than the one name.
        Some(name) if !joined_name => rabbitmq::Parts { exchange: rabbitmq::exchange(name), key, queue: b"" },
        Some(name) => rabbitmq::split(name, key, consumer && source.is_none()),
        None => rabbitmq::Parts { key, ..Default::default() },
    };
    if consumer
        && fields.text(Name::DestinationKind) == Some(b"queue")
        && joined.is_some()
        && source.is_none()
    {
        parts.queue = joined.unwrap_or_default();
    }
    if let Some(Raw::Text(exchange)) = fields.raw(Name::RabbitmqExchange) {
        fields.take(Name::RabbitmqExchange.bit());
        parts.exchange = rabbitmq::exchange(exchange);
    }
    row.destination = words.name(parts.exchange);
    row.address = words.name(parts.key);
    if consumer {
        let told = fields.text(Name::RabbitmqQueue).or_else(|| fields.first(&names::GROUP));
        row.group = words.name(told.or(source).unwrap_or(parts.queue));
    }
    if let Some(offset) = fields.int(Name::RabbitmqStreamOffset) {
        row.position = offset;
    }
}

/// Outcome and, for a failure, its reason.
pub(crate) fn outcome<'a>(
    fields: &mut Fields<'_, 'a>,
    words: &mut Words<'a>,
    span: &SpanView<'a>,
) -> (OutcomeCode, Text) {
    if fields.peek(Name::Outcome) == Some(b"unknown") {
        fields.take(Name::Outcome.bit());
        return (OutcomeCode::Unknown, Text::NONE);
    }
    let error = fields.peek(Name::ErrorType).filter(|_| span.status != Status::Ok);
    if span.status == Status::Error || error.is_some() {
        let exception = || match &span.exception_type {
            Some(Raw::Text(text)) => text,
            _ => &b""[..],
        };
        let reason = match error {
            Some(error) => {
                fields.take(Name::ErrorType.bit());
                error
            }
            None if !span.status_message.is_empty() => span.status_message,
            None => exception(),
        };
        return (OutcomeCode::Failed, words.value(reason));
    }
    // A span without end never ended: nobody said how.
    if span.end_ns == 0 { (OutcomeCode::Unknown, Text::NONE) } else { (OutcomeCode::Ok, Text::NONE) }
}
