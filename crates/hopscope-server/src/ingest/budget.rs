//! [`Budget`]: how much may be under way at once, all receivers together. Nothing waits for room: a full
//! budget refuses, and the sender, who still has the data, comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Shared by all receivers.
#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    requests_max: usize,
    bytes: AtomicUsize,
    requests: AtomicUsize,
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Others have it.
    Now,
    /// This request alone is larger than all the room there is.
    Ever,
}

impl Budget {
    /// An empty one.
    pub fn new(bytes_max: usize, requests_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, requests_max, bytes: AtomicUsize::new(0), requests: AtomicUsize::new(0) })
    }

    /// Room for one request, without bytes yet.
    pub fn request(self: &Arc<Self>) -> Result<Room, Full> {
        take(&self.requests, 1, self.requests_max)?;
        Ok(Room { budget: Arc::clone(self), bytes: 0 })
    }

    /// Bytes under way.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Requests under way.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn take(of: &AtomicUsize, amount: usize, max: usize) -> Result<(), Full> {
    let grow = |now: usize| now.checked_add(amount).filter(|then| *then <= max);
    of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).map(|_| ()).map_err(|_| Full::Now)
}

/// One request's share; given back when dropped.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Room {
    /// Takes that many bytes more.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        if bytes > self.budget.bytes_max.saturating_sub(self.bytes) {
            return Err(Full::Ever);
        }
        take(&self.budget.bytes, bytes, self.budget.bytes_max)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Takes or gives back, so that it is that many bytes.
    pub fn resize(&mut self, bytes: usize) -> Result<(), Full> {
        self.shrink_to(bytes);
        self.grow(bytes - self.bytes)
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let back = self.bytes.saturating_sub(bytes);
        self.budget.bytes.fetch_sub(back, Ordering::Relaxed);
        self.bytes -= back;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shrink_to(0);
        self.budget.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_is_refused_and_everything_comes_back() {
        let budget = Budget::new(10, 2);
        let mut first = budget.request().expect("room");
        let mut second = budget.request().expect("room");
        assert_eq!(budget.request().err(), Some(Full::Now));
        first.grow(6).expect("room");
        assert_eq!(second.grow(5), Err(Full::Now));
        assert_eq!(first.grow(5), Err(Full::Ever));
        assert_eq!(first.grow(usize::MAX), Err(Full::Ever));
        first.shrink_to(2);
        assert_eq!((budget.bytes(), budget.requests()), (2, 2));
        drop((first, second));
        assert_eq!((budget.bytes(), budget.requests()), (0, 0));
    }
}
