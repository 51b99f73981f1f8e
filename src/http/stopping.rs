//! The end of the server, for everything that has to end with it.

use tokio::sync::watch;

/// A sign that the server stops. The sender holds true once it does.
#[derive(Debug, Clone)]
pub(super) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    pub(super) fn new(stopping: watch::Receiver<bool>) -> Self {
        Self(stopping)
    }

    /// Completes when the server stops, or if it is gone already.
    pub(super) async fn wait(&self) {
        self.0.clone().wait_for(|stopping| *stopping).await.ok();
    }
}
