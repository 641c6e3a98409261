//! [`Numbered`]: things, each once, by number in the order in which they come.

use foldhash::HashMap;
use std::borrow::Borrow;
use std::hash::Hash;

/// See the module.
pub(super) struct Numbered<T> {
    numbers: HashMap<T, u32>,
    /// By number.
    pub all: Vec<T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { numbers: HashMap::default(), all: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    /// The number of a thing, which is the next one where it is new.
    pub fn number<Q: ?Sized + Eq + Hash + ToOwned<Owned = T>>(&mut self, of: &Q) -> u32
    where
        T: Borrow<Q>,
    {
        if let Some(number) = self.numbers.get(of) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.all.push(of.to_owned());
        self.numbers.insert(of.to_owned(), number);
        number
    }
}
