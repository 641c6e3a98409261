//! [`Batching`]: when finished spans are sent, and how much is held.

use super::environment::Environment;
use crate::export::queue::Limits;
use std::time::Duration;

/// When finished spans are sent, and how much is held. `None` leaves it open (`OTEL_BSP_*`, then the default).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batching {
    /// Longest time that a finished span waits. Default 5 s.
    pub delay: Option<Duration>,
    /// A batch of that many is sent at once. Default 512.
    pub batch_spans_max: Option<usize>,
    /// Memory of the queue, all of it. Default 16 MiB. Where it is full, the oldest spans go, those first that neither
    /// failed nor were retried, dead-lettered or slow; they are counted.
    pub queue_bytes_max: Option<usize>,
    /// A bound on the number of waiting spans beside it. Default: none.
    pub queue_spans_max: Option<usize>,
    /// How often metrics are sent. Default 60 s (`OTEL_METRIC_EXPORT_INTERVAL`).
    pub metrics_interval: Option<Duration>,
}

impl Batching {
    /// For a person who waits in front of the page: spans within a fifth of a second, metrics within one.
    pub const INTERACTIVE: Self = Self::every(Duration::from_millis(200), Duration::from_secs(1));

    /// For development: both every 5 s.
    pub const DEVELOPMENT: Self = Self::every(Duration::from_secs(5), Duration::from_secs(5));

    /// For production: spans every 10 s, in fewer and fuller requests; metrics every minute.
    pub const PRODUCTION: Self = Self::every(Duration::from_secs(10), Duration::from_secs(60));

    const fn every(delay: Duration, metrics_interval: Duration) -> Self {
        Self {
            delay: Some(delay),
            batch_spans_max: None,
            queue_bytes_max: None,
            queue_spans_max: None,
            metrics_interval: Some(metrics_interval),
        }
    }

    pub(super) fn metrics_interval(self, environment: Environment<'_>) -> Duration {
        let named = || environment.number("OTEL_METRIC_EXPORT_INTERVAL").map(Duration::from_millis);
        let interval = self.metrics_interval.or_else(named).filter(|interval| !interval.is_zero());
        interval.unwrap_or(Duration::from_secs(60))
    }

    /// `request_bytes_max`: the longest request that every target takes.
    pub(super) fn limits(self, environment: Environment<'_>, request_bytes_max: usize) -> Limits {
        let delay =
            self.delay.or_else(|| environment.number("OTEL_BSP_SCHEDULE_DELAY").map(Duration::from_millis));
        let count =
            |set: Option<usize>, name| set.or_else(|| environment.number(name)).map(|count| count.max(1));
        let queue_spans_max = count(self.queue_spans_max, "OTEL_BSP_MAX_QUEUE_SIZE").unwrap_or(usize::MAX);
        let batch_spans_max = count(self.batch_spans_max, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE").unwrap_or(512);
        let queue_bytes_max = self.queue_bytes_max.unwrap_or(QUEUE_BYTES_MAX);
        Limits {
            delay: delay.unwrap_or(Duration::from_secs(5)),
            batch_spans_max: batch_spans_max.min(queue_spans_max),
            // A request is written beside the queue, once plain and once compressed: both together must be little.
            batch_bytes_max: (queue_bytes_max / 32).clamp(1, BATCH_BYTES_MAX).min(request_bytes_max),
            queue_spans_max,
            queue_bytes_max,
        }
    }
}

/// Memory of the queue.
const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Spans of one request.
const BATCH_BYTES_MAX: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_goes_before_the_environment_and_that_before_the_default() {
        let variables = |name: &str| match name {
            "OTEL_BSP_SCHEDULE_DELAY" => Some("1500".to_owned()),
            "OTEL_BSP_MAX_QUEUE_SIZE" => Some("100".to_owned()),
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" => Some("many".to_owned()),
            _ => None,
        };
        let environment = Environment::of(&variables);
        let limits = Batching::default().limits(environment, usize::MAX);
        assert_eq!(limits.delay, Duration::from_millis(1500));
        assert_eq!(
            (limits.queue_spans_max, limits.batch_spans_max),
            (100, 100),
            "no batch is longer than the queue"
        );
        let limits =
            Batching { queue_spans_max: Some(2000), ..Batching::PRODUCTION }.limits(environment, 1000);
        assert_eq!(limits.delay, Duration::from_secs(10));
        assert_eq!((limits.queue_spans_max, limits.batch_spans_max), (2000, 512));
        assert_eq!((limits.queue_bytes_max, limits.batch_bytes_max), (16 * 1024 * 1024, 1000));
    }
}
