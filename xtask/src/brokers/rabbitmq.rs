//! RabbitMQ from Debian's packages, unpacked into a folder of its own: no service, no user, no root needed.
//!
//! Erlang of Debian 13 needs a newer C library than older systems have, so the library and its loader come along
//! and each program is made to use them (patchelf, itself run by that loader). The folder must not move afterwards:
//! the loader's path is inside the programs.

use super::install::{download, fetch, find};
use super::process::{self, Stop};
use super::{Broker, Node, wire};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The broker as data. Ports: AMQP, management, Erlang distribution, streams, metrics, Erlang port mapper.
pub const BROKER: Broker = Broker {
    name: "rabbitmq",
    version: "4.0.5",
    variable: "HOPSCOPE_TEST_AMQP",
    ports: &[25672, 25673, 25674, 25675, 25676, 25670],
    processes: 2,
    address: |ports| format!("amqp://guest:guest@127.0.0.1:{}/%2f", ports[0]),
    install,
    start,
    ready: |node| wire::amqp_handshake(node.ports[0]),
    stop: Stop::Gently,
};

const SUITE: &str = "trixie";
const PACKAGES: &[&str] = &[
    "rabbitmq-server",
    "erlang-base",
    "erlang-asn1",
    "erlang-crypto",
    "erlang-public-key",
    "erlang-mnesia",
    "erlang-runtime-tools",
    "erlang-ssl",
    "erlang-eldap",
    "erlang-inets",
    "erlang-os-mon",
    "erlang-parsetools",
    "erlang-syntax-tools",
    "erlang-tools",
    "erlang-xmerl",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "libtinfo6",
    "zlib1g",
    "libssl3t64",
    "libzstd1",
    "libsctp1",
    "patchelf",
];

#[cfg(target_arch = "x86_64")]
const LIBRARIES_AND_LOADER: (&str, &str) = ("usr/lib/x86_64-linux-gnu", "ld-linux-x86-64.so.2");
#[cfg(not(target_arch = "x86_64"))]
const LIBRARIES_AND_LOADER: (&str, &str) = ("usr/lib/aarch64-linux-gnu", "ld-linux-aarch64.so.1");

fn install(node: &Node) -> Result<()> {
    for program in ["apt-get", "dpkg-deb"] {
        find(program).with_context(|| {
            format!("{program} is missing: RabbitMQ is unpacked from Debian packages\nhint: set HOPSCOPE_TEST_AMQP to a running broker")
        })?;
    }
    let root = tree(node);
    fs::create_dir_all(&root)?;
    unpack(&fetch_packages(&node.software)?, &root, &node.software.join("unpack.log"))?;
    link_to_private_library(node)?;
    write_erl(node)?;
    let self_check = "io:format(\"~p\",[hd(crypto:info_lib())]),halt().";
    let mut erl = Command::new(root.join("bin/erl"));
    process::run(
        erl.args(["-noshell", "-eval", self_check]),
        &node.software.join("self-check.log"),
        Duration::from_secs(60),
    )?;
    fs::remove_dir_all(node.software.join("apt"))?;
    fs::remove_dir_all(node.software.join("debs"))?;
    Ok(())
}

/// Where the packages are unpacked.
fn tree(node: &Node) -> PathBuf {
    node.software.join("tree")
}

/// Downloads the packages of [`SUITE`] with apt's own verification, without touching the system's apt state.
fn fetch_packages(software: &Path) -> Result<PathBuf> {
    let (apt, debs) = (software.join("apt"), software.join("debs"));
    for folder in ["state/lists/partial", "cache/archives/partial", "etc"] {
        fs::create_dir_all(apt.join(folder))?;
    }
    fs::create_dir_all(&debs)?;
    let source = format!(
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} {SUITE} main\n",
        debian_mirror()?
    );
    fs::write(apt.join("etc/sources.list"), source)?;
    fs::write(apt.join("status"), "")?;
    let private_apt = || {
        let mut command = Command::new("apt-get");
        let option = |name: &str, path: &str| format!("{name}={}", apt.join(path).display());
        for option in [
            option("Dir::Etc::SourceList", "etc/sources.list"),
            "Dir::Etc::SourceParts=-".into(),
            option("Dir::State::Lists", "state/lists"),
            option("Dir::State::status", "status"),
            option("Dir::Cache", "cache"),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "APT::Sandbox::User=root".into(),
            "APT::Update::Error-Mode=any".into(),
        ] {
            command.arg("-o").arg(option);
        }
        command.arg("-qq").current_dir(&debs);
        command
    };
    let log = software.join("install.log");
    download("the Debian package index", || fetch(private_apt().arg("update"), &log))?;
    download("RabbitMQ and Erlang from Debian", || {
        fetch(private_apt().arg("download").args(PACKAGES), &log)
    })?;
    Ok(debs)
}

/// The machine's own Debian mirror, so that no host name is written here.
fn debian_mirror() -> Result<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"])
        .output()?;
    if let Some(uri) = String::from_utf8_lossy(&output.stdout).lines().next().filter(|line| !line.is_empty())
    {
        return Ok(uri.to_string());
    }
    // The package lists were never fetched (a fresh container image): read the sources instead.
    let mut sources = vec![PathBuf::from("/etc/apt/sources.list")];
    sources.extend(
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|file| file.path()),
    );
    sources
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|text| mirror_in(&text))
        .context("no Debian mirror is configured for apt\nhint: set HOPSCOPE_TEST_AMQP to a running RabbitMQ")
}

/// The first address of a Debian main archive in a list of apt sources, of either format.
fn mirror_in(sources: &str) -> Option<String> {
    sources
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_string)
}

fn unpack(debs: &Path, root: &Path, log: &Path) -> Result<()> {
    for entry in fs::read_dir(debs)? {
        let package = entry?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            process::run(
                Command::new("dpkg-deb").arg("-x").arg(&package).arg(root),
                log,
                Duration::from_secs(120),
            )?;
        }
    }
    Ok(())
}

/// RPATH, not RUNPATH: libraries that Erlang loads later (crypto) must find the private ones as well.
fn link_to_private_library(node: &Node) -> Result<()> {
    let root = tree(node);
    let libraries = root.join(LIBRARIES_AND_LOADER.0);
    let loader = libraries.join(LIBRARIES_AND_LOADER.1);
    let runtime = erlang_runtime(node)?.join("bin");
    let monitor = folder_starting_with(&root.join("usr/lib/erlang/lib"), "os_mon-")?.join("priv/bin");
    let programs = ["beam.smp", "erl_child_setup", "erlexec", "inet_gethost", "epmd", "erl_call", "escript"]
        .map(|name| runtime.join(name))
        .into_iter()
        .chain(["memsup", "cpu_sup"].map(|name| monitor.join(name)));
    for program in programs {
        let mut patchelf = Command::new(&loader);
        patchelf.arg("--library-path").arg(&libraries).arg(root.join("usr/bin/patchelf"));
        patchelf
            .arg("--set-interpreter")
            .arg(&loader)
            .arg("--force-rpath")
            .arg("--set-rpath")
            .arg(&libraries);
        process::run(patchelf.arg(program), &node.software.join("patchelf.log"), Duration::from_secs(60))?;
    }
    Ok(())
}

/// The `erl` that RabbitMQ's scripts find first on their search path.
fn write_erl(node: &Node) -> Result<()> {
    let (root, runtime) = (tree(node), erlang_runtime(node)?);
    let bin = root.join("bin");
    // Merged-/usr packages may bring a link of this name.
    fs::create_dir_all(&bin)?;
    let script = format!(
        "#!/bin/sh\nROOTDIR=\"{root}/usr/lib/erlang\" BINDIR=\"{runtime}/bin\" EMU=beam PROGNAME=erl\n\
         export ROOTDIR BINDIR EMU PROGNAME\nexec \"{runtime}/bin/erlexec\" \"$@\"\n",
        root = root.display(),
        runtime = runtime.display()
    );
    fs::write(bin.join("erl"), script)?;
    fs::set_permissions(bin.join("erl"), fs::Permissions::from_mode(0o755))?;
    symlink(runtime.join("bin/epmd"), bin.join("epmd"))?;
    Ok(())
}

fn erlang_runtime(node: &Node) -> Result<PathBuf> {
    folder_starting_with(&tree(node).join("usr/lib/erlang"), "erts-")
}

fn folder_starting_with(parent: &Path, prefix: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(parent).with_context(|| format!("cannot read {}", parent.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(entry.path());
        }
    }
    bail!("no folder {prefix}* in {}", parent.display())
}

fn start(node: &Node) -> Result<()> {
    let run = &node.run;
    fs::create_dir_all(run.join("home"))?;
    fs::create_dir_all(run.join("log"))?;
    fs::write(run.join("enabled_plugins"), PLUGINS)?;
    fs::write(run.join("advanced.config"), "[].\n")?;
    fs::write(run.join("rabbitmq-env.conf"), "")?;
    fs::write(run.join("rabbitmq.conf"), configuration(node))?;
    let cookie = run.join("home/.erlang.cookie");
    if !cookie.exists() {
        fs::write(&cookie, "hopscopetests")?;
        fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400))?;
    }
    // Our own child; otherwise Erlang would leave a daemon behind.
    let mut mapper = environment(node, Command::new(tree(node).join("bin/epmd")));
    node.spawn(mapper.args(["-port", &node.ports[5].to_string(), "-address", "127.0.0.1"]))?;
    let home = folder_starting_with(&tree(node).join("usr/lib/rabbitmq/lib"), "rabbitmq_server-")?;
    // Not Debian's wrapper of the same name, which switches the user.
    node.spawn(&mut environment(node, Command::new(home.join("sbin/rabbitmq-server"))))
}

const PLUGINS: &str =
    "[rabbitmq_management,rabbitmq_prometheus,rabbitmq_tracing,rabbitmq_stream,rabbitmq_shovel].\n";

fn environment(node: &Node, mut command: Command) -> Command {
    let run = &node.run;
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{}:{path}", tree(node).join("bin").display()))
        .env("HOME", run.join("home"))
        .envs([("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8")])
        .env("RABBITMQ_NODENAME", "rmq@localhost")
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", node.ports[0].to_string())
        .env("RABBITMQ_DIST_PORT", node.ports[2].to_string())
        .env("RABBITMQ_MNESIA_BASE", run.join("data"))
        .env("RABBITMQ_LOG_BASE", run.join("log"))
        .env("RABBITMQ_PID_FILE", run.join("rabbit.pid"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", run.join("enabled_plugins"))
        .env("RABBITMQ_CONFIG_FILE", run.join("rabbitmq"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", run.join("advanced.config"))
        .env("RABBITMQ_CONF_ENV_FILE", run.join("rabbitmq-env.conf"))
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none +A 16 -kernel inet_dist_use_interface {127,0,0,1}",
        )
        .env("RABBITMQ_CTL_ERL_ARGS", "+S 1:1 +sbwt none")
        .env("ERL_EPMD_PORT", node.ports[5].to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1");
    command
}

fn configuration(node: &Node) -> String {
    format!(
        "\
management.tcp.ip = 127.0.0.1
management.tcp.port = {http}
stream.listeners.tcp.1 = 127.0.0.1:{stream}
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = {metrics}
log.file.level = warning
log.console = false
disk_free_limit.absolute = 200MB
vm_memory_high_watermark.absolute = 1GB
",
        http = node.ports[1],
        stream = node.ports[3],
        metrics = node.ports[4]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_formats_of_sources() {
        let check =
            |sources: &str, expected: Option<&str>| assert_eq!(mirror_in(sources).as_deref(), expected);
        check(
            "# deb http://old/debian x main\ndeb [a=b] http://m/debian/ bookworm main\n",
            Some("http://m/debian/"),
        );
        check("Types: deb\nURIs: https://m/x/debian\nSuites: trixie\n", Some("https://m/x/debian"));
        check("URIs: http://m/debian-security\n", None);
        check("deb http://m/ubuntu noble main\n", None);
    }
}
