//! How far a group has come is told although nothing is sampled.

use crate::endpoint::{Endpoint, ok};
use crate::{LONG, next};
use hopscope_sdk::setup::{Batching, Setup};
use hopscope_sdk::{Details, Place, Sampler, Sampling};

#[test]
fn the_last_commit_of_a_quiet_lane_leaves_by_itself_and_at_a_flush() {
    let endpoint = Endpoint::start(|_| ok());
    let setup = Setup {
        endpoint: endpoint.url(),
        sampling: Some(Sampling::all(Sampler::Never)),
        metrics: Some(false),
        batching: Batching::INTERACTIVE,
        ..Setup::default()
    };
    let guard = setup.start().expect("a set-up");
    let commit = |next| {
        let place = Place::Kafka { topic: "orders", partition: Some(0), offset: None };
        guard.telemetry().settle_up_to("commit", place, &Details::default(), next).confirm();
    };
    commit(7);
    assert_eq!(next(&endpoint).spans(), 1);
    assert_eq!(guard.counts().ended, 1);
    commit(8);
    assert!(guard.flush(LONG));
    assert_eq!(next(&endpoint).spans(), 1);
    commit(9);
    assert_eq!(guard.shutdown(LONG).exported, 3);
}
