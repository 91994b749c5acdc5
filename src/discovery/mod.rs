//! Tells Consul where the services of the API are, for as long as they are served. Whatever its agent does, emshop starts, serves and stops:
//! the agent is told again and again until it knows, and asked whether it still does, since one that was started anew has forgotten.
//!
//! Reading order: [`agent`] (what is said to it), then what is said when.

mod agent;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use emshop_proto::access::METHODS;
use futures::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::agent::{Agent, Registration};
use crate::config::{Reached, Settings, Unacceptable};
use crate::secret;

/// How often the agent is asked whether it knows all of them.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How soon one that does not answer is tried again at first; then after twice the time, and so on,
const RETRY_MIN: Duration = Duration::from_secs(1);
/// up to this.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How long a stop waits for the agent to know of it.
const LEAVE_WAIT: Duration = Duration::from_secs(2);

/// What becomes known in Consul once this process serves.
pub struct Discovery {
    agent: Agent,
    prefix: String,
    address: Option<Reached>,
    token_file: Option<PathBuf>,
    has_tls: bool,
}

impl Discovery {
    /// `None` when nobody is to be told.
    ///
    /// # Errors
    /// [`Unacceptable`], when the agent could not be told by these settings.
    pub fn new(settings: &Settings) -> Result<Option<Self>> {
        let consul = &settings.discovery.consul;
        let Some(url) = &consul.url else { return Ok(None) };
        let discovery = Self {
            agent: Agent::new(url.in_clear(), url.to_string()).context("discovery.consul.url").context(Unacceptable)?,
            prefix: consul.prefix.clone(),
            address: consul.address.clone(),
            token_file: consul.token_file.clone(),
            has_tls: settings.tls.cert.is_some(),
        };
        discovery.token().context(Unacceptable)?;
        Ok(Some(discovery))
    }

    /// The file may get another token at any time.
    fn token(&self) -> Result<Option<String>> {
        let Some(file) = &self.token_file else { return Ok(None) };
        let token = secret::read(file).context("discovery.consul.token_file")?;
        let token = String::from_utf8(token).context("discovery.consul.token_file: it is no text")?;
        Ok(Some(token.trim().to_owned()))
    }

    /// Begins to tell the agent, in the background, of the services that are served here.
    pub fn announce(self, listen: SocketAddr) -> Announced {
        let reached = match &self.address {
            Some(Reached { host, port }) => Reached { host: host.clone(), port: Some(port.unwrap_or(listen.port())) },
            None => listen.into(),
        };
        let registrations: Vec<_> =
            services().into_iter().map(|service| Registration::new(&self.prefix, service, &reached, self.has_tls)).collect();
        let (stop, stopped) = watch::channel(false);
        Announced { stop, keeping: tokio::spawn(keep(self, registrations, stopped)) }
    }
}

/// The full names of the services of the API, as health knows them.
fn services() -> BTreeSet<&'static str> {
    METHODS.iter().filter_map(|method| method.path.trim_start_matches('/').split('/').next()).collect()
}

/// What Consul is told of, until this is told to leave.
pub struct Announced {
    stop: watch::Sender<bool>,
    keeping: JoinHandle<()>,
}

impl Announced {
    /// Has the agent forget the services, so that clients go elsewhere; or gives up soon.
    pub async fn leave(self) {
        self.stop.send_replace(true);
        // It does not end by a panic, and by nothing else.
        let _ = self.keeping.await;
    }
}

/// What was said last of the agent: it is said once.
#[derive(Default)]
struct Told {
    failure: Option<String>,
}

impl Told {
    fn knows(&mut self, agent: &Agent, told: usize) {
        if told > 0 {
            tracing::info!(services = told, %agent, "the services are registered with Consul");
        } else if self.failure.is_some() {
            tracing::info!(%agent, "Consul's agent answers again, and knows the services");
        }
        self.failure = None;
    }

    fn failed(&mut self, agent: &Agent, error: &anyhow::Error) {
        // Not with all that led to it, which differs from try to try.
        let failure = error.to_string();
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!(%agent, error = format!("{error:#}"), "Consul's agent does not take the services: clients who look there may not find them");
            self.failure = Some(failure);
        }
    }
}

/// Sees to it that the agent knows all services, until it is stopped. Then it sees to the opposite.
async fn keep(discovery: Discovery, registrations: Vec<Registration>, mut stopped: watch::Receiver<bool>) {
    let (agent, mut told, mut retry) = (&discovery.agent, Told::default(), RETRY_MIN);
    // What it knows from an earlier life may say something else.
    let mut known = BTreeSet::new();
    let mut is_first = true;
    loop {
        let synchronised = async {
            let token = discovery.token()?;
            if !is_first {
                known = agent.services(token.as_deref()).await?;
            }
            let mut count = 0;
            for registration in registrations.iter().filter(|registration| !known.contains(registration.id())) {
                // Its answer is awaited, lest it comes after the one that takes it back.
                if *stopped.borrow() {
                    break;
                }
                agent.register(registration, token.as_deref()).await?;
                count += 1;
            }
            Ok(count)
        };
        let pause = match synchronised.await {
            Ok(count) => {
                told.knows(agent, count);
                (is_first, retry) = (false, RETRY_MIN);
                LOOK_AGAIN
            }
            Err(error) => {
                told.failed(agent, &error);
                let pause = retry;
                retry = (retry * 2).min(RETRY_MAX);
                pause
            }
        };
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            () = sleep(pause) => {}
        }
    }
    leave(&discovery, &registrations).await;
}

async fn leave(discovery: &Discovery, registrations: &[Registration]) {
    let agent = &discovery.agent;
    let left = async {
        let token = discovery.token()?;
        let left = registrations.iter().map(|registration| agent.deregister(registration.id(), token.as_deref()));
        join_all(left).await.into_iter().collect::<Result<()>>()
    };
    match timeout(LEAVE_WAIT, left).await {
        Ok(Ok(())) => tracing::info!(%agent, "the services are deregistered from Consul"),
        Ok(Err(error)) => told_of_leaving(agent, &format!("{error:#}")),
        Err(_) => told_of_leaving(agent, "it does not answer"),
    }
}

fn told_of_leaving(agent: &Agent, error: &str) {
    tracing::warn!(%agent, error, "Consul's agent was not told that the services are gone: its checks will find out");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_of_the_api_has_a_name_of_its_own_in_dns() {
        let reached = Reached { host: "::1".to_owned(), port: Some(1) };
        let services = services();
        let names: BTreeSet<_> =
            services.iter().map(|service| Registration::new("emshop", service, &reached, false).name().to_owned()).collect();
        assert_eq!(names.len(), services.len());
        assert!(["emshop-order", "emshop-user-operation", "emshop-tcc"].iter().all(|name| names.contains(*name)), "{names:?}");
    }
}
