//! What a message that is not sampled allocates, on top of what its client does.

use allocation_counter::measure;
use hopscope_sdk::kit::{MapHeaders, Records};
use hopscope_sdk::{CarrierMut, Details, Keep, Place, Root, Sampler, Sampling, Server, Telemetry};

const STORED: Place<'static> = Place::Kafka { topic: "orders", partition: Some(3), offset: Some(4711) };
const MESSAGES: u64 = 10_000;

/// Headers whose memory is the client's business.
struct Discard;

impl CarrierMut for Discard {
    fn remove(&mut self, _is_named: &dyn Fn(&[u8]) -> bool) {}
    fn set(&mut self, _name: &str, _value: &str) {}
    fn set_bytes(&mut self, _name: &str, _value: &[u8]) {}
}

fn details<'a>() -> Details<'a> {
    Details {
        server: Some(Server { address: "kafka.example.com", port: 9092 }),
        cluster: "aG9wc2NvcGUtdGVzdHMtMQ",
        client: "checkout-1",
        key: "order-4711",
        group: "payment",
        body_bytes: Some(512),
        ..Details::default()
    }
}

fn telemetry(keep: Keep) -> Telemetry {
    Records::new(Sampling::all(Sampler::ParentBased(Root::Never)), keep).telemetry()
}

fn send(telemetry: &Telemetry, headers: &mut dyn CarrierMut) {
    let place = Place::Kafka { topic: "orders", partition: None, offset: None };
    let sending = telemetry.send("send", place, &details());
    sending.inject(headers);
    sending.confirm(STORED, &Details { broker_time_ns: Some(1), ..Details::default() });
}

fn consume(telemetry: &Telemetry, headers: &MapHeaders) {
    let delivery = telemetry.receive("poll", STORED, &details(), headers);
    delivery.process().succeed().settle("commit").confirm();
}

/// Allocations of a message, after so many that every table and ring has its size.
fn of_one(mut message: impl FnMut()) -> f64 {
    (0..MESSAGES).for_each(|_| message());
    let counted = measure(|| (0..MESSAGES).for_each(|_| message()));
    counted.count_total as f64 / MESSAGES as f64
}

#[test]
fn a_message_that_is_not_sampled_allocates_at_most_once() {
    for keep in [Keep::default(), Keep::NOTHING] {
        let telemetry = telemetry(keep);
        let sent = of_one(|| send(&telemetry, &mut Discard));
        assert!(sent <= 1.0, "a send allocates {sent} times");

        let mut headers = MapHeaders::default();
        send(&telemetry, &mut headers);
        let consumed = of_one(|| consume(&telemetry, &headers));
        assert!(consumed <= 1.0, "a consumed message allocates {consumed} times");
    }
}

/// A message that ends on another thread than it began on takes its memory there.
#[test]
fn memory_goes_back_to_the_thread_that_needs_it() {
    let telemetry = telemetry(Keep::NOTHING);
    let (to, ended) = std::sync::mpsc::sync_channel(64);
    std::thread::scope(|threads| {
        threads.spawn(|| ended.into_iter().for_each(hopscope_sdk::Sending::accepted));
        let sent = of_one(|| {
            let sending = telemetry.send("send", STORED, &details());
            sending.inject(&mut Discard);
            to.send(sending).expect("a receiver");
        });
        drop(to);
        assert!(sent <= 1.0, "a send that ends elsewhere allocates {sent} times");
    });
}

/// A step may be ended by a destructor that runs when its thread has no memory of its own any more.
#[test]
fn a_step_may_end_with_its_thread() {
    struct AtTheEnd(std::cell::RefCell<Option<hopscope_sdk::Sending>>);
    thread_local! {
        static LATE: AtTheEnd = const { AtTheEnd(std::cell::RefCell::new(None)) };
    }
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            drop(self.0.take());
        }
    }
    let records = Records::new(Sampling::all(Sampler::Always), Keep::default());
    let telemetry = records.telemetry();
    let thread = std::thread::spawn(move || {
        // Registered first, so destroyed last or first: whichever it is, nothing may panic.
        LATE.with(|late| late.0.replace(None));
        telemetry.send("send", STORED, &details()).accepted();
        LATE.with(|late| late.0.replace(Some(telemetry.send("send", STORED, &details()))));
    });
    thread.join().expect("no panic");
    assert_eq!(records.steps().open, 0);
}
