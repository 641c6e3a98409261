//! The endpoint that spans and metrics go to: another process, so that its CPU time is not ours.

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use tokio::net::TcpListener;

/// A running sink; stopped when dropped.
pub struct Sink {
    child: Child,
    /// `http://host:port`
    pub endpoint: String,
}

impl Sink {
    /// Starts this program once more, as a sink.
    pub fn start(is_black_hole: bool) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("sink").stdin(Stdio::piped()).stdout(Stdio::piped());
        if is_black_hole {
            command.arg("--black-hole");
        }
        let mut child = command.spawn().context("cannot start a sink")?;
        let mut endpoint = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut endpoint)?;
        Ok(Self { child, endpoint: endpoint.trim().to_owned() })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes everything and forgets it; as a black hole it accepts connections and never answers.
#[expect(clippy::print_stdout, reason = "the first line tells whoever started it where it listens")]
pub async fn serve(is_black_hole: bool) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    // Whoever started it is gone: so is this.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    if is_black_hole {
        let mut connections = Vec::new();
        loop {
            connections.push(listener.accept().await?);
        }
    }
    let take = || post(|_: Bytes| async {});
    let routes = Router::new().route("/v1/traces", take()).route("/v1/metrics", take());
    Ok(axum::serve(listener, routes.layer(DefaultBodyLimit::max(64 << 20))).await?)
}
