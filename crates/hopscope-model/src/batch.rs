//! [`Batch`]: the only thing that crosses a hop. Columns inside, [`EventRef`] to read a row.
//!
//! A batch is built once by a [`BatchBuilder`] and then edited in few ways only: [`Batch::retain`] drops
//! events, [`Batch::retain_attributes`] drops attributes, [`Batch::map_strings`] rewrites one text column,
//! [`Batch::forget_unused`] wipes what was dropped. Whatever holds a batch may therefore rely on every
//! [`Text`] in it being valid.

mod forget;

use crate::event::{Identity, event_id};
use crate::progress::{Progress, ProgressKind};
use crate::{
    Disposition, EventId, Grade, MessageEvent, Outcome, Source, SpanContext, SpanId, Stage, Text, Texts,
    TraceId, Value,
};

/// Marks an unknown time, position, size or duration in an `i64` column.
pub const UNKNOWN: i64 = i64::MIN;

/// Name of a tenant: a folder of its own in the store. `default` until there is authentication.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(String);

impl Tenant {
    /// 1 to 64 of `a-z 0-9 - _`: a tenant is a folder name on every file system.
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        fits.then(|| Self(name.to_owned()))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

macro_rules! event_columns {
    ($($(#[$meta:meta])* $name:ident: $ty:ty = $default:expr,)*) => {
        /// One event as a builder takes it: plain values, texts by name. What it does not set is absent.
        #[derive(Clone, Copy, Debug)]
        pub struct EventRow { $($(#[$meta])* pub $name: $ty,)* }

        impl Default for EventRow {
            fn default() -> Self { Self { $($name: $default,)* } }
        }

        /// The columns of a batch, one value an event; read-only outside this crate.
        #[derive(Clone, Debug, Default)]
        pub struct EventColumns { $($(#[$meta])* pub $name: Vec<$ty>,)* }

        impl EventColumns {
            fn push(&mut self, row: EventRow) { $(self.$name.push(row.$name);)* }

            fn reserve(&mut self, rows: usize) { $(self.$name.reserve(rows);)* }

            fn retain(&mut self, mask: &[bool]) {
                $(retain_masked(&mut self.$name, mask);)*
            }

            fn rename(&mut self, mut f: impl FnMut(&mut Text)) {
                $(self.$name.iter_mut().for_each(|value| forget::Names::rename(value, &mut f));)*
            }

            /// The row of that event.
            pub fn row(&self, index: usize) -> EventRow { EventRow { $($name: self.$name[index],)* } }
        }
    };
}

event_columns! {
    /// What happened.
    stage: Stage = Stage::Work,
    /// The system's own word; the span's name for Work.
    operation: Text = Text::NONE,
    /// Trace of the reporting span, or zero.
    trace: TraceId = TraceId::ZERO,
    /// The reporting span, or zero.
    span: SpanId = SpanId::ZERO,
    /// Its parent, or zero.
    parent: SpanId = SpanId::ZERO,
    /// The context that made the message, or zeros.
    creation: SpanContext = SpanContext::default(),
    /// Begin, ns since the epoch.
    start_ns: i64 = 0,
    /// Duration in ns, or [`UNKNOWN`].
    duration_ns: i64 = UNKNOWN,
    /// Broker's store time, or [`UNKNOWN`].
    broker_ns: i64 = UNKNOWN,
    /// Sender's time of making it, or [`UNKNOWN`].
    origin_ns: i64 = UNKNOWN,
    /// How it ended.
    outcome: OutcomeCode = OutcomeCode::Unknown,
    /// Reason of a failure.
    reason: Text = Text::NONE,
    /// What the broker was asked to do.
    disposition: Option<Disposition> = None,
    /// `messaging.system`.
    system: Text = Text::NONE,
    /// Cluster.
    cluster: Text = Text::NONE,
    /// `host:port` of the broker.
    server: Text = Text::NONE,
    /// Destination.
    destination: Text = Text::NONE,
    /// Address.
    address: Text = Text::NONE,
    /// Lane.
    lane: Text = Text::NONE,
    /// Position, or [`UNKNOWN`].
    position: i64 = UNKNOWN,
    /// Message id.
    message_id: Text = Text::NONE,
    /// Correlation id.
    correlation_id: Text = Text::NONE,
    /// Group.
    group: Text = Text::NONE,
    /// Delivery attempt from 1; 0 is unknown.
    attempt: u32 = 0,
    /// Client id.
    client: Text = Text::NONE,
    /// Service.
    service: Text = Text::NONE,
    /// Service instance.
    instance: Text = Text::NONE,
    /// Body size, or [`UNKNOWN`].
    body_bytes: i64 = UNKNOWN,
    /// How sure one can be.
    grade: Grade = Grade::Observed,
    /// Which of the batch's shared attribute sets (the resource's) belongs to it; 0 is the empty set.
    resource: u32 = 0,
}

/// [`Outcome`] without its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum OutcomeCode {
    Unknown = 0,
    Ok = 1,
    Failed = 2,
}

/// [`Value`] by the names of one batch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Cell {
    Text(Text),
    Int(i64),
    Double(f64),
    Bool(bool),
    Bytes(Text),
    Json(Text),
}

/// An attribute by the names of one batch.
pub type Attribute = (Text, Cell);

/// [`Progress`] by the names of one batch.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct ProgressRow {
    pub system: Text,
    pub cluster: Text,
    pub server: Text,
    pub destination: Text,
    pub lane: Text,
    pub group: Text,
    pub kind: ProgressKind,
    pub at_ns: i64,
    pub service: Text,
    pub grade: Grade,
}

/// Lists of unequal length, one an event, end to end.
#[derive(Clone, Debug)]
pub struct Lists<T> {
    ends: Vec<u32>,
    items: Vec<T>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { ends: Vec::new(), items: Vec::new() }
    }
}

impl<T: Copy> Lists<T> {
    fn push(&mut self, items: &[T]) {
        self.items.extend_from_slice(items);
        // 2³² items would need 16 GiB in one batch: receivers stop at 64 MiB.
        self.ends.push(u32::try_from(self.items.len()).expect("a batch is limited to 64 MiB"));
    }

    /// The list of that event; empty where there is none.
    pub fn get(&self, index: usize) -> &[T] {
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.items[start as usize..end as usize]
    }

    fn retain(&mut self, mask: &[bool]) {
        let mut kept = Self::default();
        for (index, _) in mask.iter().enumerate().filter(|(_, keep)| **keep) {
            kept.push(self.get(index));
        }
        *self = kept;
    }
}

/// Events and progress of one tenant from one source, received at one time.
#[derive(Clone, Debug)]
pub struct Batch {
    tenant: Tenant,
    source: Source,
    received_ns: i64,
    texts: Texts,
    columns: EventColumns,
    links: Lists<SpanContext>,
    keys: Lists<Text>,
    attributes: Lists<Attribute>,
    resources: Lists<Attribute>,
    progress: Vec<ProgressRow>,
}

/// Text columns that [`Batch::map_strings`] can rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TextColumn<'a> {
    Operation,
    Reason,
    Cluster,
    Destination,
    Address,
    MessageId,
    CorrelationId,
    Keys,
    Group,
    Client,
    Service,
    Instance,
    /// The values of the attribute of that name (text values only), on events and on resources.
    Attribute(&'a str),
}

impl Batch {
    /// Whose it is.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Which way it came in.
    pub fn source(&self) -> Source {
        self.source
    }

    /// When the server received it, ns since the epoch.
    pub fn received_ns(&self) -> i64 {
        self.received_ns
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.columns.stage.len()
    }

    /// True without events and without progress.
    pub fn is_empty(&self) -> bool {
        self.columns.stage.is_empty() && self.progress.is_empty()
    }

    /// About how many bytes of memory it takes: for queue limits.
    pub fn byte_len(&self) -> usize {
        self.texts.byte_len()
            + self.texts.len() * 4
            + self.len() * size_of::<EventRow>()
            + (self.attributes.items.len() + self.resources.items.len()) * size_of::<Attribute>()
            + self.links.items.len() * size_of::<SpanContext>()
            + self.keys.items.len() * size_of::<Text>()
            + self.progress.len() * size_of::<ProgressRow>()
    }

    /// The events in order.
    pub fn events(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        (0..self.len()).map(|index| EventRef { batch: self, index })
    }

    /// One event; panics past the end, as a slice does.
    pub fn event(&self, index: usize) -> EventRef<'_> {
        assert!(index < self.len(), "event index out of range index={index} len={}", self.len());
        EventRef { batch: self, index }
    }

    /// The progress in order, by name.
    pub fn progress(&self) -> &[ProgressRow] {
        &self.progress
    }

    /// The progress in order, owned.
    pub fn progress_owned(&self) -> impl ExactSizeIterator<Item = Progress> {
        self.progress.iter().map(|row| self.progress_of(row))
    }

    fn progress_of(&self, row: &ProgressRow) -> Progress {
        let text = |text| self.texts.get(text).to_owned();
        Progress {
            system: text(row.system),
            cluster: text(row.cluster),
            destination: text(row.destination),
            lane: text(row.lane),
            group: text(row.group),
            kind: row.kind,
            at_ns: row.at_ns,
            service: text(row.service),
            grade: row.grade,
        }
    }

    /// The strings that columns name.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// The columns, to read: for stores that write them out.
    pub fn columns(&self) -> &EventColumns {
        &self.columns
    }

    /// The shared attribute sets that `EventRow::resource` counts, the empty one (0) first.
    pub fn resources(&self) -> impl ExactSizeIterator<Item = &[Attribute]> {
        (0..self.resources.ends.len()).map(|index| self.resources.get(index))
    }

    /// Keeps the events whose bit is set. `mask` has one bit an event.
    pub fn retain(&mut self, mask: &[bool]) {
        assert_eq!(mask.len(), self.len(), "one bit an event");
        if mask.iter().all(|keep| *keep) {
            return;
        }
        self.columns.retain(mask);
        self.links.retain(mask);
        self.keys.retain(mask);
        self.attributes.retain(mask);
    }

    /// Rewrites the values of one text column; `None` leaves a value as it is, `Some("")` removes it. The
    /// function is asked once for each distinct name of the batch. Progress follows Cluster, Destination,
    /// Group and Service.
    pub fn map_strings(&mut self, column: TextColumn<'_>, mut f: impl FnMut(&str) -> Option<String>) {
        let Self { texts, columns, keys, attributes, resources, progress, .. } = self;
        let mut cache: Vec<Option<Text>> = vec![None; texts.len()];
        let mut map = |texts: &mut Texts, text: &mut Text| {
            if *text == Text::NONE {
                return;
            }
            let known = cache.get(text.index()).copied().flatten();
            let new = known.unwrap_or_else(|| match f(texts.get(*text)) {
                Some(new) => texts.intern(&new),
                None => *text,
            });
            if let Some(slot) = cache.get_mut(text.index()) {
                *slot = Some(new);
            }
            *text = new;
        };
        let whole = match column {
            TextColumn::Operation => &mut columns.operation,
            TextColumn::Reason => &mut columns.reason,
            TextColumn::Cluster => {
                progress.iter_mut().for_each(|row| map(texts, &mut row.cluster));
                &mut columns.cluster
            }
            TextColumn::Destination => {
                progress.iter_mut().for_each(|row| map(texts, &mut row.destination));
                &mut columns.destination
            }
            TextColumn::Address => &mut columns.address,
            TextColumn::MessageId => &mut columns.message_id,
            TextColumn::CorrelationId => &mut columns.correlation_id,
            TextColumn::Keys => &mut keys.items,
            TextColumn::Group => {
                progress.iter_mut().for_each(|row| map(texts, &mut row.group));
                &mut columns.group
            }
            TextColumn::Client => &mut columns.client,
            TextColumn::Service => {
                progress.iter_mut().for_each(|row| map(texts, &mut row.service));
                &mut columns.service
            }
            TextColumn::Instance => &mut columns.instance,
            TextColumn::Attribute(name) => {
                for (key, cell) in attributes.items.iter_mut().chain(&mut resources.items) {
                    if texts.get(*key) == name
                        && let Cell::Text(text) = cell
                    {
                        map(texts, text);
                    }
                }
                return;
            }
        };
        whole.iter_mut().for_each(|text| map(texts, text));
    }

    /// Sets the cluster of every event and progress that names none: `alias(system, server)`.
    pub fn fill_cluster(&mut self, mut alias: impl FnMut(&str, &str) -> Option<String>) {
        let Self { texts, columns, progress, .. } = self;
        let mut fill = |cluster: &mut Text, system: Text, server: Text| {
            if *cluster == Text::NONE
                && system != Text::NONE
                && let Some(name) = alias(texts.get(system), texts.get(server))
            {
                *cluster = texts.intern(&name);
            }
        };
        for index in 0..columns.cluster.len() {
            fill(&mut columns.cluster[index], columns.system[index], columns.server[index]);
        }
        progress.iter_mut().for_each(|row| fill(&mut row.cluster, row.system, row.server));
    }
}

fn retain_masked<T: Copy>(values: &mut Vec<T>, mask: &[bool]) {
    let mut bits = mask.iter();
    values.retain(|_| bits.next().copied().unwrap_or(true));
}

/// One event of a batch, to read.
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    batch: &'a Batch,
    index: usize,
}

macro_rules! text_accessors {
    ($($(#[$meta:meta])* $name:ident,)*) => {$(
        $(#[$meta])*
        pub fn $name(&self) -> &'a str {
            self.batch.texts.get(self.batch.columns.$name[self.index])
        }
    )*};
}

macro_rules! plain_accessors {
    ($($(#[$meta:meta])* $name:ident: $ty:ty,)*) => {$(
        $(#[$meta])*
        pub fn $name(&self) -> $ty {
            self.batch.columns.$name[self.index]
        }
    )*};
}

macro_rules! optional_accessors {
    ($($(#[$meta:meta])* $name:ident,)*) => {$(
        $(#[$meta])*
        pub fn $name(&self) -> Option<i64> {
            known(self.batch.columns.$name[self.index])
        }
    )*};
}

fn known(value: i64) -> Option<i64> {
    (value != UNKNOWN).then_some(value)
}

impl<'a> EventRef<'a> {
    text_accessors! {
        /// The system's own word; the span's name for Work.
        operation,
        /// Reason of a failure.
        reason,
        /// `messaging.system`.
        system,
        /// Cluster.
        cluster,
        /// `host:port` of the broker.
        server,
        /// Destination.
        destination,
        /// Address.
        address,
        /// Lane.
        lane,
        /// Message id.
        message_id,
        /// Correlation id.
        correlation_id,
        /// Group.
        group,
        /// Client id.
        client,
        /// Service.
        service,
        /// Service instance.
        instance,
    }
    plain_accessors! {
        /// What happened.
        stage: Stage,
        /// Trace, or zero.
        trace: TraceId,
        /// Span, or zero.
        span: SpanId,
        /// Parent, or zero.
        parent: SpanId,
        /// Begin, ns since the epoch.
        start_ns: i64,
        /// What the broker was asked to do.
        disposition: Option<Disposition>,
        /// How sure one can be.
        grade: Grade,
    }
    optional_accessors! {
        /// Duration in ns.
        duration_ns,
        /// Broker's store time.
        broker_ns,
        /// Sender's time of making it.
        origin_ns,
        /// Position.
        position,
        /// Body size.
        body_bytes,
    }

    /// Its place in the batch.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The batch it is of.
    pub fn batch(&self) -> &'a Batch {
        self.batch
    }

    /// The context that made the message.
    pub fn creation(&self) -> Option<SpanContext> {
        let creation = self.batch.columns.creation[self.index];
        (!creation.is_zero()).then_some(creation)
    }

    /// Delivery attempt, from 1.
    pub fn attempt(&self) -> Option<u32> {
        let attempt = self.batch.columns.attempt[self.index];
        (attempt != 0).then_some(attempt)
    }

    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        match self.batch.columns.outcome[self.index] {
            OutcomeCode::Unknown => Outcome::Unknown,
            OutcomeCode::Ok => Outcome::Ok,
            OutcomeCode::Failed => Outcome::Failed { reason: self.reason().to_owned() },
        }
    }

    /// `ok`, `failed` or `unknown`, without copying the reason.
    pub fn outcome_name(&self) -> &'static str {
        match self.batch.columns.outcome[self.index] {
            OutcomeCode::Unknown => "unknown",
            OutcomeCode::Ok => "ok",
            OutcomeCode::Failed => "failed",
        }
    }

    /// Links of the span without the one this event came from.
    pub fn links(&self) -> &'a [SpanContext] {
        self.batch.links.get(self.index)
    }

    /// Business keys.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &'a str> {
        let texts = &self.batch.texts;
        self.batch.keys.get(self.index).iter().map(|key| texts.get(*key))
    }

    /// Business keys by name.
    pub fn key_names(&self) -> &'a [Text] {
        self.batch.keys.get(self.index)
    }

    /// Attributes by name: its own, without the resource's.
    pub fn own_attributes(&self) -> &'a [Attribute] {
        self.batch.attributes.get(self.index)
    }

    /// Attributes of its resource by name.
    pub fn resource_attributes(&self) -> &'a [Attribute] {
        self.batch.resources.get(self.batch.columns.resource[self.index] as usize)
    }

    /// Its own attributes, then its resource's, owned.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, Value)> {
        let texts = &self.batch.texts;
        let both = self.own_attributes().iter().chain(self.resource_attributes());
        both.map(|(key, cell)| (texts.get(*key), value_of(texts, *cell)))
    }

    /// See [`MessageEvent::id`].
    pub fn id(&self) -> EventId {
        event_id(&Identity {
            trace: self.trace(),
            span: self.span(),
            stage: self.stage(),
            creation: self.batch.columns.creation[self.index],
            system: self.system(),
            cluster: self.cluster(),
            destination: self.destination(),
            lane: self.lane(),
            position: self.position(),
            message_id: self.message_id(),
        })
    }

    /// The owned form.
    pub fn to_owned(&self) -> MessageEvent {
        let unsigned = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        MessageEvent {
            stage: self.stage(),
            operation: self.operation().to_owned(),
            trace: self.trace(),
            span: self.span(),
            parent: self.parent(),
            links: self.links().to_vec(),
            creation: self.creation(),
            start_ns: self.start_ns(),
            duration_ns: unsigned(self.duration_ns()),
            received_ns: self.batch.received_ns,
            broker_ns: self.broker_ns(),
            origin_ns: self.origin_ns(),
            outcome: self.outcome(),
            disposition: self.disposition(),
            system: self.system().to_owned(),
            cluster: self.cluster().to_owned(),
            server: self.server().to_owned(),
            destination: self.destination().to_owned(),
            address: self.address().to_owned(),
            lane: self.lane().to_owned(),
            position: self.position(),
            message_id: self.message_id().to_owned(),
            correlation_id: self.correlation_id().to_owned(),
            keys: self.keys().map(str::to_owned).collect(),
            group: self.group().to_owned(),
            attempt: self.attempt(),
            client: self.client().to_owned(),
            service: self.service().to_owned(),
            instance: self.instance().to_owned(),
            body_bytes: unsigned(self.body_bytes()),
            source: self.batch.source,
            grade: self.grade(),
            attributes: self.attributes().map(|(key, value)| (key.to_owned(), value)).collect(),
        }
    }
}

fn value_of(texts: &Texts, cell: Cell) -> Value {
    let owned = |text| texts.get(text).to_owned();
    match cell {
        Cell::Text(text) => Value::Text(owned(text)),
        Cell::Int(number) => Value::Int(number),
        Cell::Double(number) => Value::Double(number),
        Cell::Bool(truth) => Value::Bool(truth),
        Cell::Bytes(text) => Value::Bytes(owned(text)),
        Cell::Json(text) => Value::Json(owned(text)),
    }
}

/// Makes a [`Batch`]: intern or append texts, push rows, finish.
#[derive(Debug)]
pub struct BatchBuilder {
    batch: Batch,
}

impl BatchBuilder {
    /// An empty batch received at `received_ns`.
    pub fn new(tenant: Tenant, source: Source, received_ns: i64) -> Self {
        let mut resources = Lists::default();
        resources.push(&[]);
        Self {
            batch: Batch {
                tenant,
                source,
                received_ns,
                texts: Texts::default(),
                columns: EventColumns::default(),
                links: Lists::default(),
                keys: Lists::default(),
                attributes: Lists::default(),
                resources,
                progress: Vec::new(),
            },
        }
    }

    /// Makes room for that many events.
    pub fn reserve(&mut self, events: usize) {
        self.batch.columns.reserve(events);
    }

    /// Events so far.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// True while nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// For names that repeat.
    pub fn intern(&mut self, string: &str) -> Text {
        self.batch.texts.intern(string)
    }

    /// For ids that do not.
    pub fn append(&mut self, string: &str) -> Text {
        self.batch.texts.append(string)
    }

    /// The string of that name.
    pub fn text(&self, text: Text) -> &str {
        self.batch.texts.get(text)
    }

    /// A shared attribute set (a resource's); its number goes into `EventRow::resource`.
    pub fn resource(&mut self, attributes: &[Attribute]) -> u32 {
        if attributes.is_empty() {
            return 0;
        }
        self.batch.resources.push(attributes);
        self.batch.resources.ends.len() as u32 - 1
    }

    /// One event with its lists. All texts must be this builder's.
    pub fn push(&mut self, row: EventRow, links: &[SpanContext], keys: &[Text], attributes: &[Attribute]) {
        self.batch.columns.push(row);
        self.batch.links.push(links);
        self.batch.keys.push(keys);
        self.batch.attributes.push(attributes);
    }

    /// The columns so far, to read.
    pub fn columns(&self) -> &EventColumns {
        &self.batch.columns
    }

    /// Amends the creation of an event that was pushed: a later one of the batch may tell that it was wrong.
    pub fn set_creation(&mut self, index: usize, creation: SpanContext) {
        self.batch.columns.creation[index] = creation;
    }

    /// One sample of progress.
    pub fn push_progress(&mut self, row: ProgressRow) {
        self.batch.progress.push(row);
    }

    /// One owned event: for tests and for stores that read rows back. Its `received_ns` and `source` are the
    /// batch's.
    pub fn push_event(&mut self, event: &MessageEvent) {
        let signed =
            |value: Option<u64>| value.map_or(UNKNOWN, |value| i64::try_from(value).unwrap_or(i64::MAX));
        let (outcome, reason) = match &event.outcome {
            Outcome::Unknown => (OutcomeCode::Unknown, Text::NONE),
            Outcome::Ok => (OutcomeCode::Ok, Text::NONE),
            Outcome::Failed { reason } => (OutcomeCode::Failed, self.intern(reason)),
        };
        let row = EventRow {
            stage: event.stage,
            operation: self.intern(&event.operation),
            trace: event.trace,
            span: event.span,
            parent: event.parent,
            creation: event.creation.unwrap_or_default(),
            start_ns: event.start_ns,
            duration_ns: signed(event.duration_ns),
            broker_ns: event.broker_ns.unwrap_or(UNKNOWN),
            origin_ns: event.origin_ns.unwrap_or(UNKNOWN),
            outcome,
            reason,
            disposition: event.disposition,
            system: self.intern(&event.system),
            cluster: self.intern(&event.cluster),
            server: self.intern(&event.server),
            destination: self.intern(&event.destination),
            address: self.intern(&event.address),
            lane: self.intern(&event.lane),
            position: event.position.unwrap_or(UNKNOWN),
            message_id: self.append(&event.message_id),
            correlation_id: self.append(&event.correlation_id),
            group: self.intern(&event.group),
            attempt: event.attempt.unwrap_or_default(),
            client: self.intern(&event.client),
            service: self.intern(&event.service),
            instance: self.intern(&event.instance),
            body_bytes: signed(event.body_bytes),
            grade: event.grade,
            resource: 0,
        };
        let keys: Vec<Text> = event.keys.iter().map(|key| self.append(key)).collect();
        let attributes: Vec<Attribute> =
            event.attributes.iter().map(|(key, value)| (self.intern(key), self.cell(value))).collect();
        self.push(row, &event.links, &keys, &attributes);
    }

    /// One owned sample of progress.
    pub fn push_progress_owned(&mut self, progress: &Progress) {
        let row = ProgressRow {
            system: self.intern(&progress.system),
            cluster: self.intern(&progress.cluster),
            server: Text::NONE,
            destination: self.intern(&progress.destination),
            lane: self.intern(&progress.lane),
            group: self.intern(&progress.group),
            kind: progress.kind,
            at_ns: progress.at_ns,
            service: self.intern(&progress.service),
            grade: progress.grade,
        };
        self.push_progress(row);
    }

    fn cell(&mut self, value: &Value) -> Cell {
        match value {
            Value::Text(text) => Cell::Text(self.append(text)),
            Value::Int(number) => Cell::Int(*number),
            Value::Double(number) => Cell::Double(*number),
            Value::Bool(truth) => Cell::Bool(*truth),
            Value::Bytes(text) => Cell::Bytes(self.append(text)),
            Value::Json(text) => Cell::Json(self.append(text)),
        }
    }

    /// The batch.
    pub fn finish(self) -> Batch {
        self.batch
    }
}
