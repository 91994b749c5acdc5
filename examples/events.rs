//! Prints what happens in the shop: `cargo run --release --example events -- nats://127.0.0.1:4222`.

use anyhow::{Context, Result, anyhow};
use async_nats::jetstream::{self, consumer::pull::OrderedConfig};
use emshop_proto::continuity::Continuity;
use emshop_proto::subjects::{CATALOGUE_STREAM, EVENT_STREAM};
use emshop_proto::v1::EventBatch;
use futures::StreamExt;
use futures::stream::select_all;
use prost::Message;

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).context("say where NATS is, such as nats://127.0.0.1:4222")?;
    let jetstream = jetstream::new(async_nats::connect(url).await?);
    let mut streams = Vec::new();
    for name in [EVENT_STREAM, CATALOGUE_STREAM] {
        let consumer = jetstream.get_stream(name).await?.create_consumer(OrderedConfig::default()).await?;
        streams.push(consumer.messages().await?);
    }
    let mut messages = select_all(streams);
    let mut continuity = Continuity::default();
    while let Some(message) = messages.next().await {
        let batch = EventBatch::decode(message?.payload.clone())?;
        let (log, what) = (batch.log, batch.r#type.clone());
        for event in continuity.take(batch).map_err(|missed| anyhow!("{what} of log {log}: {missed:?}"))? {
            println!("log {log} number {} {what} {:?}", event.number, event.body);
        }
    }
    Ok(())
}
