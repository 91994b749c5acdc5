//! The command logs and the event streams of the simulated world: what they were given stays, unless a fault takes it.

use bytes::Bytes;
use emshop_engine::shell::relay::LastBatch;
use emshop_engine::shell::start::Found;
use emshop_log::{Bounds, LastSteps, Steps};
use emshop_proto::events::EventType;
use emshop_proto::seal::{ClusterKey, KEY_BYTES, Seal};
use emshop_proto::v1::EventBatch;
use prost::Message;

/// An envelope in a log.
pub type Stored = emshop_log::Entry;

/// What the envelopes of a log are sealed with.
pub fn seal(log: u32) -> Seal {
    ClusterKey::new([7; KEY_BYTES]).seals("simulated").of(log)
}

/// What a stranger writes where the steps of log `source` go.
pub fn strange_steps(source: u32) -> Bytes {
    format!("among the steps of log {source}").into()
}

/// A command log. Trimmed entries stay here for the model, but nobody can read them.
#[derive(Clone)]
pub struct SimLog {
    seal: Seal,
    entries: Vec<Stored>,
    trimmed: u64,
    /// Changes when its storage was replaced by another.
    pub incarnation: u64,
    /// What a fault has taken, for the operator to find again.
    lost: Vec<Stored>,
}

impl SimLog {
    pub fn new(number: u32) -> Self {
        Self { seal: seal(number), entries: Vec::new(), trimmed: 0, incarnation: 0, lost: Vec::new() }
    }

    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    pub fn append(&mut self, time_ms: i64, payload: Bytes) -> u64 {
        let sequence = self.last() + 1;
        // Never twice the same: a clock has nanoseconds.
        let time_ns = time_ms * 1_000_000 + (self.incarnation * 1_000 + sequence % 1_000) as i64;
        self.entries.push(Stored { sequence, time_ns, payload });
        sequence
    }

    pub fn last(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn bounds(&self) -> Bounds {
        Bounds { first: self.trimmed + 1, last: self.last() }
    }

    /// All that it ever held and still should.
    pub fn entries(&self) -> &[Stored] {
        &self.entries
    }

    /// An entry that can be read.
    pub fn entry(&self, sequence: u64) -> Option<&Stored> {
        if sequence <= self.trimmed { None } else { self.entries.get(sequence as usize - 1) }
    }

    /// The last steps of another log that it has.
    pub fn last_steps(&self, source: u32) -> LastSteps {
        let readable = &self.entries[self.trimmed as usize..];
        let steps = readable.iter().rev().find_map(|entry| Steps::of(entry, source, &self.seal));
        let strange =
            readable.iter().rev().find(|entry| entry.payload == strange_steps(source)).map_or(0, |entry| entry.sequence);
        LastSteps { steps, at: steps.map_or(0, |steps| steps.sequence).max(strange), bounds: self.bounds() }
    }

    /// What there is where an entry should be.
    pub fn find(&self, sequence: u64) -> Found {
        match self.entry(sequence) {
            Some(entry) => Found::Entry(entry.identity()),
            None if sequence > self.last() => Found::Ended { last: self.last() },
            None => Found::Trimmed,
        }
    }

    /// As it was when it ended at `last` and nothing below `first` was left: what a backup has of it.
    pub fn restore_to(&mut self, Bounds { first, last }: Bounds) {
        self.restore();
        self.entries.truncate(last as usize);
        self.trimmed = first - 1;
        self.incarnation += 1;
    }

    pub fn trim(&mut self, below: u64) {
        self.trimmed = self.trimmed.max(below - 1).min(self.last());
    }

    /// Loses all above `last`.
    pub fn lose(&mut self, last: u64) {
        let lost = self.entries.split_off(last as usize);
        if self.lost.is_empty() {
            self.lost = lost;
        } else {
            // What was written behind an earlier loss is nothing that anybody finds again.
            let known = self.lost[0].sequence - 1;
            if last < known {
                let mut all = lost[..(known - last) as usize].to_vec();
                all.append(&mut self.lost);
                self.lost = all;
            }
        }
        self.incarnation += 1;
    }

    /// What it has lost and nobody has brought back.
    pub fn lost(&self) -> Option<(u64, u64)> {
        Some((self.lost.first()?.sequence, self.lost.last()?.sequence))
    }

    /// The operator finds the storage again that was thought lost; what was written in its place goes.
    pub fn restore(&mut self) {
        if let Some((first, _)) = self.lost() {
            self.entries.truncate(first as usize - 1);
            self.entries.append(&mut self.lost);
            self.incarnation += 1;
        }
    }
}

/// The event streams, as one: consumers do not rely on the order between types.
#[derive(Clone, Debug, Default)]
pub struct SimEvents {
    messages: Vec<Bytes>,
    /// What a fault has taken, and where it was.
    lost: Option<(usize, Vec<Bytes>)>,
}

impl SimEvents {
    /// Takes a batch, and tells its place.
    pub fn publish(&mut self, message: Bytes) -> u64 {
        self.messages.push(message);
        self.messages.len() as u64
    }

    pub fn messages(&self) -> &[Bytes] {
        &self.messages
    }

    /// The batches, the last one first, each with its place.
    pub fn backwards(&self) -> impl Iterator<Item = (u64, EventBatch)> {
        self.messages.iter().enumerate().rev().map(|(index, message)| (index as u64 + 1, batch(message)))
    }

    /// The last batch of a type that a log has made.
    pub fn last(&self, log: u32, event_type: EventType) -> Option<LastBatch> {
        let found = self.backwards().find(|(_, batch)| batch.log == log && batch.r#type == event_type.name());
        found.map(|(place, batch)| LastBatch { place, batch: Some(batch) })
    }

    /// Loses all but the first `kept` messages, once.
    pub fn lose(&mut self, kept: usize) {
        if self.lost.is_none() && kept < self.messages.len() {
            self.lost = Some((kept, self.messages.split_off(kept)));
        }
    }

    /// What it has lost and nobody has brought back.
    pub fn lost(&self) -> impl Iterator<Item = EventBatch> {
        self.lost.iter().flat_map(|(_, messages)| messages).map(batch)
    }

    /// What a backup has of it.
    pub fn restore_to(&mut self, messages: Vec<Bytes>) {
        (self.messages, self.lost) = (messages, None);
    }

    /// The operator finds the storage again; what was published in its place goes. Gives how many messages are where they were, if some are not.
    pub fn restore(&mut self) -> Option<usize> {
        let (at, messages) = self.lost.take()?;
        self.messages.truncate(at);
        self.messages.extend(messages);
        Some(at)
    }
}

fn batch(message: &Bytes) -> EventBatch {
    EventBatch::decode(message.clone()).expect("engines publish batches")
}
