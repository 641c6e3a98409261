//! The user's cache folder: software, data, and `state.json`, which says what was started.
//!
//! Never inside the source tree: `cargo clean` and `git clean` would throw 250 MB of downloads away.

use super::{Broker, Node, process};
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// The cache folder; one command at a time works in it.
pub struct Cache {
    folder: PathBuf,
    _lock: File,
}

impl Cache {
    /// Creates the folder if needed and waits until no other command works in it.
    pub fn open() -> Result<Self> {
        let folder = user_cache()?.join("brokers");
        if let Err(error) = fs::create_dir_all(&folder) {
            bail!(
                "cannot create {}: {error}\nhint: set HOPSCOPE_CACHE to a folder that can be written",
                folder.display()
            );
        }
        let folder = folder.canonicalize()?;
        let lock = File::create(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another command that works with the brokers");
                lock.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(Cache { folder, _lock: lock })
    }

    /// Where `broker` lives.
    pub fn node(&self, broker: &Broker) -> Node {
        Node {
            software: self.folder.join(format!("{}-{}", broker.name, broker.version)),
            run: self.folder.join("run").join(broker.name),
            ports: broker.ports.to_vec(),
        }
    }

    /// The file that scripts may read.
    pub fn state_file(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    /// A missing or damaged file is an empty one: the processes themselves carry the truth.
    pub fn load(&self) -> State {
        let text = fs::read(self.state_file()).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Replaces the file at once: a reader sees the old one or the new one.
    pub fn save(&self, state: &State) -> Result<()> {
        let next = self.folder.join("state.json.next");
        fs::write(&next, serde_json::to_string_pretty(state)? + "\n")?;
        fs::rename(next, self.state_file())?;
        Ok(())
    }
}

/// The folder of everything we keep between runs.
pub fn user_cache() -> Result<PathBuf> {
    cache_folder(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn cache_folder(variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf> {
    if let Some(folder) = variable("HOPSCOPE_CACHE") {
        return Ok(std::path::absolute(folder)?);
    }
    let folder = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = folder.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")));
    Ok(folder.context("neither HOME nor HOPSCOPE_CACHE is set\nhint: set HOPSCOPE_CACHE")?.join("hopscope"))
}

/// `state.json`: what was started, for people, scripts and the next call.
#[derive(Default, Serialize, Deserialize)]
pub struct State {
    /// By name.
    pub brokers: BTreeMap<String, Running>,
}

/// One running broker.
#[derive(Clone, Serialize, Deserialize)]
pub struct Running {
    /// Its version.
    pub version: String,
    /// The environment variable that tests read.
    variable: String,
    /// That variable's value.
    pub address: String,
    /// The ports that it got, in the order of [`Broker`]'s.
    pub ports: Vec<u16>,
    /// The processes that were started. Without our mark a process of the same id is somebody else's.
    pids: Vec<i32>,
    /// What its processes print.
    pub log: String,
}

impl Running {
    /// Describes a broker that is ready.
    pub fn new(broker: &Broker, node: &Node) -> Self {
        Running {
            version: broker.version.into(),
            variable: broker.variable.into(),
            address: (broker.address)(&node.ports),
            ports: node.ports.clone(),
            pids: process::roots(&process::marked(&node.run)),
            log: node.log().display().to_string(),
        }
    }

    /// Whether exactly these processes live; if not, the ports are not to be trusted either.
    pub fn lives(&self, node: &Node) -> bool {
        !self.pids.is_empty() && self.pids == process::roots(&process::marked(&node.run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_folder_follows_the_environment_in_order() {
        let check = |set: &[(&str, &str)], expected: &str| {
            let variable =
                |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
            assert_eq!(cache_folder(variable).expect("a folder"), Path::new(expected));
        };
        check(&[("HOPSCOPE_CACHE", "/c"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], "/c");
        check(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], "/x/hopscope");
        check(&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")], "/h/.cache/hopscope");
        assert!(cache_folder(|_| None).is_err_and(|error| error.to_string().contains("hint:")));
    }
}
