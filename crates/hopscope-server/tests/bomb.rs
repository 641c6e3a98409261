//! A body that inflates to 100 MB is refused, and costs no more memory than its limit. Alone in its process, because it looks
//! at the memory of the process.
#![allow(clippy::expect_used)]

mod support;

use hopscope_server::Config;
use std::io::Write;
use support::{Rig, request, send_span};

const MIB: usize = 1 << 20;

/// Resident memory of this process at its highest, bytes.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("KiB") * 1024
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn an_inflation_bomb_costs_its_limit_and_no_more() {
    let config = Config { inflated_bytes_max: 4 * MIB, ..Config::on_free_ports("memory") };
    let rig = Rig::with(config).await;
    let chunk = vec![0; MIB];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut zstd = zstd::Encoder::new(Vec::new(), 3).expect("zstd");
    for _ in 0..100 {
        gzip.write_all(&chunk).expect("memory");
        zstd.write_all(&chunk).expect("memory");
    }
    let bombs = [("gzip", gzip.finish().expect("memory")), ("zstd", zstd.finish().expect("memory"))];
    assert_eq!(rig.send(&request("checkout", vec![send_span(1, 1, 1)])).await.status(), 200);
    let before = peak_bytes();
    for (encoding, bomb) in bombs {
        assert!(bomb.len() < MIB);
        for _ in 0..5 {
            let sent = rig.http.post(rig.traces_url()).header("content-type", "application/x-protobuf");
            let sent = sent.header("content-encoding", encoding).body(bomb.clone());
            assert_eq!(sent.send().await.expect("an answer").status(), 413);
        }
    }
    let grown = peak_bytes().saturating_sub(before);
    assert!(grown < 40 * MIB, "grown by {grown} bytes");
    assert_eq!(rig.send(&request("checkout", vec![send_span(1, 2, 2)])).await.status(), 200);
    assert_eq!(rig.server.ledgers()[1].counts().refused_requests.get("too_large"), Some(&10));
    rig.stop().await;
}
