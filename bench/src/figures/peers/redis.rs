//! Redis of the distribution, with one script for orders.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use emshop_proto::v1::SubmitOrderRequest;
use redis::aio::MultiplexedConnection;
use redis::{Client, Script, pipe};
use tempfile::TempDir;

use super::{Caller, Found, Loaded, Peer, Plan, STOCK, load, runtime};
use crate::machine::said_by;
use crate::results::{Run, Subject};
use crate::settings::Settings;

const SCRIPT: &str = include_str!("../../../peers/shop.lua");
const CALLERS_OF_BATCHES: usize = 4;
const CALLERS_OF_CALLS: usize = 64;
const SETTINGS: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
const START_ATTEMPTS: usize = 100;
const START_PAUSE: Duration = Duration::from_millis(50);

pub struct Redis {
    version: String,
}

impl Redis {
    pub fn find() -> Result<Self> {
        let version = said_by("redis-server", &["--version"]);
        ensure!(!version.is_empty(), "there is no redis-server: `PEERS=1 scripts/tools` installs it");
        Ok(Self { version })
    }
}

impl Peer for Redis {
    fn subject(&self) -> Subject {
        let setup = "bench/peers/shop.lua; appendonly yes, appendfsync always".to_owned();
        Subject { name: "Redis 7".to_owned(), version: self.version.clone(), setup: Some(setup) }
    }

    fn measure(&mut self, settings: &Settings, figure: &'static str, round: u32) -> Result<Run> {
        let plan = Plan::new(settings, figure, CALLERS_OF_BATCHES, CALLERS_OF_CALLS);
        let server = Server::start(&settings.scratch)?;
        let (loaded, found) = runtime()?.block_on(drive(plan, &server))?;
        loaded.into_run(&found, self.subject().name, figure, round)
    }
}

async fn drive(plan: Plan, server: &Server) -> Result<(Loaded, Found)> {
    let mut admin = server.connect().await?;
    let mut setup = pipe();
    for (id, price) in plan.goods() {
        setup.hset_multiple(key(id), &[("price", price), ("available", STOCK as i64), ("reserved", 0)]).ignore();
    }
    setup.exec_async(&mut admin).await?;
    let mut callers = Vec::new();
    for _ in 0..plan.callers {
        callers.push(Connection { connection: server.connect().await?, script: Script::new(SCRIPT) });
    }
    let loaded = load(plan, callers, server.process.id()).await?;
    let mut reserved = pipe();
    for (id, _) in plan.goods() {
        reserved.hget(key(id), "reserved");
    }
    let reserved: Vec<u64> = reserved.query_async(&mut admin).await?;
    let keys: u64 = redis::cmd("DBSIZE").query_async(&mut admin).await?;
    // An order's lines are fields of it, and its payment is a key of its own.
    let orders = (keys - plan.goods().count() as u64) / 2;
    Ok((loaded, Found { orders, lines: 2 * orders, payments: orders, reserved: reserved.into_iter().sum() }))
}

fn key(goods_id: u64) -> String {
    format!("goods:{goods_id}")
}

struct Connection {
    connection: MultiplexedConnection,
    script: Script,
}

impl Caller for Connection {
    async fn submit(&mut self, orders: &[SubmitOrderRequest]) -> Result<usize> {
        let mut call = self.script.prepare_invoke();
        for order in orders {
            let receiver = order.receiver.as_ref().context("orders have a receiver")?;
            call.arg(&order.order_id).arg(order.user_id).arg(&order.address).arg(&receiver.name).arg(&receiver.phone);
            call.arg(order.payment_method);
            for line in &order.lines {
                call.arg(line.goods_id).arg(line.quantity);
            }
        }
        Ok(call.invoke_async(&mut self.connection).await?)
    }
}

/// A server of its own, in a folder of its own, gone at the end.
struct Server {
    process: Child,
    client: Client,
    _folder: TempDir,
}

impl Server {
    fn start(scratch: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let folder = TempDir::new_in(scratch)?;
        let process = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--dir"])
            .arg(folder.path())
            .args(SETTINGS)
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { process, client: Client::open(format!("redis://127.0.0.1:{port}"))?, _folder: folder })
    }

    async fn connect(&self) -> Result<MultiplexedConnection> {
        for _ in 1..START_ATTEMPTS {
            if let Ok(connection) = self.client.get_multiplexed_async_connection().await {
                return Ok(connection);
            }
            tokio::time::sleep(START_PAUSE).await;
        }
        self.client.get_multiplexed_async_connection().await.context("redis-server does not answer")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
