//! `cargo xtask tidy`: what we promise about the tree and no compiler checks.
//!
//! Each check is a pure function from text to findings, with a test that sees it fail. Findings fail the chore,
//! warnings are only printed.

use crate::capabilities;
use crate::run;
use crate::source::{self, File};
use anyhow::{Context as _, Result};
use clap::Args;
use std::collections::BTreeSet;
use std::fs;

/// Files that a command of ours prints: `(file, package, arguments)`, compared with
/// `cargo run --package <package> -- <arguments>`. Add a line here when you commit generated output.
const GENERATED: &[(&str, &str, &[&str])] = &[];

const ARCHITECTURE_LINES_MAX: usize = 150;
const RUST_LINES_WARN: usize = 700;

/// What the model may depend on. No I/O, no async, no serialisation, no clock, no randomness.
const MODEL_MAY_USE: &[&str] = &["hashbrown", "xxhash-rust"];
/// What the model's sources never name.
const MODEL_NEVER_NAMES: &[&str] =
    &["std::fs", "std::net", "SystemTime", "Instant::now", "rand::", "async fn", "tokio::"];
const NAMES_WITHOUT_MEANING: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Folders of a person's or a service's machine that mean nothing elsewhere.
const FOREIGN_FOLDERS: &[&str] =
    &[concat!("/", "root/"), concat!("/", "work/"), concat!("/", "home/runner/")];

/// Options of `cargo xtask tidy`.
#[derive(Args, Default)]
pub struct Options {
    /// Write the tables anew that are made from data, then check
    #[arg(long)]
    write: bool,
}

/// Runs all checks and prints what they find; true if nothing was found.
pub fn tidy(options: &Options) -> Result<bool> {
    if options.write {
        capabilities::write()?;
    }
    let findings = findings()?;
    for finding in &findings {
        println!("tidy: {finding}");
    }
    println!("tidy: {} findings", findings.len());
    Ok(findings.is_empty())
}

fn findings() -> Result<Vec<String>> {
    let files = source::tracked()?;
    let text = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let mut findings = map_names_every_crate(&crates(&files), text("ARCHITECTURE.md"));
    findings.extend(lock_names_one_registry(text("Cargo.lock").unwrap_or_default()));
    findings.extend(model_depends_on_nothing(text("crates/hopscope-model/Cargo.toml").unwrap_or_default()));
    for File { path, text } in &files {
        findings.extend(name_has_meaning(path));
        findings.extend(model_is_pure(path, text));
        findings.extend(no_foreign_folder(path, text));
        if let Some(warning) = file_is_long(path, text) {
            println!("tidy: warning: {warning}");
        }
    }
    findings.extend(capabilities::findings(&files));
    findings.extend(stale_generated_files()?);
    Ok(findings)
}

fn crates(files: &[File]) -> BTreeSet<&str> {
    files.iter().filter_map(|file| file.path.strip_prefix("crates/")?.split('/').next()).collect()
}

fn map_names_every_crate(crates: &BTreeSet<&str>, architecture: Option<&str>) -> Vec<String> {
    let Some(map) = architecture else { return vec!["ARCHITECTURE.md is missing".into()] };
    let lines = map.lines().count();
    let too_long = (lines > ARCHITECTURE_LINES_MAX)
        .then(|| format!("ARCHITECTURE.md is too long: lines={lines} max={ARCHITECTURE_LINES_MAX}"));
    let named: BTreeSet<&str> =
        map.split(|character: char| !character.is_ascii_alphanumeric() && character != '-').collect();
    let missing = crates
        .iter()
        .filter(|name| !named.contains(**name))
        .map(|name| format!("ARCHITECTURE.md does not name crate={name}"));
    missing.chain(too_long).collect()
}

fn name_has_meaning(path: &str) -> Option<String> {
    let mut parts = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    parts
        .any(|part| NAMES_WITHOUT_MEANING.contains(&part))
        .then(|| format!("{path}: a name that says nothing about what is inside"))
}

fn model_depends_on_nothing(manifest: &str) -> Vec<String> {
    let mut in_dependencies = false;
    let mut findings = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.trim() == "[dependencies]";
            if line.contains("dependencies.") || line.trim() == "[build-dependencies]" {
                findings
                    .push(format!("hopscope-model: dependencies are listed in [dependencies] only: {line}"));
            }
            continue;
        }
        let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
        let is_entry = in_dependencies && !name.is_empty() && !name.starts_with('#');
        if is_entry && !MODEL_MAY_USE.contains(&name) {
            findings.push(format!("hopscope-model must not depend on {name}"));
        }
    }
    findings
}

fn model_is_pure(path: &str, text: &str) -> Vec<String> {
    if !path.starts_with("crates/hopscope-model/src/") || !source::is_production(path) {
        return Vec::new();
    }
    let code_lines =
        source::production(text).lines().enumerate().filter(|(_, line)| !line.trim().starts_with("//"));
    code_lines
        .flat_map(|(number, line)| {
            let names = MODEL_NEVER_NAMES.iter().filter(|name| contains_word(line, name));
            names.map(move |name| format!("{path}:{}: the model never uses {name}", number + 1))
        })
        .collect()
}

/// Whether `word` is in `line` and does not continue a longer name.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(|character: char| character.is_alphanumeric() || character == '_')
    })
}

fn no_foreign_folder(path: &str, text: &str) -> Vec<String> {
    let is_foreign = |line: &str| {
        FOREIGN_FOLDERS.iter().any(|folder| {
            // In `src/work/` the folder is a part of a longer path, and that is fine.
            line.match_indices(folder).any(|(at, _)| {
                !line[..at].ends_with(|character: char| {
                    character.is_alphanumeric() || "._-~}>)$*/".contains(character)
                })
            })
        })
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| is_foreign(line))
        .map(|(number, _)| format!("{path}:{}: a folder of somebody's machine", number + 1))
        .collect()
}

fn file_is_long(path: &str, text: &str) -> Option<String> {
    let lines = source::production(text).lines().count();
    (source::is_production(path) && lines > RUST_LINES_WARN).then(|| format!("{path} is long: lines={lines}"))
}

fn lock_names_one_registry(lock: &str) -> Vec<String> {
    let sources: BTreeSet<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("source = \"")?.strip_suffix('"')).collect();
    sources
        .into_iter()
        .filter(|source| *source != REGISTRY)
        .map(|source| format!("Cargo.lock: not the standard registry: {source}"))
        .collect()
}

fn stale_generated_files() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (file, package, arguments) in GENERATED {
        let output =
            run::cargo().args(["run", "--quiet", "--package", package, "--"]).args(*arguments).output()?;
        let committed = fs::read(run::root().join(file)).with_context(|| format!("cannot read {file}"))?;
        if !output.status.success() || output.stdout != committed {
            let command = format!("cargo run --package {package} -- {}", arguments.join(" "));
            findings.push(format!("{file} is not current\n  hint: {command} > {file}"));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_is_not_on_the_map_is_found() {
        let crates = BTreeSet::from(["hopscope", "hopscope-model"]);
        assert_eq!(map_names_every_crate(&crates, Some("`hopscope` and hopscope-model.")), [] as [String; 0]);
        assert_eq!(
            map_names_every_crate(&crates, Some("hopscope-model")),
            ["ARCHITECTURE.md does not name crate=hopscope"]
        );
        assert_eq!(map_names_every_crate(&crates, None), ["ARCHITECTURE.md is missing"]);
        let long = "hopscope hopscope-model\n".repeat(151);
        assert_eq!(map_names_every_crate(&crates, Some(&long)).len(), 1);
    }

    #[test]
    fn a_name_without_meaning_is_found() {
        assert!(name_has_meaning("crates/a/src/utils.rs").is_some());
        assert!(name_has_meaning("ui/src/common/box.ts").is_some());
        assert_eq!(name_has_meaning("crates/a/src/commonwealth.rs"), None);
    }

    #[test]
    fn a_dependency_of_the_model_is_found() {
        let manifest = "[dependencies]\nxxhash-rust.workspace = true\nserde = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n";
        assert_eq!(model_depends_on_nothing(manifest), ["hopscope-model must not depend on serde"]);
        assert_eq!(model_depends_on_nothing("[dependencies.tokio]\nversion = \"1\"\n").len(), 1);
    }

    #[test]
    fn an_impure_line_of_the_model_is_found() {
        let path = "crates/hopscope-model/src/lib.rs";
        let text = "// std::fs is not used\nlet now = std::time::SystemTime::now();\nlet x = operand::X;\n";
        assert_eq!(model_is_pure(path, text), [format!("{path}:2: the model never uses SystemTime")]);
        assert_eq!(model_is_pure("crates/hopscope-store/src/lib.rs", text), [] as [String; 0]);
    }

    #[test]
    fn a_folder_of_a_machine_is_found() {
        let foreign = format!("cd {}x\nsrc{}mod.rs\n", FOREIGN_FOLDERS[0], FOREIGN_FOLDERS[1]);
        assert_eq!(no_foreign_folder("a.md", &foreign), ["a.md:1: a folder of somebody's machine"]);
    }

    #[test]
    fn a_long_file_is_warned_about_without_its_tests() {
        let long = "x\n".repeat(701);
        assert!(file_is_long("a.rs", &long).is_some());
        assert_eq!(file_is_long("a.rs", &format!("#[cfg(test)]\nmod tests {{\n{long}")), None);
        assert_eq!(file_is_long("tests/a.rs", &long), None);
    }

    #[test]
    fn another_registry_is_found() {
        let lock = format!("source = \"{REGISTRY}\"\nsource = \"git+https://example.org/a\"\n");
        assert_eq!(
            lock_names_one_registry(&lock),
            ["Cargo.lock: not the standard registry: git+https://example.org/a"]
        );
    }
}
