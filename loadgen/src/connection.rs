//! HTTP/2 connections to the server.

use std::time::Duration;

use anyhow::Context;
use tonic::transport::{Channel, Endpoint};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Flow-control windows: enough that outcomes never wait for the generator.
const WINDOW_BYTES: u32 = 4 << 20;

/// Where the server is, and how to connect to it.
#[derive(Clone, Debug)]
pub struct Server {
    endpoint: Endpoint,
    timeout: Duration,
}

impl Server {
    /// `timeout` bounds each unary call.
    ///
    /// # Errors
    /// When `target` is not a URL.
    pub fn new(target: &str, timeout: Duration) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(target.to_owned())
            .with_context(|| format!("{target} is not a URL"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        Ok(Self { endpoint, timeout })
    }

    /// A connection whose calls time out.
    pub async fn connect(&self) -> anyhow::Result<Channel> {
        open(&self.endpoint.clone().timeout(self.timeout)).await
    }

    /// A connection whose calls may last as long as the run.
    pub async fn connect_for_streams(&self) -> anyhow::Result<Channel> {
        open(&self.endpoint).await
    }
}

async fn open(endpoint: &Endpoint) -> anyhow::Result<Channel> {
    endpoint.connect().await.with_context(|| format!("cannot connect to {}", endpoint.uri()))
}
