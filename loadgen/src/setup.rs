//! Creates the goods of a run and their stock, through the pipeline because it is the fastest way.

use std::time::Duration;

use anyhow::{Context, bail};
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::{Command, CommandBatch};
use futures::StreamExt;
use futures::stream;

use crate::answer::Answer;
use crate::connection::Server;
use crate::workload::Workload;

const BATCH: usize = 512;
const TIMEOUT: Duration = Duration::from_secs(120);

/// Says what the server calls itself, if it does, by the header `server`.
///
/// # Errors
/// When the server refuses any of it, or knows these goods already: then another run had the same number.
pub async fn run(server: &Server, workload: &Workload, stock: u64) -> anyhow::Result<Option<String>> {
    let work = create(server, workload.setup(stock).collect());
    tokio::time::timeout(TIMEOUT, work).await.context("the server took too long")?
}

async fn create(server: &Server, commands: Vec<Command>) -> anyhow::Result<Option<String>> {
    let mut missing = commands.len();
    let batches = stream::iter(commands).chunks(BATCH).map(|commands| CommandBatch { commands });
    let mut client = PipelineServiceClient::new(server.connect_for_streams().await?);
    let answer = client.submit(batches).await.map_err(|status| server.explain(status))?;
    let name = answer.metadata().get("server").and_then(|name| name.to_str().ok()).map(str::to_owned);
    let mut outcomes = answer.into_inner();
    while missing > 0 {
        let batch = outcomes.message().await.map_err(|status| server.explain(status))?;
        let batch = batch.with_context(|| format!("{missing} outcomes did not come"))?;
        for outcome in batch.outcomes {
            let goods_id = outcome.tag;
            match Answer::of_outcome(outcome) {
                Answer::Accepted { repeated: false } => missing -= 1,
                Answer::Accepted { repeated: true } => bail!("goods {goods_id} are there already; take another --run"),
                other => bail!("goods {goods_id}: {other:?}"),
            }
        }
    }
    Ok(name)
}
