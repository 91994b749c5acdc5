//! A log that takes its time, and an engine that answers what got into it at any moment. One that is ill lets appends come to any end.

use std::sync::Arc;

use bytes::Bytes;
use emshop_log::{AppendError, Bounds, CommandLog, Entry, LastSteps, LogError};
use emshop_proto::envelope;
use emshop_proto::internal::{Envelope, Record, record};
use emshop_proto::seal::{ClusterKey, KEY_BYTES, Seal};
use emshop_proto::v1::{Command, LogPosition, Outcome, command};
use emshop_sync::tasks::{oneshot, sleep};
use emshop_sync::threads::Mutex;
use emshop_sync::{chance, spawn};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use prost::Message;

use crate::way::outcomes::LocalOutcomes;

#[derive(Clone)]
pub struct SlowLog {
    is_ill: bool,
    seal: Seal,
    stored: Arc<Mutex<Vec<Envelope>>>,
    outcomes: LocalOutcomes,
}

impl SlowLog {
    pub fn new(outcomes: LocalOutcomes, is_ill: bool) -> Self {
        let seal = ClusterKey::new([0; KEY_BYTES]).seals("a test").of(0);
        Self { is_ill, seal, stored: Arc::new(Mutex::new(Vec::new())), outcomes }
    }

    /// The users whose commands it has.
    pub fn users(&self) -> Vec<u64> {
        self.stored.lock().expect("nobody panics").iter().flat_map(|envelope| &envelope.records).map(user).collect()
    }

    /// Whether the envelope of an append is stored, and what its writer is told.
    fn end(&self) -> (bool, Result<u64, AppendError>) {
        let unknown = Err(AppendError::Unknown("it says nothing".to_owned()));
        match if self.is_ill { chance(8) } else { 7 } {
            0 => (false, unknown),
            1 => (false, Err(AppendError::Full)),
            2 => (false, Err(AppendError::Refused("for no reason".to_owned()))),
            3 => (true, unknown),
            _ => (true, Ok(1)),
        }
    }

    /// The engine gets it at once, and nobody knows who hears first.
    fn store(&self, envelope: Envelope) {
        self.stored.lock().expect("nobody panics").push(envelope.clone());
        let (outcomes, is_lost) = (self.outcomes.clone(), self.is_ill && chance(4) == 0);
        spawn(async move {
            let waited_for = envelope.records.iter().filter(|record| record.ticket != 0);
            let told = waited_for.map(|record| (record.ticket, outcome(user(record))));
            if !is_lost {
                outcomes.hand_in(told.collect());
            }
        });
    }
}

/// Not at all, for a moment, or until others have done much.
async fn wait() {
    for _ in 0..[0, 2, 40][chance(3)] {
        sleep(Default::default()).await;
    }
}

/// The outcome of a command of this user.
fn outcome(user: u64) -> Outcome {
    Outcome { position: Some(LogPosition { log: 0, sequence: user }), ..Outcome::default() }
}

fn user(record: &Record) -> u64 {
    match &record.body {
        Some(record::Body::Command(bytes)) => match Command::decode(bytes.as_ref()).expect("a command").body {
            Some(command::Body::ClearCart(request)) => request.user_id,
            Some(command::Body::SubmitOrder(request)) => request.user_id,
            other => panic!("{other:?} is not sent"),
        },
        other => panic!("{other:?} is no command"),
    }
}

impl CommandLog for SlowLog {
    fn number(&self) -> u32 {
        0
    }

    fn seal(&self) -> &Seal {
        &self.seal
    }

    fn append(&self, payload: Bytes) -> BoxFuture<'static, Result<u64, AppendError>> {
        let (log, envelope) = (self.clone(), envelope::decode(&payload, &self.seal).expect("an envelope"));
        let ((is_stored, result), (answer, answered)) = (self.end(), oneshot::channel());
        spawn(async move {
            wait().await;
            if is_stored {
                log.store(envelope);
            }
            wait().await;
            // The batcher may have ended.
            let _ = answer.send(result);
        });
        async { answered.await.expect("it is answered") }.boxed()
    }

    fn append_steps(&self, _source_log: u32, _after: u64, _payload: Bytes) -> BoxFuture<'static, Result<u64, AppendError>> {
        unreachable!("an ingress has commands only")
    }

    fn last_steps(&self, _source_log: u32, _at_least: u64) -> BoxFuture<'static, Result<LastSteps, LogError>> {
        unreachable!("an ingress only writes")
    }

    fn read(&self, _from: u64) -> BoxStream<'static, Result<Entry, LogError>> {
        unreachable!("an ingress only writes")
    }

    fn voids(&self, _from: u64) -> BoxFuture<'static, Result<Vec<Entry>, LogError>> {
        unreachable!("an ingress only writes")
    }

    fn entry(&self, _sequence: u64) -> BoxFuture<'static, Result<Option<Entry>, LogError>> {
        unreachable!("an ingress only writes")
    }

    fn bounds(&self) -> BoxFuture<'static, Result<Bounds, LogError>> {
        unreachable!("an ingress only writes")
    }

    fn room(&self) -> BoxFuture<'static, Result<u64, LogError>> {
        let room = if self.is_ill && chance(4) == 0 { 0 } else { u64::MAX };
        futures::future::ready(Ok(room)).boxed()
    }

    fn trim(&self, _sequence: u64) -> BoxFuture<'static, Result<(), LogError>> {
        unreachable!("an ingress only writes")
    }
}
