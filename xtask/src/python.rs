//! OpenTelemetry's Python exporters and Python's broker clients, for the tests that a client of another language is
//! understood; DuckDB and PyArrow, for the test that they read what is stored as it was meant.
//!
//! They are installed into the cache folder, once; nothing of the system's Python is changed.

use crate::{brokers, run};
use anyhow::{Result, bail};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const PACKAGES: [&str; 8] = [
    "opentelemetry-sdk==1.45.2",
    "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
    "opentelemetry-exporter-otlp-proto-http==1.45.2",
    "pika==1.4.4",
    "nats-py==2.16.0",
    "kafka-python==3.0.12",
    "duckdb==2.0.0",
    "pyarrow==26.0.1",
];

/// The interpreter that has them: what tests get as `HOPSCOPE_TEST_PYTHON`.
pub fn interpreter() -> Result<PathBuf> {
    brokers::need("python3", &["python3", "python3-venv"])?;
    let folder = brokers::user_cache()?.join("python");
    let python = folder.join("bin/python");
    let marker = folder.join("installed");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == PACKAGES.join("\n")) {
        return Ok(python);
    }
    let made = run::show(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?.success();
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--retries", "2"]).args(PACKAGES);
    if !made || !run::show(&mut pip)?.success() {
        bail!(
            "cannot install the Python packages of the tests\nhint: is the network there, and python3-venv installed?"
        );
    }
    fs::write(marker, PACKAGES.join("\n"))?;
    Ok(python)
}
