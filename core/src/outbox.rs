//! Steps that are not yet known to be in their target log. Part of the checkpoint, so that they are sent again after a restart.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

use crate::state::keys::{self, Kind};
use crate::state::store::StateStore;
use emshop_proto::envelope::ENVELOPE_BYTES_MAX;
use emshop_proto::internal::{Channel, Envelope, OutboxRow, Record, Step, record};
use emshop_proto::v1::LogMark;
use prost::Message;

/// The key of a row, and its new value; `None` when it is gone.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// A step on its way.
struct Sent {
    number: u64,
    step: Step,
    cause: Option<LogMark>,
}

/// Steps by target log, each with its number.
#[derive(Default)]
pub struct Outbox {
    channels: BTreeMap<u32, VecDeque<Sent>>,
    /// Keys with their new value since the last checkpoint.
    changes: BTreeMap<(u32, u64), Option<Vec<u8>>>,
}

impl Outbox {
    /// What was not acknowledged when the last checkpoint was taken.
    pub fn load(store: &dyn StateStore) -> Self {
        let mut outbox = Self::default();
        let (from, to) = (keys::prefix(Kind::Outbox), keys::end(Kind::Outbox));
        store.scan(&from, &to, &mut |key, value| {
            let target = u32::from_be_bytes(key[1..5].try_into().expect("4 bytes"));
            let number = u64::from_be_bytes(key[5..13].try_into().expect("8 bytes"));
            let row = OutboxRow::decode(value).unwrap_or_else(|error| panic!("an outbox row cannot be decoded: {error}"));
            let (step, cause) = (row.step.expect("an outbox row has a step"), row.cause);
            outbox.channels.entry(target).or_default().push_back(Sent { number, step, cause });
            ControlFlow::Continue(())
        });
        outbox
    }

    /// Adds the next step for a log, and which entry made it.
    pub fn push(&mut self, target: u32, number: u64, step: Step, cause: LogMark) {
        let row = OutboxRow { step: Some(step.clone()), cause: Some(cause) };
        self.changes.insert((target, number), Some(row.encode_to_vec()));
        self.channels.entry(target).or_default().push_back(Sent { number, step, cause: Some(cause) });
    }

    /// How many steps each log has to take.
    pub fn waiting(&self) -> impl Iterator<Item = (u32, usize)> {
        self.channels.iter().map(|(target, steps)| (*target, steps.len()))
    }

    /// Logs that have something to take.
    pub fn targets(&self) -> Vec<u32> {
        self.channels.iter().filter(|(_, steps)| !steps.is_empty()).map(|(target, _)| *target).collect()
    }

    /// The next envelope for `target`, with the number of its last step; as much as fits from the front on.
    pub fn envelope(&self, source_log: u32, target: u32) -> Option<(u64, Envelope)> {
        let steps = self.channels.get(&target)?;
        let first_number = steps.front()?.number;
        let (mut records, mut last_number, mut last_cause, mut bytes) = (Vec::new(), 0, None, 0);
        for Sent { number, step, cause } in steps {
            bytes += step.encoded_len() + 8;
            if bytes > ENVELOPE_BYTES_MAX && !records.is_empty() {
                break;
            }
            (last_number, last_cause) = (*number, *cause);
            records.push(Record { body: Some(record::Body::Step(step.clone())), ..Record::default() });
        }
        let channel = Some(Channel { source_log, first_number, cause: last_cause });
        Some((last_number, Envelope { writer: 0, records, channel }))
    }

    /// Number of the first step that `target` is not known to have.
    pub fn first(&self, target: u32) -> Option<u64> {
        Some(self.channels.get(&target)?.front()?.number)
    }

    /// The entry that made the step of this number; `None` when that is not there any more.
    pub fn cause(&self, target: u32, number: u64) -> Option<LogMark> {
        self.channels.get(&target)?.iter().find(|sent| sent.number == number)?.cause
    }

    /// `target` has all steps up to `number` in its log.
    pub fn acknowledged(&mut self, target: u32, number: u64) {
        let steps = self.channels.entry(target).or_default();
        while let Some(sent) = steps.pop_front_if(|sent| sent.number <= number) {
            self.changes.insert((target, sent.number), None);
        }
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let changes = std::mem::take(&mut self.changes).into_iter().map(|((target, number), value)| {
            let mut key = keys::prefix(Kind::Outbox).to_vec();
            key.extend_from_slice(&target.to_be_bytes());
            key.extend_from_slice(&number.to_be_bytes());
            (key, value)
        });
        changes.collect()
    }
}
