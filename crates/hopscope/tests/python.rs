//! A client of another language: OpenTelemetry's own Python exporters, over gRPC and over HTTP.

mod support;

use hopscope_client::{
    Client,
    api::{Flow, MessageAnswer},
};
use std::process::Command;
use support::Server;

#[tokio::test]
async fn spans_of_a_python_service_over_grpc_show_up_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let endpoint = server.otlp_grpc.clone();
    check(&server, "grpc", &endpoint).await;
}

#[tokio::test]
async fn spans_of_a_python_service_over_http_show_up_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let endpoint = format!("{}/v1/traces", server.otlp_http);
    check(&server, "http", &endpoint).await;
}

async fn check(server: &Server, protocol: &str, endpoint: &str) {
    let trace_id = send(protocol, endpoint, "order-9001");
    let client = Client::new(&server.page).expect("an address");
    for query in ["order-9001", "python-orders/2/41", &trace_id] {
        let found = client.find(query, 10, None).await.expect("an answer");
        let references: Vec<&str> = found.messages.iter().map(|message| message.reference.as_str()).collect();
        assert_eq!(references, ["kafka:python-orders/2/41"], "found by {query:?}");
    }
    let answer = client.message("kafka:python-orders/2/41", 1).await.expect("the message");
    story(&answer);
}

fn story(answer: &MessageAnswer) {
    assert_eq!(answer.message.sender, "python-shop");
    assert_eq!(answer.message.keys, ["order-9001"]);
    let [group] = answer.trajectory.groups.as_slice() else {
        panic!("one group: {:?}", answer.trajectory.groups)
    };
    // It failed, and nobody said what was asked of the broker then: that it will be tried again is a conclusion.
    let state = (group.group.as_str(), group.state.as_str(), group.grade.as_str());
    assert_eq!(state, ("billing", "failed_will_retry", "inferred"));
    let [attempt] = group.attempts.as_slice() else { panic!("one attempt: {:?}", group.attempts) };
    assert_eq!((attempt.outcome.as_str(), attempt.reason.as_str()), ("failed", "ValueError"));
    assert!(attempt.process.is_some(), "how long it was worked on is known");
    assert!(attempt.wait.is_none(), "nobody said when it was received: unknown stays unknown");
    let process =
        answer.trajectory.events.iter().find(|event| event.stage == "process").expect("a process event");
    assert_eq!((process.service.as_str(), process.grade.as_str()), ("python-billing", "observed"));
    assert!(
        process.attributes.iter().any(|attribute| attribute.value == "no such card"),
        "the exception is kept: {:?}",
        process.attributes
    );
}

/// Counts of OpenTelemetry's own SDK: cumulative and delta, over both transports, a service that is started again,
/// and a server that is started in between.
#[tokio::test]
async fn counts_of_a_python_service_are_exact() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let (grpc, http) = (server.otlp_grpc.clone(), format!("{}/v1/metrics", server.otlp_http));
    run("counts.py", &["grpc", &grpc, "cumulative", "300"]);
    run("counts.py", &["http", &http, "cumulative", "200"]);
    exact(&server, 500, 50).await;
    assert_eq!(server.terminate(), Some(0));
    let server = Server::start(folder.path());
    let (grpc, http) = (server.otlp_grpc.clone(), format!("{}/v1/metrics", server.otlp_http));
    run("counts.py", &["grpc", &grpc, "delta", "70"]);
    run("counts.py", &["http", &http, "delta", "30"]);
    exact(&server, 600, 60).await;
}

async fn exact(server: &Server, messages: i64, failed: i64) {
    let client = Client::new(&server.page).expect("an address");
    let answer = client.rates(Some("1h"), "dest:python-counts").await.expect("rates");
    let [rate] = answer.rates.as_slice() else { panic!("one group: {:?}", answer.rates) };
    let told = |flow: &Flow| (flow.source.clone(), flow.total.0, flow.failed.0);
    assert_eq!(told(&rate.sent), ("exact".to_owned(), messages, 0));
    assert_eq!(told(&rate.consumed), ("exact".to_owned(), messages, failed));
    let process = rate.process.as_ref().expect("how long it took");
    assert_eq!((process.count.0, process.p99.ns.0, process.p99.more), (messages, 5_000_000, false));
    assert_eq!(answer.without_instance, [""; 0]);
}

fn send(protocol: &str, endpoint: &str, key: &str) -> String {
    run("orders.py", &[protocol, endpoint, key])
}

/// Runs an example; what it prints.
fn run(example: &str, arguments: &[&str]) -> String {
    let python = std::env::var_os("HOPSCOPE_TEST_PYTHON").expect(
        "HOPSCOPE_TEST_PYTHON names a python with the OTLP exporters; hint: `cargo xtask test` installs one",
    );
    let script = format!("{}/../../examples/python/{example}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(python).arg(script).args(arguments).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}
