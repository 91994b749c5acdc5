//! The connections to nats-server and the news of their loss.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerError};
use emshop_telemetry::Registry;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::metrics::LinkMetrics;
use super::{Access, Pulse, User};
use crate::LogError;

/// How long to wait for a server that is still starting.
const OPEN_WAIT: Duration = Duration::from_secs(10);
const OPEN_RETRY: Duration = Duration::from_millis(100);
/// How long the server may take for an answer.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// The client waits a little longer than [`Link::ask`], which knows more of why there is no answer.
const CLIENT_WAIT: Duration = Duration::from_millis(5_250);
/// How the server begins what it says of a request that it does not permit.
const VIOLATION: &str = "Permissions Violation";
/// Two unanswered pings end a connection.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// Short, because every command waits while the server is away.
const RECONNECT_DELAY_MAX: Duration = Duration::from_millis(250);
/// Messages a subscription holds until they are taken. More than fit into the 32 MiB that the server sends ahead of flow control.
const SUBSCRIPTION_CAPACITY: usize = 256 * 1024;

/// True while the server can be reached. It changes with each loss of the connection, also one that is over already.
pub type Reachable = watch::Receiver<bool>;

/// One process's connections to a server. Cheap to clone.
///
/// Each is served by a task of its own, so that what is written, what is read and core messages do not wait for each other.
#[derive(Clone)]
pub struct Connection {
    pub(super) publish: Link,
    pub(super) read: Link,
    pub(super) core: Link,
    /// Whom it has logged in as.
    pub(super) user: User,
    pulse: Pulse,
    registry: Registry,
    /// The server is about to be stopped.
    ending: Arc<AtomicBool>,
}

impl Connection {
    /// Connects to a server, waiting a few seconds for one that is still starting. Later losses of the connection heal by themselves.
    ///
    /// # Errors
    /// [`LogError::Unreachable`].
    pub async fn open(access: &Access) -> Result<Self, LogError> {
        Self::open_measured(access, &Registry::new()).await
    }

    /// As [`Connection::open`]. The registry learns of it, of the logs that are opened by it, and of all else that works with it.
    ///
    /// # Errors
    /// [`LogError::Unreachable`].
    pub async fn open_measured(access: &Access, registry: &Registry) -> Result<Self, LogError> {
        Self::open_with(access, registry, None).await
    }

    /// As [`Connection::open`], but a loss ends it: for who opens another one then, since the way in may have changed by that time.
    ///
    /// # Errors
    /// [`LogError::Unreachable`].
    pub async fn open_until_lost(access: &Access) -> Result<Self, LogError> {
        Self::open_with(access, &Registry::new(), Some(1)).await
    }

    async fn open_with(access: &Access, registry: &Registry, attempts_max: Option<usize>) -> Result<Self, LogError> {
        let ending = Arc::new(AtomicBool::new(false));
        let publish = Link::open(access, "publish", &ending, registry, attempts_max).await?;
        let read = Link::open(access, "read", &ending, registry, attempts_max).await?;
        let core = Link::open(access, "core", &ending, registry, attempts_max).await?;
        if access.is_open_to_others() && !core.client.server_info().auth_required {
            tracing::warn!(
                nats = %access,
                "the nats-server asks nobody for a login: whoever reaches it reads what the shop has, and can delete it. \
                 docs/OPERATIONS.md has a configuration with users"
            );
        }
        Ok(Self { publish, read, core, user: access.user(), pulse: Pulse::default(), registry: registry.clone(), ending })
    }

    /// For appends to streams.
    pub fn publish(&self) -> &Client {
        &self.publish.client
    }

    /// For reading streams.
    pub fn read(&self) -> &Client {
        &self.read.client
    }

    /// For messages that are not kept: outcomes and queries.
    pub fn core(&self) -> &Client {
        &self.core.client
    }

    /// What comes of all appends that go this way.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Where that is measured which works with it.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// From now on a loss of the connection is what was asked for, and no news.
    pub fn expect_end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether messages by [`Connection::core`] get through.
    pub fn reachable(&self) -> Reachable {
        self.core.reachable.clone()
    }
}

/// A client that tells when its connection was lost.
#[derive(Clone)]
pub(super) struct Link {
    pub client: Client,
    pub jetstream: jetstream::Context,
    reachable: Reachable,
    refused: Refused,
}

impl Link {
    async fn open(
        access: &Access,
        purpose: &'static str,
        ending: &Arc<AtomicBool>,
        registry: &Registry,
        attempts_max: Option<usize>,
    ) -> Result<Self, LogError> {
        let deadline = Instant::now() + OPEN_WAIT;
        loop {
            let metrics = LinkMetrics::new(registry, purpose);
            let options = access.options()?.max_reconnects(attempts_max);
            match Self::try_open(options, access, purpose, Arc::clone(ending), metrics).await {
                Ok(link) => return Ok(link),
                Err(error) if is_final(&error) || Instant::now() > deadline => {
                    return Err(LogError::Unreachable(format!("no connection to nats-server at {access}: {error}")));
                }
                Err(_) => sleep(OPEN_RETRY).await,
            }
        }
    }

    async fn try_open(
        options: ConnectOptions,
        access: &Access,
        purpose: &'static str,
        ending: Arc<AtomicBool>,
        metrics: LinkMetrics,
    ) -> Result<Self, ConnectError> {
        let (state, mut reachable) = watch::channel(false);
        let refused = Refused::default();
        let noted = refused.clone();
        let client = options
            .name(format!("emshop {purpose}"))
            .ping_interval(PING_INTERVAL)
            .request_timeout(Some(CLIENT_WAIT))
            .reconnect_delay_callback(|attempts| RECONNECT_DELAY_MAX.min(Duration::from_millis(20) * attempts as u32))
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .event_callback(move |event| {
                if !ending.load(Ordering::Relaxed) {
                    report(purpose, &event);
                }
                metrics.note(&event);
                note(&event, &state);
                noted.note(&event);
                async {}
            })
            .connect(access.address().clone())
            .await?;
        // The client is connected, and the event that says so is on its way.
        let _ = reachable.wait_for(|up| *up).await;
        let jetstream = ContextBuilder::new().timeout(CLIENT_WAIT).build(client.clone());
        Ok(Self { client, jetstream, reachable, refused })
    }

    /// Waits for the connection. The receiver changes with its next loss.
    pub async fn connected(&self) -> Reachable {
        let mut reachable = self.reachable.clone();
        // An error means that the client has ended, which whoever uses it will notice.
        let _ = reachable.wait_for(|up| *up).await;
        reachable
    }

    /// Does `work` once there is a connection. An answer that is lost with the connection, or late, is [`NoAnswer`].
    ///
    /// Without this, the client waits out the whole time for an answer that cannot come any more, and sends a request that was made
    /// while it was disconnected even minutes later.
    pub async fn ask<T>(&self, work: impl Future<Output = T>) -> Result<T, NoAnswer> {
        let began = Instant::now();
        let asked = async {
            let mut reachable = self.connected().await;
            tokio::select! {
                biased;
                result = work => Ok(result),
                _ = reachable.changed() => Err(NoAnswer::ConnectionLost),
            }
        };
        // The server answers no request that it does not permit.
        let late = || self.refused.since(began).map_or(NoAnswer::Late, NoAnswer::Refused);
        timeout(ANSWER_WAIT, asked).await.unwrap_or_else(|_| Err(late()))
    }
}

/// What the server did not permit last, and when. Clones share it.
#[derive(Clone, Default)]
struct Refused(Arc<Mutex<Option<(Instant, String)>>>);

impl Refused {
    fn note(&self, event: &Event) {
        if let Event::ServerError(ServerError::Other(error)) = event
            && error.starts_with(VIOLATION)
        {
            *self.last() = Some((Instant::now(), error.clone()));
        }
    }

    fn since(&self, began: Instant) -> Option<String> {
        self.last().clone().filter(|(at, _)| *at >= began).map(|(_, error)| error)
    }

    fn last(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("the connection to nats-server was lost")]
    ConnectionLost,
    #[error("nats-server did not answer within {} s", ANSWER_WAIT.as_secs())]
    Late,
    #[error("nats-server refused: {0}. docs/OPERATIONS.md has a configuration with what each of its users may do")]
    Refused(String),
}

impl From<NoAnswer> for LogError {
    fn from(no_answer: NoAnswer) -> Self {
        LogError::Unreachable(no_answer.to_string())
    }
}

/// Whether trying again is of no use.
fn is_final(error: &ConnectError) -> bool {
    use ConnectErrorKind::{Authentication, AuthorizationViolation, ServerParse, Tls};
    matches!(error.kind(), Authentication | AuthorizationViolation | ServerParse | Tls)
}

/// A loss that was not told, because the client drops events that come too fast, shows by the connection that follows it.
fn note(event: &Event, state: &watch::Sender<bool>) {
    match event {
        Event::Connected => {
            state.send_if_modified(|up| std::mem::replace(up, false));
            state.send_replace(true);
        }
        Event::Disconnected => {
            state.send_replace(false);
        }
        _ => {}
    }
}

fn report(purpose: &str, event: &Event) {
    match event {
        Event::Connected => tracing::debug!(purpose, "connected to nats-server"),
        // Nobody uses it any more: only that ends it.
        Event::Closed => tracing::debug!(purpose, "left nats-server"),
        Event::Disconnected => tracing::warn!(event = "nats.lost", purpose, "lost the connection to nats-server, reconnecting"),
        other => tracing::warn!(purpose, "nats-server connection: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_is_a_change() {
        let (state, mut reachable) = watch::channel(false);
        for (event, up) in [(Event::Connected, true), (Event::LameDuckMode, true), (Event::Disconnected, false)] {
            note(&event, &state);
            assert_eq!(*reachable.borrow_and_update(), up, "{event}");
        }
        note(&Event::Connected, &state);
        reachable.mark_unchanged();
        note(&Event::Connected, &state);
        assert!(reachable.has_changed().expect("it is watched"), "a loss that nobody told");
        assert!(*reachable.borrow());
    }
}
