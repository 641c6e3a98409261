//! Spans and metrics as messages on a topic, instead of an endpoint or beside one.

use crate::endpoint::{Endpoint, ok, spans};
use crate::{LONG, alone, send};
use hopscope_sdk::setup::{Compression, Counts, Export, Setup, SinkFuture, TopicError, TopicSink};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric::Data, number_data_point::Value};
use prost::Message;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A topic in memory.
#[derive(Debug)]
struct Topic {
    is_away: bool,
    bytes_max: usize,
    messages: Mutex<Vec<Vec<(String, String)>>>,
    bodies: Mutex<Vec<Vec<u8>>>,
}

impl Topic {
    fn new(is_away: bool, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { is_away, bytes_max, messages: Mutex::default(), bodies: Mutex::default() })
    }

    /// The bodies of that signal, plain.
    fn taken(&self, signal: &str) -> Vec<Vec<u8>> {
        let (messages, bodies) =
            (self.messages.lock().expect("no panic"), self.bodies.lock().expect("no panic"));
        let header = |headers: &[(String, String)], name: &str| {
            headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let of_signal = messages.iter().zip(&*bodies).filter(|(headers, _)| {
            assert_eq!(header(headers, "content-type").as_deref(), Some("application/x-protobuf"));
            header(headers, "hopscope-signal").as_deref() == Some(signal)
        });
        let plain = of_signal.map(|(headers, body)| match header(headers, "content-encoding").as_deref() {
            None => body.clone(),
            Some("zstd") => zstd::stream::decode_all(body.as_slice()).expect("zstd"),
            Some(other) => panic!("no such encoding: {other}"),
        });
        plain.collect()
    }
}

impl TopicSink for Topic {
    fn send<'a>(&'a self, body: Vec<u8>, headers: &'a [(&'a str, &'a str)]) -> SinkFuture<'a> {
        Box::pin(async move {
            if self.is_away {
                return Err(TopicError::Later("nobody is there".into()));
            }
            assert!(body.len() <= self.bytes_max, "{} bytes", body.len());
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            self.messages.lock().expect("no panic").push(headers.collect());
            self.bodies.lock().expect("no panic").push(body);
            Ok(())
        })
    }

    fn message_bytes_max(&self) -> usize {
        self.bytes_max
    }
}

#[test]
fn a_topic_gets_spans_and_metrics_in_messages_that_it_takes() {
    let _alone = alone();
    for compression in [Compression::None, Compression::Zstd] {
        let topic = Topic::new(false, 20_000);
        let export = Export::Topic(topic.clone());
        let setup = Setup { export, compression: Some(compression), ..Setup::default() };
        let guard = setup.init().expect("a set-up");
        send(300);
        assert!(guard.flush(LONG));
        assert_eq!(guard.counts(), Counts { ended: 300, exported: 300, ..Counts::default() });
        assert_eq!(guard.topic_counts(), Some(guard.counts()));
        let messages = topic.taken("traces");
        assert!(messages.len() > 1, "more than one message would hold");
        assert_eq!(messages.iter().map(|message| spans(message)).sum::<usize>(), 300);
        let metrics = topic.taken("metrics");
        let metrics = ExportMetricsServiceRequest::decode(metrics[0].as_slice()).expect("metrics");
        assert_eq!(metrics.resource_metrics.len(), 1);
    }
}

/// The value of the point that has these attributes.
fn number(request: &ExportMetricsServiceRequest, metric: &str, set: &[(&str, &str)]) -> Option<i64> {
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let metric = scopes.flat_map(|scope| &scope.metrics).find(|found| found.name == metric)?;
    let Some(Data::Sum(sum)) = &metric.data else { panic!("no sum: {metric:?}") };
    let is_it = |point: &&NumberDataPoint| {
        set.iter().all(|(key, value)| {
            let text = any_value::Value::StringValue((*value).to_owned());
            let value = Some(AnyValue { value: Some(text) });
            point.attributes.iter().any(|own| own.key == *key && own.value == value)
        })
    };
    match sum.data_points.iter().find(is_it)?.value {
        Some(Value::AsInt(value)) => Some(value),
        _ => panic!("no whole number: {metric:?}"),
    }
}

#[test]
fn beside_an_endpoint_neither_waits_for_the_other() {
    let _alone = alone();
    let endpoint = Endpoint::start(|_| ok());
    let topic = Topic::new(true, 900_000);
    let export = Export::Both(topic);
    let guard = Setup { endpoint: endpoint.url(), export, ..Setup::default() }.init().expect("a set-up");
    send(3);
    assert!(!guard.flush(Duration::from_millis(500)), "the topic has not taken them");
    assert_eq!(guard.counts(), Counts { ended: 3, exported: 3, ..Counts::default() });
    let waiting = guard.topic_counts().expect("a topic");
    assert_eq!((waiting.ended, waiting.queued), (3, 3));
    // The first may have been read before the endpoint's answer.
    let told = loop {
        let told = endpoint.metrics.recv_timeout(LONG).expect("metrics");
        if number(&told, "hopscope.sdk.spans", &[("hopscope.sdk.span.state", "exported")]) == Some(3) {
            break told;
        }
        guard.flush(Duration::from_millis(100));
    };
    let number = |metric, set: &[(&str, &str)]| number(&told, metric, set);
    assert_eq!(number("hopscope.sdk.spans", &[("hopscope.sdk.span.state", "ended")]), Some(3));
    for (target, exported, queued) in [("otlp", Some(3), 0), ("topic", None, 3)] {
        let target = ("hopscope.sdk.target", target);
        let of = |state| [("hopscope.sdk.span.state", state), target];
        assert_eq!(number("hopscope.sdk.spans", &of("ended")), None, "told once");
        assert_eq!(number("hopscope.sdk.spans", &of("exported")), exported, "{target:?}");
        assert_eq!(number("hopscope.sdk.spans.pending", &of("queued")), Some(queued), "{target:?}");
        assert_eq!(number("hopscope.sdk.queue.bytes", &[target]).map(|bytes| bytes > 0), Some(queued > 0));
    }
    guard.shutdown(Duration::ZERO);
}
