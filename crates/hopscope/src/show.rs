//! `hopscope msg show`: what happened to one message.

use crate::args::ShowArgs;
use crate::draw::{self, Ink};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::remote;
use hopscope_client::{Client, api::MessageAnswer};
use hopscope_model::MessageRef;

/// Messages that free text may name before one has to be chosen by hand.
const CANDIDATES_MAX: u32 = 20;

pub async fn run(args: &ShowArgs) -> anyhow::Result<Exit> {
    let client = remote::client(&args.server.server)?;
    let reference = resolve(&client, &args.message).await?;
    let answer = client.message(&reference, args.depth).await.map_err(remote::failure)?;
    if args.json {
        output::json(&answer)?;
    } else {
        print(&answer);
    }
    if args.watch {
        return watch(&client, &reference, args.depth).await;
    }
    Ok(if answer.coverage.complete { Exit::Done } else { Exit::Partial })
}

fn print(answer: &MessageAnswer) {
    output::print(&draw::message(answer, Ink::of_stdout()));
}

/// A reference is taken as it is; anything else is looked for, and must name one message.
async fn resolve(client: &Client, text: &str) -> anyhow::Result<String> {
    if text.parse::<MessageRef>().is_ok() {
        return Ok(text.to_owned());
    }
    let found = client.find(text, CANDIDATES_MAX, None).await.map_err(remote::failure)?;
    match found.messages.as_slice() {
        [] => Err(Failure::new(Exit::NotFound, format!("no message is named by {text:?}"))
            .hint("`hopscope find` takes fields too, e.g. `hopscope find dest:orders since:1h`")
            .into()),
        [one] => Ok(one.reference.clone()),
        many => {
            let list: Vec<String> = many.iter().map(|message| format!("  {}", message.reference)).collect();
            Err(Failure::new(
                Exit::Usage,
                format!("{} messages are named by {text:?}\n{}", many.len(), list.join("\n")),
            )
            .hint("`hopscope msg show REFERENCE` shows one of them")
            .into())
        }
    }
}

/// Draws again whenever something was stored that may belong to the message, until interrupted.
async fn watch(client: &Client, reference: &str, depth: u32) -> anyhow::Result<Exit> {
    let mut live = client.live().await.map_err(remote::failure)?;
    let mut shown = None;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
            change = live.next() => {
                if change.map_err(remote::failure)?.is_none() {
                    return Err(Failure::new(Exit::Unavailable, "the server closed the stream").into());
                }
                let answer = client.message(reference, depth).await.map_err(remote::failure)?;
                let events = answer.trajectory.events.clone();
                if shown.as_ref() != Some(&events) {
                    output::line(&"─".repeat(60));
                    print(&answer);
                    shown = Some(events);
                }
            }
        }
    }
}
