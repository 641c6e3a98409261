//! [`Retry`]: whether and when a failed message is tried again.

use crate::{Failure, Processing, Value};
use opentelemetry::KeyValue;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

/// Whether and when a failed message is tried again. Cheap to clone; decides, and never does.
///
/// Attempts count from 1, the first try included, as `hopscope.attempt` does: after attempt `attempts_max` it is given
/// up. There are two ways to try again, on one policy:
/// - **in place**: [`run`](Self::run) calls the handler again, the message stays where it is;
/// - **through the broker**: with the attempt number that the broker's own data tell (delivery count, reconsume times,
///   the headers of a retry topic), [`decide`](Self::decide) says after which delay the broker is to give it again, or
///   that it goes to the dead-letter queue.
///
/// ```
/// use hopscope_sdk::{Failure, Retry, Verdict};
/// use std::time::Duration;
/// let retry = Retry::times(3)
///     .exponential(Duration::from_millis(100), 2.0, Duration::from_secs(10))
///     .without_jitter()
///     .only_if(|failure| failure.kind() != "Invalid");
/// let busy = Failure::new("Busy", "");
/// assert_eq!(retry.after(1, &busy), Verdict::Again { delay: Duration::from_millis(100) });
/// assert_eq!(retry.after(2, &busy), Verdict::Again { delay: Duration::from_millis(200) });
/// assert_eq!(retry.after(3, &busy), Verdict::GiveUp);
/// assert_eq!(retry.after(1, &Failure::new("Invalid", "")), Verdict::GiveUp);
/// ```
#[derive(Clone)]
pub struct Retry {
    attempts_max: u32,
    backoff: Backoff,
    jitter: bool,
    only_if: Option<OnlyIf>,
}

type OnlyIf = Arc<dyn Fn(&Failure) -> bool + Send + Sync>;

/// What becomes of a message after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is tried again.
    Again {
        /// So long after the failure.
        delay: Duration,
    },
    /// It is not: dead-letter it, or pass over it.
    GiveUp,
}

#[derive(Clone)]
enum Backoff {
    Fixed(Duration),
    Exponential { first: Duration, factor: f64, delay_max: Duration },
    Custom(Arc<dyn Fn(u32) -> Duration + Send + Sync>),
}

impl Retry {
    /// Up to that many attempts, the first one included, at once after each other. 0 is taken as 1: never again.
    pub fn times(attempts_max: u32) -> Self {
        Self {
            attempts_max: attempts_max.max(1),
            backoff: Backoff::Fixed(Duration::ZERO),
            jitter: false,
            only_if: None,
        }
    }

    /// One attempt, and that was it.
    pub fn never() -> Self {
        Self::times(1)
    }

    /// The same delay before each retry.
    #[must_use]
    pub fn fixed(mut self, delay: Duration) -> Self {
        (self.backoff, self.jitter) = (Backoff::Fixed(delay), false);
        self
    }

    /// `first` before the first retry, then `factor` times the one before, up to `delay_max`; with full jitter: the
    /// delay is drawn evenly between nothing and that value, so that what failed together does not come again
    /// together. A factor below 1, or none, is taken as 1.
    #[must_use]
    pub fn exponential(mut self, first: Duration, factor: f64, delay_max: Duration) -> Self {
        (self.backoff, self.jitter) = (Backoff::Exponential { first, factor, delay_max }, true);
        self
    }

    /// A delay of your own before each retry, out of the number of the attempt that failed, from 1.
    #[must_use]
    pub fn delays(mut self, delay: impl Fn(u32) -> Duration + Send + Sync + 'static) -> Self {
        (self.backoff, self.jitter) = (Backoff::Custom(Arc::new(delay)), false);
        self
    }

    /// Full jitter, on any back-off.
    #[must_use]
    pub fn with_jitter(mut self) -> Self {
        self.jitter = true;
        self
    }

    /// Delays as they are.
    #[must_use]
    pub fn without_jitter(mut self) -> Self {
        self.jitter = false;
        self
    }

    /// Only such failures are tried again; every other one is given up at once.
    #[must_use]
    pub fn only_if(mut self, again: impl Fn(&Failure) -> bool + Send + Sync + 'static) -> Self {
        self.only_if = Some(Arc::new(again));
        self
    }

    /// Most attempts, the first one included.
    pub fn attempts_max(&self) -> u32 {
        self.attempts_max
    }

    /// What becomes of a message whose attempt of that number, from 1, ended so.
    pub fn after(&self, attempt: u32, failure: &Failure) -> Verdict {
        if attempt >= self.attempts_max || self.only_if.as_ref().is_some_and(|again| !again(failure)) {
            return Verdict::GiveUp;
        }
        let delay = self.backoff.delay(attempt.max(1));
        Verdict::Again { delay: if self.jitter { delay.mul_f64(fraction()) } else { delay } }
    }

    /// As [`after`](Self::after), noted on the process span: another attempt is an event `hopscope.retry` with
    /// `hopscope.attempt` (the one that failed), `hopscope.retry.delay_ms` and `error.type`. For retries through the
    /// broker; declare the outcome and settle afterwards.
    pub fn decide(&self, processing: &Processing, attempt: u32, failure: &Failure) -> Verdict {
        let verdict = self.after(attempt, failure);
        if let Verdict::Again { delay } = verdict {
            note(processing, attempt, delay, failure);
        }
        verdict
    }

    /// Runs the handler until it succeeds or is given up, each time under the context of `processing`; the last error
    /// comes back. Each retry is noted as [`decide`](Self::decide) does, their number in the end as
    /// `hopscope.retry.count`. The outcome is yours to declare.
    ///
    /// Dropped in the middle (a time-out, `select!`) it leaves nothing behind, and the number is that of then. A panic
    /// is no failure to try again: it is recorded, and goes on. The message is held while this waits: where a broker
    /// takes a slow one away (Kafka's `max.poll.interval.ms`, an ack wait), keep all delays together below that.
    ///
    /// ```
    /// # use hopscope_sdk::{Details, Place, Retry, Telemetry, kit};
    /// # async fn charge(times: &std::cell::Cell<u32>) -> Result<u32, std::io::Error> {
    /// #     times.set(times.get() + 1);
    /// #     if times.get() < 3 { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(times.get()) }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let place = Place::Nats { subject: "orders" };
    /// # let headers = kit::MapHeaders::default();
    /// # let delivery = Telemetry::global().receive("next", place, &Details::default(), &headers);
    /// # let times = std::cell::Cell::new(0);
    /// let retry = Retry::times(5);
    /// let processing = delivery.process();
    /// let declared = match retry.run(&processing, || charge(&times)).await {
    ///     Ok(attempts) => { assert_eq!(attempts, 3); processing.succeed() }
    ///     Err(error) => processing.fail(&error),
    /// };
    /// declared.settle("ack").sent();
    /// # }
    /// ```
    pub async fn run<T, E, F>(&self, processing: &Processing, attempt: impl FnMut() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        for<'e> Failure: From<&'e E>,
    {
        self.run_as(processing, |error| Failure::from(error), attempt).await
    }

    /// As [`run`](Self::run), for errors that are no [`std::error::Error`] (`anyhow::Error`, text): `failure` says what
    /// they are.
    pub async fn run_as<T, E, F>(
        &self,
        processing: &Processing,
        failure: impl Fn(&E) -> Failure,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut retries = Retries { processing, count: 0 };
        loop {
            let error = match processing.run(attempt()).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let number = retries.count.saturating_add(1);
            match self.decide(processing, number, &failure(&error)) {
                Verdict::GiveUp => return Err(error),
                Verdict::Again { delay } => {
                    retries.count = number;
                    if !delay.is_zero() {
                        tokio::time::sleep(delay).await;
                    }
                }
            }
        }
    }
}

/// Writes their number when the work ends, also when it is cancelled.
struct Retries<'p> {
    processing: &'p Processing,
    count: u32,
}

impl Drop for Retries<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.processing.set_attribute(KeyValue::new("hopscope.retry.count", i64::from(self.count)));
        }
    }
}

fn note(processing: &Processing, attempt: u32, delay: Duration, failure: &Failure) {
    let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
    processing.add_event(
        "hopscope.retry",
        &[
            ("hopscope.attempt", Value::Int(attempt.into())),
            ("hopscope.retry.delay_ms", Value::Int(delay_ms)),
            ("error.type", Value::Text(failure.kind())),
        ],
    );
}

impl Backoff {
    /// Before the retry that follows attempt number `attempt`.
    fn delay(&self, attempt: u32) -> Duration {
        match self {
            Self::Fixed(delay) => *delay,
            Self::Custom(delay) => delay(attempt),
            Self::Exponential { first, factor, delay_max } => {
                // `max` takes no-number as 1 too.
                let grown = first.as_secs_f64() * factor.max(1.0).powf(f64::from(attempt - 1));
                Duration::try_from_secs_f64(grown).map_or(*delay_max, |delay| delay.min(*delay_max))
            }
        }
    }
}

/// Evenly out of 0 to 1. The standard library's hash keys differ at every call, which is as random as a delay needs.
fn fraction() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("attempts_max", &self.attempts_max)
            .field("backoff", &self.backoff)
            .field("jitter", &self.jitter)
            .field("only_if", &self.only_if.is_some())
            .finish()
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(delay) => f.debug_tuple("Fixed").field(delay).finish(),
            Self::Exponential { first, factor, delay_max } => {
                f.debug_tuple("Exponential").field(first).field(factor).field(delay_max).finish()
            }
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(retry: &Retry) -> Vec<Duration> {
        let failure = Failure::new("e", "");
        let of = |attempt| match retry.after(attempt, &failure) {
            Verdict::Again { delay } => Some(delay),
            Verdict::GiveUp => None,
        };
        (1..).map_while(of).collect()
    }

    #[test]
    fn delays_grow_to_their_cap() {
        let ms = Duration::from_millis;
        let retry = Retry::times(6).exponential(ms(10), 3.0, ms(200)).without_jitter();
        assert_eq!(delays(&retry), [10, 30, 90, 200, 200].map(ms));
        assert_eq!(delays(&Retry::times(3).fixed(ms(7))), [ms(7); 2]);
        assert_eq!(delays(&Retry::times(3).delays(move |attempt| ms(u64::from(attempt)))), [ms(1), ms(2)]);
        assert_eq!(delays(&Retry::never()), []);
        assert_eq!(delays(&Retry::times(0)), []);
    }

    #[test]
    fn numbers_that_make_no_sense_stay_within_the_cap() {
        let cap = Duration::from_secs(5);
        for factor in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -2.0, 0.0, 1e300] {
            let retry =
                Retry::times(u32::MAX).exponential(Duration::from_secs(1), factor, cap).without_jitter();
            for attempt in [0, 1, 2, 1000, u32::MAX - 1] {
                let Verdict::Again { delay } = retry.after(attempt, &Failure::new("e", "")) else {
                    panic!("attempts are left, attempt={attempt}");
                };
                assert!(delay <= cap, "factor={factor} attempt={attempt} delay={delay:?}");
            }
        }
    }

    #[test]
    fn full_jitter_draws_from_nothing_to_all() {
        let retry = Retry::times(2).fixed(Duration::from_secs(1)).with_jitter();
        let drawn: Vec<f64> =
            (0..2000).flat_map(|_| delays(&retry)).map(|delay| delay.as_secs_f64()).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        assert!((0.45..0.55).contains(&mean), "mean={mean}");
        assert!(drawn.iter().any(|delay| *delay < 0.1) && drawn.iter().any(|delay| *delay > 0.9));
        assert!(drawn.iter().all(|delay| (0.0..=1.0).contains(delay)));
    }
}
