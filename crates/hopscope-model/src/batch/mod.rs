//! [`Batch`]: the only thing that crosses a hop. Columns inside, [`EventRef`] to read a row.
//!
//! A batch is built once by a [`BatchBuilder`] and then edited in few ways only: [`Batch::retain`] drops
//! events, [`Batch::retain_tallies`] tallies, [`Batch::retain_attributes`] attributes, [`Batch::map_strings`] rewrites one text column,
//! [`Batch::forget_unused`] wipes what was dropped. Whatever holds a batch may therefore rely on every
//! [`Text`] in it being valid.

mod builder;
mod columns;
mod event;
mod forget;
mod lists;
mod tally;

pub use builder::BatchBuilder;
pub use columns::{Attribute, Cell, EventColumns, EventRow, OutcomeCode, ProgressRow, UNKNOWN};
pub use event::EventRef;
pub use lists::Lists;
pub use tally::TallyRow;

use crate::progress::Progress;
use crate::{Source, SpanContext, Text, Texts};

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

/// Events, progress and tallies of one tenant from one source, received at one time.
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
    tallies: Vec<TallyRow>,
    /// Buckets of each tally.
    buckets: Lists<(i64, u64)>,
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

    /// True without events, progress and tallies.
    pub fn is_empty(&self) -> bool {
        self.columns.stage.is_empty() && self.progress.is_empty() && self.tallies.is_empty()
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
            + self.tallies.len() * size_of::<TallyRow>()
            + self.buckets.items.len() * size_of::<(i64, u64)>()
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
    /// Group and Service; tallies follow these, Instance and Reason.
    pub fn map_strings(&mut self, column: TextColumn<'_>, mut f: impl FnMut(&str) -> Option<String>) {
        let Self { texts, columns, keys, attributes, resources, progress, tallies, .. } = self;
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
            TextColumn::Reason => {
                tallies.iter_mut().for_each(|row| map(texts, &mut row.reason));
                &mut columns.reason
            }
            TextColumn::Cluster => {
                progress.iter_mut().for_each(|row| map(texts, &mut row.cluster));
                tallies.iter_mut().for_each(|row| map(texts, &mut row.cluster));
                &mut columns.cluster
            }
            TextColumn::Destination => {
                progress.iter_mut().for_each(|row| map(texts, &mut row.destination));
                tallies.iter_mut().for_each(|row| map(texts, &mut row.destination));
                &mut columns.destination
            }
            TextColumn::Address => &mut columns.address,
            TextColumn::MessageId => &mut columns.message_id,
            TextColumn::CorrelationId => &mut columns.correlation_id,
            TextColumn::Keys => &mut keys.items,
            TextColumn::Group => {
                progress.iter_mut().for_each(|row| map(texts, &mut row.group));
                tallies.iter_mut().for_each(|row| map(texts, &mut row.group));
                &mut columns.group
            }
            TextColumn::Client => &mut columns.client,
            TextColumn::Service => {
                progress.iter_mut().for_each(|row| map(texts, &mut row.service));
                tallies.iter_mut().for_each(|row| map(texts, &mut row.service));
                &mut columns.service
            }
            TextColumn::Instance => {
                tallies.iter_mut().for_each(|row| map(texts, &mut row.instance));
                &mut columns.instance
            }
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

    /// Sets the cluster of every event, progress and tally that names none: `alias(system, server)`.
    pub fn fill_cluster(&mut self, mut alias: impl FnMut(&str, &str) -> Option<String>) {
        let Self { texts, columns, progress, tallies, .. } = self;
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
        tallies.iter_mut().for_each(|row| fill(&mut row.cluster, row.system, row.server));
    }
}
