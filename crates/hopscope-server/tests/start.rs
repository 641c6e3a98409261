//! Starting and stopping: what goes wrong is one sentence and a hint; what was stored is there again.
#![allow(clippy::expect_used)]

mod support;

use hopscope_server::{Config, ErrorKind, Server};
use std::time::{Duration, Instant};
use support::{Rig, request, send_span, until};

fn in_folder(folder: &tempfile::TempDir) -> Config {
    Config::on_free_ports(folder.path().join("data").display().to_string())
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_and_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let sent = request("checkout", vec![send_span(1, 1, 15)]);
    for _ in 0..3 {
        let rig = Rig::with(in_folder(&folder)).await;
        assert_eq!(rig.send(&sent).await.status(), 200);
        assert_eq!(rig.events_of(1).await, 1);
        let found = rig.client.find("orders/0/15", 20, None).await.expect("an answer");
        assert_eq!(found.messages.len(), 1);
        rig.stop().await;
    }
}

#[tokio::test]
async fn findable_within_a_second() {
    let folder = tempfile::tempdir().expect("a folder");
    let rig = Rig::with(in_folder(&folder)).await;
    for n in 1..=20 {
        let began = Instant::now();
        assert_eq!(rig.send(&request("checkout", vec![send_span(n, 1, 1)])).await.status(), 200);
        until("it is found", || async { rig.events_of(n).await == 1 }).await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    rig.stop().await;
}

#[tokio::test]
async fn mistakes_at_the_start_are_told_with_the_next_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let rig = Rig::with(in_folder(&folder)).await;
    let file = folder.path().join("file");
    std::fs::write(&file, "x").expect("a file");
    let at = |config: Config| Config { data: "memory".into(), ..config };
    let free = Config::on_free_ports("memory");
    let cases = [
        (in_folder(&folder), ErrorKind::Taken, "another hopscope"),
        (
            at(Config { otlp_http: rig.server.addresses.otlp_http, ..free.clone() }),
            ErrorKind::Taken,
            "--otlp-http",
        ),
        (at(Config { listen: rig.server.addresses.http, ..free.clone() }), ErrorKind::Taken, "--listen"),
        (Config { data: file.display().to_string(), ..free.clone() }, ErrorKind::Usage, "--data"),
        (Config { data: "/proc/nowhere".into(), ..free }, ErrorKind::Denied, "--data"),
    ];
    for (config, kind, hint) in cases {
        let shown = format!("{} {}", config.data, config.otlp_http);
        let error = Server::start(config).await.map(|_| ()).expect_err(&shown);
        assert_eq!(error.kind, kind, "{shown}: {error} {:?}", error.hint());
        assert!(error.hint().is_some_and(|told| told.contains(hint)), "{shown}: {error} {:?}", error.hint());
    }
    rig.stop().await;
}
