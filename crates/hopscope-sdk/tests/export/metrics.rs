//! Metrics leave with the spans, and without them; the environment has its say.

use crate::endpoint::{Endpoint, ok};
use crate::{LONG, alone, send, start};
use hopscope_sdk::setup::{Batching, Export, Protocol, Setup};
use hopscope_sdk::{Keep, Sampler, Sampling};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value};
use std::process::Command;
use std::time::Duration;

/// Counts every send.
const SENT: &str = "messaging.client.sent.messages";

/// The sum of a counter over all its series.
fn counted(request: &ExportMetricsServiceRequest, name: &str) -> Option<i64> {
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let metric = scopes.flat_map(|scope| &scope.metrics).find(|metric| metric.name == name)?;
    let Some(Data::Sum(sum)) = &metric.data else { panic!("no sum: {metric:?}") };
    let values = sum.data_points.iter().map(|point| match point.value {
        Some(Value::AsInt(value)) => value,
        _ => panic!("no whole number: {point:?}"),
    });
    Some(values.sum())
}

#[test]
fn every_step_is_counted_though_no_span_is_kept() {
    let _alone = alone();
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let endpoint = Endpoint::start(|_| ok());
        let sampling = Some(Sampling::all(Sampler::Never));
        let setup = Setup { protocol: Some(protocol), sampling, keep: Keep::NOTHING, ..Setup::default() };
        let guard = start(&endpoint, setup);
        send(7);
        assert!(guard.flush(LONG));
        let request = endpoint.metrics.recv_timeout(LONG).expect("metrics");
        assert_eq!(counted(&request, SENT), Some(7), "{protocol:?}");
        assert!(endpoint.arrived.try_recv().is_err(), "no span");
        assert_eq!(guard.steps().sampled_away, 7);
    }
}

#[test]
fn they_leave_by_themselves_and_at_the_end() {
    let _alone = alone();
    let endpoint = Endpoint::start(|_| ok());
    let interval = Some(Duration::from_millis(50));
    let guard = start(
        &endpoint,
        Setup {
            batching: Batching { metrics_interval: interval, ..Batching::default() },
            ..Setup::default()
        },
    );
    send(1);
    let sent = |request: &ExportMetricsServiceRequest| counted(request, SENT);
    // The first may have left before the step.
    while sent(&endpoint.metrics.recv_timeout(LONG).expect("metrics")) != Some(1) {}
    send(2);
    guard.shutdown(LONG);
    let last = endpoint.metrics.try_iter().last().expect("metrics at the end");
    assert_eq!(sent(&last), Some(3));
}

/// What the test below runs in a process of its own, whose environment it sets.
#[test]
#[ignore = "run by what_the_code_leaves_open_the_environment_says"]
fn in_a_process_of_its_own() {
    let guard = Setup::default().init().expect("a set-up");
    send(3);
    assert!(guard.flush(LONG));
    println!("ended={} steps={:?}", guard.counts().ended, guard.steps());
}

#[test]
fn what_the_code_leaves_open_the_environment_says() {
    let run = |endpoint: &Endpoint, variables: &[(&str, &str)]| {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", "metrics::in_a_process_of_its_own", "--ignored", "--nocapture"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.url());
        let output = command.envs(variables.iter().copied()).output().expect("a process");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{variables:?}: {told}{}", String::from_utf8_lossy(&output.stderr));
        let ended = told.split_once("ended=").expect("its line").1;
        let spans: usize = endpoint.arrived.try_iter().map(|arrived| arrived.spans()).sum();
        // All of them are taken, or the next run would find the rest.
        let sent = endpoint.metrics.try_iter().filter_map(|request| counted(&request, SENT));
        let has_metrics = sent.fold(false, |_, sent| sent == 3);
        (ended.starts_with('3'), spans, has_metrics)
    };
    let endpoint = Endpoint::start(|_| ok());
    for (variables, expected) in [
        (&[][..], (true, 3, true)),
        (&[("OTEL_SDK_DISABLED", "true")][..], (false, 0, false)),
        (&[("OTEL_TRACES_EXPORTER", "none")][..], (false, 0, true)),
        (&[("OTEL_METRICS_EXPORTER", "none")][..], (true, 3, false)),
        (&[("OTEL_TRACES_SAMPLER", "always_off")][..], (false, 0, true)),
        (&[("OTEL_TRACES_SAMPLER", "nonsense"), ("OTEL_BSP_SCHEDULE_DELAY", "-")][..], (true, 3, true)),
    ] {
        assert_eq!(run(&endpoint, variables), expected, "{variables:?}");
    }
}

#[test]
fn nothing_is_sent_where_nothing_is_to_be() {
    let _alone = alone();
    let endpoint = Endpoint::start(|_| ok());
    let guard = start(&endpoint, Setup { export: Export::Nothing, ..Setup::default() });
    send(3);
    assert!(guard.flush(LONG));
    guard.shutdown(LONG);
    assert!(endpoint.arrived.try_recv().is_err() && endpoint.metrics.try_recv().is_err());
}
