//! A server, the programs that report to it, and what `hopscope doctor` says of them.

use crate::program;
use crate::support::Server;
use hopscope_client::api::{Check, Finding};
use serde::Deserialize;
use std::process::{Command, Output};

/// What `doctor --json` said.
#[derive(Debug, Deserialize)]
pub struct Told {
    pub findings: Vec<Finding>,
    pub checks: Vec<Check>,
    #[serde(skip)]
    pub exit: i32,
}

impl Told {
    pub fn check(&self, name: &str) -> &Check {
        self.checks.iter().find(|check| check.name == name).expect("that check")
    }

    /// The one finding there is: of that code, grave enough for an exit code of its own unless it is an `info`.
    #[track_caller]
    pub fn only(mut self, code: &str) -> Finding {
        let codes: Vec<&str> = self.findings.iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!(codes, [code], "{self:#?}");
        let finding = self.findings.remove(0);
        let exit = if finding.severity == "info" { 0 } else { 6 };
        assert_eq!(self.exit, exit, "{finding:?}");
        assert!(!finding.next.is_empty() && !finding.text.is_empty(), "{finding:?}");
        finding
    }
}

/// A server with a store of its own.
pub struct Estate {
    pub server: Server,
    pub folder: tempfile::TempDir,
}

impl Estate {
    pub fn empty() -> Self {
        Self::with(&[])
    }

    pub fn with(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start_with(&folder.path().join("data"), settings);
        Self { server, folder }
    }

    /// `checkout` sends to Kafka's `orders`, and `payment` consumes all of it: two processes with the SDK.
    pub fn healthy() -> Self {
        let estate = Self::empty();
        estate.run("send", "checkout", "sent", &[]);
        estate.run("consume", "payment", "sent", &[]);
        estate
    }

    /// Runs a part of [`program`] in a process of its own, and gives what it printed.
    pub fn run(&self, part: &str, service: &str, file: &str, environment: &[(&str, &str)]) -> String {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", "program::a_process_of_its_own", "--ignored", "--nocapture"]);
        command.env(program::PART, part).env(program::FILE, self.folder.path().join(file));
        command.env("OTEL_SERVICE_NAME", service);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.server.otlp_http);
        let output = command.envs(environment.iter().copied()).output().expect("a process");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
        told
    }

    fn hopscope(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_hopscope"))
            .args(["doctor", "--server", &self.server.page])
            .args(arguments)
            .env("NO_COLOR", "1")
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .output()
            .expect("the binary runs")
    }

    pub fn doctor(&self, arguments: &[&str]) -> Told {
        let output = self.hopscope(&[&["--json"], arguments].concat());
        let told = String::from_utf8_lossy(&output.stdout);
        let parsed = serde_json::from_str(&told);
        let told: Told = parsed
            .unwrap_or_else(|error| panic!("{error}: {told}{}", String::from_utf8_lossy(&output.stderr)));
        Told { exit: output.status.code().expect("a code"), ..told }
    }

    pub fn text(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.hopscope(arguments).stdout).expect("text")
    }

    /// `hopscope msg show` knows that example.
    #[track_caller]
    pub fn shows(&self, finding: &Finding) {
        let example = finding.examples.first().unwrap_or_else(|| panic!("an example: {finding:?}"));
        let output = Command::new(env!("CARGO_BIN_EXE_hopscope"))
            .args(["msg", "show", example, "--server", &self.server.page])
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
