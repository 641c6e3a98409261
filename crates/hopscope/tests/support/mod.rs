//! The real binary as a child process, for tests.
#![allow(dead_code, clippy::print_stdout)] // each test file uses its part; a seed must be seen

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A `hopscope serve` (or `demo`) that prints where it listens.
pub struct Server {
    child: Child,
    _lines: Lines<BufReader<ChildStdout>>,
    pub page: String,
    pub otlp_grpc: String,
    pub otlp_http: String,
}

impl Server {
    /// Starts it on free ports and waits until it has said where.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same with settings, `name=value` each.
    pub fn start_with(data: &Path, settings: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hopscope"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--otlp-grpc",
                "127.0.0.1:0",
                "--otlp-http",
                "127.0.0.1:0",
            ])
            .arg("--data")
            .arg(data)
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let mut after = |label: &str| {
            let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with(label)));
            let line = line
                .and_then(Result::ok)
                .unwrap_or_else(|| panic!("no line {label:?}: did the server start?"));
            line[label.len()..].trim().to_owned()
        };
        let (page, otlp_grpc, otlp_http) = (after("page and API"), after("OTLP/gRPC"), after("OTLP/HTTP"));
        Self { child, _lines: lines, page, otlp_grpc, otlp_http }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(mut self) {
        self.child.kill().expect("it is alive");
        self.child.wait().expect("it ends");
    }

    /// SIGTERM, waits for the end, and gives the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test must not leave a server behind; after `kill` or `terminate` these do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// SplitMix64: a seed is a whole run.
pub struct Random(pub u64);

impl Random {
    /// The seed in `HOPSCOPE_SEED`, else one that differs from run to run; printed either way.
    pub fn printed(what: &str) -> Self {
        let given = std::env::var("HOPSCOPE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()) << 32 | 0x5eed);
        println!("{what}: seed {seed} (HOPSCOPE_SEED={seed} replays it)");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
