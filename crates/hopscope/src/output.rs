//! Standard output. A reader that has seen enough (`| head`) ends nothing but the printing.

use std::io::Write;

/// Prints text as it is. What cannot be written is not missed by anybody who still reads.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a line.
pub fn line(text: &str) {
    print(&format!("{text}\n"));
}

/// Prints a value as JSON, for programs.
pub fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?);
    Ok(())
}
