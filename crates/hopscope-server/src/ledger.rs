//! [`Ledger`]: what became of everything that one receiver took off the wire, in events (of
//! metrics: in points):
//! `received = stored + refused + dropped{reason} + queued`, at every instant.

use crate::clock::now_ns;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The books of one receiver.
#[derive(Debug)]
pub struct Ledger {
    receiver: String,
    counts: Mutex<Counts>,
}

/// A consistent copy of the books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events taken off the wire.
    pub received: u64,
    /// Events that are durable.
    pub stored: u64,
    /// Events answered with a refusal: the sender still has them.
    pub refused: u64,
    /// Events left out, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Events under way.
    pub queued: u64,
    /// Requests that were answered as taken.
    pub requests: u64,
    /// Requests refused, by reason. Those refused before they were decoded have no events.
    pub refused_requests: BTreeMap<&'static str, u64>,
    /// Bytes of bodies as they arrived.
    pub bytes: u64,
    /// Why the last bad request was one.
    pub last_error: Option<String>,
    /// The connection to a broker, of receivers that have one.
    pub connection: Option<Connection>,
}

/// How a receiver stands with its broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Whether it reads now.
    pub up: bool,
    /// Since when that is so.
    pub since_ns: i64,
    /// Why it does not.
    pub why: Option<String>,
    /// How often it stopped reading.
    pub lost: u64,
    /// Records that wait at the broker, where it tells.
    pub lag: Option<u64>,
}

impl Counts {
    /// Events left out, for whatever reason.
    pub fn dropped_events(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Requests that could not be read: refused for reasons other than being busy or closed.
    pub fn invalid_requests(&self) -> u64 {
        let ours = ["busy", "closed"];
        self.refused_requests
            .iter()
            .filter(|(reason, _)| !ours.contains(reason))
            .map(|(_, count)| count)
            .sum()
    }

    /// Whether the books balance.
    pub fn balances(&self) -> bool {
        self.received == self.stored + self.refused + self.dropped_events() + self.queued
    }
}

impl Ledger {
    /// Empty books.
    pub fn new(receiver: &str) -> Self {
        Self { receiver: receiver.to_owned(), counts: Mutex::default() }
    }

    /// Whose they are.
    pub fn receiver(&self) -> &str {
        &self.receiver
    }

    /// A consistent copy.
    pub fn counts(&self) -> Counts {
        self.lock().clone()
    }

    /// A body arrived.
    pub fn bytes(&self, bytes: usize) {
        self.lock().bytes += bytes as u64;
    }

    /// Events were decoded and are under way now; `left_out` of them by the decoder, by reason.
    pub fn received(&self, queued: u64, left_out: &[(&'static str, u64)]) {
        let mut counts = self.lock();
        counts.received += queued;
        counts.queued += queued;
        for (reason, events) in left_out {
            counts.received += events;
            *counts.dropped.entry(reason).or_default() += events;
        }
    }

    /// `stored` and `duplicates` together are no longer under way.
    pub fn stored(&self, stored: u64, duplicates: u64) {
        let mut counts = self.lock();
        counts.queued = counts.queued.saturating_sub(stored + duplicates);
        counts.stored += stored;
        counts.requests += 1;
        if duplicates > 0 {
            *counts.dropped.entry("duplicate").or_default() += duplicates;
        }
    }

    /// Events are no longer under way: their request was refused.
    pub fn refused(&self, events: u64, reason: &'static str, error: &str) {
        let mut counts = self.lock();
        counts.queued = counts.queued.saturating_sub(events);
        counts.refused += events;
        counts.refuse(reason, error);
    }

    /// A request was refused before its events were known.
    pub fn refused_unread(&self, reason: &'static str, error: &str) {
        self.lock().refuse(reason, error);
    }

    /// The receiver reads from its broker. True where that is news.
    pub fn connected(&self) -> bool {
        let mut counts = self.lock();
        let connection = counts.connection.get_or_insert_default();
        let news = !connection.up;
        if news {
            *connection = Connection {
                up: true,
                since_ns: now_ns(),
                lost: connection.lost,
                lag: connection.lag,
                why: None,
            };
        }
        news
    }

    /// The receiver does not read from its broker, and why. True where that is news.
    pub fn disconnected(&self, why: &str) -> bool {
        let mut counts = self.lock();
        let first = counts.connection.is_none();
        let connection = counts.connection.get_or_insert_default();
        let news = first || connection.up || connection.why.as_deref() != Some(why);
        if first || connection.up {
            connection.since_ns = now_ns();
            connection.lost += u64::from(connection.up);
        }
        connection.up = false;
        connection.why = Some(why.to_owned());
        news
    }

    /// So many records wait at the broker.
    pub fn lag(&self, records: u64) {
        self.lock().connection.get_or_insert_default().lag = Some(records);
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counting never panics half way: the books are whole whatever another thread did.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn refuse(&mut self, reason: &'static str, error: &str) {
        *self.refused_requests.entry(reason).or_default() += 1;
        self.last_error = Some(error.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_balance_after_every_entry() {
        let ledger = Ledger::new("test");
        let entries: [&dyn Fn(); 5] = [
            &|| ledger.received(10, &[("invalid_ids", 2)]),
            &|| ledger.stored(6, 1),
            &|| ledger.refused(3, "busy", "full"),
            &|| ledger.refused_unread("malformed", "not protobuf"),
            &|| ledger.received(1, &[]),
        ];
        for entry in entries {
            entry();
            assert!(ledger.counts().balances(), "{:?}", ledger.counts());
        }
        let counts = ledger.counts();
        assert_eq!((counts.received, counts.queued, counts.dropped_events()), (13, 1, 3));
        assert_eq!(counts.invalid_requests(), 1);
    }

    #[test]
    fn a_connection_is_news_when_it_changes() {
        let ledger = Ledger::new("test");
        assert_eq!(ledger.counts().connection, None, "a receiver without a broker has none");
        assert!(ledger.disconnected("not yet"));
        assert!(!ledger.disconnected("not yet"));
        assert!(ledger.connected());
        assert!(!ledger.connected());
        ledger.lag(7);
        assert!(ledger.disconnected("gone"));
        let connection = ledger.counts().connection.expect("there is one");
        assert_eq!((connection.up, connection.lost, connection.lag), (false, 1, Some(7)));
        assert_eq!(connection.why.as_deref(), Some("gone"));
    }
}
