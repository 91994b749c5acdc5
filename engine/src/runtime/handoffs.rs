//! What the engine's thread hands to its helpers, below the model checker. See `emshop_sync`.

use std::sync::Arc;

use emshop_core::invariants;
use emshop_core::replica::Replica;
use emshop_core::state::memory::MemoryStore;
use emshop_core::state::store::StateStore;
use emshop_log::Entry;
use emshop_proto::envelope;
use emshop_proto::internal::{Envelope, Record, record};
use emshop_proto::partitioner::Partitioner;
use emshop_proto::seal::{ClusterKey, KEY_BYTES};
use emshop_proto::v1::{AdjustBalanceRequest, Command, Money, command};
use emshop_sync::threads::mpsc::channel;
use emshop_sync::{all, check};
use prost::Message;

use super::inspection::Inspector;
use super::writer::Writer;
use crate::shell::LogEntry;

const CHECKPOINTS: u64 = 3;

fn replica() -> (Arc<dyn StateStore>, Replica) {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStore::default());
    let replica = Replica::open(&store, "c", 0, Partitioner::new(1)).expect("an empty store");
    (store, replica)
}

/// A deposit of a user of its own.
fn turn(replica: &mut Replica) {
    let sequence = replica.applied_sequence() + 1;
    let deposit = AdjustBalanceRequest { user_id: sequence, delta: Some(Money::new(1, "CNY")) };
    let command = Command { idempotency_key: "k".to_owned(), ..command::Body::AdjustBalance(deposit).into() };
    let record = Record { body: Some(record::Body::Command(command.encode_to_vec().into())), ..Record::default() };
    let seal = ClusterKey::new([0; KEY_BYTES]).seals("a test").of(0);
    let payload = envelope::encode(&Envelope { records: vec![record], ..Envelope::default() }, &seal);
    let entry = LogEntry::read(0, &Entry { sequence, time_ns: 1, payload }, &seal).expect("just made");
    replica.turn(sequence, 1, entry.entry);
}

/// Whoever stops it may open the store, or let another process have it.
#[test]
fn a_writer_that_has_stopped_has_written_all_that_it_was_given_in_order() {
    all(|| {
        let (store, mut replica) = replica();
        let (written, heard) = channel();
        let writer =
            Writer::start(Arc::clone(&store), move |checkpoint| written.send(checkpoint.number).expect("somebody hears"));
        for _ in 0..CHECKPOINTS {
            turn(&mut replica);
            writer.write(Box::new(replica.checkpoint()));
        }
        writer.stop();
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), (1..=CHECKPOINTS).collect::<Vec<_>>());
        let reopened = Replica::open(&store, "c", 0, Partitioner::new(1)).expect("what was written");
        assert_eq!(reopened.applied_sequence(), CHECKPOINTS);
    });
}

/// It may have seen a part of the rows, which would look like a state that is broken.
#[test]
fn an_inspection_that_is_cancelled_tells_all_or_nothing() {
    check(|| {
        let (store, mut replica) = replica();
        let (written, heard) = channel();
        let writer =
            Writer::start(Arc::clone(&store), move |checkpoint| written.send(checkpoint.number).expect("somebody hears"));
        (0..3).for_each(|_| turn(&mut replica));
        writer.write(Box::new(replica.checkpoint()));
        heard.recv().expect("it is written");
        writer.stop();
        let whole = invariants::inspect(store.as_ref());
        let inspector = Inspector::new(store);
        let (done, result) = channel();
        inspector.start(move |inspection| done.send(inspection).expect("somebody hears"));
        inspector.cancel();
        let inspection = result.recv().expect("the engine hears of its end in any case");
        assert!(inspection.is_none_or(|inspection| inspection == whole));
        assert!(result.recv().is_err(), "it ends once");
    });
}
