//! The fast path: commands and outcomes by a stream.

mod codec;
mod server;

use std::sync::Arc;

use emshop_proto::v1::{Command, CommandBatch};
use tokio::sync::watch;
use tonic::{Request, Streaming};

pub use self::server::PipelineServer;
use super::Gateway;
use crate::access::Identity;
use crate::access::audit;
use crate::access::revoked::Revoked;
use crate::connections::Peer;
use crate::way::dispatch::{Dispatcher, Streamer};
use crate::way::sink::{Ended, Outcomes, Sink};
use crate::{access, refusals, status};

impl Gateway {
    /// Takes the commands of a stream for as long as there are some; the outcomes come by what is returned.
    fn submit(&self, request: Request<Streaming<CommandBatch>>, peer: &Peer) -> Outcomes {
        let sink = Sink::new(self.stream_window);
        let outcomes = Outcomes::new(sink.clone());
        let identity = access::identity(request.extensions()).cloned();
        let reader = Reader {
            dispatcher: self.dispatcher.clone(),
            by: Streamer {
                operator: identity.as_ref().map(Identity::as_staff),
                origin: audit::origin(request.extensions()),
                begun: request.extensions().get().copied(),
            },
            identity,
            revoked: self.revoked.clone(),
            sink: sink.clone(),
            leave: peer.leave.clone(),
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
    /// `None` while the server runs without authentication.
    identity: Option<Identity>,
    /// In whose name the commands are, made once.
    by: Streamer,
    revoked: Arc<Revoked>,
    sink: Arc<Sink>,
    /// Of its connection.
    leave: watch::Receiver<bool>,
}

impl Reader {
    async fn run(mut self, mut batches: Streaming<CommandBatch>) {
        let (revoked, identity) = (self.revoked.clone(), self.identity.take());
        let token_ended = async {
            match identity {
                Some(identity) => revoked.ended(identity).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(token_ended);
        let end = loop {
            let batch = tokio::select! {
                batch = batches.message() => batch,
                _ = self.leave.wait_for(|leave| *leave) => break Some(status::of_refusal(refusals::unavailable())),
                // What was read before goes on: its outcomes come first.
                code = &mut token_ended => break Some(status::of_refusal(code.refusal())),
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
        if !commands.is_empty() {
            self.sink.reserve(commands.len()).await?;
            self.dispatcher.submit(commands, &self.by, &self.sink).await;
        }
        Ok(())
    }
}
