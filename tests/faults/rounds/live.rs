//! Faults while customers order. The shop gets over them, however it was at work.

use std::time::Duration;

use nix::sys::signal::Signal;
use rand::Rng;
use tokio::time::sleep;

use super::node::{Ended, Node};
use super::plan::{Fault, Plan};
use super::proxy::Weather;
use super::site::Site;
use super::stranger;
use crate::process::send;

/// How often a start is killed.
const STARTS: usize = 2;
/// Within this a start has got somewhere, in milliseconds.
const START_MS: u64 = 400;

/// Returns when the shop serves again.
///
/// # Errors
/// When something does not start again.
pub async fn strike(fault: Fault, site: &mut Site, plan: &mut Plan) -> Result<(), Ended> {
    match fault {
        Fault::KillEngine => site.engine(&mut plan.random).kill(),
        Fault::KillIngress => site.ingress().kill(),
        Fault::KillServer => kill_server(site),
        Fault::KillEverything => site.kill(),
        Fault::KillStart => kill_starts(site, plan).await,
        Fault::Restart => {
            site.ingress().terminate().await;
        }
        Fault::PauseEngine => pause(site.engine(&mut plan.random).pid(), plan).await,
        Fault::PauseIngress => pause(site.ingress().pid(), plan).await,
        Fault::PauseServer => pause(site.server_pid(), plan).await,
        Fault::ServerGone => {
            kill_server(site);
            sleep(plan.outage()).await;
        }
        Fault::LongOutage => {
            kill_server(site);
            sleep(plan.long_outage()).await;
        }
        Fault::Stranger => drop(stranger::publish(&site.server_url()).await),
        Fault::KillInOutage => {
            kill_server(site);
            let engine = site.engine(&mut plan.random);
            engine.kill();
            engine.spawn();
            sleep(plan.outage()).await;
        }
        Fault::LoseReplies => weather(Weather::LosingReplies, site, plan).await,
        Fault::SlowNetwork => {
            let delay = Duration::from_millis(plan.random.random_range(5..60));
            weather(Weather::Slow(delay), site, plan).await;
        }
        Fault::CutNetwork => weather(Weather::Cut, site, plan).await,
        Fault::SecondEngine => second_engine(site, plan).await?,
        Fault::FullServer | Fault::FullState => full_disk(fault, site, plan).await,
        other => panic!("{} does not strike under load", other.name()),
    }
    site.start().await
}

fn kill_server(site: &mut Site) {
    match &mut site.server {
        Some(server) => server.kill(),
        // The shop starts it again.
        None => site.server_pid().into_iter().for_each(|pid| send(pid, Signal::SIGKILL)),
    }
}

/// Stopped, as a machine is that stands still.
async fn pause(pid: Option<u32>, plan: &mut Plan) {
    let pid = pid.expect("it runs");
    send(pid, Signal::SIGSTOP);
    sleep(plan.outage()).await;
    send(pid, Signal::SIGCONT);
}

async fn weather(weather: Weather, site: &Site, plan: &mut Plan) {
    let proxy = site.proxy.as_ref().expect("there is a network");
    proxy.set(weather);
    sleep(plan.outage()).await;
    proxy.set(Weather::Fair);
}

async fn kill_starts(site: &mut Site, plan: &mut Plan) {
    let index = plan.random.random_range(0..site.engines());
    let node = &mut site.nodes[index];
    node.kill();
    for _ in 0..STARTS {
        node.spawn();
        sleep(Duration::from_millis(plan.random.random_range(0..START_MS))).await;
        assert!(node.ended().is_none_or(|ended| panic!("{ended:?}")));
        node.kill();
    }
}

/// It waits while the first one lives, whose folder is taken the next time.
async fn second_engine(site: &mut Site, plan: &mut Plan) -> Result<(), Ended> {
    let log = plan.random.random_range(0..site.engines());
    let name = format!("engine-{log}");
    let name = if site.nodes[log].name == name { format!("{name}-second") } else { name };
    let mut second = site.engine_of(log as u32, &name);
    second.spawn();
    sleep(plan.moment()).await;
    second.ended().map_or(Ok(()), Err)?;
    assert!(!second.is_serving(), "two engines serve log {log}");
    let stands_still = plan.random.random();
    let first = &mut site.nodes[log];
    if stands_still {
        first.signal(Signal::SIGSTOP);
        Node::serving(&mut [&mut second]).await?;
        first.signal(Signal::SIGCONT);
        first.end().await;
    } else {
        first.kill();
        Node::serving(&mut [&mut second]).await?;
    }
    *first = second;
    Ok(())
}

async fn full_disk(fault: Fault, site: &mut Site, plan: &mut Plan) {
    let disk = site.disk.as_ref().expect("it was given one");
    disk.fill();
    sleep(plan.outage()).await;
    disk.free();
    match fault {
        // Its operator starts it again; a shop does so with its own.
        Fault::FullServer => site.server.iter_mut().for_each(Node::kill),
        // An engine that found no room has ended.
        _ => drop(site.ended()),
    }
}
