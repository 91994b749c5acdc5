//! Prints what happens in the shop: `cargo run --release --example events -- printer.json`, with what
//! `emshop consumer-credentials --name printer > printer.json` has printed.

use std::fs::File;

use anyhow::{Context, Result, anyhow};
use async_nats::ConnectOptions;
use async_nats::jetstream::{self, consumer::PullConsumer};
use emshop_proto::continuity::Continuity;
use emshop_proto::subjects::EVENT_STREAMS;
use emshop_proto::v1::EventBatch;
use futures::StreamExt;
use futures::stream::select_all;
use prost::Message;
use serde::Deserialize;

#[derive(Deserialize)]
struct Credentials {
    url: String,
    /// Of a NATS server of one's own: whoever has set it up adds them, unless it asks for no login.
    user: Option<String>,
    password: Option<String>,
    jetstream_api_prefix: String,
    consumer: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let file = std::env::args().nth(1).context("name the file with the credentials")?;
    let credentials: Credentials = serde_json::from_reader(File::open(file)?)?;
    let options = match credentials.user.zip(credentials.password) {
        Some((user, password)) => ConnectOptions::with_user_and_password(user, password),
        None => ConnectOptions::new(),
    };
    let client = options.connect(credentials.url).await?;
    let jetstream = jetstream::with_prefix(client, &credentials.jetstream_api_prefix);
    let mut streams = Vec::new();
    for name in EVENT_STREAMS {
        let consumer: PullConsumer = jetstream.get_consumer_from_stream(&credentials.consumer, name).await?;
        streams.push(consumer.messages().await?);
    }
    let mut messages = select_all(streams);
    // Who keeps what it makes of the events keeps these numbers with it.
    let mut continuity = Continuity::default();
    while let Some(message) = messages.next().await {
        let message = message?;
        let batch = EventBatch::decode(message.payload.clone())?;
        let (log, what) = (batch.log, batch.r#type.clone());
        for event in continuity.take(batch).map_err(|missed| anyhow!("{what} of log {log}: {missed:?}"))? {
            println!("log {log} number {} {what} {:?}", event.number, event.body);
        }
        // The next one comes when this one is done with.
        message.ack().await.map_err(|error| anyhow!(error))?;
    }
    Ok(())
}
