//! `hopscope find`: the search box, in a terminal.

use crate::args::FindArgs;
use crate::draw::{self, Ink};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::remote;

pub async fn run(args: &FindArgs) -> anyhow::Result<Exit> {
    let query = args.query.join(" ");
    let client = remote::client(&args.server.server)?;
    let answer = client.find(&query, args.limit, None).await.map_err(remote::failure)?;
    if args.json {
        output::json(&answer)?;
    } else {
        output::print(&draw::found(&answer, Ink::of_stdout()));
    }
    match (answer.messages.is_empty(), answer.coverage.complete) {
        (false, true) => Ok(Exit::Done),
        (_, false) => Ok(Exit::Partial),
        (true, true) if args.json => Ok(Exit::NotFound),
        (true, true) => Err(Failure::new(Exit::NotFound, "nothing that matches is stored")
            .hint("ids and keys are compared whole; `hopscope find dest:orders since:1h` lists what is there")
            .into()),
    }
}
