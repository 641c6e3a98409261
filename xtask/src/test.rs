//! `cargo xtask test` and `cargo xtask ci`: every test there is, in one command, counted in one last line.
//!
//! It installs what it needs (brokers into the cache folder; a browser, as root on Debian). It decides nothing about
//! the tests: those that need a broker read its address from the environment and fail without it.

use crate::{brokers, python, run, tidy};
use anyhow::Result;
use clap::Args;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const SLOW: Duration = Duration::from_secs(5);
const BROWSER_TESTS: &str = "ui/e2e";
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const BROKER_VARIABLES: [&str; 4] =
    ["HOPSCOPE_TEST_KAFKA", "HOPSCOPE_TEST_AMQP", "HOPSCOPE_TEST_NATS", "HOPSCOPE_TEST_ROCKETMQ"];

/// Options of `cargo xtask test`.
#[derive(Args, Default)]
pub struct Options {
    /// Run without brokers: tests that need one fail and say so
    #[arg(long)]
    no_brokers: bool,
    /// Stop the brokers afterwards (with CI=true those that this run started are stopped anyway)
    #[arg(long)]
    stop_brokers: bool,
    /// Only the tests whose names contain one of these, without tidy and browser tests
    filter: Vec<String>,
}

/// Spans of the bench of the store that continuous integration runs through, without judging time: two parts, so that
/// it is stopped, started and measured against itself. Two million, as a person runs it, take a debug build half an hour.
const SMOKE_SPANS: &str = "200k";

/// Runs everything and prints the summary; true if nothing failed.
pub fn test(options: &Options) -> Result<bool> {
    let mut report = Report::default();
    let everything = options.filter.is_empty();
    if everything {
        report.step("tidy", |_| tidy::tidy(&tidy::Options::default()));
    }
    let mut up = brokers::Up::default();
    if !options.no_brokers {
        report.step("brokers", |outcome| {
            up = brokers::up(&brokers::Chosen::default(), false)?;
            outcome.notes.extend(up.failed.iter().map(|reason| format!("error: {reason}")));
            Ok(up.failed.is_empty())
        });
    }
    let mut python = None;
    report.step("python", |_| {
        python = Some(python::interpreter()?);
        Ok(true)
    });
    let cargo = || {
        let mut cargo = with_brokers(run::cargo(), &up);
        cargo.envs(python.iter().map(|path| ("HOPSCOPE_TEST_PYTHON", path)));
        cargo
    };
    let built =
        report.step("build", |_| Ok(run::show(cargo().args(["test", "--workspace", "--no-run"]))?.success()));
    if built {
        report.step("cargo test", |outcome| cargo_test(cargo(), &options.filter, outcome));
    }
    if built && everything && run::root().join(BROWSER_TESTS).join("package.json").exists() {
        report
            .step("browser tests", |outcome| browser_tests(with_brokers(run::command("npm"), &up), outcome));
    }
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    if options.stop_brokers {
        brokers::down(&brokers::Chosen::default())?;
    } else if in_ci {
        brokers::stop(&up.started)?;
    }
    Ok(report.print())
}

/// What a change must pass before it lands.
pub fn ci() -> Result<bool> {
    let mut report = Report::default();
    report.step("format", |_| Ok(run::show(run::cargo().args(["fmt", "--all", "--check"]))?.success()));
    report.step("lints", |_| {
        let clippy = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        Ok(run::show(run::cargo().args(clippy))?.success())
    });
    report.step("bench of the store", |_| {
        let mut cargo = run::cargo();
        cargo.args(["bench", "--profile", "dev", "--package", "hopscope-server", "--bench", "store"]);
        // Its figures say nothing of a debug build; that it comes to its end and finds what it stored does.
        Ok(run::show(cargo.args(["--", "--records", SMOKE_SPANS]))?.success())
    });
    let clean = report.print();
    Ok(test(&Options::default())? && clean)
}

fn with_brokers(mut command: Command, up: &brokers::Up) -> Command {
    for variable in BROKER_VARIABLES {
        command.env_remove(variable);
    }
    command.envs(up.addresses.iter().map(|(variable, address)| (variable, address)));
    command
}

fn cargo_test(mut cargo: Command, filter: &[String], outcome: &mut Outcome) -> Result<bool> {
    cargo.args(["test", "--workspace", "--no-fail-fast", "--"]).args(filter);
    let mut name = String::new();
    let (mut slow, mut failed) = (Vec::new(), Vec::new());
    let status = run::copy(&mut cargo, |line| {
        name = running(line).unwrap_or(std::mem::take(&mut name));
        failed.extend(failed_test(line).map(|test| format!("failed: {test}  in {name}")));
        let Some(result) = Counts::in_line(line).filter(|_| line.starts_with("test result:")) else { return };
        outcome.counts.add(result);
        slow.extend(finished_in(line).filter(|time| *time >= SLOW).map(|time| (time, name.clone())));
    })?;
    slow.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    outcome
        .notes
        .extend(slow.iter().map(|(time, name)| format!("slow: {:>6.1} s  {name}", time.as_secs_f32())));
    outcome.notes.extend(failed);
    Ok(status.success())
}

fn browser_tests(mut npm: Command, outcome: &mut Outcome) -> Result<bool> {
    brokers::need("node", &["nodejs"])?;
    brokers::need("npm", &["npm"])?;
    if BROWSERS.iter().all(|name| brokers::find(name).is_none()) {
        // The second is a font for Chinese: without one, those pages are boxes.
        brokers::need(BROWSERS[0], &["chromium", "fonts-wqy-microhei"])?;
    }
    if !modules_are_current()
        && !run::show(run::command("npm").args(["ci", "--prefix", BROWSER_TESTS]))?.success()
    {
        return Ok(false);
    }
    if let Some(browser) = BROWSERS.iter().find_map(|name| brokers::find(name)) {
        npm.env("HOPSCOPE_TEST_BROWSER", browser);
    }
    // `cargo test --workspace` built it for the tests of its own crate; building the package alone would resolve
    // other features and compile half of the dependencies again.
    npm.env("HOPSCOPE_TEST_BINARY", run::target_folder().join("debug/hopscope"));
    let mut last = Counts::default();
    let status = run::copy(npm.args(["test", "--prefix", BROWSER_TESTS]), |line| {
        last = Counts::in_line(line).unwrap_or(last);
    })?;
    outcome.counts.add(last);
    Ok(status.success())
}

/// Whether `npm ci` ran since the lock file changed.
fn modules_are_current() -> bool {
    let changed = |path: &str| {
        fs::metadata(run::root().join(BROWSER_TESTS).join(path)).and_then(|file| file.modified())
    };
    match (changed("node_modules/.package-lock.json"), changed("package-lock.json")) {
        (Ok(installed), Ok(wanted)) => installed >= wanted,
        _ => false,
    }
}

/// Which test binary begins with this line of cargo.
fn running(line: &str) -> Option<String> {
    let line = line.trim_start();
    let rest = line.strip_prefix("Running ").or_else(|| line.strip_prefix("Doc-tests "))?;
    Some(rest.trim().to_string())
}

/// `test a::b ... FAILED` is a::b.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// `...; finished in 12.30s`.
fn finished_in(line: &str) -> Option<Duration> {
    let seconds = line.rsplit_once("finished in ")?.1.trim_end().strip_suffix('s')?;
    Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    passed: u64,
    failed: u64,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// The numbers before `passed` and `failed`: cargo's `test result:` lines and our own summary read alike.
    fn in_line(line: &str) -> Option<Counts> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |name: &str| {
            let at = words.iter().position(|word| word.trim_end_matches([',', ';', '.']) == name)?;
            words.get(at.checked_sub(1)?)?.parse().ok()
        };
        Some(Counts { passed: number("passed")?, failed: number("failed")? })
    }
}

/// What a step brings to the summary.
#[derive(Default)]
struct Outcome {
    counts: Counts,
    notes: Vec<String>,
}

#[derive(Default)]
struct Report {
    counts: Counts,
    notes: Vec<String>,
    steps: Vec<(&'static str, Duration, bool)>,
}

impl Report {
    /// Runs a step. One that fails without a failed test counts as one failure, so that the sum is never green.
    fn step(&mut self, name: &'static str, run: impl FnOnce(&mut Outcome) -> Result<bool>) -> bool {
        let clock = Instant::now();
        let mut outcome = Outcome::default();
        let ok = run(&mut outcome).unwrap_or_else(|error| {
            outcome.notes.push(format!("error: {name}: {error:#}"));
            false
        });
        if !ok && outcome.counts.failed == 0 {
            outcome.counts.failed = 1;
        }
        let ok = outcome.counts.failed == 0;
        self.counts.add(outcome.counts);
        self.notes.extend(outcome.notes);
        self.steps.push((name, clock.elapsed(), ok));
        ok
    }

    /// Prints the steps and, alone on the last line, the sum; true if nothing failed.
    fn print(&self) -> bool {
        println!();
        self.notes.iter().for_each(|note| println!("{note}"));
        for (name, time, ok) in &self.steps {
            println!("{:<14} {:>7.1} s  {}", name, time.as_secs_f32(), if *ok { "ok" } else { "FAILED" });
        }
        println!("{} passed, {} failed", self.counts.passed, self.counts.failed);
        self.counts.failed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_both_forms() {
        let check = |line, passed, failed| assert_eq!(Counts::in_line(line), Some(Counts { passed, failed }));
        check(
            "test result: ok. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            12,
            3,
        );
        check("7 passed, 0 failed", 7, 0);
        assert_eq!(Counts::in_line("all passed, none failed"), None);
        assert_eq!(Counts::in_line("test a::passed ... ok"), None);
    }

    #[test]
    fn times_and_names_are_read_from_cargo() {
        assert_eq!(
            finished_in("test result: ok. 1 passed; finished in 12.30s"),
            Some(Duration::from_millis(12_300))
        );
        assert_eq!(finished_in("test result: ok."), None);
        assert_eq!(
            running("     Running unittests src/lib.rs (a)").as_deref(),
            Some("unittests src/lib.rs (a)")
        );
        assert_eq!(running("   Doc-tests hopscope_model").as_deref(), Some("hopscope_model"));
        assert_eq!(running("running 3 tests"), None);
        assert_eq!(failed_test("test a::b ... FAILED"), Some("a::b"));
        assert_eq!(failed_test("test a::b ... ok"), None);
    }

    #[test]
    fn a_step_that_fails_without_a_failed_test_counts_as_one() {
        let mut report = Report::default();
        assert!(report.step("fine", |outcome| {
            outcome.counts.passed = 3;
            Ok(true)
        }));
        assert!(!report.step("does not compile", |_| Ok(false)));
        assert!(!report.step("cannot start", |_| anyhow::bail!("no such program")));
        assert_eq!(report.counts, Counts { passed: 3, failed: 2 });
    }
}
