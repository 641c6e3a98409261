//! The binary as a person or a script meets it: output, exit codes, one sentence and a hint when it cannot.

mod support;

use hopscope_client::api::{FindAnswer, MessageAnswer};
use std::net::TcpListener;
use std::process::{Command, Output};
use support::Server;

const SERVE: [&str; 5] = ["serve", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"];

fn hopscope(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hopscope"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .env_remove("HOPSCOPE_SERVER")
        .output()
        .expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// It ended with that code, said one sentence that has `what` in it, and a hint.
#[track_caller]
fn refuses(arguments: &[&str], code: i32, what: &str) {
    let output = hopscope(arguments);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    assert!(told.contains(what) && told.contains("hint:"), "{arguments:?}: {told}");
    assert!(!told.contains("panicked"), "{told}");
}

#[test]
fn demo_once_tells_the_life_of_one_order() {
    let output = hopscope(&["demo", "--once"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told = stdout(&output);
    for part in [
        "kafka orders/0/11",
        "sent by checkout",
        "key order-4711",
        "analytics is at 5 of orders/0, this message is at 11",
        "rabbitmq payments (payment.captured)  [fulfilment succeeded ×2]  by payment",
        "nats SHIPMENTS#12 (shipments.created)  [shipping succeeded ×2]  by fulfilment",
        "rocketmq notifications/broker-a/0/11  [notify succeeded ×2]  by shipping",
    ] {
        assert!(told.contains(part), "{part:?} is missing in:\n{told}");
    }
}

#[test]
fn demo_once_json_is_one_trajectory() {
    let output = hopscope(&["demo", "--once", "--json"]);
    let answer: MessageAnswer =
        serde_json::from_slice(&output.stdout).expect("JSON alone on standard output");
    assert_eq!(answer.message.reference, "kafka:orders/0/11");
    let systems: Vec<&str> = answer.tree.iter().map(|node| node.message.system.as_str()).collect();
    assert_eq!(systems, ["kafka", "rabbitmq", "nats", "rocketmq"]);
    let states: Vec<(&str, &str)> =
        answer.message.groups.iter().map(|group| (group.group.as_str(), group.state.as_str())).collect();
    assert!(
        states.contains(&("payment", "succeeded")) && states.contains(&("analytics", "not_consumed_yet"))
    );
    assert!(answer.coverage.complete);
}

#[test]
fn what_is_not_there_is_not_found_and_says_what_was_searched() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let output = hopscope(&["find", "order-1", "--server", &server.page]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("complete") && stderr(&output).contains("hint:"));
    let output = hopscope(&["find", "order-1", "--json", "--server", &server.page]);
    let answer: FindAnswer = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(answer.messages.is_empty() && answer.coverage.complete);
    refuses(&["msg", "show", "order-1", "--server", &server.page], 3, "order-1");
    refuses(&["msg", "show", "kafka:orders/0/1", "--server", &server.page], 3, "orders/0/1");
    refuses(&["find", "serivce:x", "--server", &server.page], 2, "serivce");
    assert_eq!(server.terminate(), Some(0), "SIGTERM is a graceful stop");
    let output = hopscope(&["check", "--full", "--data", folder.path().to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("sound:"), "{}", stdout(&output));
}

#[test]
fn a_server_that_is_not_there_is_code_7() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    refuses(&["find", "x", "--server", &format!("http://{free}")], 7, "no server answers");
}

#[test]
fn what_keeps_a_server_from_starting_is_said_in_one_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let data = data.to_str().expect("a path");
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").expect("a file");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken_address = taken.local_addr().expect("an address").to_string();
    let file = file.to_str().expect("a path");
    let free = "127.0.0.1:0";
    for (listen, data, more, code, what) in [
        (&*taken_address, data, [].as_slice(), 1, &*taken_address),
        (free, file, &[], 2, "that is a file"),
        (free, data, &["--set", "lisetn=x"], 2, "did you mean listen?"),
        (free, data, &["--set", "seal_rows=many"], 2, "seal_rows"),
        (free, data, &["--config", "/nowhere/hopscope.toml"], 2, "hopscope.toml"),
        ("0.0.0.0:0", data, &[], 2, "--insecure"),
    ] {
        refuses(&[SERVE.as_slice(), &["--listen", listen, "--data", data], more].concat(), code, what);
    }
    let first = Server::start(std::path::Path::new(data));
    refuses(&[SERVE.as_slice(), &["--listen", free, "--data", data]].concat(), 1, "another");
    refuses(&["store", "repair", "--data", data], 1, "another");
    drop(first);
}

#[test]
fn configuration_says_where_each_value_came_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hopscope.toml");
    std::fs::write(&file, "seal_rows = 5000\n").expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_hopscope"))
        .args(["config", "--json", "--listen", "127.0.0.1:7500", "--config"])
        .arg(&file)
        .env("HOPSCOPE_LOG", "debug")
        .output()
        .expect("the binary runs");
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let from = |name: &str| rows.iter().find(|row| row["name"] == name).map(|row| row["from"].clone());
    for (name, origin) in
        [("listen", "flag"), ("log", "environment"), ("seal_rows", "file"), ("data", "default")]
    {
        assert_eq!(from(name).as_ref().and_then(|value| value.as_str()), Some(origin), "{name}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_nothing() {
    let output = Command::new("sh")
        .args(["-c", &format!("{} config | head -1", env!("CARGO_BIN_EXE_hopscope"))])
        .output()
        .expect("a shell");
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let output = hopscope(&["completions", shell]);
        assert!(output.status.success() && stdout(&output).contains("hopscope"), "{shell}");
    }
}
