//! `cargo xtask package`: the crates that applications depend on, as a registry would get them.

use crate::run;
use anyhow::{Result, bail};
use clap::Args;

/// What an application depends on. Server and command line are a program, and not for a registry: the server's page lies
/// outside its crate.
pub const PUBLISHED: [&str; 6] = [
    "hopscope-model",
    "hopscope-sdk",
    "hopscope-rdkafka",
    "hopscope-lapin",
    "hopscope-async-nats",
    "hopscope-rocketmq",
];

/// What every package holds, and what none does.
const NEEDED: [&str; 3] = ["Cargo.toml", "README.md", "src/lib.rs"];
const UNWANTED: [&str; 3] = ["tests/", "benches/", "fuzz/"];

/// Options of `cargo xtask package`.
#[derive(Args, Default)]
pub struct Options {
    /// Build each package by itself, out of what is in it (minutes)
    #[arg(long)]
    verify: bool,
}

/// Packages them, and looks at what is inside; true where nothing is missing or too much.
pub fn package(options: &Options) -> Result<bool> {
    let mut findings = Vec::new();
    for name in PUBLISHED {
        let list = run::cargo().args(["package", "--list", "--allow-dirty", "--package", name]).output()?;
        if !list.status.success() {
            bail!("cargo package --list failed, package={name}\n{}", String::from_utf8_lossy(&list.stderr));
        }
        let files = String::from_utf8_lossy(&list.stdout);
        findings.extend(unlike_a_package(&files).map(|finding| format!("{name}: {finding}")));
    }
    for finding in &findings {
        println!("package: {finding}");
    }
    let mut cargo = run::cargo();
    cargo.args(["package", "--allow-dirty"]);
    for name in PUBLISHED {
        cargo.args(["--package", name]);
    }
    if !options.verify {
        cargo.arg("--no-verify");
    }
    Ok(run::show(&mut cargo)?.success() && findings.is_empty())
}

fn unlike_a_package(files: &str) -> impl Iterator<Item = String> {
    let missing = NEEDED.iter().filter(|needed| !files.lines().any(|file| file == **needed));
    let unwanted = files.lines().filter(|file| UNWANTED.iter().any(|folder| file.starts_with(folder)));
    let missing = missing.map(|file| format!("{file} is missing"));
    missing.chain(unwanted.map(|file| format!("{file} is of no use to who depends on it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_of_no_use_is_found() {
        let found = |files: &str| unlike_a_package(files).collect::<Vec<_>>();
        assert_eq!(found("Cargo.toml\nREADME.md\nsrc/lib.rs\nsrc/tests/a.rs\n"), [""; 0]);
        assert_eq!(found("Cargo.toml\nsrc/lib.rs\ntests/a.rs\n").len(), 2);
    }
}
