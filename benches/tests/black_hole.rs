//! A minute of what `cargo xtask bench black-hole` does for ten: nothing is lost uncounted, and memory is bounded. What
//! it says of latency is for a quiet machine to judge.
#![expect(clippy::print_stdout, reason = "figures, for whoever looks into the output of a run that failed")]

use serde_json::Value;
use std::process::Command;

#[test]
fn a_minute_without_an_answer() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_hopscope-bench"));
    let output = bench.args(["black-hole", "--seconds", "60"]).output().expect("a process");
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", output.status);
    let figures: Vec<Value> =
        told.lines().map(|line| serde_json::from_str(line).expect("a figure")).collect();
    for name in ["black_hole.accounted", "black_hole.queue", "black_hole.memory_growth"] {
        let figure = figures.iter().find(|figure| figure["name"] == name).expect(name);
        assert_eq!(figure["pass"], true, "{figure}");
    }
}
