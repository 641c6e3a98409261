//! `cargo xtask size`: how large the production code is, for the figures that we publish.

use crate::source;
use anyhow::Result;
use std::collections::BTreeMap;

#[derive(Default)]
struct Size {
    files: usize,
    lines: usize,
    functions: Vec<usize>,
}

/// Prints one line per crate and a sum: files, lines, functions, median and 90th percentile of their length.
pub fn size() -> Result<bool> {
    let mut crates: BTreeMap<String, Size> = BTreeMap::new();
    let mut tests = 0;
    for file in source::tracked()?.iter().filter(|file| file.path.ends_with(".rs")) {
        let production = if source::is_production(&file.path) { source::production(&file.text) } else { "" };
        tests += file.text.lines().count() - production.lines().count();
        if production.is_empty() {
            continue;
        }
        let functions = source::function_lengths(production);
        for name in [crate_name(&file.path), "all"] {
            let size = crates.entry(name.into()).or_default();
            size.files += 1;
            size.lines += production.lines().count();
            size.functions.extend(&functions);
        }
    }
    println!(
        "{:<24} {:>6} {:>7} {:>10} {:>7} {:>5}",
        "crate", "files", "lines", "functions", "median", "p90"
    );
    let all = crates.remove("all");
    for (name, size) in crates.into_iter().chain(all.map(|size| ("all".to_string(), size))) {
        let (count, mut lengths) = (size.functions.len(), size.functions);
        let (median, p90) = (percentile(&mut lengths, 50), percentile(&mut lengths, 90));
        println!("{name:<24} {:>6} {:>7} {count:>10} {median:>7} {p90:>5}", size.files, size.lines);
    }
    println!(
        "lines of tests and benches: {tests}; a function's length counts from `fn` to its closing brace"
    );
    Ok(true)
}

/// `crates/a/src/b.rs` belongs to `a`, `xtask/src/b.rs` to `xtask`.
fn crate_name(path: &str) -> &str {
    let mut parts = path.split('/');
    match parts.next() {
        Some("crates" | "examples") => parts.next().unwrap_or(path),
        Some(first) => first,
        None => path,
    }
}

fn percentile(values: &mut [usize], percent: usize) -> usize {
    values.sort_unstable();
    values.get((values.len() * percent / 100).min(values.len().saturating_sub(1))).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_values() {
        assert_eq!(percentile(&mut [], 50), 0);
        assert_eq!(percentile(&mut [7], 90), 7);
        assert_eq!(percentile(&mut [3, 1, 2], 50), 2);
    }

    #[test]
    fn a_path_belongs_to_its_crate() {
        assert_eq!(crate_name("crates/hopscope-model/src/lib.rs"), "hopscope-model");
        assert_eq!(crate_name("xtask/src/main.rs"), "xtask");
    }
}
