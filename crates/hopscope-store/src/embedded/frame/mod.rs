//! A [`Batch`] as bytes: version, length, then columns under lz4. It is what the log holds, so replay never
//! decodes a wire format. The checksum is that of the log record around it.

mod tallies;

use super::ints::{Malformed, Reader, put};
use hopscope_model::{
    Attribute, Batch, BatchBuilder, Cell, Disposition, EventRow, Grade, Measure, OutcomeCode, ProgressKind,
    ProgressRow, Source, SpanContext, SpanId, Stage, Temporality, Tenant, Text, TraceId,
};

/// Version of the frame. A new one gets a new number, and the old reader stays.
const VERSION: u8 = 2;

/// The version before there were tallies.
const VERSION_1: u8 = 1;

/// Most bytes of a frame before compression.
pub(crate) const FRAME_BYTES_MAX: usize = 256 << 20;

/// Most rows of a frame: a row number in a key index has 24 bits.
const ROWS_MAX: usize = 1 << 24;

/// The batch as bytes.
pub(crate) fn encode(batch: &Batch) -> Vec<u8> {
    let mut body = Vec::with_capacity(batch.byte_len());
    body.push(batch.source().code());
    body.extend_from_slice(&batch.received_ns().to_le_bytes());
    put_texts(&mut body, batch);
    body.extend_from_slice(&(batch.len() as u32).to_le_bytes());
    put_columns(&mut body, batch);
    put_lists(&mut body, batch);
    put_progress(&mut body, batch);
    tallies::put(&mut body, batch);
    let mut out = Vec::with_capacity(body.len() / 2);
    out.push(VERSION);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    let start = out.len();
    out.resize(start + lz4_flex::block::get_maximum_output_size(body.len()), 0);
    // The output is as long as the worst case needs, so this cannot fail.
    let len = lz4_flex::block::compress_into(&body, &mut out[start..]).unwrap_or(0);
    out.truncate(start + len);
    out
}

/// The batch of these bytes.
pub(crate) fn decode(tenant: &Tenant, bytes: &[u8]) -> Result<Batch, Malformed> {
    let mut reader = Reader::new(bytes);
    let version = reader.u8()?;
    if !matches!(version, VERSION_1 | VERSION) {
        return Err(Malformed("has an unknown version"));
    }
    let body_bytes = reader.u32()? as usize;
    if body_bytes > FRAME_BYTES_MAX {
        return Err(Malformed("is too long"));
    }
    let body = lz4_flex::block::decompress(&bytes[5..], body_bytes);
    let body = body.map_err(|_| Malformed("does not decompress"))?;
    let mut reader = Reader::new(&body);
    let source = Source::from_code(reader.u8()?).ok_or(Malformed("has an unknown source"))?;
    let mut builder = BatchBuilder::new(tenant.clone(), source, reader.i64()?);
    let texts = take_texts(&mut reader, &mut builder)?;
    let rows = reader.u32()? as usize;
    builder.reserve(rows.min(1 << 16));
    let columns = take_columns(&mut reader, rows, &texts)?;
    take_lists(&mut reader, columns, &texts, &mut builder)?;
    take_progress(&mut reader, &texts, &mut builder)?;
    if version != VERSION_1 {
        tallies::take(&mut reader, &texts, &mut builder)?;
    }
    reader.end()?;
    Ok(builder.finish())
}

fn put_texts(out: &mut Vec<u8>, batch: &Batch) {
    let texts = batch.texts();
    let all = texts.iter();
    out.extend_from_slice(&(texts.len() as u32).to_le_bytes());
    put(out, all.clone().map(|text| text.len() as i64));
    all.for_each(|text| out.extend_from_slice(text.as_bytes()));
}

fn take_texts(reader: &mut Reader<'_>, builder: &mut BatchBuilder) -> Result<Vec<Text>, Malformed> {
    let count = reader.count(0)?;
    let lens = reader.ints(count)?;
    let mut texts = Vec::with_capacity(count);
    for len in lens {
        let bytes = reader.take(usize::try_from(len).map_err(|_| Malformed("has a negative length"))?)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed("has text that is not UTF-8"))?;
        texts.push(builder.append(text));
    }
    Ok(texts)
}

/// One column of the batch, as integers.
macro_rules! int_columns {
    ($with:ident) => {
        $with! {
            code stage, text operation, int start_ns, int duration_ns, int broker_ns, int origin_ns,
            code outcome, text reason, code disposition, text system, text cluster, text server,
            text destination, text address, text lane, int position, text message_id, text correlation_id,
            text group, count attempt, text client, text service, text instance, int body_bytes,
            code grade, count resource,
        }
    };
}

fn put_columns(out: &mut Vec<u8>, batch: &Batch) {
    let columns = batch.columns();
    columns.trace.iter().for_each(|id| out.extend_from_slice(&id.0));
    columns.span.iter().for_each(|id| out.extend_from_slice(&id.0));
    columns.parent.iter().for_each(|id| out.extend_from_slice(&id.0));
    columns.creation.iter().for_each(|context| out.extend_from_slice(&context.trace.0));
    columns.creation.iter().for_each(|context| out.extend_from_slice(&context.span.0));
    macro_rules! put_each {
        ($($kind:ident $name:ident,)*) => {$(
            put(out, columns.$name.iter().map(|value| put_each!(@ $kind value)));
        )*};
        (@ int $value:ident) => { *$value };
        (@ text $value:ident) => { $value.index() as i64 };
        (@ count $value:ident) => { i64::from(*$value) };
        (@ code $value:ident) => { Code::code_of(*$value) };
    }
    int_columns!(put_each);
}

/// A value of a small vocabulary as an integer.
trait Code: Sized {
    fn code_of(self) -> i64;
    fn of_code(code: i64) -> Option<Self>;
}

macro_rules! vocabulary_codes {
    ($($name:ident),*) => {$(
        impl Code for $name {
            fn code_of(self) -> i64 {
                i64::from(self.code())
            }

            fn of_code(code: i64) -> Option<Self> {
                Self::from_code(u8::try_from(code).ok()?)
            }
        }
    )*};
}
vocabulary_codes!(Stage, Grade, Measure, Temporality);

impl Code for Option<Disposition> {
    fn code_of(self) -> i64 {
        self.map_or(-1, |disposition| i64::from(disposition.code()))
    }

    fn of_code(code: i64) -> Option<Self> {
        match code {
            -1 => Some(None),
            code => Disposition::from_code(u8::try_from(code).ok()?).map(Some),
        }
    }
}

impl Code for OutcomeCode {
    fn code_of(self) -> i64 {
        self as i64
    }

    fn of_code(code: i64) -> Option<Self> {
        [Self::Unknown, Self::Ok, Self::Failed].get(usize::try_from(code).ok()?).copied()
    }
}

fn text_of(texts: &[Text], index: i64) -> Result<Text, Malformed> {
    let index = usize::try_from(index).ok();
    index.and_then(|index| texts.get(index)).copied().ok_or(Malformed("names a text that is not there"))
}

fn take_columns(reader: &mut Reader<'_>, rows: usize, texts: &[Text]) -> Result<Vec<EventRow>, Malformed> {
    if rows > ROWS_MAX {
        return Err(Malformed("counts more than there is"));
    }
    let (traces, spans, parents) = (reader.take(rows * 16)?, reader.take(rows * 8)?, reader.take(rows * 8)?);
    let (creation_traces, creation_spans) = (reader.take(rows * 16)?, reader.take(rows * 8)?);
    let mut table = vec![EventRow::default(); rows];
    for (row, id) in table.iter_mut().zip(traces.as_chunks().0) {
        row.trace = TraceId(*id);
    }
    for (row, id) in table.iter_mut().zip(spans.as_chunks().0) {
        row.span = SpanId(*id);
    }
    for (row, id) in table.iter_mut().zip(parents.as_chunks().0) {
        row.parent = SpanId(*id);
    }
    let creations = creation_traces.as_chunks().0.iter().zip(creation_spans.as_chunks().0);
    for (row, (trace, span)) in table.iter_mut().zip(creations) {
        row.creation = SpanContext { trace: TraceId(*trace), span: SpanId(*span) };
    }
    macro_rules! take_each {
        ($($kind:ident $name:ident,)*) => {$(
            for (row, value) in table.iter_mut().zip(reader.ints(rows)?) {
                row.$name = take_each!(@ $kind value);
            }
        )*};
        (@ int $value:ident) => { $value };
        (@ text $value:ident) => { text_of(texts, $value)? };
        (@ count $value:ident) => { u32::try_from($value).map_err(|_| Malformed("has a number out of range"))? };
        (@ code $value:ident) => { Code::of_code($value).ok_or(Malformed("has an unknown code"))? };
    }
    int_columns!(take_each);
    Ok(table)
}

fn put_lists(out: &mut Vec<u8>, batch: &Batch) {
    let events = || batch.events();
    put(out, events().map(|event| event.links().len() as i64).collect::<Vec<_>>().into_iter());
    for link in events().flat_map(|event| event.links()) {
        out.extend_from_slice(&link.trace.0);
        out.extend_from_slice(&link.span.0);
    }
    let keys: Vec<&[Text]> = events().map(|event| event.key_names()).collect();
    put(out, keys.iter().map(|keys| keys.len() as i64));
    put(out, keys.iter().flat_map(|keys| keys.iter()).map(|key| key.index() as i64));
    let own: Vec<&[Attribute]> = events().map(|event| event.own_attributes()).collect();
    put_attributes(out, &own);
    let shared: Vec<&[Attribute]> = batch.resources().collect();
    out.extend_from_slice(&(shared.len() as u32).to_le_bytes());
    put_attributes(out, &shared);
}

fn put_attributes(out: &mut Vec<u8>, lists: &[&[Attribute]]) {
    let all = || lists.iter().flat_map(|list| list.iter());
    put(out, lists.iter().map(|list| list.len() as i64));
    put(out, all().map(|(key, _)| key.index() as i64));
    out.extend(all().map(|(_, cell)| match cell {
        Cell::Text(_) => 0,
        Cell::Int(_) => 1,
        Cell::Double(_) => 2,
        Cell::Bool(_) => 3,
        Cell::Bytes(_) => 4,
        Cell::Json(_) => 5,
    }));
    let texts = all().filter_map(|(_, cell)| match cell {
        Cell::Text(text) | Cell::Bytes(text) | Cell::Json(text) => Some(text.index() as i64),
        Cell::Bool(truth) => Some(i64::from(*truth)),
        _ => None,
    });
    put(out, texts.collect::<Vec<_>>().into_iter());
    for (_, cell) in all() {
        match cell {
            Cell::Int(number) => out.extend_from_slice(&number.to_le_bytes()),
            Cell::Double(number) => out.extend_from_slice(&number.to_bits().to_le_bytes()),
            _ => {}
        }
    }
}

fn lens(reader: &mut Reader<'_>, lists: usize) -> Result<(Vec<usize>, usize), Malformed> {
    let mut lens = Vec::with_capacity(lists);
    let mut total = 0usize;
    for len in reader.ints(lists)? {
        let len = usize::try_from(len).map_err(|_| Malformed("has a negative length"))?;
        total = total.checked_add(len).ok_or(Malformed("counts more than there is"))?;
        lens.push(len);
    }
    Ok((lens, total))
}

/// One list after the other, out of their items end to end.
fn split<'a, T>(items: &'a [T], lens: &'a [usize]) -> impl Iterator<Item = &'a [T]> {
    let mut rest = items;
    lens.iter().map(move |len| {
        let (list, after) = rest.split_at((*len).min(rest.len()));
        rest = after;
        list
    })
}

fn take_lists(
    reader: &mut Reader<'_>,
    columns: Vec<EventRow>,
    texts: &[Text],
    builder: &mut BatchBuilder,
) -> Result<(), Malformed> {
    let rows = columns.len();
    let (link_lens, count) = lens(reader, rows)?;
    let bytes = reader.take(count.checked_mul(24).ok_or(Malformed("counts more than there is"))?)?;
    let links: Vec<SpanContext> = bytes.as_chunks::<24>().0.iter().map(context_of).collect();
    let (key_lens, count) = lens(reader, rows)?;
    let keys: Result<Vec<Text>, _> = reader.ints(count)?.iter().map(|key| text_of(texts, *key)).collect();
    let keys = keys?;
    let (own_lens, own) = take_attributes(reader, rows, texts)?;
    let sets = reader.count(0)?;
    let (shared_lens, shared) = take_attributes(reader, sets, texts)?;
    // The builder has the empty set already; it numbers the others as they come.
    let names: Vec<u32> = split(&shared, &shared_lens).map(|set| builder.resource(set)).collect();
    let lists = split(&links, &link_lens).zip(split(&keys, &key_lens)).zip(split(&own, &own_lens));
    for (mut row, ((links, keys), attributes)) in columns.into_iter().zip(lists) {
        let name = names.get(row.resource as usize).copied();
        row.resource = name.ok_or(Malformed("names a resource that is not there"))?;
        builder.push(row, links, keys, attributes);
    }
    Ok(())
}

fn context_of(bytes: &[u8; 24]) -> SpanContext {
    let mut context = SpanContext::default();
    context.trace.0.copy_from_slice(&bytes[..16]);
    context.span.0.copy_from_slice(&bytes[16..]);
    context
}

fn take_attributes(
    reader: &mut Reader<'_>,
    lists: usize,
    texts: &[Text],
) -> Result<(Vec<usize>, Vec<Attribute>), Malformed> {
    let (lens, count) = lens(reader, lists)?;
    let keys = reader.ints(count)?;
    let kinds = reader.take(count)?;
    let named = kinds.iter().filter(|kind| !matches!(kind, 1 | 2)).count();
    let mut named = reader.ints(named)?.into_iter();
    let mut next = || named.next().ok_or(Malformed("ends too early"));
    let mut attributes = Vec::with_capacity(count);
    for (key, kind) in keys.into_iter().zip(kinds) {
        let cell = match kind {
            0 => Cell::Text(text_of(texts, next()?)?),
            1 => Cell::Int(reader.i64()?),
            2 => Cell::Double(f64::from_bits(reader.u64()?)),
            3 => Cell::Bool(next()? != 0),
            4 => Cell::Bytes(text_of(texts, next()?)?),
            5 => Cell::Json(text_of(texts, next()?)?),
            _ => return Err(Malformed("has an attribute of unknown kind")),
        };
        attributes.push((text_of(texts, key)?, cell));
    }
    Ok((lens, attributes))
}

fn put_progress(out: &mut Vec<u8>, batch: &Batch) {
    let rows = batch.progress();
    out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    for column in PROGRESS_TEXTS {
        put(out, rows.iter().map(|row| column(row).index() as i64));
    }
    put(out, rows.iter().map(|row| kind_of(row.kind).0));
    put(out, rows.iter().map(|row| kind_of(row.kind).1));
    put(out, rows.iter().map(|row| row.at_ns));
    put(out, rows.iter().map(|row| i64::from(row.grade.code())));
}

/// The text columns of progress in the order of the frame.
const PROGRESS_TEXTS: [fn(&ProgressRow) -> Text; 7] = [
    |row| row.system,
    |row| row.cluster,
    |row| row.server,
    |row| row.destination,
    |row| row.lane,
    |row| row.group,
    |row| row.service,
];

fn kind_of(kind: ProgressKind) -> (i64, i64) {
    match kind {
        ProgressKind::Floor { next } => (0, next),
        ProgressKind::Settled { position } => (1, position),
        ProgressKind::Seen => (2, 0),
    }
}

fn take_progress(
    reader: &mut Reader<'_>,
    texts: &[Text],
    builder: &mut BatchBuilder,
) -> Result<(), Malformed> {
    let count = reader.count(0)?;
    let names: Result<Vec<Vec<i64>>, _> = PROGRESS_TEXTS.iter().map(|_| reader.ints(count)).collect();
    let names = names?;
    let (kinds, places) = (reader.ints(count)?, reader.ints(count)?);
    let (times, grades) = (reader.ints(count)?, reader.ints(count)?);
    for row in 0..count {
        let text = |column: usize| text_of(texts, names[column][row]);
        builder.push_progress(ProgressRow {
            system: text(0)?,
            cluster: text(1)?,
            server: text(2)?,
            destination: text(3)?,
            lane: text(4)?,
            group: text(5)?,
            service: text(6)?,
            kind: match (kinds[row], places[row]) {
                (0, next) => ProgressKind::Floor { next },
                (1, position) => ProgressKind::Settled { position },
                (2, _) => ProgressKind::Seen,
                _ => return Err(Malformed("has progress of unknown kind")),
            },
            at_ns: times[row],
            grade: Code::of_code(grades[row]).ok_or(Malformed("has an unknown code"))?,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
