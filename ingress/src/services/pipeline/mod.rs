//! The fast path: commands and outcomes by a stream.

mod server;

use std::sync::Arc;

use emshop_proto::v1::{Command, CommandBatch};
use tokio::sync::watch;
use tonic::{Request, Streaming};

pub use self::server::PipelineServer;
use super::Gateway;
use crate::access::Caller;
use crate::way::dispatch::Dispatcher;
use crate::way::sink::{Ended, Outcomes, Sink};
use crate::{access, refusals, status};

/// Commands in one batch.
const COMMANDS_PER_BATCH_MAX: usize = 4_096;

impl Gateway {
    /// Takes the commands of a stream for as long as there are some; the outcomes come by what is returned.
    fn submit(&self, request: Request<Streaming<CommandBatch>>) -> Outcomes {
        let sink = Sink::new(self.stream_window);
        let outcomes = Outcomes::new(sink.clone());
        let reader = Reader {
            dispatcher: self.dispatcher.clone(),
            caller: access::caller(request.extensions()),
            sink: sink.clone(),
            stopping: self.stopping.clone(),
        };
        let unread_max = self.unread_max;
        tokio::spawn(async move {
            tokio::select! {
                () = reader.run(request.into_inner()) => {}
                () = sink.stalled(unread_max) => sink.cut(Some(status::of_refusal(refusals::not_read()))),
            }
        });
        outcomes
    }
}

/// Reads the commands of one stream for as long as its window has room.
struct Reader {
    dispatcher: Arc<Dispatcher>,
    caller: Option<Caller>,
    sink: Arc<Sink>,
    stopping: watch::Receiver<bool>,
}

impl Reader {
    async fn run(mut self, mut batches: Streaming<CommandBatch>) {
        let end = loop {
            let batch = tokio::select! {
                batch = batches.message() => batch,
                _ = self.stopping.wait_for(|stop| *stop) => break Some(status::of_refusal(refusals::unavailable())),
            };
            match batch {
                Ok(Some(batch)) => {
                    if let Err(Ended) = self.take(batch.commands).await {
                        return;
                    }
                }
                Ok(None) => break None,
                Err(broken) => break Some(status::of_refusal(refusals::invalid_field("commands", broken.message()))),
            }
        };
        self.sink.finish(end).await;
    }

    async fn take(&self, commands: Vec<Command>) -> Result<(), Ended> {
        match commands.len() {
            0 => Ok(()),
            count @ 1..=COMMANDS_PER_BATCH_MAX => {
                self.sink.reserve(count).await?;
                self.dispatcher.submit(commands, self.caller, &self.sink).await;
                Ok(())
            }
            count => self.refuse(&commands, count).await,
        }
    }

    /// Refuses each command of a batch that is too large; in parts, for the answers count like any others.
    async fn refuse(&self, commands: &[Command], count: usize) -> Result<(), Ended> {
        let description = format!("a batch has 1 to {COMMANDS_PER_BATCH_MAX} commands, not {count}");
        let refusal = refusals::invalid_field("commands", description);
        for part in commands.chunks(COMMANDS_PER_BATCH_MAX) {
            self.sink.reserve(part.len()).await?;
            self.dispatcher.refuse(part, &refusal, &self.sink).await;
        }
        Ok(())
    }
}
