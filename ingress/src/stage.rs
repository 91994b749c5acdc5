//! How far the ingress is on its way out.

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    Serving,
    /// What comes is served, but others should take it: health says so.
    Leaving,
    /// Nothing more is taken.
    Stopping,
}

/// Returns when the ingress stops.
pub async fn stopped(stage: &mut watch::Receiver<Stage>) {
    // An error means that the ingress was dropped.
    let _ = stage.wait_for(|stage| *stage == Stage::Stopping).await;
}
