//! `hopscope rates`: the traffic page, in a terminal.

use crate::args::RatesArgs;
use crate::draw::{self, Ink};
use crate::exit::Exit;
use crate::output;
use crate::remote;

pub async fn run(args: &RatesArgs) -> anyhow::Result<Exit> {
    let client = remote::client(&args.server.server)?;
    let answer = client.rates(Some(&args.since), &args.query.join(" ")).await.map_err(remote::failure)?;
    if args.json {
        output::json(&answer)?;
    } else {
        output::print(&draw::rates(&answer, Ink::of_stdout()));
    }
    Ok(if answer.coverage.complete { Exit::Done } else { Exit::Partial })
}
