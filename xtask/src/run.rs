//! Running a step of a chore: in the repository's folder, with its output copied and kept.

use anyhow::{Context as _, Result};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::LazyLock;

/// The repository's folder.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        // Where cargo runs it, which may not be where it was compiled: two clones may share a target folder.
        let own =
            std::env::var_os("CARGO_MANIFEST_DIR").filter(|folder| Path::new(folder).ends_with("xtask"));
        let own = own.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        own.parent().expect("xtask lies in the repository").to_owned()
    });
    &ROOT
}

/// Where cargo puts what it builds.
pub fn target_folder() -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    root().join(folder)
}

/// A command that starts in the repository's folder.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
}

/// Runs `command` with its output on ours.
pub fn show(command: &mut Command) -> Result<ExitStatus> {
    announce(command);
    command.status().with_context(|| format!("cannot start program={}", command.get_program().display()))
}

/// Runs `command`, copies what it prints (both streams, in their order) to our stdout, and gives each line to `line`.
pub fn copy(command: &mut Command, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
    announce(command);
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start program={}", command.get_program().display()))?;
    // The command keeps our ends of the pipe; without them the reader sees the end.
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let (mut reader, mut bytes) = (BufReader::new(reader), Vec::new());
    let mut stdout = std::io::stdout().lock();
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        stdout.write_all(&bytes)?;
        line(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
    Ok(child.wait()?)
}

fn announce(command: &Command) {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    eprintln!("$ {program} {}", words.join(" "));
}
