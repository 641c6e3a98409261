//! Reading the repository's own sources: which files are tracked, which part is production code, where functions
//! begin and end. A scan of characters, not a parser: good enough to count, never used to change a file.

use crate::run;
use anyhow::{Result, bail};
use std::fs;

/// A tracked text file.
pub struct File {
    /// Path from the repository's folder, with `/`.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// All tracked files that are UTF-8 text and still exist.
pub fn tracked() -> Result<Vec<File>> {
    let output = run::command("git").args(["ls-files", "-z"]).output()?;
    if !output.status.success() {
        bail!("git ls-files failed\nhint: run this inside a clone of the repository");
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let read = |path: &str| {
        fs::read_to_string(run::root().join(path)).ok().map(|text| File { path: path.to_string(), text })
    };
    Ok(names.split('\0').filter(|path| !path.is_empty()).filter_map(read).collect())
}

/// Whether a Rust file is part of what runs in production, as opposed to tests, benches and fuzz targets.
pub fn is_production(path: &str) -> bool {
    let is_test = path.split('/').any(|part| matches!(part, "tests" | "benches" | "fuzz" | "tests.rs"));
    path.ends_with(".rs") && !is_test && !path.ends_with("_tests.rs")
}

/// The text before the tests that stand at the end of the same file.
pub fn production(text: &str) -> &str {
    let mut at = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let inline = |next: &&str| next.trim_start().starts_with("mod ") && next.trim_end().ends_with('{');
        if line.trim() == "#[cfg(test)]" && lines.peek().is_some_and(inline) {
            return &text[..at];
        }
        at += line.len();
    }
    text
}

/// The length in lines of each function with a body, from its `fn` to its closing brace.
pub fn function_lengths(text: &str) -> Vec<usize> {
    let code = without_literals(text);
    let bytes = code.as_bytes();
    let mut lengths = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let stands_alone = at == 0 || !is_word(bytes[at - 1]);
        let named = bytes.get(at + 3).is_some_and(|byte| is_word(*byte));
        if !stands_alone || !named {
            continue;
        }
        if let Some(end) = end_of_body(bytes, at) {
            lengths.push(code[at..end].matches('\n').count() + 1);
        }
    }
    lengths
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where the body of the function at `at` ends; `None` for a declaration without body. A `;` inside brackets is
/// the length of an array, not the end of a declaration.
fn end_of_body(code: &[u8], at: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (index, byte) in code.iter().enumerate().skip(at) {
        match byte {
            b'[' | b'(' => brackets += 1,
            b']' | b')' => brackets = brackets.saturating_sub(1),
            b';' if braces == 0 && brackets == 0 => return None,
            b'{' => braces += 1,
            b'}' if braces <= 1 => return Some(index),
            b'}' => braces -= 1,
            _ => {}
        }
    }
    None
}

/// The text with comments, strings and characters blanked, lines kept.
fn without_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let literal = literal_bytes(rest, code.chars().next_back());
        let taken = if literal == 0 { first.len_utf8() } else { literal };
        if literal == 0 {
            code.push(first);
        } else {
            code.extend(rest[..taken].chars().map(|character| if character == '\n' { '\n' } else { ' ' }));
        }
        rest = &rest[taken..];
    }
    code
}

/// How many bytes the comment or literal at the start of `text` has; 0 if none starts there.
fn literal_bytes(text: &str, before: Option<char>) -> usize {
    let until =
        |from: usize, end: &str| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    let after_word = before.is_some_and(|character| character.is_alphanumeric() || character == '_');
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return until(2, "*/");
    }
    if text.starts_with('r') && !after_word {
        let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
        if text[1 + hashes..].starts_with('"') {
            return until(2 + hashes, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    match text.as_bytes() {
        [b'"', ..] => end_of_quoted(text, '"').unwrap_or(text.len()),
        // A lifetime has no closing quote after one character.
        [b'\'', b'\\', ..] => end_of_quoted(text, '\'').unwrap_or(1),
        [b'\'', ..] => {
            let width = text[1..].chars().next().map_or(0, char::len_utf8);
            if text[1 + width..].starts_with('\'') { width + 2 } else { 0 }
        }
        _ => 0,
    }
}

fn end_of_quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return Some(at + quote.len_utf8()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_at_the_end_are_not_production() {
        assert_eq!(production("a\n#[cfg(test)]\nmod tests {\n}\n"), "a\n");
        assert_eq!(production("#[cfg(test)]\nmod tests;\na\n"), "#[cfg(test)]\nmod tests;\na\n");
        assert!(is_production("crates/a/src/lib.rs"));
        assert!(!is_production("crates/a/tests/all.rs"));
        assert!(!is_production("crates/a/src/query/tests.rs"));
    }

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let check = |text: &str, expected: &[usize]| assert_eq!(function_lengths(text), expected, "{text}");
        check("fn a() {}\n", &[1]);
        check("fn a() {\n  x\n}\nfn b(x: [u8; 4]) -> u8 {\n  y\n}\n", &[3, 3]);
        check("trait T { fn a(&self); fn b(&self) {\n} }", &[2]);
        check("fn a() {\n  let s = \"}\"; // }\n  let c = '}'; let d = '\\'';\n}\n", &[4]);
        check("fn a<'a>(x: &'a str) {\n  r#\"fn no() { \" }\"#\n}\n", &[3]);
        check("struct S { f: fn (u8) }", &[]);
    }
}
