//! [`Driven`]: the embedded store without threads and without async, so that a simulation decides when each
//! step happens. For tests.

use super::compact::Eagerness;
use super::dir::Dir;
use super::folder::{Folder, Item};
use super::options::Options;
use super::read::Cancel;
use super::segment::Caches;
use crate::{Aggregated, Aggregation, Appended, CheckReport, Depth, Error, Found, Page, Retained, Retention};
use hopscope_model::{Batch, Evidence, Key, Limits, Query, Tenant};
use std::sync::Arc;

/// One tenant's folder, driven by hand.
#[derive(Debug)]
pub struct Driven(Folder);

impl Driven {
    /// Opens the default tenant's folder: what the store does at its start.
    pub fn open(dir: Arc<dyn Dir>, options: Options) -> Result<Self, Error> {
        let caches = Arc::new(Caches::new(&options));
        Folder::open(dir, Tenant::default(), options, caches).map(Self)
    }

    /// Commits these batches with one sync: what the log's thread does.
    pub fn commit(&self, batches: Vec<Batch>) -> Vec<Result<Appended, Error>> {
        let items: Result<Vec<Item>, Error> =
            batches.into_iter().map(|batch| Item::new(batch, &self.0.options)).collect();
        match items {
            Ok(items) => self.0.commit(items),
            Err(error) => vec![Err(error)],
        }
    }

    /// Makes what was written to the log durable: what the syncing thread does in [`WalMode::Interval`].
    ///
    /// [`WalMode::Interval`]: super::WalMode::Interval
    pub fn sync_log(&self) -> Result<(), Error> {
        self.0.sync_log()
    }

    /// Seals one table where one waits: what the sealing thread does.
    pub fn seal_one(&self) -> Result<bool, Error> {
        self.0.seal_one()
    }

    /// Begins a new log, and leaves the table before it to be sealed.
    pub fn freeze(&self) -> Result<(), Error> {
        self.0.freeze()
    }

    /// Merges one group of segments where that is due, or any: what the compacting thread does.
    pub fn compact_one(&self, any: bool) -> Result<bool, Error> {
        let eagerness = if any { Eagerness::Everything } else { Eagerness::WhenDue };
        self.0.compact_one(eagerness, &|| Ok(()))
    }

    /// See [`Store::retain`](crate::Store::retain).
    pub fn retain(&self, retention: &Retention) -> Result<Retained, Error> {
        self.0.retain(retention)
    }

    /// See [`Store::search`](crate::Store::search).
    pub fn search(&self, query: &Query, page: &Page) -> Result<Found, Error> {
        self.0.search(query, page, &Cancel::default())
    }

    /// See [`Store::events`](crate::Store::events).
    pub fn events(&self, keys: &[Key], limits: &Limits) -> Result<Evidence, Error> {
        self.0.events(keys, limits, None, &Cancel::default())
    }

    /// See [`Store::aggregate`](crate::Store::aggregate).
    pub fn aggregate(&self, aggregation: &Aggregation) -> Result<Aggregated, Error> {
        self.0.aggregate(aggregation, &Cancel::default())
    }

    /// See [`Store::check`](crate::Store::check).
    pub fn check(&self, depth: Depth) -> Result<CheckReport, Error> {
        let mut report = CheckReport::default();
        self.0.check(depth, &mut report)?;
        Ok(report)
    }
}
