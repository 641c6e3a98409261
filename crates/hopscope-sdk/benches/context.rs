//! What it costs to read and to write a context: CPU time of this process, best round of each, in turn, so that
//! whatever else the machine does hits all of them alike. Run with `--release`. Figures go to standard output, one JSON
//! object a line.
//!
//! The settings are the usual ones: every format is read, W3C is written, baggage passes. A message to read has a W3C
//! context and nothing else (`sdk.extract.w3c`), or four headers of an application's beside it; a message
//! to write has those four.

#![expect(clippy::print_stdout, reason = "figures are this program's output")]

use hopscope_sdk::kit::MapHeaders;
use hopscope_sdk::opentelemetry::Context;
use hopscope_sdk::opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use hopscope_sdk::{CarrierMut, Formats};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;

const CALLS: u32 = 100_000;
const ROUNDS: usize = 25;

/// Name, most nanoseconds, and what is measured.
type Way<'a> = (&'static str, Option<f64>, Box<dyn FnMut() + 'a>);

fn main() {
    let formats = Formats::default();
    let context = context();
    let mut plain = MapHeaders::default();
    for name in ["content-type", "schema-version", "tenant", "x-request-id"] {
        plain.set(name, "4711");
    }
    let mut traced = plain.clone();
    formats.inject(&context, &mut traced);
    let mut alone = MapHeaders::default();
    formats.inject(&context, &mut alone);
    let mut every = plain.clone();
    let all = Formats { write: hopscope_sdk::Format::ALL.to_vec(), ..Formats::default() };
    all.inject(&context, &mut every);

    let extract = |headers: &MapHeaders| {
        let (formats, headers) = (&formats, headers.clone());
        move || drop(black_box(formats.extract(black_box(&headers))))
    };
    let mut reused = plain.clone();
    let mut ways: [Way<'_>; 5] = [
        ("sdk.extract.w3c", Some(100.0), Box::new(extract(&alone))),
        ("sdk.extract.w3c_among_four", None, Box::new(extract(&traced))),
        ("sdk.extract.none", None, Box::new(extract(&plain))),
        ("sdk.extract.among_every_format", None, Box::new(extract(&every))),
        ("sdk.inject.w3c", Some(150.0), {
            let (formats, context) = (&formats, &context);
            Box::new(move || {
                // As in a new message: the carrier's memory is its own business, its old context is not.
                reused.0.truncate(4);
                formats.inject(black_box(context), black_box(&mut reused));
            })
        }),
    ];
    let mut best_ns = [f64::INFINITY; 5];
    for _ in 0..ROUNDS {
        for ((_, _, way), best) in ways.iter_mut().zip(&mut best_ns) {
            let begin = cpu_ns();
            (0..CALLS).for_each(|_| way());
            *best = best.min((cpu_ns() - begin) / f64::from(CALLS));
        }
    }
    for ((name, gate, _), ns) in ways.iter().zip(best_ns) {
        let pass = gate.is_none_or(|gate| ns <= gate);
        let gate = gate.map_or("null".to_owned(), |gate| format!("{gate:.0}"));
        println!(r#"{{"name":"{name}","value":{ns:.1},"unit":"ns","gate":{gate},"pass":{pass}}}"#);
    }
}

fn context() -> Context {
    let span = SpanContext::new(
        TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128),
        SpanId::from(0xb7ad_6b71_6920_3331_u64),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    );
    Context::new().with_remote_span_context(span)
}

fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
