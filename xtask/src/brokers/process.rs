//! Child processes that outlive us: start them, recognise them later, stop them and nothing else.
//!
//! A process is ours if its environment carries [`MARK`] with the run folder of its broker. A pid file would lie
//! after a reboot or when the pid was given away; the mark cannot, it vanishes with the process, and a zombie has
//! no environment. So nothing has to be remembered in order to stop everything. Linux only: it reads `/proc`.

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The environment variable that every process of a broker carries; its value is the broker's run folder.
pub const MARK: &str = "HOPSCOPE_BROKER_RUN";

/// Asks `condition` every 50 ms until it says yes; false when `limit` is over.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that waits: it polls a condition, with a deadline"
)]
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> Result<bool>) -> Result<bool> {
    let end = Instant::now() + limit;
    loop {
        if condition()? {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Starts `command` in its own process group, marked with `run`, its output appended to `log`.
pub fn start(command: &mut Command, run: &Path, log: &Path) -> Result<Child> {
    use std::os::unix::process::CommandExt as _;
    let output = File::options().create(true).append(true).open(log)?;
    command
        .env(MARK, run)
        .current_dir(run)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start program={}", command.get_program().display()))
}

/// Runs `command` to its end with its output in `log`; on failure the error quotes the end of the log.
pub fn run(command: &mut Command, log: &Path, limit: Duration) -> Result<()> {
    let program = command.get_program().display().to_string();
    let output = File::create(log)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start program={program}"))?;
    if !wait_until(limit, || Ok(child.try_wait()?.is_some()))? {
        child.kill()?;
        bail!("gave up waiting: program={program} limit_s={}", limit.as_secs());
    }
    let status = child.wait()?;
    if !status.success() {
        bail!(
            "failed: program={program} {status}\n{}\nhint: the whole output is in {}",
            tail(log),
            log.display()
        );
    }
    Ok(())
}

/// The last lines of a log, indented, for an error message.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(12);
    lines[from..].iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// One living process that carries the mark.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    parent: i32,
    /// Clock ticks since the boot; orders processes by age.
    started: u64,
    /// Resident memory in KiB.
    pub resident_kib: u64,
    /// It has ended, but its parent has not asked for its exit status.
    zombie: bool,
}

impl Process {
    /// Whether nothing of it is left, its ports included: they are closed by its last thread, and later than the
    /// mark vanishes.
    fn has_ended(&self) -> bool {
        process(self.pid).is_none_or(|now| {
            let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).map_or(0, Iterator::count);
            now.started != self.started || (now.zombie && threads <= 1)
        })
    }
}

/// All living processes that carry the mark of `run`, zombies excluded.
pub fn marked(run: &Path) -> Vec<Process> {
    let mark = format!("{MARK}={}", run.display()).into_bytes();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| carries(*pid, &mark))
        .filter_map(process)
        .filter(|process| !process.zombie)
        .collect()
}

fn carries(pid: i32, mark: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|variable| variable == mark))
}

fn process(pid: i32) -> Option<Process> {
    parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads one line of `/proc/<pid>/stat` (proc_pid_stat(5)). The name in parentheses may hold blanks and parentheses,
/// so fields are counted from the last one.
fn parse_stat(pid: i32, stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    Some(Process {
        pid,
        parent: field(4)?.parse().ok()?,
        started: field(22)?.parse().ok()?,
        resident_kib: field(24)?.parse::<u64>().ok()? * 4,
        zombie: matches!(field(3)?, "Z" | "X"),
    })
}

/// The processes that we started ourselves (their parent is not marked), youngest first: the order to stop them.
pub fn roots(processes: &[Process]) -> Vec<i32> {
    let mut roots: Vec<&Process> = processes
        .iter()
        .filter(|process| processes.iter().all(|other| other.pid != process.parent))
        .collect();
    roots.sort_by_key(|process| std::cmp::Reverse((process.started, process.pid)));
    roots.into_iter().map(|process| process.pid).collect()
}

/// How a broker likes to be stopped.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// SIGTERM first, SIGKILL to what is left.
    Gently,
    /// SIGKILL: a clean stop takes too long and the data survives this (measured).
    AtOnce,
}

/// Stops every process that carries the mark of `run`; returns how many there were.
pub fn stop(run: &Path, how: Stop) -> Result<usize> {
    let before = marked(run);
    if matches!(how, Stop::Gently) {
        for pid in roots(&before) {
            signal(run, pid, Signal::TERM);
            wait_until(Duration::from_secs(10), || Ok(process(pid).is_none_or(|process| process.zombie)))?;
        }
    }
    let gone = wait_until(Duration::from_secs(10), || {
        let left = marked(run);
        left.iter().for_each(|process| signal(run, process.pid, Signal::KILL));
        Ok(left.is_empty() && before.iter().all(Process::has_ended))
    })?;
    if !gone {
        bail!("processes of {} do not end after SIGKILL", run.display());
    }
    Ok(before.len())
}

/// Signals a process that still carries the mark; an error means that it has just ended, which is what we want.
fn signal(run: &Path, pid: i32, signal: Signal) {
    let mark = format!("{MARK}={}", run.display()).into_bytes();
    if let Some(target) = Pid::from_raw(pid).filter(|_| carries(pid, &mark)) {
        let _ = rustix::process::kill_process(target, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(state: &str, parent: i32, started: u64) -> String {
        format!("7 (a (b) c) {state} {parent} 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {started} 4096 25 0")
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let expected = Process { pid: 7, parent: 3, started: 99, resident_kib: 100, zombie: false };
        assert_eq!(parse_stat(7, &stat("S", 3, 99)), Some(expected));
    }

    #[test]
    fn a_zombie_is_seen() {
        assert!(parse_stat(7, &stat("Z", 3, 99)).is_some_and(|process| process.zombie));
        assert_eq!(parse_stat(7, "garbage"), None);
    }

    #[test]
    fn roots_are_those_without_a_marked_parent_youngest_first() {
        let process = |pid, parent, started| Process { pid, parent, started, resident_kib: 0, zombie: false };
        let all = [process(10, 1, 5), process(11, 10, 6), process(20, 1, 9), process(21, 20, 9)];
        assert_eq!(roots(&all), [20, 10]);
    }

    #[test]
    fn stops_what_carries_the_mark_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("hopscope-xtask-{}", std::process::id()));
        let (ours, theirs) = (folder.join("ours"), folder.join("theirs"));
        fs::create_dir_all(&ours).expect("a temporary folder");
        fs::create_dir_all(&theirs).expect("a temporary folder");
        let sleep =
            |run: &Path| start(Command::new("sleep").arg("60"), run, &run.join("log")).expect("sleep starts");
        let (mut one, mut other) = (sleep(&ours), sleep(&theirs));
        assert_eq!(stop(&ours, Stop::Gently).expect("it stops"), 1);
        assert!(one.wait().is_ok_and(|status| !status.success()));
        assert_eq!(marked(&ours), []);
        assert_eq!(marked(&theirs).len(), 1);
        assert_eq!(stop(&theirs, Stop::AtOnce).expect("it stops"), 1);
        assert!(other.wait().is_ok());
        fs::remove_dir_all(folder).expect("the temporary folder goes");
    }
}
