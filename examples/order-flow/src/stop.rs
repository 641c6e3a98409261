//! When to stop: Ctrl-C, or the end of standard input where a player holds it.

use std::io::Read;
use tokio::sync::watch;

/// Says when it is time to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Watches from now on. A supervised service ends with its player, however that ends.
    pub fn watch(supervised: bool) -> Self {
        let (tell, told) = watch::channel(false);
        if supervised {
            let tell = tell.clone();
            // A thread: reading standard input cannot be cancelled, and must not hold up the runtime's end.
            std::thread::spawn(move || {
                let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
                tell.send_replace(true);
            });
        }
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                tell.send_replace(true);
            }
            tell.closed().await;
        });
        Self(told)
    }

    /// Waits until it is time.
    pub async fn requested(&mut self) {
        // An error says that nobody is left who could tell: time to stop as well.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
