//! The server, as commands reach it: a client, and its errors with exit codes and hints.

use crate::exit::{Exit, Failure};
use hopscope_client::{Client, Error, ErrorKind};

pub fn client(server: &str) -> anyhow::Result<Client> {
    Client::new(server).map_err(failure)
}

pub fn failure(error: Error) -> anyhow::Error {
    let exit = match error.kind {
        ErrorKind::Unreachable | ErrorKind::Unavailable => Exit::Unavailable,
        ErrorKind::NotFound => Exit::NotFound,
        ErrorKind::Invalid => Exit::Usage,
        ErrorKind::Internal => Exit::Failed,
    };
    Failure { exit, message: error.message, hint: error.hint }.into()
}
