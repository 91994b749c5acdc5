//! The processes of a shop, as its layout has them.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use emshop_log::jetstream::User;
use rand::Rng;
use rand::rngs::StdRng;
use tonic::transport::Endpoint;

use super::disk::Disk;
use super::node::{Ended, Node};
use super::plan::{Fault, Layout};
use super::proxy::Proxy;
use crate::process::{children, nats_as, path, wait_until_gone};
use crate::shop::Shop;

/// Below the range of outgoing connections, so that a port stays free while its process is away.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Then a client repeats its command.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

pub struct Site {
    pub layout: Layout,
    /// One that the shop does not start itself.
    pub server: Option<Node>,
    /// Between that and everybody else.
    pub proxy: Option<Proxy>,
    /// The engines by the number of their log, then the ingress if it is apart.
    pub nodes: Vec<Node>,
    /// A small one, which something is stored on. Unmounted when the processes have ended.
    pub disk: Option<Disk>,
    listen: u16,
    folder: PathBuf,
    server_port: u16,
}

impl Site {
    /// Nothing runs yet.
    pub async fn new(layout: Layout, folder: &Path) -> Self {
        let mut site = Self {
            layout,
            server: None,
            proxy: None,
            nodes: Vec::new(),
            disk: None,
            listen: free_port(),
            folder: folder.to_owned(),
            server_port: free_port(),
        };
        if layout.has_network() {
            site.make_server();
            site.proxy = Some(Proxy::to(site.server_port).await);
        }
        site.nodes = site.make_nodes();
        site
    }

    fn make_server(&mut self) {
        let store = self.store();
        fs::create_dir_all(&store).expect("a new folder");
        let config = format!(
            "listen: \"127.0.0.1:{}\"\njetstream {{\n  store_dir: {:?}\n  sync_interval: always\n  max_file_store: 1024TB\n}}\n",
            self.server_port,
            path(&store)
        );
        fs::write(store.join("nats-server.conf"), config).expect("a new file");
        self.server = Some(Node::nats_server(&self.folder, &store));
    }

    fn make_nodes(&self) -> Vec<Node> {
        let (logs, url) = (self.layout.logs(), self.proxy_url());
        match self.layout {
            Layout::One => vec![self.node("all", &[])],
            Layout::Beside => vec![self.node("all", &["--nats", &url])],
            Layout::Apart | Layout::TwoLogs => {
                let engines = (0..logs).map(|log| self.engine_of(log, &format!("engine-{log}")));
                let ingress = self.node("ingress", &["--role", "ingress", "--logs", &logs.to_string(), "--nats", &url]);
                engines.chain([ingress]).collect()
            }
        }
    }

    fn node(&self, name: &str, flags: &[&str]) -> Node {
        let (listen, data) = (format!("127.0.0.1:{}", self.listen), self.root().join(name));
        Node::emshop(name, &self.folder, &[&["--listen", &listen, "--data", path(&data)], flags].concat())
    }

    /// An engine by itself, with a data folder that has its name.
    pub fn engine_of(&self, log: u32, name: &str) -> Node {
        let (logs, own, url) = (self.layout.logs().to_string(), log.to_string(), self.proxy_url());
        self.node(name, &["--role", "engine", "--logs", &logs, "--own", &own, "--nats", &url])
    }

    fn proxy_url(&self) -> String {
        self.proxy.as_ref().map(|proxy| format!("nats://127.0.0.1:{}", proxy.port)).unwrap_or_default()
    }

    /// Gives what such a fault fills a small disk. Nothing was stored yet.
    ///
    /// # Errors
    /// When this user may not mount one.
    pub fn give_disk(&mut self, fault: Fault) -> Result<(), String> {
        let at = if fault == Fault::FullServer { self.store().join("jetstream") } else { self.state(0) };
        self.disk = Some(Disk::mount(&at)?);
        Ok(())
    }

    /// A client, whose connection comes back by itself.
    pub fn shop(&self) -> Shop {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", self.listen)).expect("an address");
        Shop::new(endpoint.timeout(ANSWER_WAIT).connect_lazy())
    }

    /// The way into nats-server for who may do everything there.
    pub fn server_url(&self) -> String {
        match self.layout {
            Layout::One => nats_as(&self.root().join("all"), User::Operator),
            _ => format!("nats://127.0.0.1:{}", self.server_port),
        }
    }

    /// Folder of all that is stored.
    pub fn root(&self) -> PathBuf {
        self.folder.join("shop")
    }

    /// Folder of nats-server.
    pub fn store(&self) -> PathBuf {
        self.root().join(if self.layout.has_network() { "nats" } else { "all/nats" })
    }

    /// Folder of the state of a log.
    pub fn state(&self, log: u32) -> PathBuf {
        self.root().join(&self.nodes[log as usize % self.engines()].name).join("state").join(log.to_string())
    }

    pub fn engines(&self) -> usize {
        self.nodes.len() - usize::from(self.layout.has_ingress_apart())
    }

    pub fn engine(&mut self, random: &mut StdRng) -> &mut Node {
        let index = random.random_range(0..self.engines());
        &mut self.nodes[index]
    }

    pub fn ingress(&mut self) -> &mut Node {
        self.nodes.last_mut().expect("each layout has some")
    }

    /// The process id of nats-server, while there is one.
    pub fn server_pid(&self) -> Option<u32> {
        match &self.server {
            Some(server) => server.pid(),
            None => children(self.nodes[0].pid()?).first().copied(),
        }
    }

    /// Starts whatever does not run; returns when all of it serves.
    ///
    /// # Errors
    /// When something ends instead.
    pub async fn start(&mut self) -> Result<(), Ended> {
        if let Some(server) = &mut self.server {
            if server.pid().is_none() {
                server.spawn();
            }
            Node::serving(&mut [server]).await?;
        }
        self.nodes.iter_mut().filter(|node| node.pid().is_none()).for_each(Node::spawn);
        Node::serving(&mut self.nodes.iter_mut().collect::<Vec<_>>()).await?;
        // One of its own the shop starts again by and by.
        while self.server_pid().is_none() {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// `kill -9` of everything; returns when all of it is gone.
    pub fn kill(&mut self) {
        let server = self.server_pid();
        if let Some(server) = server.filter(|_| self.server.is_none()) {
            crate::process::send(server, nix::sys::signal::Signal::SIGKILL);
        }
        self.nodes.iter_mut().chain(&mut self.server).for_each(Node::kill);
        server.into_iter().for_each(wait_until_gone);
    }

    /// Ends everything in order.
    pub async fn stop(&mut self) {
        for node in self.nodes.iter_mut().rev() {
            let status = node.terminate().await;
            assert!(status.is_some_and(|status| status.success()), "{} ended with {status:?}", node.name);
        }
        if let Some(server) = &mut self.server {
            server.terminate().await;
        }
    }

    /// Whatever ended by itself.
    pub fn ended(&mut self) -> Option<Ended> {
        self.nodes.iter_mut().chain(&mut self.server).find_map(Node::ended)
    }

    pub async fn until_ended(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.ended() {
                return ended;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Not out of the seed: rounds run side by side.
fn free_port() -> u16 {
    loop {
        let port = rand::rng().random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
