//! A store that does what a test wants.

use async_trait::async_trait;
use hopscope_model::{Batch, Evidence, Key, Limits, Query, Tenant};
use hopscope_store::memory::Memory;
use hopscope_store::{
    Aggregated, Aggregation, Appended, CheckReport, Depth, Error, ErrorKind, Found, Page, Retained,
    Retention, Store,
};
use tokio::sync::watch;

/// What the store does with a batch now.
#[derive(Clone, Copy, PartialEq)]
pub enum Mood {
    Well,
    Stuck,
    Failing(ErrorKind),
}

/// The memory store behind a door.
pub struct Moody {
    pub inside: Memory,
    pub mood: watch::Receiver<Mood>,
}

#[async_trait]
impl Store for Moody {
    async fn append(&self, batch: Batch) -> Result<Appended, Error> {
        let mut mood = self.mood.clone();
        let now = *mood.wait_for(|mood| *mood != Mood::Stuck).await.expect("the test holds the other end");
        match now {
            Mood::Failing(kind) => Err(Error::new(kind, "no space left on device")),
            _ => self.inside.append(batch).await,
        }
    }
    async fn search(&self, tenant: &Tenant, query: &Query, page: &Page) -> Result<Found, Error> {
        self.inside.search(tenant, query, page).await
    }
    async fn events(
        &self,
        tenant: &Tenant,
        keys: &[Key],
        limits: &Limits,
        after: Option<&str>,
    ) -> Result<Evidence, Error> {
        self.inside.events(tenant, keys, limits, after).await
    }
    async fn aggregate(&self, tenant: &Tenant, aggregation: &Aggregation) -> Result<Aggregated, Error> {
        self.inside.aggregate(tenant, aggregation).await
    }
    async fn retain(&self, tenant: &Tenant, retention: &Retention) -> Result<Retained, Error> {
        self.inside.retain(tenant, retention).await
    }
    async fn check(&self, depth: Depth) -> Result<CheckReport, Error> {
        self.inside.check(depth).await
    }
}
