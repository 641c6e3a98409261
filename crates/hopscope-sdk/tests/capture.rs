//! What of a message is recorded, and what is not.

use expect_test::expect;
use hopscope_sdk::kit::{self, MapHeaders, Recorder};
use hopscope_sdk::{Body, Capture, Details, PerDestination, Place, Telemetry};

const ORDERS: Place<'static> = Place::Kafka { topic: "orders", partition: Some(0), offset: Some(7) };
const AUDIT: Place<'static> = Place::Kafka { topic: "audit", partition: Some(0), offset: Some(8) };

fn details<'a>() -> Details<'a> {
    Details {
        key: "4711",
        keys: &["order-4711"],
        body_bytes: Some(5),
        body: Body(b"hello"),
        ..Details::default()
    }
}

fn headers() -> MapHeaders {
    let header = |name: &str, value: &[u8]| (name.to_owned(), Some(value.to_vec()));
    MapHeaders(vec![
        header("Tenant", b"acme"),
        header("tenant", b"acme-2"),
        header("authorization", b"secret"),
        header("schema", &[0xff, b'1']),
    ])
}

fn play(telemetry: &Telemetry, place: Place<'_>) {
    let sending = telemetry.send("send", place, &details());
    sending.inject(&mut headers());
    sending.accepted();
    let mut batch = telemetry.send_batch("send", place, &Details::default());
    batch.create(place, &details(), &mut headers());
    batch.accept_rest();
    batch.end();
    telemetry.receive("poll", place, &details(), &headers());
}

fn shown(recorder: &Recorder) -> String {
    let text = kit::spans(&recorder.finished(), &[], &[]);
    let is_shown = |line: &&str| {
        let shown = ["messaging.header", "hopscope.keys", "message.key", "hopscope.body"];
        !line.starts_with(' ') || shown.iter().any(|name| line.contains(name))
    };
    text.lines().filter(is_shown).map(|line| format!("{line}\n")).collect()
}

#[test]
fn headers_are_recorded_where_they_are_named_and_keys_and_hashes_where_it_is_said() {
    let recorder = Recorder::default();
    let capture = Capture::default()
        .with_headers(["TENANT", "schema", "absent"])
        .with_keys(PerDestination::new(true).with("audit", false))
        .with_body_hash(PerDestination::new(false).with("audit", true));
    let telemetry = recorder.telemetry().with_capture(capture);
    play(&telemetry, ORDERS);
    play(&telemetry, AUDIT);
    expect![[r#"
        send orders (producer) parent: - links: []
          hopscope.keys = ["order-4711"]
          messaging.header.schema = ["�1"]
          messaging.header.tenant = ["acme","acme-2"]
          messaging.kafka.message.key = 4711
        create orders (producer) parent: - links: []
          hopscope.keys = ["order-4711"]
          messaging.header.schema = ["�1"]
          messaging.header.tenant = ["acme","acme-2"]
          messaging.kafka.message.key = 4711
        send orders (client) parent: - links: [create orders]
          link hopscope.keys=["order-4711"] messaging.kafka.message.key=4711 messaging.message.body.size=5
        poll orders (client) parent: - links: []
          hopscope.keys = ["order-4711"]
          messaging.header.schema = ["�1"]
          messaging.header.tenant = ["acme","acme-2"]
          messaging.kafka.message.key = 4711
        send audit (producer) parent: - links: []
          hopscope.body.hash = b5e9c1ad071b3e7fc779cfaa5e523818
          messaging.header.schema = ["�1"]
          messaging.header.tenant = ["acme","acme-2"]
        create audit (producer) parent: - links: []
          hopscope.body.hash = b5e9c1ad071b3e7fc779cfaa5e523818
          messaging.header.schema = ["�1"]
          messaging.header.tenant = ["acme","acme-2"]
        send audit (client) parent: - links: [create audit]
          link hopscope.body.hash=b5e9c1ad071b3e7fc779cfaa5e523818 messaging.message.body.size=5
        poll audit (client) parent: - links: []
          hopscope.body.hash = b5e9c1ad071b3e7fc779cfaa5e523818
          messaging.header.schema = ["�1"]
          messaging.header.tenant = ["acme","acme-2"]
    "#]]
    .assert_eq(&shown(&recorder));
}

#[test]
fn by_default_keys_and_nothing_else() {
    let recorder = Recorder::default();
    play(&recorder.telemetry(), ORDERS);
    expect![[r#"
        send orders (producer) parent: - links: []
          hopscope.keys = ["order-4711"]
          messaging.kafka.message.key = 4711
        create orders (producer) parent: - links: []
          hopscope.keys = ["order-4711"]
          messaging.kafka.message.key = 4711
        send orders (client) parent: - links: [create orders]
          link hopscope.keys=["order-4711"] messaging.kafka.message.key=4711 messaging.message.body.size=5
        poll orders (client) parent: - links: []
          hopscope.keys = ["order-4711"]
          messaging.kafka.message.key = 4711
    "#]]
    .assert_eq(&shown(&recorder));
    assert!(!format!("{:?}", details()).contains("hello"), "a body is in no debug output");
}
