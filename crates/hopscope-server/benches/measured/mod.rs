//! A server in a process of its own, and what it costs: for benches that measure a server and not themselves.
#![allow(dead_code, reason = "each bench uses a part of it")]
#![allow(clippy::print_stdout, clippy::expect_used)]

use hopscope_client::Client;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Mutex;

const SENDERS: usize = 4;
/// Clock ticks a second in `/proc`: 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// The server counts as quiet after this long without a tick of CPU time.
const QUIET: Duration = Duration::from_millis(1_500);

/// Prints a figure. `gate`: its value, and whether at least (true) or at most (false) that must be reached.
pub fn figure(name: &str, value: f64, unit: &str, gate: Option<(f64, bool)>) {
    let pass = gate.is_none_or(|(gate, at_least)| if at_least { value >= gate } else { value <= gate });
    let gate = gate.map(|(gate, at_least)| format!("{} {gate}", if at_least { "≥" } else { "≤" }));
    let value = (value * 10.0).round() / 10.0;
    println!(
        "{}",
        serde_json::json!({"name": name, "value": value, "unit": unit, "gate": gate, "pass": pass})
    );
}

/// A server in a process of its own: this program again, with `serve DIR`.
pub struct Measured {
    process: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    pid: u32,
    traces_url: String,
    /// Of its API.
    pub client: Client,
    http: reqwest::Client,
}

impl Measured {
    /// On that folder.
    pub async fn start(data: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("a path"))
            .arg("serve")
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this program again");
        let mut stdout = BufReader::new(process.stdout.take().expect("piped")).lines();
        let line = stdout.next_line().await.expect("readable").expect("a server that starts");
        let (otlp_http, http) = line.split_once(' ').expect("two addresses");
        Self {
            pid: process.id().expect("it runs"),
            process,
            stdout,
            traces_url: format!("http://{otlp_http}/v1/traces"),
            client: Client::new(&format!("http://{http}")).expect("a client"),
            http: reqwest::Client::new(),
        }
    }

    /// Lets it believe that it is that instant now.
    pub async fn set_now_ns(&mut self, now_ns: i64) {
        let stdin = self.process.stdin.as_mut().expect("piped");
        stdin.write_all(format!("now {now_ns}\n").as_bytes()).await.expect("it listens");
        let answer = self.stdout.next_line().await.expect("readable");
        assert_eq!(answer.as_deref(), Some("ok"));
    }

    /// Ends it at once, as a crash would.
    pub async fn kill(mut self) {
        self.process.kill().await.expect("it ran");
    }

    /// Bytes that it has written to disks.
    pub fn written_bytes(&self) -> u64 {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.pid)).expect("/proc");
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).expect("write_bytes");
        line.parse().expect("a number")
    }

    /// Ends it in order.
    pub async fn stop(mut self) {
        drop(self.process.stdin.take());
        let status = self.process.wait().await.expect("it ends");
        assert!(status.success(), "{status}");
    }

    /// User and system time of the process.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("/proc");
        // The name of the program is in parentheses and may hold blanks: count from behind it.
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / TICKS_PER_SECOND
    }

    /// Resident memory.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("/proc");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("KiB") * 1024
    }

    /// Waits until the process does nothing.
    pub async fn quiet(&self) {
        let (mut since, mut cpu) = (Instant::now(), self.cpu_seconds());
        while since.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = self.cpu_seconds();
            if now - cpu > 0.015 {
                (since, cpu) = (Instant::now(), now);
            }
        }
    }

    /// Events that it says are stored.
    pub async fn stored(&self) -> i64 {
        self.client.status().await.expect("status").stored_events.0
    }

    /// Sends one request.
    pub async fn post(&self, body: Vec<u8>) {
        let sent =
            self.http.post(&self.traces_url).header("content-type", "application/x-protobuf").body(body);
        assert_eq!(sent.send().await.expect("an answer").status(), 200);
    }

    /// Sends them all, several at a time.
    pub async fn send_all(&self, bodies: Vec<Vec<u8>>) {
        let bodies = Arc::new(Mutex::new(bodies));
        let senders = (0..SENDERS).map(|_| async {
            loop {
                let Some(body) = bodies.lock().await.pop() else { return };
                self.post(body).await;
            }
        });
        futures::future::join_all(senders).await;
    }
}
