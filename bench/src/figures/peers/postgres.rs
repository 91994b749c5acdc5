//! PostgreSQL of the distribution, with one function for orders by sets.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use emshop_proto::v1::SubmitOrderRequest;
use nix::unistd::{User, geteuid};
use tempfile::TempDir;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};

use super::{Caller, Found, Loaded, Peer, Plan, STOCK, load, runtime};
use crate::machine::said_by;
use crate::results::{Run, Subject};
use crate::settings::Settings;

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const SCHEMA: &str = include_str!("../../../peers/shop.sql");
/// Calls for the same goods wait for each other until they are durable, so more connections would only wait.
const CALLERS_OF_BATCHES: usize = 4;
const CALLERS_OF_CALLS: usize = 32;
const SETTINGS: &str = "fsync = on
synchronous_commit = on
shared_buffers = 1GB
max_wal_size = 8GB
max_connections = 100
listen_addresses = '127.0.0.1'
";
const SUBMIT: &str = "SELECT submit_orders($1, $2, $3, $4, $5, $6, $7, $8, $9)";

pub struct Postgres {
    version: String,
}

impl Postgres {
    pub fn find() -> Result<Self> {
        let version = said_by(program("postgres"), &["--version"]);
        ensure!(!version.is_empty(), "there is no PostgreSQL in {PROGRAMS}: `PEERS=1 scripts/tools` installs it");
        Ok(Self { version })
    }
}

impl Peer for Postgres {
    fn subject(&self) -> Subject {
        let setup = format!("bench/peers/shop.sql; {}", SETTINGS.trim().replace('\n', ", "));
        Subject { name: "PostgreSQL 15".to_owned(), version: self.version.clone(), setup: Some(setup) }
    }

    fn measure(&mut self, settings: &Settings, figure: &'static str, round: u32) -> Result<Run> {
        let plan = Plan::new(settings, figure, CALLERS_OF_BATCHES, CALLERS_OF_CALLS);
        let server = Server::start(&settings.scratch)?;
        let (loaded, found) = runtime()?.block_on(drive(plan, &server))?;
        loaded.into_run(&found, self.subject().name, figure, round)
    }
}

async fn drive(plan: Plan, server: &Server) -> Result<(Loaded, Found)> {
    let admin = server.connect().await?;
    admin.batch_execute(SCHEMA).await?;
    let (ids, prices): (Vec<_>, Vec<_>) = plan.goods().map(|(id, price)| (id as i64, price)).unzip();
    let goods = "INSERT INTO goods SELECT *, $3::bigint FROM unnest($1::bigint[], $2::bigint[])";
    admin.execute(goods, &[&ids, &prices, &(STOCK as i64)]).await?;
    admin.batch_execute("VACUUM ANALYZE").await?;
    let mut callers = Vec::new();
    for _ in 0..plan.callers {
        let client = server.connect().await?;
        callers.push(Connection { submit: client.prepare(SUBMIT).await?, client });
    }
    let loaded = load(plan, callers, server.pid()?).await?;
    let count = async |what: &str| -> Result<u64> {
        let row = admin.query_one(&format!("SELECT ({what})::bigint"), &[]).await?;
        Ok(row.get::<_, i64>(0) as u64)
    };
    let found = Found {
        orders: count("SELECT count(*) FROM orders WHERE accepted").await?,
        lines: count("SELECT count(*) FROM order_lines").await?,
        payments: count("SELECT count(*) FROM payments").await?,
        reserved: count("SELECT sum(reserved) FROM goods").await?,
    };
    Ok((loaded, found))
}

struct Connection {
    client: Client,
    submit: Statement,
}

impl Caller for Connection {
    async fn submit(&mut self, orders: &[SubmitOrderRequest]) -> Result<usize> {
        let texts = |text: fn(&SubmitOrderRequest) -> &str| orders.iter().map(text).collect::<Vec<_>>();
        let ids = texts(|order| &order.order_id);
        let addresses = texts(|order| &order.address);
        let receivers = texts(|order| order.receiver.as_ref().map_or("", |receiver| &receiver.name));
        let phones = texts(|order| order.receiver.as_ref().map_or("", |receiver| &receiver.phone));
        let methods: Vec<_> = orders.iter().map(|order| order.payment_method as i16).collect();
        let lines = || orders.iter().flat_map(|order| &order.lines);
        let line_ids: Vec<_> = orders.iter().flat_map(|order| vec![order.order_id.as_str(); order.lines.len()]).collect();
        let goods: Vec<_> = lines().map(|line| line.goods_id as i64).collect();
        let quantities: Vec<_> = lines().map(|line| line.quantity as i64).collect();
        let users: Vec<_> = orders.iter().map(|order| order.user_id as i64).collect();
        let arguments: [&(dyn ToSql + Sync); 9] =
            [&ids, &users, &addresses, &receivers, &phones, &methods, &line_ids, &goods, &quantities];
        let row = self.client.query_one(&self.submit, &arguments).await?;
        Ok(row.get::<_, i64>(0) as usize)
    }
}

/// A cluster of its own, in a folder of its own, gone at the end.
struct Server {
    folder: TempDir,
    port: u16,
}

impl Server {
    fn start(scratch: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Self { folder: TempDir::new_in(scratch)?, port };
        // It does not run as root.
        if geteuid().is_root() {
            let user = User::from_name("postgres")?.context("there is no user postgres")?;
            chown(server.folder.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        server.run("initdb", &["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale"])?;
        let own = format!("{SETTINGS}port = {port}\nunix_socket_directories = '{}'\n", server.data().display());
        let file = server.data().join("postgresql.conf");
        fs::write(&file, fs::read_to_string(&file)? + &own)?;
        let log = server.folder.path().join("log");
        server.run("pg_ctl", &["start", "--wait", "--silent", "--log", &log.to_string_lossy()])?;
        Ok(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Result<()> {
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program(name));
            command
        } else {
            Command::new(program(name))
        };
        // What it prints stays with it: a server that is started here must not keep our pipe.
        let status = command.args(arguments).arg("--pgdata").arg(self.data()).stdout(std::process::Stdio::null()).status()?;
        ensure!(status.success(), "{name} failed: {status}");
        Ok(())
    }

    fn pid(&self) -> Result<u32> {
        let text = fs::read_to_string(self.data().join("postmaster.pid"))?;
        Ok(text.lines().next().context("postmaster.pid is empty")?.parse()?)
    }

    async fn connect(&self) -> Result<Client> {
        let (client, connection) =
            tokio_postgres::connect(&format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port), NoTls).await?;
        // Why it ended is told by the call that was under way.
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.run("pg_ctl", &["stop", "--wait", "--silent", "--mode=immediate"]) {
            eprintln!("PostgreSQL was not stopped: {error:#}");
        }
    }
}

fn program(name: &str) -> PathBuf {
    Path::new(PROGRAMS).join(name)
}
