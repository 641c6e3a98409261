//! `hopscope`: serve, demo, and questions from a terminal. What a library could hold is in the libraries.
#![allow(clippy::print_stdout, clippy::print_stderr)] // printing is what a command line does

mod args;
mod completions;
mod config;
mod demo;
mod doctor;
mod draw;
mod exit;
mod find;
mod output;
mod rates;
mod remote;
mod serve;
mod show;
mod store;

use args::{Cli, Command, MsgCommand};
use clap::Parser;
use exit::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&error.into()).into(),
    };
    runtime.block_on(run(cli.command)).unwrap_or_else(|error| exit::report(&error)).into()
}

async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Serve(args) => serve::run(&args).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Find(args) => find::run(&args).await,
        Command::Msg { command: MsgCommand::Show(args) } => show::run(&args).await,
        Command::Rates(args) => rates::run(&args).await,
        Command::Doctor(args) => doctor::run(&args).await,
        Command::Store { command } => store::run(&command).await,
        Command::Check(args) => store::check(&args).await,
        Command::Config(args) => config::run(&args),
        Command::Completions { shell } => completions::run(shell),
    }
}
