//! Real brokers for tests, on this machine, without containers: `cargo xtask brokers up|down|status`.
//!
//! Each broker is a value ([`Broker`]): its ports and how to install, start, ask and stop it. This file holds what
//! is the same for all: free ports, starting, waiting, reporting. Software and data live in the user's
//! cache folder, never in the source tree. An address in the environment is used instead of starting that broker.
//! They are single nodes on loopback with guest passwords: made for tests, not for anybody's data.

mod cache;
mod install;
mod kafka;
mod nats;
mod process;
mod rabbitmq;
mod rocketmq;
mod wire;

pub use install::{find, need};

use anyhow::{Context as _, Result, anyhow, bail};
pub use cache::user_cache;
use cache::{Cache, Running, State};
use clap::{Args, Subcommand};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command as Program;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const READY_LIMIT: Duration = Duration::from_secs(120);

/// One broker as data and functions; the same four steps for everyone.
pub struct Broker {
    name: &'static str,
    version: &'static str,
    /// The environment variable that holds its address.
    variable: &'static str,
    /// Preferred ports; the first is for clients. All move together if one is taken.
    ports: &'static [u16],
    /// How many processes `start` spawns.
    processes: usize,
    address: fn(&[u16]) -> String,
    /// Downloads into `node.software`, which is an empty folder.
    install: fn(&Node) -> Result<()>,
    /// Writes the configuration and spawns; does not wait.
    start: fn(&Node) -> Result<()>,
    /// Asks once whether clients can work now.
    ready: fn(&Node) -> Result<()>,
    stop: process::Stop,
}

const ALL: [Broker; 4] = [kafka::BROKER, rabbitmq::BROKER, nats::BROKER, rocketmq::BROKER];

/// Where one broker lives on this machine.
pub struct Node {
    /// Programs and libraries, of one version, written once.
    software: PathBuf,
    /// Configuration, data and logs.
    run: PathBuf,
    ports: Vec<u16>,
}

impl Node {
    fn log(&self) -> PathBuf {
        self.run.join("output.log")
    }

    fn spawn(&self, command: &mut Program) -> Result<()> {
        process::start(command, &self.run, &self.log()).map(drop)
    }
}

/// What `cargo xtask brokers` can do.
#[derive(Subcommand)]
pub enum Command {
    /// Start the brokers that do not run yet; prints their addresses as shell exports
    Up {
        #[command(flatten)]
        chosen: Chosen,
        /// Start with empty data folders (brokers that run already are left alone)
        #[arg(long)]
        fresh: bool,
    },
    /// Stop what `up` started, and nothing else
    Down {
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Say what runs where; fails if one does not answer
    Status {
        #[command(flatten)]
        chosen: Chosen,
    },
}

/// Which brokers are meant.
#[derive(Args, Default)]
pub struct Chosen {
    /// Only these, separated by commas: kafka, rabbitmq, nats, rocketmq
    #[arg(long, value_delimiter = ',', value_parser = ["kafka", "rabbitmq", "nats", "rocketmq"])]
    only: Vec<String>,
}

impl Chosen {
    fn brokers(&self) -> impl Iterator<Item = &'static Broker> {
        ALL.iter().filter(|broker| self.only.is_empty() || self.only.iter().any(|name| name == broker.name))
    }
}

/// Runs one of the commands; false if `status` finds a broker that does not answer.
pub fn command(command: Command) -> Result<bool> {
    match command {
        Command::Up { chosen, fresh } => {
            let up = up(&chosen, fresh)?;
            for (variable, address) in &up.addresses {
                println!("export {variable}={address}");
            }
            up.failed.iter().for_each(|reason| eprintln!("error: {reason}"));
            Ok(up.failed.is_empty())
        }
        Command::Down { chosen } => down(&chosen).map(|()| true),
        Command::Status { chosen } => status(&chosen),
    }
}

/// Brokers that answer, and those that should.
#[derive(Default)]
pub struct Up {
    /// Environment variable and address, one per broker, and where Kafka's and RocketMQ's own clients are.
    pub addresses: Vec<(&'static str, String)>,
    /// Names of those that this call started.
    pub started: Vec<String>,
    /// Why others do not answer, a message each.
    pub failed: Vec<String>,
}

/// Makes sure that the chosen brokers answer, all at the same time.
pub fn up(chosen: &Chosen, fresh: bool) -> Result<Up> {
    let cache = Cache::open()?;
    let state = Mutex::new(cache.load());
    let results: Vec<_> = std::thread::scope(|scope| {
        let one = |broker: &'static Broker| (broker, scope.spawn(|| ensure(broker, &cache, &state, fresh)));
        let threads: Vec<_> = chosen.brokers().map(one).collect();
        threads.into_iter().map(|(broker, thread)| (broker, thread.join())).collect()
    });
    let mut up = Up::default();
    for (broker, result) in results {
        match result {
            Ok(Ok((address, started))) => {
                up.addresses.push((broker.variable, address));
                up.addresses.extend(java_client(&cache.node(broker), broker));
                up.started.extend(started.then(|| broker.name.to_string()));
            }
            Ok(Err(error)) => up.failed.push(format!("{}: {error:#}", broker.name)),
            Err(_) => up.failed.push(format!("{}: the thread that starts it panicked", broker.name)),
        }
    }
    Ok(up)
}

/// The folder of jars, clients among them, that an installed Kafka or RocketMQ brings.
fn java_client(node: &Node, broker: &Broker) -> Option<(&'static str, String)> {
    let variable = match broker.name {
        name if name == kafka::BROKER.name => "HOPSCOPE_TEST_KAFKA_JARS",
        name if name == rocketmq::BROKER.name => "HOPSCOPE_TEST_ROCKETMQ_JARS",
        _ => return None,
    };
    let jars = node.software.join("libs");
    jars.is_dir().then(|| (variable, jars.display().to_string()))
}

/// One broker: use the given one, or the running one, or install and start it. True if it was started.
fn ensure(broker: &Broker, cache: &Cache, state: &Mutex<State>, fresh: bool) -> Result<(String, bool)> {
    let known = lock(state).brokers.get(broker.name).cloned();
    if let Some(address) = given_address(broker, known.as_ref()) {
        return reach(broker, address).map(|address| (address, false));
    }
    let mut node = cache.node(broker);
    if let Some(known) = known.as_ref().filter(|known| known.lives(&node)) {
        node.ports.clone_from(&known.ports);
        if process::wait_until(Duration::from_secs(5), || Ok((broker.ready)(&node).is_ok()))? {
            say(broker, &format!("{} runs already: {}", broker.version, known.address));
            return Ok((known.address.clone(), false));
        }
        say(broker, "runs but does not answer; starting it anew");
    }
    process::stop(&node.run, broker.stop)?;
    install_once(broker, &node)?;
    if fresh && node.run.exists() {
        fs::remove_dir_all(&node.run)?;
    }
    node.ports = choose_ports(broker, known.as_ref())?;
    start_and_wait(broker, &node)?;
    let entry = Running::new(broker, &node);
    let address = entry.address.clone();
    let mut state = lock(state);
    state.brokers.insert(broker.name.into(), entry);
    cache.save(&state)?;
    Ok((address, true))
}

fn reach(broker: &Broker, address: String) -> Result<String> {
    let target = host_and_port(&address).context("no host:port in it");
    if let Err(error) = target.and_then(|target| wire::connect_to(&target)) {
        bail!("cannot reach {}={address}: {error:#}\nhint: unset it to start one here", broker.variable);
    }
    say(broker, &format!("uses {} from the environment: {address}", broker.variable));
    Ok(address)
}

/// An address from the environment, unless it is the one that we gave out ourselves.
fn given_address(broker: &Broker, known: Option<&Running>) -> Option<String> {
    let given = std::env::var(broker.variable).ok().filter(|value| !value.is_empty())?;
    let ours = (broker.address)(broker.ports);
    (given != ours && known.is_none_or(|known| known.address != given)).then_some(given)
}

fn install_once(broker: &Broker, node: &Node) -> Result<()> {
    let done = node.software.join("installed");
    if done.exists() {
        return Ok(());
    }
    let clock = Instant::now();
    say(broker, &format!("{} is being downloaded", broker.version));
    if node.software.exists() {
        fs::remove_dir_all(&node.software)?;
    }
    fs::create_dir_all(&node.software)?;
    (broker.install)(node)?;
    fs::write(done, broker.version)?;
    say(broker, &format!("{} installed in {:.1} s", broker.version, clock.elapsed().as_secs_f32()));
    Ok(())
}

/// Starts with the data that is there. If the broker does not like it (damaged, or of another version), the data
/// are put aside and it starts once more without.
fn start_and_wait(broker: &Broker, node: &Node) -> Result<()> {
    let (clock, had_data) = (Instant::now(), node.run.exists());
    spawn(broker, node)?;
    let mut ready = wait_until_ready(broker, node);
    if let Err(error) = ready.as_ref()
        && had_data
    {
        let aside = node.run.with_extension("damaged");
        say(broker, &format!("did not start with its old data, now in {}: {error:#}", aside.display()));
        let _ = fs::remove_dir_all(&aside);
        fs::rename(&node.run, &aside)?;
        spawn(broker, node)?;
        ready = wait_until_ready(broker, node);
    }
    ready?;
    let (address, seconds) = ((broker.address)(&node.ports), clock.elapsed().as_secs_f32());
    say(broker, &format!("{} ready in {seconds:.1} s: {address}", broker.version));
    Ok(())
}

fn spawn(broker: &Broker, node: &Node) -> Result<()> {
    fs::create_dir_all(&node.run)?;
    if node.log().exists() {
        fs::rename(node.log(), node.run.join("output.old.log"))?;
    }
    (broker.start)(node).inspect_err(|_| drop(process::stop(&node.run, broker.stop)))
}

/// So many looks in a row that do not see a process mean that it has ended. One look means nothing: a process has no
/// environment to read, and so no mark, in the moment when it becomes another program.
const MISSING_LOOKS: u32 = 10;

/// Leaves no process behind if it fails.
fn wait_until_ready(broker: &Broker, node: &Node) -> Result<()> {
    let (log, mut last) = (node.log(), String::new());
    let mut missing = 0;
    let ready = process::wait_until(READY_LIMIT, || {
        let are_there = process::roots(&process::marked(&node.run)).len() >= broker.processes;
        missing = if are_there { 0 } else { missing + 1 };
        if missing >= MISSING_LOOKS {
            bail!("a process ended while starting\n{}", process::tail(&log));
        }
        (broker.ready)(node).map(|()| true).or_else(|error| {
            last = error.to_string();
            Ok(false)
        })
    });
    let error = match ready {
        Ok(true) => return Ok(()),
        Ok(false) => anyhow!("not ready after {} s: {last}", READY_LIMIT.as_secs()),
        Err(error) => error,
    };
    process::stop(&node.run, broker.stop)?;
    bail!("{error:#}\nhint: see {}", log.display())
}

/// Stops the chosen brokers, also those that an interrupted `up` left behind.
pub fn down(chosen: &Chosen) -> Result<()> {
    let names: Vec<_> = chosen.brokers().map(|broker| broker.name.to_string()).collect();
    stop(&names)
}

/// Stops brokers by name.
pub fn stop(names: &[String]) -> Result<()> {
    let cache = Cache::open()?;
    let mut state = cache.load();
    let chosen: Vec<_> = ALL.iter().filter(|broker| names.iter().any(|name| name == broker.name)).collect();
    std::thread::scope(|scope| {
        let one = |broker: &&'static Broker| {
            let (broker, run) = (*broker, cache.node(broker).run);
            scope.spawn(move || {
                let clock = Instant::now();
                match process::stop(&run, broker.stop)? {
                    0 => say(broker, "did not run"),
                    _ => say(broker, &format!("stopped in {:.1} s", clock.elapsed().as_secs_f32())),
                }
                anyhow::Ok(())
            })
        };
        let threads: Vec<_> = chosen.iter().map(one).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("stopping panicked"))?)
    })?;
    state.brokers.retain(|name, _| !names.contains(name));
    cache.save(&state)
}

fn status(chosen: &Chosen) -> Result<bool> {
    let cache = Cache::open()?;
    let state = cache.load();
    let mut all_answer = true;
    for broker in chosen.brokers() {
        let known = state.brokers.get(broker.name);
        if let Some(address) = given_address(broker, known) {
            println!("{:<9} {address} (from {})", broker.name, broker.variable);
            continue;
        }
        let mut node = cache.node(broker);
        let processes = process::marked(&node.run);
        let Some(known) = known.filter(|known| known.lives(&node)) else {
            println!("{:<9} does not run", broker.name);
            all_answer = false;
            continue;
        };
        node.ports.clone_from(&known.ports);
        let word = (broker.ready)(&node)
            .map_or_else(|error| format!("DOES NOT ANSWER ({error})"), |()| "ready".into());
        all_answer &= word == "ready";
        let resident_mib = processes.iter().map(|process| process.resident_kib).sum::<u64>() / 1024;
        let pids = process::roots(&processes).iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        println!(
            "{:<9} {} {word} at {} · pid {pids} · {resident_mib} MiB · log {}",
            broker.name, known.version, known.address, known.log
        );
    }
    println!("state     {}", cache.state_file().display());
    Ok(all_answer)
}

fn say(broker: &Broker, text: &str) {
    eprintln!("{:<9} {text}", broker.name);
}

/// The ports of last time, the preferred ones, or the same pattern some hundreds higher if somebody holds one.
fn choose_ports(broker: &Broker, known: Option<&Running>) -> Result<Vec<u16>> {
    if let Some(known) = known {
        // A process that was just killed may keep its ports for a moment.
        if process::wait_until(Duration::from_secs(2), || Ok(are_free(&known.ports)))? {
            return Ok(known.ports.clone());
        }
    }
    let ports = free_ports(broker.ports)?;
    if ports != broker.ports {
        say(broker, &format!("a port of {:?} is taken by another program, using {ports:?}", broker.ports));
    }
    Ok(ports)
}

fn free_ports(preferred: &[u16]) -> Result<Vec<u16>> {
    let higher =
        |step: u16| preferred.iter().map(|port| port.checked_add(step * 100)).collect::<Option<Vec<_>>>();
    (0..20).filter_map(higher).find(|ports| are_free(ports)).with_context(|| {
        format!("no free ports: tried={preferred:?} and the next 20 hundreds\nhint: see what listens there")
    })
}

fn are_free(ports: &[u16]) -> bool {
    ports.iter().all(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok())
}

/// The first `host:port` in an address: `h:1,h:2`, `amqp://user:word@h:1/vhost`, `nats://h:1`.
fn host_and_port(address: &str) -> Option<String> {
    let first = address.split(',').next()?.trim();
    let rest = first.split_once("://").map_or(first, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.contains(':').then(|| host.to_string())
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_found_in_every_form_of_address() {
        let check = |address, expected: Option<&str>| assert_eq!(host_and_port(address).as_deref(), expected);
        check("a:1,b:2", Some("a:1"));
        check("amqp://u:p@h:5672/%2f", Some("h:5672"));
        check("nats://h:4222", Some("h:4222"));
        check("nonsense", None);
    }

    #[test]
    fn a_taken_port_is_avoided() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let taken = holder.local_addr().expect("it is bound").port();
        assert!(free_ports(&[taken]).is_ok_and(|ports| ports[0] > taken));
    }

    #[test]
    fn preferred_ports_of_the_brokers_do_not_meet() {
        let mut ports: Vec<u16> = ALL.iter().flat_map(|broker| broker.ports).copied().collect();
        let count = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), count);
        assert!(ports.iter().all(|port| *port < 32_768), "below the range of outgoing connections");
    }
}
