//! `hopscope completions SHELL`.

use crate::{args::Cli, exit::Exit};
use clap::CommandFactory;
use clap_complete::Shell;

pub fn run(shell: Shell) -> anyhow::Result<Exit> {
    clap_complete::generate(shell, &mut Cli::command(), "hopscope", &mut std::io::stdout());
    Ok(Exit::Done)
}
