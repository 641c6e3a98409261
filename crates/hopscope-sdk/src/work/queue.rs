//! What waits and what runs, and who is next: the pure part of [`Workers`](super::Workers).

use super::{Order, Slot};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// What runs one after another. Without order each message is a chain of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Chain<L> {
    Lane(L),
    Key(L, u64),
    Alone(u64),
}

/// Messages that wait, by chain. A chain with a running message is not in `ready`.
#[derive(Debug)]
pub(super) struct Queue<L, T> {
    order: Order,
    chains: HashMap<Chain<L>, Waiting<L, T>>,
    /// Chains that have something to run now, each once, in order of arrival.
    ready: VecDeque<Chain<L>>,
    /// Numbers messages in order of arrival.
    arrivals: u64,
}

#[derive(Debug)]
struct Waiting<L, T> {
    runs: bool,
    messages: VecDeque<(u64, Slot<L>, T)>,
}

/// A message that was taken to be run; give it back with [`Queue::done`].
#[derive(Debug)]
pub(super) struct Running<L>(Chain<L>);

impl<L: Clone + Eq + Hash, T> Queue<L, T> {
    pub fn new(order: Order) -> Self {
        Self { order, chains: HashMap::new(), ready: VecDeque::new(), arrivals: 0 }
    }

    pub fn push(&mut self, slot: Slot<L>, message: T) {
        self.arrivals += 1;
        let chain = match (self.order, slot.key) {
            (Order::ByLane, _) => Chain::Lane(slot.lane.clone()),
            (Order::ByKey, Some(key)) => Chain::Key(slot.lane.clone(), key),
            (Order::ByKey | Order::None, _) => Chain::Alone(self.arrivals),
        };
        let waiting = self
            .chains
            .entry(chain.clone())
            .or_insert_with(|| Waiting { runs: false, messages: VecDeque::with_capacity(1) });
        if !waiting.runs && waiting.messages.is_empty() {
            self.ready.push_back(chain);
        }
        waiting.messages.push_back((self.arrivals, slot, message));
    }

    /// The next message that may run.
    pub fn take(&mut self) -> Option<(Running<L>, Slot<L>, T)> {
        let chain = self.ready.pop_front()?;
        let waiting = self.chains.get_mut(&chain)?;
        let (_, slot, message) = waiting.messages.pop_front()?;
        waiting.runs = true;
        Some((Running(chain), slot, message))
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.chains.values().map(|waiting| waiting.messages.len()).sum()
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// That message has ended; its chain may go on.
    pub fn done(&mut self, Running(chain): Running<L>) {
        let Some(waiting) = self.chains.get_mut(&chain) else { return };
        waiting.runs = false;
        if waiting.messages.is_empty() {
            self.chains.remove(&chain);
        } else {
            self.ready.push_back(chain);
        }
    }

    /// Takes out what waits and fits, in order of arrival.
    pub fn remove(&mut self, fits: impl Fn(&Slot<L>) -> bool) -> Vec<(Slot<L>, T)> {
        let mut removed = Vec::new();
        self.chains.retain(|_, waiting| {
            let (out, stay): (VecDeque<_>, VecDeque<_>) =
                waiting.messages.drain(..).partition(|(_, slot, _)| fits(slot));
            removed.extend(out);
            waiting.messages = stay;
            waiting.runs || !waiting.messages.is_empty()
        });
        let chains = &self.chains;
        self.ready.retain(|chain| chains.contains_key(chain));
        removed.sort_unstable_by_key(|(arrival, ..)| *arrival);
        removed.into_iter().map(|(_, slot, message)| (slot, message)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(lane: &'static str, position: i64, key: Option<&str>) -> Slot<&'static str> {
        let slot = Slot::new(lane, position);
        key.map_or(slot, |key| Slot::new(lane, position).with_key(key.as_bytes()))
    }

    /// Takes all that may run now.
    fn take_all(
        queue: &mut Queue<&'static str, ()>,
    ) -> (Vec<Running<&'static str>>, Vec<(&'static str, i64)>) {
        std::iter::from_fn(|| queue.take())
            .map(|(running, slot, ())| (running, (slot.lane, slot.position)))
            .unzip()
    }

    fn fill(order: Order) -> Queue<&'static str, ()> {
        let mut queue = Queue::new(order);
        for (lane, position, key) in [
            ("a", 1, Some("x")),
            ("a", 2, Some("x")),
            ("b", 1, Some("x")),
            ("a", 3, Some("y")),
            ("a", 4, None),
        ] {
            queue.push(slot(lane, position, key), ());
        }
        queue
    }

    #[test]
    fn each_order_holds_back_what_it_must() {
        for (order, first, then) in [
            (Order::None, vec![("a", 1), ("a", 2), ("b", 1), ("a", 3), ("a", 4)], vec![]),
            (Order::ByLane, vec![("a", 1), ("b", 1)], vec![("a", 2)]),
            (Order::ByKey, vec![("a", 1), ("b", 1), ("a", 3), ("a", 4)], vec![("a", 2)]),
        ] {
            let mut queue = fill(order);
            let (running, taken) = take_all(&mut queue);
            assert_eq!(taken, first, "{order:?}");
            running.into_iter().for_each(|running| queue.done(running));
            let (_, taken) = take_all(&mut queue);
            assert_eq!(taken, then, "{order:?}");
        }
    }

    #[test]
    fn nothing_is_kept_of_chains_that_are_empty() {
        for order in [Order::None, Order::ByLane, Order::ByKey] {
            let mut queue = fill(order);
            while queue.has_ready() {
                take_all(&mut queue).0.into_iter().for_each(|running| queue.done(running));
            }
            assert!(queue.chains.is_empty() && queue.ready.is_empty(), "{order:?}");
        }
    }

    #[test]
    fn a_lane_that_is_removed_leaves_the_others_and_what_runs() {
        let mut queue = fill(Order::ByLane);
        let (running, _, ()) = queue.take().expect("a 1");
        let removed: Vec<i64> =
            queue.remove(|slot| slot.lane == "a").into_iter().map(|(slot, ())| slot.position).collect();
        assert_eq!(removed, [2, 3, 4]);
        queue.push(slot("a", 2, None), ());
        assert_eq!(take_all(&mut queue).1, [("b", 1)], "a 1 is at work still");
        queue.done(running);
        assert_eq!(take_all(&mut queue).1, [("a", 2)]);
    }
}
