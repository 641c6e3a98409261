//! `hopscope store` as a person or a script meets it: beside a running server, and with rubbish.

mod support;

use hopscope_client::Client;
use hopscope_client::api::{Event, StoreAnswer};
use hopscope_model::MessageEvent;
use hopscope_model::query::instant_text;
use hopscope_store::embedded::{Embedded, Options};
use hopscope_store::{Store, kit};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::Server;

fn hopscope(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hopscope"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .output()
        .expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[track_caller]
fn does(arguments: &[&str]) -> String {
    let output = hopscope(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn answers(arguments: &[&str]) -> Value {
    serde_json::from_str(&does(arguments)).expect("JSON")
}

#[track_caller]
fn refuses(arguments: &[&str], code: i32, what: &str) {
    let output = hopscope(arguments);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    assert!(
        told.contains(what) && told.contains("hint:") && !told.contains("panicked"),
        "{arguments:?}: {told}"
    );
}

/// A folder with the demo's orders in it: two segments and a log.
fn played(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    for _ in 0..2 {
        does(&["demo", "--once", "--orders", "30", "--data", path(&data)]);
    }
    data
}

/// Waits until nothing is in the log only.
async fn until_sealed(client: &Client) {
    while client.store().await.expect("an answer").tenants.iter().any(|tenant| tenant.log_events.0 > 0) {
        tokio::task::yield_now().await;
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path")
}

#[tokio::test]
async fn everything_that_reads_works_beside_a_running_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = played(folder.path());
    let server = Server::start_with(&data, &["seal_rows=1"]);
    let client = Client::new(&server.page).expect("an address");
    until_sealed(&client).await;
    let data = path(&data);
    assert!(does(&["store", "check", "--deep", "--data", data]).starts_with("sound:"));
    assert!(does(&["check", "--full", "--data", data]).starts_with("sound:"), "the older name");
    let told = does(&["store", "stats", "--data", data]);
    for part in ["forecast   too early to tell", "tenant default:", "payments.dlx", "estimate"] {
        assert!(told.contains(part), "{part} in\n{told}");
    }
    let told: StoreAnswer =
        serde_json::from_value(answers(&["store", "stats", "--json", "--data", data])).expect("an answer");
    let asked = client.store().await.expect("an answer");
    assert_eq!(told.tenants, asked.tenants, "the command and the API tell the same");
    let (to, again) = (folder.path().join("backup"), folder.path().join("again"));
    let (to, again) = (path(&to), path(&again));
    let first = answers(&["store", "backup", to, "--json", "--data", data]);
    let second = answers(&["store", "backup", to, "--json", "--data", data]);
    assert_eq!(
        (first["damaged"].as_array().map(Vec::len), &second["new_files"]),
        (Some(0), &Value::from("0"))
    );
    let restored = answers(&["store", "restore", to, "--json", "--data", again]);
    let file = folder.path().join("all.parquet");
    let exported = answers(&["store", "export", path(&file), "--json", "--data", data]);
    assert_eq!(restored["events"], exported["events"]);
    refuses(&["store", "restore", to, "--data", data], 2, "never restored over another");
    let serve =
        ["serve", "--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"];
    refuses(&[&serve[..], &["--data", data]].concat(), 1, "another hopscope");
    refuses(&["store", "repair", "--data", data], 1, "another hopscope");
    refuses(&["store", "import", path(&file), "--data", data], 1, "another hopscope");
    assert!(does(&["store", "repair", "--dry-run", "--data", data]).contains("nothing to repair"));
    assert!(does(&["store", "sql", "--data", data]).contains("CREATE OR REPLACE VIEW"));
    assert_eq!(server.terminate(), Some(0));
    let imported = answers(&["store", "import", path(&file), "--json", "--data", again]);
    assert_eq!((&imported["stored"], &imported["already_there"]), (&Value::from("0"), &exported["events"]));
    let new = folder.path().join("new");
    refuses(&["store", "import", path(&file), "--data", path(&new)], 3, "no store there");
    std::fs::create_dir(&new).expect("made");
    std::fs::write(new.join("LOCK"), "").expect("written");
    let imported = answers(&["store", "import", path(&file), "--json", "--data", path(&new)]);
    assert_eq!(imported["stored"], exported["events"]);
    let left: Vec<_> = std::fs::read_dir(data)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left.len(), 2, "no snapshot is left: {left:?}");
}

#[test]
fn rubbish_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let (empty, nowhere, letter) =
        (folder.path().join("empty"), folder.path().join("nowhere"), folder.path().join("letter"));
    let elsewhere = folder.path().join("backup");
    std::fs::create_dir(&empty).expect("made");
    std::fs::write(&letter, "dear").expect("written");
    for wrong in [&empty, &nowhere, &letter] {
        for command in ["check", "stats", "repair", "sql"] {
            refuses(&["store", command, "--data", path(wrong)], 3, "no store there");
        }
        refuses(&["store", "backup", path(&elsewhere), "--data", path(wrong)], 3, "no store there");
        refuses(&["store", "restore", path(wrong), "--data", path(&nowhere)], 3, "no backup there");
    }
    assert!(
        !elsewhere.exists() && !nowhere.exists() && std::fs::read_dir(&empty).expect("a folder").count() == 0,
        "nothing was made"
    );
    refuses(&["store", "stats", "--data", "memory"], 2, "nothing on disk");
    let data = played(folder.path());
    let data = path(&data);
    let file = folder.path().join("x.parquet");
    refuses(&["store", "export", path(&file), "--since", "yesterday", "--data", data], 2, "yesterday");
    refuses(&["store", "export", path(&file), "--tenant", "other", "--data", data], 3, "default");
    refuses(&["store", "export", path(&letter), "--data", data], 2, "there already");
    refuses(&["store", "import", path(&letter), "--data", data], 2, "not a Parquet file");
    refuses(&["store", "backup", path(folder.path()), "--data", data], 2, "holds no backup");
    refuses(&["store", "backup", &format!("{data}/backup"), "--data", data], 2, "inside");
}

#[tokio::test]
async fn duckdb_and_pyarrow_read_what_is_stored_as_it_was_meant() {
    let python = std::env::var_os("HOPSCOPE_TEST_PYTHON").expect(
        "HOPSCOPE_TEST_PYTHON names a python with duckdb and pyarrow; hint: `cargo xtask test` installs one",
    );
    let folder = tempfile::tempdir().expect("a folder");
    let data = played(folder.path());
    // Everything that the log holds at the start is sealed.
    let server = Server::start_with(&data, &["seal_rows=1"]);
    let client = Client::new(&server.page).expect("an address");
    until_sealed(&client).await;
    let found = client.find("order-4711", 50, None).await.expect("an answer");
    let order = found.messages.iter().find(|message| message.system == "kafka").expect("the order");
    let trajectory = client.message(&order.reference, 0).await.expect("the message").trajectory;
    let trace_id = trajectory.events[0].trace_id.clone();
    let trace = client.trace(&trace_id, 1_000, None).await.expect("the trace");
    let counted = client.destinations(None).await.expect("counts").destinations;
    assert_eq!(server.terminate(), Some(0));
    let (file, script) = (folder.path().join("all.parquet"), folder.path().join("view.sql"));
    let exported = answers(&["store", "export", path(&file), "--json", "--data", path(&data)]);
    std::fs::write(&script, does(&["store", "sql", "--data", path(&data)])).expect("written");
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parquet_readers.py");
    let output = Command::new(python)
        .args([reader, path(&file), path(&script), &trace_id])
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [arrow, duck] = told.as_slice() else { panic!("two answers: {told:?}") };
    for key in ["rows", "counts", "stages"] {
        assert_eq!(arrow[key], duck[key], "{key}");
    }
    assert_eq!(arrow["rows"].to_string(), exported["events"].as_str().expect("a number"));
    assert_eq!(duck["undocumented"], 0);
    let stages = |events: &[Event]| -> BTreeSet<String> {
        events.iter().map(|event| json!([event.start_ns.0, event.stage, event.service]).to_string()).collect()
    };
    let theirs: BTreeSet<String> =
        arrow["stages"].as_array().expect("rows").iter().map(ToString::to_string).collect();
    assert_eq!(theirs, stages(&trace.events), "the events of a trace");
    let of_trace = |event: &&Event| event.trace_id == trace_id;
    let of_message: Vec<Event> = trajectory.events.iter().filter(of_trace).cloned().collect();
    assert!(of_message.len() > 1 && stages(&of_message).is_subset(&theirs), "and of a message in it");
    let counts = arrow["counts"].as_array().expect("rows");
    let sum = |destination: &str, failed: Option<&str>| -> i64 {
        let of =
            counts.iter().filter(|row| row[0] == destination && failed.is_none_or(|failed| row[1] == failed));
        of.filter_map(|row| row[2].as_i64()).sum()
    };
    assert!(counted.len() > 4);
    for destination in &counted {
        let same = counted.iter().filter(|other| other.destination == destination.destination);
        let failed: i64 = same.map(|other| other.failed.0).sum();
        assert_eq!(sum(&destination.destination, Some("failed")), failed, "{}", destination.destination);
    }
    let told = answers(&["store", "stats", "--json", "--data", path(&data)]);
    let told: StoreAnswer = serde_json::from_value(told).expect("an answer");
    for destination in &told.tenants[0].destinations {
        assert_eq!(sum(&destination.destination, None), destination.events.0, "{}", destination.destination);
    }
}

#[tokio::test]
async fn a_server_drops_what_is_too_old_and_says_so_but_not_what_is_held() {
    const DAY_NS: i64 = 86_400_000_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let store = Embedded::open(folder.path(), Options::default()).expect("opens");
    let now_ns = hopscope_server::now_ns();
    for ago in [50, 40, 10, 0] {
        let events: Vec<MessageEvent> = kit::message(ago as u64 + 1, "payment");
        store.append(kit::batch(now_ns - ago * DAY_NS, &events)).await.expect("stored");
        store.seal().await.expect("sealed");
    }
    let day = |ago: i64| instant_text(now_ns - ago * DAY_NS)[..10].to_owned();
    drop(store);
    let hold = format!("legal_holds=destination=orders since={} until={}", day(50), day(50));
    let server = Server::start_with(folder.path(), &["retention=age=30d", &hold]);
    let client = Client::new(&server.page).expect("an address");
    let told = loop {
        let told = client.store().await.expect("an answer").tenants.swap_remove(0);
        if told.days.len() < 4 {
            break told;
        }
        tokio::task::yield_now().await;
    };
    let left: Vec<String> = told.days.into_iter().map(|day| day.day).collect();
    assert_eq!(left, [day(50), day(10), day(0)], "forty days are too old, fifty are held");
    let [dropped] = told.dropped.as_slice() else { panic!("one day: {:?}", told.dropped) };
    assert_eq!((&dropped.day, dropped.why.as_str(), dropped.events.0), (&day(40), "age", 3));
    assert!(does(&["store", "stats", "--data", path(folder.path())]).contains("too old"));
    assert_eq!(server.terminate(), Some(0));
}
