//! `emshop serve`: runs a node until someone asks it to stop, or it cannot go on.

use std::future::pending;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use emshop_ingress::{Captcha, Sms, Verification};

use crate::config::{Role, Settings};
use crate::node::Node;
use crate::signals::Signals;

pub async fn run(settings: &Settings) -> Result<ExitCode> {
    if settings.role != Role::Engine {
        warn_of_open_doors(settings);
    }
    serve_while(settings, async |_| pending().await).await?;
    Ok(ExitCode::SUCCESS)
}

fn warn_of_open_doors(settings: &Settings) {
    if !settings.auth.required {
        tracing::warn!("authentication is off: whoever reaches the API may do anything");
    }
    let Verification { sms, captcha } = settings.verification;
    if sms == Sms::Development {
        tracing::warn!("no SMS is sent: the code is always 123456");
    }
    if captcha == Captcha::Development {
        tracing::warn!("captchas keep nobody out: the answer is always 12345");
    }
}

/// Runs a node while `work` goes on, and stops it in order afterwards, or when a signal says so.
///
/// # Errors
/// That of the work, or the reason why the node did not start or go on.
pub async fn serve_while(settings: &Settings, work: impl AsyncFnOnce(Option<SocketAddr>) -> Result<()>) -> Result<()> {
    let mut signals = Signals::listen()?;
    let node = tokio::select! {
        started = Node::start(settings) => started?,
        () = signals.next() => return Ok(()),
    };
    let ended = tokio::select! {
        done = work(node.address()) => done,
        error = node.failed() => Err(error),
        () = signals.next() => Ok(()),
    };
    tracing::info!("stopping");
    signals.unless_repeated(node.stop()).await;
    ended
}
