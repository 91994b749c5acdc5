//! Keeps the lease of a log while its engine runs.

use std::sync::mpsc::Sender;
use std::time::Duration;

use emshop_log::jetstream::{Lease, Renewal};
use emshop_log::lease::RENEW_INTERVAL;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::Clock;
use super::intake::Message;
use crate::shell::Input;

const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Renews the lease until the engine has ended or another one has its log.
pub async fn keep(mut lease: Lease, clock: Clock, inbox: Sender<Message>, mut ended: oneshot::Receiver<()>) {
    loop {
        let asked_at = clock.now().elapsed;
        let (input, wait) = match lease.renew().await {
            Ok(Renewal::Held) => (Some(Input::Renewed { asked_at }), RENEW_INTERVAL),
            Ok(Renewal::Lost(holder)) => {
                let by = holder.map_or_else(|| "nobody that is known".to_owned(), |holder| holder.to_string());
                let _ = inbox.send(Message::Input(Input::Relieved { by }));
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "the lease of the log is not renewed");
                (None, RETRY_INTERVAL)
            }
        };
        // Nobody to tell: the engine has ended by itself.
        if input.is_some_and(|input| inbox.send(Message::Input(input)).is_err()) {
            break;
        }
        tokio::select! {
            () = sleep(wait) => {}
            _ = &mut ended => break,
        }
    }
    lease.release().await;
}
