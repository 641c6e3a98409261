//! What W3C's own validation suite asks of a `traceparent` and a `tracestate`, as rows.
//!
//! One row differs on purpose: of two `traceparent` the suite wants neither. A message is not a request: copies,
//! retries and appending clients leave older values in front, so the last valid one counts, and the conflict is told.

use super::*;

/// The ids of the suite.
const IDS: &str = "12345678901234567890123456789012-1234567890123456";

/// Headers, and `Some(state)` where the trace is continued with that state.
type Row<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);

fn check(rows: &[Row<'_>]) {
    for (headers, expected) in rows {
        let context = read(&[Format::W3c], *headers).context;
        let state = context.as_ref().map(|context| context.tracestate.as_str());
        assert_eq!(state, *expected, "{headers:?}");
        if let Some(context) = context {
            assert_eq!(context.context().to_string(), IDS, "{headers:?}");
        }
    }
}

#[test]
fn traceparent() {
    let good: &[&str] = &[
        "00-12345678901234567890123456789012-1234567890123456-01",
        // Any other version, with what it may bring.
        "cc-12345678901234567890123456789012-1234567890123456-01",
        "cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
        // Blanks around it.
        " 00-12345678901234567890123456789012-1234567890123456-01",
        "\t00-12345678901234567890123456789012-1234567890123456-01",
        "00-12345678901234567890123456789012-1234567890123456-01 ",
        "00-12345678901234567890123456789012-1234567890123456-01\t",
        "\t 00-12345678901234567890123456789012-1234567890123456-01 \t",
    ];
    let bad: &[&str] = &[
        // Version 00 has four fields.
        "00-12345678901234567890123456789012-1234567890123456-01.",
        "00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
        // What is added begins with a dash.
        "cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like",
        // Versions that are none.
        "ff-12345678901234567890123456789012-1234567890123456-01",
        ".0-12345678901234567890123456789012-1234567890123456-01",
        "0.-12345678901234567890123456789012-1234567890123456-01",
        "000-12345678901234567890123456789012-1234567890123456-01",
        "0000-12345678901234567890123456789012-1234567890123456-01",
        "0-12345678901234567890123456789012-1234567890123456-01",
        // Trace ids that are none.
        "00-00000000000000000000000000000000-1234567890123456-01",
        "00-.2345678901234567890123456789012-1234567890123456-01",
        "00-1234567890123456789012345678901.-1234567890123456-01",
        "00-123456789012345678901234567890123-1234567890123456-01",
        "00-1234567890123456789012345678901-1234567890123456-01",
        // Span ids that are none.
        "00-12345678901234567890123456789012-0000000000000000-01",
        "00-12345678901234567890123456789012-.234567890123456-01",
        "00-12345678901234567890123456789012-123456789012345.-01",
        "00-12345678901234567890123456789012-12345678901234567-01",
        "00-12345678901234567890123456789012-123456789012345-01",
        // Flags that are none.
        "00-12345678901234567890123456789012-1234567890123456-.0",
        "00-12345678901234567890123456789012-1234567890123456-0.",
        "00-12345678901234567890123456789012-1234567890123456-001",
        "00-12345678901234567890123456789012-1234567890123456-1",
        "00-12345678901234567890123456789012-1234567890123456",
        "",
    ];
    for value in good {
        check(&[(&[("traceparent", value)], Some(""))]);
        check(&[(&[("TraceParent", value)], Some(""))]);
        check(&[(&[("trace-parent", value), ("trace.parent", value)], None)]);
    }
    for value in bad {
        check(&[(&[("traceparent", value)], None)]);
    }
    check(&[(&[("tracestate", "foo=1")], None)]);
}

#[test]
fn two_traceparents_are_a_conflict() {
    let first = "00-12345678901234567890123456789011-1234567890123456-01";
    let second = "00-12345678901234567890123456789012-1234567890123456-01";
    let read = read(&[Format::W3c], &[("traceparent", first), ("traceparent", second)][..]);
    assert_eq!(render(&read), format!("{IDS} sampled=true | Conflict | duplicates=1"));
}

const PARENT: (&str, &str) = ("traceparent", "00-12345678901234567890123456789012-1234567890123456-00");

#[test]
fn tracestate() {
    check(&[
        (&[PARENT, ("tracestate", "foo=1,bar=2")], Some("foo=1,bar=2")),
        (&[PARENT, ("TraceState", "foo=1")], Some("foo=1")),
        (&[PARENT, ("trace-state", "foo=1"), ("trace.state", "foo=1")], Some("")),
        // Several headers are one list, in order.
        (&[PARENT, ("tracestate", "foo=1"), ("tracestate", "")], Some("foo=1")),
        (&[PARENT, ("tracestate", ""), ("tracestate", "foo=1")], Some("foo=1")),
        (
            &[
                PARENT,
                ("tracestate", "foo=1,bar=2"),
                ("tracestate", "rojo=1,congo=2"),
                ("tracestate", "baz=3"),
            ],
            Some("foo=1,bar=2,rojo=1,congo=2,baz=3"),
        ),
        // A key twice: what a sender made of it is handed on.
        (&[PARENT, ("tracestate", "foo=1,foo=2")], Some("foo=1,foo=2")),
        // Blanks around members, empty members.
        (&[PARENT, ("tracestate", "foo=1 \t , \t bar=2, \t baz=3")], Some("foo=1,bar=2,baz=3")),
        (&[PARENT, ("tracestate", "foo=1\t"), ("tracestate", "\tbar=2 ")], Some("foo=1,bar=2")),
        (&[PARENT, ("tracestate", "foo=1,")], Some("foo=1")),
        // Keys that are none.
        (&[PARENT, ("tracestate", "foo =1")], Some("")),
        (&[PARENT, ("tracestate", "FOO=1")], Some("")),
        (&[PARENT, ("tracestate", "foo.bar=1")], Some("")),
        (&[PARENT, ("tracestate", "foo@=1,bar=2")], Some("")),
        (&[PARENT, ("tracestate", "@foo=1,bar=2")], Some("")),
        (&[PARENT, ("tracestate", "foo@@bar=1,bar=2")], Some("")),
        (&[PARENT, ("tracestate", "foo@bar@baz=1,bar=2")], Some("")),
        // Values that are none.
        (&[PARENT, ("tracestate", "foo=bar=baz")], Some("")),
        (&[PARENT, ("tracestate", "foo=,bar=3")], Some("")),
        (&[PARENT, ("tracestate", "foo")], Some("")),
    ]);
}

#[test]
fn every_legal_character_of_a_tracestate() {
    let letters: String = ('a'..='z').chain('0'..='9').chain("_-*/".chars()).collect();
    let value: String = (' '..='~').filter(|c| !",=".contains(*c)).chain(['!']).collect();
    for key in [letters.clone(), format!("{letters}@a-z0-9_-*/"), "0tenant@system".to_owned()] {
        let state = format!("{key}={value}");
        check(&[(&[PARENT, ("tracestate", &state)], Some(&state))]);
    }
}

#[test]
fn the_limits_of_a_tracestate() {
    let members = |count| (1..=count).map(|n| format!("bar{n:02}={n:02}")).collect::<Vec<_>>().join(",");
    let (z, t, v) = (|n| "z".repeat(n), |n| "t".repeat(n), |n| "v".repeat(n));
    for (state, is_legal) in [
        (members(32), true),
        (members(33), false),
        (format!("{}=1", z(256)), true),
        (format!("{}=1", z(257)), false),
        (format!("{}@{}=1", t(241), v(14)), true),
        (format!("{}@v=1", t(242)), false),
        (format!("t@{}=1", v(15)), false),
        (format!("foo={}", v(256)), true),
        (format!("foo={}", v(257)), false),
    ] {
        check(&[(&[PARENT, ("tracestate", &state)], Some(if is_legal { &state } else { "" }))]);
    }
}
