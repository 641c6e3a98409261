//! What the receivers that read from brokers have in common: what a record says it is, how it is taken until the
//! store has it, and how its broker's state is told.
//!
//! A record is an OTLP request: the body in protobuf or JSON, headers `content-type`, `content-encoding` and
//! `hopscope-signal`. A record without headers is what OpenTelemetry's Collector writes: its body tells the format.

use super::body::{ENCODINGS, Encoding};
use super::otlp::{Format, Intake, Limits, Refusal, Signal};
use crate::ingest::Sink;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// First and longest pause before something is tried again.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// One skipped record in this time is shown in the log; all are counted.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Records that are taken at the same time, a source.
pub(super) const IN_FLIGHT_MAX: usize = 32;
/// How often a broker is asked how much waits there.
pub(super) const LAG_EVERY: Duration = Duration::from_secs(5);
/// How long a broker may take to say goodbye when the server stops.
pub(super) const GOODBYE_MAX: Duration = Duration::from_secs(5);

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is durable.
    Taken,
    /// It will never be: counted, to be left behind.
    Skipped,
    /// The server stops; the broker keeps it.
    Kept,
}

/// What a record says it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    content_type: Option<&'a [u8]>,
    content_encoding: Option<&'a [u8]>,
    signal: Option<&'a [u8]>,
}

impl<'a> Said<'a> {
    /// Reads one header or property. Names differ in case from broker to broker.
    pub(super) fn header(&mut self, name: &str, value: &'a [u8]) {
        let slot = match name {
            _ if name.eq_ignore_ascii_case("content-type") => &mut self.content_type,
            _ if name.eq_ignore_ascii_case("content-encoding") => &mut self.content_encoding,
            _ if name.eq_ignore_ascii_case("hopscope-signal") => &mut self.signal,
            _ => return,
        };
        *slot = Some(value.trim_ascii());
    }

    fn signal(self) -> Result<Signal, Refusal> {
        match self.signal.unwrap_or_default() {
            b"" | b"traces" => Ok(Signal::Traces),
            b"metrics" => Ok(Signal::Metrics),
            other => Err(unsupported("hopscope-signal must be traces or metrics", other)),
        }
    }

    fn read(self, body: &[u8]) -> Result<(Format, Encoding), Refusal> {
        let unsupported =
            |what: &str, value: &[u8]| Refusal::Unsupported(format!("{what} value={}", value.escape_ascii()));
        let encoding = self.content_encoding.unwrap_or_default();
        let encoding = Encoding::from_name(encoding)
            .ok_or_else(|| unsupported(&format!("content-encoding must be one of {ENCODINGS}"), encoding))?;
        let essence = self.content_type.and_then(|value| value.split(|byte| *byte == b';').next());
        let format = match essence.map(|value| value.trim_ascii().to_ascii_lowercase()).as_deref() {
            Some(b"application/x-protobuf" | b"application/protobuf") => Format::Protobuf,
            Some(b"application/json") => Format::Json,
            // No request in protobuf begins with a brace: that would be field 15 of a kind that OTLP has not got.
            None | Some(b"" | b"application/octet-stream") if body.first() == Some(&b'{') => Format::Json,
            None | Some(b"" | b"application/octet-stream") => Format::Protobuf,
            Some(other) => {
                return Err(unsupported(
                    "content-type must be application/x-protobuf or application/json",
                    other,
                ));
            }
        };
        Ok((format, encoding))
    }
}

fn unsupported(what: &str, value: &[u8]) -> Refusal {
    Refusal::Unsupported(format!("{what} value={}", value.escape_ascii()))
}

/// Takes the records of one source.
pub(super) struct Reader {
    /// Spans, and what says that it is neither spans nor metrics.
    intake: Intake,
    metrics: Intake,
    stop: CancellationToken,
    sampled: Mutex<Option<Instant>>,
}

impl Reader {
    pub(super) fn new(sink: Sink, metrics: Sink, limits: Limits, stop: CancellationToken) -> Self {
        sink.ledger().disconnected("connecting");
        Self {
            intake: Intake::new(Signal::Traces, sink, limits),
            metrics: Intake::new(Signal::Metrics, metrics, limits),
            stop,
            sampled: Mutex::default(),
        }
    }

    /// Takes a record: tries until the store has it, it turns out to be unreadable, or the server stops. While the
    /// store is busy or closed the record waits here; the number of records that wait is the source's to bound.
    pub(super) async fn take(&self, said: Said<'_>, body: &[u8], place: &str) -> Verdict {
        let mut pause = Backoff::default();
        loop {
            match self.once(said, body).await {
                Ok(()) => return Verdict::Taken,
                Err(Refusal::Busy(_) | Refusal::Closed(_)) => {
                    if !self.waited(pause.longer()).await {
                        return Verdict::Kept;
                    }
                }
                Err(refusal) => {
                    self.sample(&refusal, body, place);
                    return Verdict::Skipped;
                }
            }
        }
    }

    async fn once(&self, said: Said<'_>, body: &[u8]) -> Result<(), Refusal> {
        let intake = match said.signal() {
            Ok(Signal::Traces) => &self.intake,
            Ok(Signal::Metrics) => &self.metrics,
            Err(refusal) => {
                self.intake.count(&refusal);
                return Err(refusal);
            }
        };
        let counted = |refusal: Refusal| {
            intake.count(&refusal);
            refusal
        };
        let (format, encoding) = said.read(body).map_err(counted)?;
        let bytes_max = intake.limits.body_bytes_max;
        if body.len() > bytes_max {
            let why = format!("the record is too large body_bytes_max={bytes_max}");
            return Err(counted(Refusal::TooLarge(why)));
        }
        let mut room = intake.sink.room()?;
        room.grow(body.len()).map_err(|full| counted(full.into()))?;
        intake.take(body.to_vec(), encoding, format, room).await.map(drop)
    }

    /// Does it, unless the server stops first.
    pub(super) async fn unless_stopped<T>(&self, does: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(does).await
    }

    /// Waits; false when the server stops first.
    pub(super) async fn waited(&self, pause: Duration) -> bool {
        self.unless_stopped(tokio::time::sleep(pause)).await.is_some()
    }

    /// Completes when the server stops.
    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// The name of the receiver.
    pub(super) fn name(&self) -> &str {
        self.intake.sink.ledger().receiver()
    }

    pub(super) fn connected(&self) {
        if self.intake.sink.ledger().connected() {
            tracing::info!(receiver = self.name(), "reading");
        }
    }

    pub(super) fn disconnected(&self, why: &str) {
        if self.intake.sink.ledger().disconnected(why) {
            tracing::warn!(receiver = self.name(), why, "not reading: will go on when the broker lets us");
        }
    }

    pub(super) fn lag(&self, records: u64) {
        self.intake.sink.ledger().lag(records);
    }

    pub(super) fn is_connected(&self) -> bool {
        self.intake.sink.ledger().counts().connection.is_some_and(|connection| connection.up)
    }

    /// Records were lost before they could be counted one by one.
    pub(super) fn lost(&self, reason: &'static str, why: &str) {
        self.intake.sink.unreadable(reason, why);
    }

    fn sample(&self, refusal: &Refusal, body: &[u8], place: &str) {
        const SAMPLE_BYTES_MAX: usize = 64;
        let mut last = self.sampled.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < SAMPLE_EVERY) {
            return;
        }
        *last = Some(Instant::now());
        let bytes = body.len();
        let begins = body[..bytes.min(SAMPLE_BYTES_MAX)].escape_ascii().to_string();
        tracing::warn!(receiver = self.name(), why = %refusal, place, bytes, begins, "a record was left out");
    }
}

/// Exponential pauses.
#[derive(Debug, Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    pub(super) fn longer(&mut self) -> Duration {
        let pause = PAUSE_MIN.saturating_mul(1 << self.0.min(16)).min(PAUSE_MAX);
        self.0 += 1;
        pause
    }
}

/// The sources of one kind with their names: what was given, else the kind and a number from 2 on.
pub(super) fn named<'a, S>(
    kind: &'a str,
    sources: &'a [S],
    given: impl Fn(&S) -> Option<&str> + 'a,
) -> impl Iterator<Item = (String, &'a S)> {
    sources.iter().enumerate().map(move |(index, source)| {
        let name = match (given(source), index) {
            (Some(name), _) => name.to_owned(),
            (None, 0) => kind.to_owned(),
            (None, index) => format!("{kind}-{}", index + 1),
        };
        (name, source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(headers: &[(&str, &str)], body: &str) -> Result<(Format, Encoding), &'static str> {
        let mut said = Said::default();
        for (name, value) in headers {
            said.header(name, value.as_bytes());
        }
        said.signal().and_then(|_| said.read(body.as_bytes())).map_err(|refusal| refusal.reason())
    }

    #[test]
    fn headers_say_what_a_record_is_and_without_them_the_body_does() {
        use Encoding::{Gzip, Identity, Zstd};
        use Format::{Json, Protobuf};
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, Result<(Format, Encoding), &'a str>);
        let cases: &[Case<'_>] = &[
            (&[], "\n\x02", Ok((Protobuf, Identity))),
            (&[], "{\"resourceSpans\":[]}", Ok((Json, Identity))),
            (&[], "", Ok((Protobuf, Identity))),
            (&[("content-type", "application/x-protobuf")], "{", Ok((Protobuf, Identity))),
            (&[("Content-Type", "application/json; charset=utf-8")], "", Ok((Json, Identity))),
            (&[("content-type", "application/octet-stream")], "{", Ok((Json, Identity))),
            (&[("content-encoding", "zstd"), ("hopscope-signal", "traces")], "x", Ok((Protobuf, Zstd))),
            (&[("content-type", "application/json"), ("CONTENT-ENCODING", "gzip")], "x", Ok((Json, Gzip))),
            (&[("content-type", "text/plain")], "x", Err("unsupported")),
            (&[("content-encoding", "lzma")], "x", Err("unsupported")),
            (&[("hopscope-signal", "metrics")], "x", Ok((Protobuf, Identity))),
            (&[("hopscope-signal", "logs")], "x", Err("unsupported")),
            (&[("other", "text/plain")], "x", Ok((Protobuf, Identity))),
        ];
        for (headers, body, expected) in cases {
            assert_eq!(said(headers, body), *expected, "{headers:?} {body:?}");
        }
    }

    #[test]
    fn pauses_grow_and_stop_growing() {
        let mut pause = Backoff::default();
        let pauses: Vec<Duration> = (0..40).map(|_| pause.longer()).collect();
        assert_eq!(pauses[..2], [PAUSE_MIN, PAUSE_MIN * 2]);
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&PAUSE_MAX));
    }

    #[test]
    fn sources_have_names_of_their_own() {
        let sources = [None, Some("audit"), None];
        let names: Vec<String> = named("kafka", &sources, |given| *given).map(|(name, _)| name).collect();
        assert_eq!(names, ["kafka", "audit", "kafka-3"]);
    }
}
