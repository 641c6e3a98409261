//! The rules, each as a test that is named like one.

mod build;
mod causes_and_copies;
mod joining;
mod latencies;
mod states;
mod totality;
mod wants;

use crate::{Evidence, MessageRef, State, Trajectory, assemble, messages};

/// The references of all messages, sorted.
fn all(evidence: &Evidence) -> Vec<String> {
    let mut all: Vec<String> = messages(evidence).iter().map(ToString::to_string).collect();
    all.sort();
    all
}

fn story(reference: &str, evidence: &Evidence) -> Trajectory {
    let reference: MessageRef = reference.parse().expect("a reference");
    assemble(&reference, evidence, build::NOW).expect("the message is in the evidence")
}

/// `stage:rule` of every event of a message, in order.
fn joined(reference: &str, evidence: &Evidence) -> Vec<String> {
    let name = |joined: &crate::JoinedEvent| format!("{}:{}", joined.event.stage, joined.by);
    story(reference, evidence).events.iter().map(name).collect()
}

/// `group state grade`: why, of every group.
fn states(reference: &str, evidence: &Evidence) -> Vec<String> {
    let name = |group: &crate::GroupStory| {
        let name = if group.group.is_empty() { "-" } else { &group.group };
        format!("{name} {} {}: {}", group.state, group.grade, group.why)
    };
    story(reference, evidence).groups.iter().map(name).collect()
}

fn state(reference: &str, evidence: &Evidence) -> State {
    let story = story(reference, evidence);
    assert_eq!(story.groups.len(), 1, "{:?}", story.groups);
    story.groups[0].state
}

/// The gaps as `kind: sentence`.
fn gaps(reference: &str, evidence: &Evidence) -> Vec<String> {
    story(reference, evidence).gaps.iter().map(|gap| format!("{}: {}", gap.kind, gap.detail)).collect()
}
