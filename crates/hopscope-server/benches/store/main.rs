//! The embedded store at size: workload W1 over OTLP/HTTP into a server in a process of its own, spread over received
//! days, then looked into.
//!
//! `cargo xtask bench store -- --records 100m --folder DIR` can be cut at any time and goes on where it was: each part
//! is a million spans of its own seed, and what of it was stored already is stored once. CPU is that of the server
//! from the first request until its log is empty and nothing waits to be compacted.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::expect_used)]

mod fill;
mod look;
#[path = "../measured/mod.rs"]
mod measured;
mod run;

use hopscope_server::{Config, Server};
use std::path::Path;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1).cloned())
    };
    if let Some(folder) = after("serve") {
        return runtime.block_on(serve(&folder));
    }
    if let Some(folder) = after("look") {
        return runtime.block_on(look::look(Path::new(&folder)));
    }
    let records = after("--records").map_or(2_000_000, |text| count(&text));
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = after("--folder").map_or_else(|| temporary.path().to_owned(), Into::into);
    runtime.block_on(run::run(&folder, records));
}

/// `2m`, `500k`, `1000000`.
fn count(text: &str) -> u64 {
    let (digits, unit) = match text.strip_suffix(['m', 'M']) {
        Some(digits) => (digits, 1_000_000),
        None => text.strip_suffix(['k', 'K']).map_or((text, 1), |digits| (digits, 1_000)),
    };
    digits.parse::<u64>().expect("--records is a number, with k or m behind it") * unit
}

/// The measured process: serves until its standard input ends, and believes what time it is told there.
async fn serve(data: &str) {
    let running = Server::start(Config::on_free_ports(data)).await.expect("a server");
    println!("{} {}", running.addresses.otlp_http, running.addresses.http);
    let listen = tokio::task::spawn_blocking(|| {
        for line in std::io::stdin().lines() {
            let line = line.expect("readable");
            let now_ns = line.strip_prefix("now ").and_then(|text| text.parse().ok()).expect("now NS");
            hopscope_server::set_now_ns(now_ns);
            println!("ok");
        }
    });
    listen.await.expect("no panic");
    running.stop().await.expect("a graceful stop");
}
