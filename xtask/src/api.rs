//! `cargo xtask api`: the public surface of the crates that applications depend on, as text in `docs/api/`, so that a
//! change of it is seen in the change.
//!
//! It is read from rustdoc's JSON, which the stable compiler writes only when told that it may: for that one program, so
//! that nothing else is built anew, this one stands in for rustdoc and starts the real one with `RUSTC_BOOTSTRAP`.

use crate::package::PUBLISHED;
use crate::run;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Set where this program is started as rustdoc.
const AS_RUSTDOC: &str = "HOPSCOPE_XTASK_AS_RUSTDOC";

/// Options of `cargo xtask api`.
#[derive(Args, Default)]
pub struct Options {
    /// Write the files anew
    #[arg(long)]
    write: bool,
    /// Only these crates
    crates: Vec<String>,
}

/// Compares each surface with its file, or writes it; true where none has changed.
pub fn api(options: &Options) -> Result<bool> {
    let is_wanted =
        |name: &&str| options.crates.is_empty() || options.crates.iter().any(|wanted| wanted == name);
    let mut is_current = true;
    for name in PUBLISHED.into_iter().filter(is_wanted) {
        let surface = surface(name)?;
        let file = run::root().join(format!("docs/api/{name}.txt"));
        if options.write {
            fs::create_dir_all(file.parent().expect("a folder"))?;
            fs::write(&file, surface).with_context(|| format!("cannot write {}", file.display()))?;
            continue;
        }
        let Ok(committed) = fs::read_to_string(&file) else {
            is_current = false;
            println!("api: {name}: there is no docs/api/{name}.txt yet");
            continue;
        };
        for line in changes(&committed, &surface) {
            is_current = false;
            println!("api: {name}: {line}");
        }
    }
    if !is_current {
        println!("hint: a change that is meant: cargo xtask api --write");
    }
    Ok(is_current)
}

fn surface(name: &str) -> Result<String> {
    let mut cargo = run::cargo();
    cargo.args(["rustdoc", "--quiet", "--lib", "--all-features", "--package", name, "--"]);
    cargo.args(["-Zunstable-options", "--output-format", "json", "--cap-lints", "allow"]);
    cargo.env("RUSTDOC", std::env::current_exe()?).env(AS_RUSTDOC, real_rustdoc());
    if !run::show(&mut cargo)?.success() {
        bail!("rustdoc failed, package={name}");
    }
    let json = run::target_folder().join("doc").join(format!("{}.json", name.replace('-', "_")));
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .context("rustdoc's JSON is of another version than xtask reads")?;
    Ok(format!("{api}"))
}

fn real_rustdoc() -> PathBuf {
    let beside_rustc = std::env::var_os("RUSTDOC").map(PathBuf::from);
    beside_rustc.unwrap_or_else(|| Path::new("rustdoc").to_path_buf())
}

/// Lines that are gone, and lines that have come.
fn changes(old: &str, new: &str) -> Vec<String> {
    let gone = old.lines().filter(|line| !new.lines().any(|other| other == *line));
    let come = new.lines().filter(|line| !old.lines().any(|other| other == *line));
    gone.map(|line| format!("- {line}")).chain(come.map(|line| format!("+ {line}"))).collect()
}

/// Runs the real rustdoc, where cargo has started this program for it.
pub fn as_rustdoc() -> Option<ExitCode> {
    let rustdoc = std::env::var_os(AS_RUSTDOC)?;
    let status = Command::new(rustdoc).args(std::env::args_os().skip(1)).env("RUSTC_BOOTSTRAP", "1").status();
    let is_done = status.is_ok_and(|status| status.success());
    Some(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_gone_or_has_come_is_a_change() {
        assert_eq!(changes("pub fn a()\npub fn b()\n", "pub fn a()\npub fn b()\n"), [""; 0]);
        assert_eq!(changes("pub fn a()\n", "pub fn a(u8)\n"), ["- pub fn a()", "+ pub fn a(u8)"]);
    }
}
