//! Ingest: the hop between receivers and the store. [`Sink::accept`] normalises, redacts, stores, and only
//! then returns.

mod budget;
mod normalise;
pub mod redact;

pub use budget::{Budget, Full, Room};

use crate::config::Config;
use crate::ledger::Ledger;
use crate::live::Live;
use hopscope_model::Batch;
use hopscope_store::{ErrorKind, Store};
use redact::Redaction;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// Takes batches from all receivers to the store.
pub struct Ingest {
    store: Arc<dyn Store>,
    aliases: BTreeMap<String, String>,
    redaction: Redaction,
    budget: Arc<Budget>,
    live: Arc<Live>,
    under_way: TaskTracker,
}

/// Why a batch was not taken. The sender still has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The same input always fails.
    Invalid(String),
    /// Too much is under way: come back later.
    Busy(String),
    /// The store cannot take it now, or the server is stopping: come back later.
    Closed(String),
}

impl Ingest {
    /// Reads its part of the configuration. Patterns were checked when it was read.
    pub fn new(config: &Config, store: Arc<dyn Store>, live: Arc<Live>) -> Result<Arc<Self>, regex::Error> {
        Ok(Arc::new(Self {
            store,
            aliases: config.cluster_aliases.clone(),
            redaction: Redaction::new(&config.redact_keys, &config.redact_values)?,
            budget: Budget::new(config.queue_bytes_max, config.queue_requests_max),
            live,
            under_way: TaskTracker::new(),
        }))
    }

    /// The entrance for one receiver.
    pub fn sink(self: &Arc<Self>, receiver: &str) -> Sink {
        Sink { ingest: Arc::clone(self), ledger: Arc::new(Ledger::new(receiver)) }
    }

    /// What is under way.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Takes nothing more and waits, at most that long, for what is under way. True when all of it is done.
    pub async fn drain(&self, wait_max: Duration) -> bool {
        self.under_way.close();
        tokio::time::timeout(wait_max, self.under_way.wait()).await.is_ok()
    }
}

/// Where a receiver puts what it read. Cheap to clone.
///
/// Contract of [`Sink::accept`]: on `Ok` the batch is as durable as the store makes it, and what was a
/// duplicate is counted; on `Refused` nothing of it is stored that a retry would double. Dropping the future
/// does not take the batch back: it is stored or refused all the same, and counted.
#[derive(Clone)]
pub struct Sink {
    ingest: Arc<Ingest>,
    ledger: Arc<Ledger>,
}

impl Sink {
    /// Room for one request. Called before its body is read: what does not fit is not read either.
    pub fn room(&self) -> Result<Room, Refused> {
        self.ingest
            .budget
            .request()
            .map_err(|_| self.refuse(Refused::Busy("too many requests under way".into())))
    }

    /// Stores a batch. `left_out` are the events and tallies that decoding had to leave out, by reason. `room` is kept
    /// until the batch is stored, and resized to what the batch takes.
    pub async fn accept(
        &self,
        batch: Batch,
        left_out: &[(&'static str, u64)],
        mut room: Room,
    ) -> Result<(), Refused> {
        let events = records(&batch);
        let bytes = batch.byte_len();
        self.ledger.received(events, left_out);
        match room.resize(bytes) {
            Ok(()) => {}
            Err(Full::Now) => {
                return Err(self.refuse_events(events, Refused::Busy("too many bytes under way".into())));
            }
            // A sender told to come back would come back for ever.
            Err(Full::Ever) => {
                let why = format!("the batch is larger than queue_bytes_max bytes={bytes}");
                return Err(self.refuse_events(events, Refused::Invalid(why)));
            }
        }
        if self.ingest.under_way.is_closed() {
            return Err(self.refuse_events(events, Refused::Closed("the server is stopping".into())));
        }
        let sink = self.clone();
        // A task of its own: a sender who hangs up half way must not leave the books open.
        let stored = self.ingest.under_way.spawn(async move {
            let answer = sink.store(batch).await;
            drop(room);
            answer
        });
        stored.await.unwrap_or_else(|_| {
            Err(self.refuse_events(events, Refused::Closed("storing the batch failed".into())))
        })
    }

    async fn store(&self, mut batch: Batch) -> Result<(), Refused> {
        let events = records(&batch);
        normalise::normalise(&mut batch, &self.ingest.aliases);
        self.ingest.redaction.apply(&mut batch);
        let note = self.ingest.live.note(&batch);
        match self.ingest.store.append(batch).await {
            Ok(appended) => {
                // What the store does not mention it had already.
                let stored = (appended.stored + appended.tallies).min(events);
                self.ledger.stored(stored, events - stored);
                self.ingest.live.stored(appended.stored, appended.tallies, note);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(receiver = self.ledger.receiver(), events, %error, "the store refused a batch");
                let refused = match error.kind {
                    ErrorKind::Invalid => Refused::Invalid(error.to_string()),
                    ErrorKind::Unavailable | ErrorKind::Corrupt | ErrorKind::Internal => {
                        Refused::Closed(error.to_string())
                    }
                };
                Err(self.refuse_events(events, refused))
            }
        }
    }

    /// A request could not be read: `reason` is a stable word, `error` a sentence.
    pub fn unreadable(&self, reason: &'static str, error: &str) {
        self.ledger.refused_unread(reason, error);
    }

    /// The books of this receiver.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    fn refuse(&self, refused: Refused) -> Refused {
        self.ledger.refused_unread(refused.reason(), &refused.to_string());
        refused
    }

    fn refuse_events(&self, events: u64, refused: Refused) -> Refused {
        self.ledger.refused(events, refused.reason(), &refused.to_string());
        refused
    }
}

/// What the books count: events, and tallies where the batch is of metrics.
fn records(batch: &Batch) -> u64 {
    (batch.len() + batch.tallies().len()) as u64
}

impl Refused {
    /// A stable word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::Busy(_) => "busy",
            Self::Closed(_) => "closed",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) | Self::Busy(why) | Self::Closed(why) => f.write_str(why),
        }
    }
}
