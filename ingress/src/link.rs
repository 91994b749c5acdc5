//! Whether NATS can be reached.

use std::time::Duration;

use async_nats::connection::State;
use tokio::sync::watch;

/// How often the connection is looked at: a client hears of an outage after about this long.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// True while NATS can be reached.
pub type Link = watch::Receiver<bool>;

pub fn is_up(core: &async_nats::Client) -> bool {
    core.connection_state() == State::Connected
}

/// Keeps `link` true to the connection until nobody looks at it any more.
pub async fn watch(core: async_nats::Client, link: watch::Sender<bool>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    while !link.is_closed() {
        looks.tick().await;
        let up = is_up(&core);
        let changed = link.send_if_modified(|known| std::mem::replace(known, up) != up);
        if changed {
            tracing::info!(up, "the connection to NATS changed");
        }
    }
}
