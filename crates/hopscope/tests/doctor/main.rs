//! `hopscope doctor` finds what keeps an estate from being seen: each fault is planted for real, found alone, and told with
//! who did it and the next step; of an estate that is well nothing is told.

mod client;
mod data;
mod endpoint;
mod estate;
mod program;
mod sdk;
#[path = "../support/mod.rs"]
mod support;

use estate::Estate;

#[test]
fn a_healthy_estate_has_no_finding_and_says_what_was_looked_at() {
    let estate = Estate::healthy();
    let told = estate.doctor(&[]);
    assert_eq!((told.findings.as_slice(), told.exit), (&[][..], 0), "{told:?}");
    for (check, of, least) in [
        ("endpoint", "endpoints", 2),
        ("data", "services", 2),
        ("propagation", "messages", program::MESSAGES),
        ("clocks", "messages", program::MESSAGES),
        ("sampling", "spans", 4 * program::MESSAGES),
        ("export", "spans", 4 * program::MESSAGES),
        ("endings", "events", 4 * program::MESSAGES),
        ("instances", "instances", 2),
        ("attributes", "events", 4 * program::MESSAGES),
        ("server", "receivers", 4),
    ] {
        let check = told.check(check);
        assert!(check.of == of && check.looked_at.0 >= least as i64, "{check:?}");
    }
    let text = estate.text(&[]);
    for part in [
        "nothing is wrong",
        "(grpc): resolved, connected, answered, accepted, gzip",
        "well  propagation: 40 messages",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}
