//! The network between a shop and its nats-server: it loses what TCP may lose.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const CHUNK: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Each piece takes so long, either way.
    Slow(Duration),
    /// Nothing that the server says arrives; at the end the connections that this happened to are cut.
    LosingReplies,
    /// Connections are cut, and new ones too.
    Cut,
}

/// Forwards the connections of a port of its own.
pub struct Proxy {
    pub port: u16,
    weather: watch::Sender<Weather>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (weather, seen) = watch::channel(Weather::Fair);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, target, seen.clone()));
            }
        });
        Self { port, weather, accepting }
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(client: TcpStream, target: u16, weather: watch::Receiver<Weather>) {
    if *weather.borrow() == Weather::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pump(from_client, to_server, weather.clone(), false) => {}
        () = pump(from_server, to_client, weather.clone(), true) => {}
        () = is_cut(weather) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, weather: watch::Receiver<Weather>, replies: bool) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let now = *weather.borrow();
        match now {
            Weather::LosingReplies if replies => continue,
            Weather::Slow(delay) => sleep(delay).await,
            _ => {}
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}

/// Resolves when a connection of now must not go on.
async fn is_cut(mut weather: watch::Receiver<Weather>) {
    loop {
        let before = *weather.borrow_and_update();
        let ended = weather.changed().await.is_err();
        if ended || before == Weather::LosingReplies || *weather.borrow() == Weather::Cut {
            return;
        }
    }
}
