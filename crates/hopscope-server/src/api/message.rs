//! `/api/v1/messages/{reference}`: the story of one message, and the tree of what caused it and what it caused.

use super::gather::{GatherLimits, Told, tell};
use super::{Api, Failure, json};
use crate::clock::now_ns;
use axum::Json;
use axum::extract::{Path, Query as Parameters, State};
use futures::future::try_join_all;
use hopscope_client::api::{Int64, MessageAnswer, TreeNode};
use hopscope_model::{Coverage, Evidence, MessageRef, Related, Trajectory};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;
use utoipa::IntoParams;

const DEPTH_DEFAULT: u32 = 4;
const DEPTH_MAX: u32 = 20;
/// Messages of one step of the tree that are told at the same time.
const TOLD_AT_ONCE: usize = 8;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Steps of causes and of effects in the tree; 4 where absent, at most 20.
    depth: Option<u32>,
}

/// One message: its story and its causal tree.
#[utoipa::path(
    get, path = "/api/v1/messages/{reference}",
    params(("reference" = String, Path, description = "as in `find`, percent-encoded: `kafka:orders/0/15`"), Asked),
    responses((status = 200, body = MessageAnswer))
)]
pub(super) async fn message(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<MessageAnswer>, Failure> {
    let reference = MessageRef::from_str(&reference).map_err(|error| {
        let text = error.to_string();
        let (message, hint) = text.split_once("; hint: ").unwrap_or((&text, "take a reference from find"));
        Failure::invalid(message).with_hint(hint)
    })?;
    let now_ns = now_ns();
    let limits = GatherLimits::of(&api.config);
    let told = tell(&api, &reference, Evidence::default(), limits, now_ns).await?.ok_or_else(|| {
        Failure::not_found(format!("nothing is known of this message reference={reference}"))
            .with_hint("was it sent by a traced client? `find` shows what has arrived")
    })?;
    let depth = asked.depth.unwrap_or(DEPTH_DEFAULT).min(DEPTH_MAX);
    let mut tree = Tree::new(&api, &reference, &told, now_ns);
    tree.grow(Way::Causes, &told, depth).await?;
    tree.grow(Way::Effects, &told, depth).await?;
    let summary = json::summary(&told.reference, &told.trajectory);
    let (tree, coverage) = tree.finish();
    Ok(Json(MessageAnswer {
        message: summary,
        trajectory: json::trajectory(&told.trajectory),
        tree,
        coverage: json::coverage(&coverage),
    }))
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Causes,
    Effects,
}

impl Way {
    fn of(self, trajectory: &Trajectory) -> &[Related] {
        match self {
            Self::Causes => &trajectory.causes,
            Self::Effects => &trajectory.effects,
        }
    }
}

/// One message of the tree while it grows.
struct Node {
    trajectory: Trajectory,
    distance: i32,
    caused_by: Option<MessageRef>,
    through: Option<Related>,
}

struct Tree<'a> {
    api: &'a Api,
    now_ns: i64,
    /// By their best reference.
    nodes: BTreeMap<MessageRef, Node>,
    /// Every reference under which a node was met.
    met: BTreeSet<MessageRef>,
    coverage: Coverage,
}

impl<'a> Tree<'a> {
    fn new(api: &'a Api, asked: &MessageRef, root: &Told, now_ns: i64) -> Self {
        let node = Node { trajectory: root.trajectory.clone(), distance: 0, caused_by: None, through: None };
        Self {
            api,
            now_ns,
            nodes: BTreeMap::from([(root.reference.clone(), node)]),
            met: BTreeSet::from([asked.clone(), root.reference.clone()]),
            coverage: root.coverage.clone(),
        }
    }

    /// Step by step, nearest first, each message once, until depth or the limit of messages.
    async fn grow(&mut self, way: Way, root: &Told, depth: u32) -> Result<(), Failure> {
        let edges = |of: &Told| -> Vec<(MessageRef, Related)> {
            way.of(&of.trajectory).iter().map(|related| (of.reference.clone(), related.clone())).collect()
        };
        let limits = GatherLimits::of(&self.api.config);
        let mut edge = edges(root);
        for step in 1..=depth.cast_signed() {
            edge.retain(|(_, related)| self.met.insert(related.message.clone()));
            let mut further = Vec::new();
            for some in edge.chunks(TOLD_AT_ONCE) {
                let left = self.api.config.tree_messages_max.saturating_sub(self.nodes.len());
                let (some, over) = some.split_at(some.len().min(left));
                // What there was no room for was not met: its neighbour says that there is more.
                over.iter().for_each(|(_, related)| _ = self.met.remove(&related.message));
                let told = try_join_all(some.iter().map(|(_, related)| self.tell(related, limits))).await?;
                for ((neighbour, related), told) in some.iter().zip(told) {
                    let Some(told) = told else { continue };
                    self.coverage.merge(&told.coverage);
                    further.extend(edges(&told));
                    self.put(way, step, neighbour, related, told);
                }
            }
            edge = further;
        }
        Ok(())
    }

    /// The message that an edge leads to. Its coordinates or its id may name another one by now (a topic made anew,
    /// an application that repeats its ids): then the context that made it says which is meant.
    async fn tell(&self, related: &Related, limits: GatherLimits) -> Result<Option<Told>, Failure> {
        let told = tell(self.api, &related.message, Evidence::default(), limits, self.now_ns).await?;
        let found = told.as_ref().and_then(|told| told.trajectory.subject.creation);
        match related.creation {
            Some(meant) if found.is_some_and(|found| found != meant) => {
                let meant = MessageRef::Creation(meant);
                Ok(tell(self.api, &meant, Evidence::default(), limits, self.now_ns).await?.or(told))
            }
            _ => Ok(told),
        }
    }

    fn put(&mut self, way: Way, step: i32, neighbour: &MessageRef, related: &Related, told: Told) {
        let (distance, caused_by, through) = match way {
            Way::Effects => (step, Some(neighbour.clone()), Some(related.clone())),
            Way::Causes => {
                // The edge was walked against time: it is the neighbour that this one caused.
                if let Some(effect) = self.nodes.get_mut(neighbour) {
                    effect.caused_by.get_or_insert_with(|| told.reference.clone());
                    effect.through.get_or_insert_with(|| related.clone());
                }
                (-step, None, None)
            }
        };
        self.met.insert(told.reference.clone());
        let node = Node { trajectory: told.trajectory, distance, caused_by, through };
        self.nodes.entry(told.reference).or_insert(node);
    }

    fn finish(self) -> (Vec<TreeNode>, Coverage) {
        let Self { nodes, met, coverage, .. } = self;
        let mut nodes: Vec<(MessageRef, Node)> = nodes.into_iter().collect();
        nodes.sort_by_key(|(_, node)| node.trajectory.subject.sent_ns);
        let node = |(reference, node): (MessageRef, Node)| {
            let mut related = node.trajectory.causes.iter().chain(&node.trajectory.effects);
            let through = node.through.as_ref();
            TreeNode {
                message: json::summary(&reference, &node.trajectory),
                caused_by: node.caused_by.as_ref().map(MessageRef::to_string),
                distance: node.distance,
                through_service: through.map(|through| through.service.clone()).unwrap_or_default(),
                after_ns: through.and_then(|through| through.after_ns).map(Int64),
                more: related.any(|related| !met.contains(&related.message)),
            }
        };
        (nodes.into_iter().map(node).collect(), coverage)
    }
}
