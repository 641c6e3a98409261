//! The kit's exchange, over a broker that is a variable: it passes with a sound adapter, and each check sees the fault that it
//! is there for.

use hopscope_sdk::kit::MapHeaders;
use hopscope_sdk::kit::exchange::{self, Arrived, Case};
use hopscope_sdk::{Body, Details, Formats, Place, Relation, Telemetry};

const PLACE: Place<'static> = Place::Nats { subject: "orders" };

/// What an adapter may do wrong.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    NotInjected,
    OldContextsStay,
    HeadersNotRead,
    TelemetryOfItsOwn,
    BaggageOfItsOwn,
    RelationOfItsOwn,
    LostWorkSucceeds,
    SettledTooEarly,
}

async fn round(case: &Case, fault: Fault) -> Arrived {
    let telemetry = match fault {
        Fault::TelemetryOfItsOwn => Telemetry::global(),
        Fault::BaggageOfItsOwn => case.telemetry.clone().with_formats(Formats::default()),
        Fault::RelationOfItsOwn => case.telemetry.clone().with_relation(Relation::Both),
        _ => case.telemetry.clone(),
    };
    let set =
        || case.headers.iter().map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec())));
    let mut headers = MapHeaders(set().collect());
    let details = Details { body: Body(b"{}"), ..Details::default() };
    let sending = telemetry.send("publish", PLACE, &details);
    if fault != Fault::NotInjected {
        sending.inject(&mut headers);
    }
    if fault == Fault::OldContextsStay {
        headers.0.extend(set());
    }
    sending.confirm(PLACE, &Details::default());
    let read = if fault == Fault::HeadersNotRead { &MapHeaders::default() } else { &headers };
    let delivery = telemetry.receive("receive", PLACE, &details, read);
    match fault {
        Fault::LostWorkSucceeds => drop(delivery.process().succeed()),
        Fault::SettledTooEarly => {
            let processing = delivery.process();
            delivery.settle("ack", None).confirm();
            std::thread::sleep(std::time::Duration::from_millis(1));
            processing.succeed();
        }
        _ => {
            if let Some(declared) = case.handle(&delivery).await {
                declared.settle("ack").confirm();
            }
        }
    }
    Arrived::new(delivery, &headers)
}

/// The test of one check, and of the fault that it must see.
macro_rules! check {
    ($name:ident, $fault:ident, |$round:ident| $check:expr) => {
        mod $name {
            use super::*;

            #[tokio::test]
            async fn passes() {
                let $round = async |case: &Case| round(case, Fault::None).await;
                $check.await;
            }

            #[tokio::test]
            #[should_panic]
            async fn sees_the_fault() {
                let $round = async |case: &Case| round(case, Fault::$fault).await;
                $check.await;
            }
        }
    };
}

check!(formats, NotInjected, |round| exchange::formats(true, round));
check!(old_contexts, OldContextsStay, |round| exchange::old_contexts_are_replaced(round));
check!(broken_contexts, HeadersNotRead, |round| exchange::broken_contexts_are_told(round));
check!(relations, RelationOfItsOwn, |round| exchange::relations(round));
check!(capture, TelemetryOfItsOwn, |round| exchange::capture(round));
check!(baggage, BaggageOfItsOwn, |round| exchange::baggage(round));
check!(sampling, TelemetryOfItsOwn, |round| exchange::sampling(round));
check!(metrics, TelemetryOfItsOwn, |round| exchange::metrics(round));
check!(lost_work, LostWorkSucceeds, |round| exchange::lost_work(round));
check!(settlement, SettledTooEarly, |round| exchange::settlement("ack", round));
