//! The JSON of `GET /api/v1/rates`: how much goes through each destination, and how sure that is.

use crate::api::{Coverage, Int64};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /api/v1/rates?since=&q=`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RatesAnswer {
    /// Begin of the range.
    pub from_ns: Int64,
    /// End of the range: now.
    pub to_ns: Int64,
    /// Length of the steps that [`Flow::steps`] counts by.
    pub step_ns: Int64,
    /// One for each destination and group, busiest first.
    pub rates: Vec<Rate>,
    /// Services whose metrics name no `service.instance.id`: with more than one instance their counts may fall
    /// short.
    pub without_instance: Vec<String>,
    /// What was searched.
    pub coverage: Coverage,
}

/// What goes through one destination, and to one group of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rate {
    /// System.
    pub system: String,
    /// Cluster, or empty.
    pub cluster: String,
    /// Destination.
    pub destination: String,
    /// Group, or empty where none is known.
    pub group: String,
    /// Messages sent to the destination: the same for each of its groups.
    pub sent: Flow,
    /// Messages that the group consumed; failed are those that it could not process.
    pub consumed: Flow,
    /// How long processing took.
    pub process: Option<Durations>,
    /// How long messages lay in the queue.
    pub queue: Option<Durations>,
}

/// Messages over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Flow {
    /// `exact`: counted by the services themselves, whatever is sampled. `sampled`: counted from the spans that
    /// arrived. `mixed`: of some services the one, of others the other. `none`: nothing is known.
    pub source: String,
    /// Messages in the range.
    pub total: Int64,
    /// Of them, failed.
    pub failed: Int64,
    /// Messages a second, over the part of the range that is reported.
    pub per_second: f64,
    /// Messages in each step of the range, oldest first.
    pub steps: Vec<Int64>,
}

/// How durations spread. A quantile is a bound of the histogram that it lies in, never a value between two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Durations {
    /// How many were measured.
    pub count: Int64,
    /// Mean, where the sum is known.
    pub mean_ns: Option<Int64>,
    /// Half of them took at most this.
    pub p50: Bound,
    /// 99 in 100 took at most this.
    pub p99: Bound,
}

/// What is known of a quantile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bound {
    /// The bound.
    pub ns: Int64,
    /// True where it took *more* than this: the histogram has no higher bound.
    pub more: bool,
}
