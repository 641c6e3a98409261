//! [`Progress`]: where a group stood on a lane, and when. A time series: rewinds exist.

use crate::Grade;

/// "Group G stood at P on this lane at time T."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// `messaging.system`.
    pub system: String,
    /// Cluster, or empty.
    pub cluster: String,
    /// Destination.
    pub destination: String,
    /// Lane, or empty where the system has none.
    pub lane: String,
    /// Group.
    pub group: String,
    /// What was seen.
    pub kind: ProgressKind,
    /// When, ns since the epoch, by the clock of who saw it.
    pub at_ns: i64,
    /// Service that saw it.
    pub service: String,
    /// How sure one can be.
    pub grade: Grade,
}

/// What was seen of a group's progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgressKind {
    /// A cumulative acknowledgement (Kafka commit, JetStream AckAll, RocketMQ offset): everything below
    /// `next` is passed.
    Floor {
        /// The next position the group will read.
        next: i64,
    },
    /// One position was settled; it says nothing of those below.
    Settled {
        /// That position.
        position: i64,
    },
    /// The group was alive on this lane, or on the destination where the lane is empty.
    Seen,
}
