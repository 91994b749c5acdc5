//! `emshop serve`: runs a node until someone asks it to stop, or it cannot go on.

use std::future::pending;
use std::net::SocketAddr;

use anyhow::Result;
use emshop_telemetry::Registry;
use tokio::task::spawn_blocking;

use crate::admin::{Admin, Hot, Readiness};
use crate::config::{Role, Settings, Sources, Verification};
use crate::discovery::Discovery;
use crate::exit::ExitCode;
use crate::node::Node;
use crate::signals::Signals;
use crate::telemetry;

pub async fn run(settings: &Settings, sources: &Sources) -> Result<ExitCode> {
    if settings.role != Role::Engine {
        warn_of_open_doors(settings);
    }
    serve_while(settings, sources, async |_| pending().await).await?;
    Ok(ExitCode::SUCCESS)
}

fn warn_of_open_doors(settings: &Settings) {
    if !settings.auth.required {
        tracing::warn!("authentication is off: whoever reaches the API may do anything");
    }
    if settings.tls.cert.is_none() && !settings.listen.ip().is_loopback() {
        tracing::warn!(listen = %settings.listen, "INSECURE: there is no TLS, so whoever is on the way to a client can read passwords and tokens, and use them");
    }
    let Verification { sms, captcha, .. } = &settings.verification;
    if !settings.dev && (sms.is_none() || captcha.is_none()) {
        tracing::info!("nobody can register, or log in by SMS: verification.sms or verification.captcha is not set");
    }
    match &settings.open_doors()[..] {
        [] => {}
        open => tracing::warn!("for development: {}", open.join(", and ")),
    }
}

/// Runs a node while `work` goes on, and stops it in order afterwards, or when a signal says so.
///
/// # Errors
/// That of the work, or the reason why the node did not start or go on.
pub async fn serve_while(
    settings: &Settings,
    sources: &Sources,
    work: impl AsyncFnOnce(Option<SocketAddr>) -> Result<()>,
) -> Result<()> {
    let mut signals = Signals::listen()?;
    let discovery = Discovery::new(settings)?;
    let (registry, readiness, hot) = (Registry::of_process(), Readiness::new(), Hot::new());
    let traces = telemetry::traces(&settings.telemetry, &registry)?;
    // Before all that may wait, for a log or for a disk, and dropped after it.
    let _admin = Admin::start(settings, registry.clone(), readiness.clone(), hot.clone()).await?;
    let node = tokio::select! {
        started = Node::start(settings, sources, &registry, &readiness, &traces) => started?,
        () = signals.next() => {
            tracing::info!("stopped before it served");
            return Ok(());
        }
    };
    readiness.follow(node.readiness());
    hot.follow(node.hot());
    let announced = discovery.zip(node.address()).map(|(discovery, address)| discovery.announce(address));
    let ended = tokio::select! {
        done = work(node.address()) => done,
        error = node.failed() => Err(error),
        () = signals.next() => Ok(()),
    };
    tracing::info!(event = "process.stopping", "stopping");
    readiness.refuse("it is about to stop");
    let stop = async {
        // While those who are connected are served: who looks for a server now finds another one.
        if let Some(announced) = announced {
            announced.leave().await;
        }
        node.stop().await;
        // It waits for a thread of its own.
        let _ = spawn_blocking(move || traces.stop()).await;
    };
    signals.unless_repeated(stop).await;
    tracing::info!(event = "process.stopped", "stopped");
    ended
}
