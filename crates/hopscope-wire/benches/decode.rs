//! How fast OTLP becomes a batch, against generated types in the same run, on workload W1.
//!
//! Three ways through the same bytes, in turn, so that whatever else the machine does hits all of them alike;
//! CPU time of this process, best round of each:
//! - ours: bytes → `Batch`;
//! - generated: bytes → structures of `opentelemetry-proto` (prost), freed again, and no more;
//! - generated + mapping: those structures → the same `Batch` by the same `Mapper`.
//!
//! The gate compares like with like, bytes → `Batch` both ways. The ratio to generated structures alone, which
//! leaves out half of the work, is printed beside it. Figures go to standard output, one JSON object a line.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are this program's output")]

#[path = "../tests/generated/mod.rs"]
mod generated;

use hopscope_model::Tenant;
use hopscope_wire::workload::Workload;
use hopscope_wire::{DecodeLimits, otlp};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;

const SPANS: usize = 1_000;
const REQUESTS: usize = 20;
const ROUNDS: usize = 15;
const GATE: f64 = 3.0;

fn main() {
    let mut workload = Workload::new(1);
    let requests: Vec<Vec<u8>> = (0..REQUESTS).map(|_| workload.request(SPANS)).collect();
    let spans = (SPANS * REQUESTS) as f64;
    let bytes: usize = requests.iter().map(Vec::len).sum();
    let (tenant, limits) = (Tenant::default(), DecodeLimits::default());
    let ours = || {
        for request in &requests {
            black_box(otlp::decode_protobuf(request, &tenant, 0, &limits).expect("valid"));
        }
    };
    let structures = || {
        for request in &requests {
            black_box(generated::structures(request).expect("valid"));
        }
    };
    let mapped = || {
        for request in &requests {
            black_box(generated::decode(request, &tenant, 0, &limits).expect("valid"));
        }
    };
    let ways: [(&str, &dyn Fn()); 3] =
        [("ours", &ours), ("generated", &structures), ("generated+mapping", &mapped)];
    let mut best_s = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        for ((_, way), best_s) in ways.iter().zip(&mut best_s) {
            *best_s = best_s.min(cpu_seconds(way));
        }
    }
    eprintln!("workload W1: spans={spans} bytes/span={}", bytes / (SPANS * REQUESTS));
    for ((name, _), best_s) in ways.iter().zip(best_s) {
        let (rate, ns) = (spans / best_s, best_s * 1e9 / spans);
        eprintln!("{name:>18}: {rate:>12.0} spans per CPU second, {ns:>5.0} ns a span");
    }
    let [ours_s, structures_s, mapped_s] = best_s;
    figure("otlp_decode_spans_per_cpu_second", spans / ours_s, "spans/s", None);
    figure("otlp_decode_ratio_to_generated_structures_alone", structures_s / ours_s, "x", None);
    figure("otlp_decode_ratio_to_generated", mapped_s / ours_s, "x", Some(GATE));
}

fn figure(name: &str, value: f64, unit: &str, gate: Option<f64>) {
    let pass = gate.is_none_or(|gate| value >= gate);
    let gate = gate.map_or("null".to_owned(), |gate| format!("{gate:.1}"));
    println!(r#"{{"name":"{name}","value":{value:.3},"unit":"{unit}","gate":{gate},"pass":{pass}}}"#);
}

/// CPU seconds of this process that `work` takes.
fn cpu_seconds(work: &dyn Fn()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let begin = now();
    work();
    now() - begin
}
