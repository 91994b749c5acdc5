//! An ingress of the simulated world: puts the commands of clients into envelopes, and knows who waits for which answer.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use emshop_proto::envelope;

use crate::logs;

/// Commands that one envelope takes.
const RECORDS_MAX: usize = 8;

/// Who waits: a client, and the number of its command.
pub type Asker = (usize, u64);

/// The process of an ingress.
pub struct Ingress {
    /// Whose envelopes it writes; each process has its own.
    pub writer: u64,
    logs: Vec<Batcher>,
    tickets: u64,
    waiting: BTreeMap<u64, Asker>,
    envelopes: u64,
}

#[derive(Default)]
struct Batcher {
    commands: VecDeque<(Vec<u8>, Asker)>,
    /// One envelope at a time is on its way to a log.
    under_way: Option<u64>,
}

impl Ingress {
    pub fn new(writer: u64, logs: u32) -> Self {
        let logs = (0..logs).map(|_| Batcher::default()).collect();
        Self { writer, logs, tickets: 0, waiting: BTreeMap::new(), envelopes: 0 }
    }

    /// Takes a command for a log.
    pub fn take(&mut self, log: u32, record: Vec<u8>, asker: Asker) {
        self.logs[log as usize].commands.push_back((record, asker));
    }

    /// The next envelope for a log, with its number, unless one is under way.
    pub fn envelope(&mut self, log: u32) -> Option<(u64, Bytes)> {
        let batcher = &mut self.logs[log as usize];
        if batcher.under_way.is_some() || batcher.commands.is_empty() {
            return None;
        }
        let count = batcher.commands.len().min(RECORDS_MAX);
        let first_ticket = self.tickets + 1;
        let mut records = Vec::with_capacity(count);
        for (record, asker) in batcher.commands.drain(..count) {
            self.tickets += 1;
            self.waiting.insert(self.tickets, asker);
            records.push((record, true));
        }
        self.envelopes += 1;
        batcher.under_way = Some(self.envelopes);
        Some((self.envelopes, envelope::seal(envelope::assemble(self.writer, first_ticket, &records), &logs::seal(log))))
    }

    /// An envelope is in its log, or not, or nobody knows. `false` when that was heard before.
    pub fn acknowledged(&mut self, log: u32, envelope: u64) -> bool {
        self.logs[log as usize].under_way.take_if(|under_way| *under_way == envelope).is_some()
    }

    /// Who waits for the answer with this ticket.
    pub fn answered(&mut self, ticket: u64) -> Option<Asker> {
        self.waiting.remove(&ticket)
    }
}
