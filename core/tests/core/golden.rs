//! A log as this release records it means the same to every later one: its events and its state, to the byte.
//!
//! A file for each version of the rules, made once by `EMSHOP_WRITE_GOLDEN=1 cargo test --release -p emshop-core golden` and never again: what
//! changes an answer gets new rules, and a file of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use emshop_core::entry::Entry;
use emshop_core::rules;
use emshop_core::state::memory::MemoryStore;
use emshop_proto::internal::{Envelope, Record, Rules, record};
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use prost::Message;
use xxhash_rust::xxh3::Xxh3;

use crate::events;
use crate::replay::{Stream, entry, later_ms, stream};
use crate::shop::{START_MS, checkpoint, open};

fn path(version: u32) -> PathBuf {
    // Tests run in the folder of their crate, wherever it was compiled.
    PathBuf::from(format!("tests/golden/rules-{version}.golden"))
}

/// A log under the rules of this release, with something of every kind in it.
fn record() -> Stream {
    let rules = Record { body: Some(record::Body::Rules(Rules { version: rules::VERSION })), ..Record::default() };
    let rules = Envelope { records: vec![rules], ..Envelope::default() };
    let entries = vec((later_ms(), entry(10)), 40).new_tree(&mut TestRunner::deterministic()).expect("entries").current();
    std::iter::once((START_MS, rules)).chain(stream(entries)).collect()
}

/// One line an envelope: when the log took it, and its bytes behind the header.
fn to_text(stream: &Stream) -> String {
    stream.iter().map(|(time_ms, envelope)| format!("{time_ms} {}\n", hex(&envelope.encode_to_vec()))).collect()
}

fn from_text(text: &str) -> Stream {
    let line = |line: &str| {
        let (time_ms, bytes) = line.split_once(' ').expect("a time and an envelope");
        (time_ms.parse().expect("a time"), Envelope::decode(unhex(bytes).as_slice()).expect("an envelope that can still be read"))
    };
    text.lines().map(line).collect()
}

/// What a log leads to: a hash over its events as they are published, and the digest of its state.
fn meaning(stream: &Stream) -> String {
    let store = Arc::new(MemoryStore::default());
    let mut replica = open(&store, 0, 1);
    let mut told = Xxh3::new();
    for (sequence, (time_ms, envelope)) in (1..).zip(stream) {
        let entry = Entry::read(envelope.clone()).expect("a recorded envelope");
        for event in events::decode(replica.turn(sequence, *time_ms, entry).events) {
            told.update(event.event_type.name().as_bytes());
            told.update(&event.previous_number.to_le_bytes());
            told.update(&event.event.encode_to_vec());
        }
    }
    let inspection = checkpoint(&mut replica, &store);
    format!("{} orders, {} events {:032x}, state {}\n", inspection.orders, inspection.events, told.digest128(), inspection.digest)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits")).collect()
}

#[test]
fn golden_logs_mean_what_they_meant() {
    let newest = path(rules::VERSION);
    if std::env::var_os("EMSHOP_WRITE_GOLDEN").is_some() {
        let stream = record();
        fs::create_dir_all(newest.parent().expect("a folder")).expect("a folder for golden logs");
        fs::write(&newest, to_text(&stream) + &meaning(&stream)).expect("a golden log");
    }
    for version in 1..=rules::VERSION {
        let text = fs::read_to_string(path(version)).expect("a golden log for each version of the rules");
        let (log, expected) = text.trim_end().rsplit_once('\n').expect("a log and its meaning");
        assert_eq!(meaning(&from_text(log)).trim_end(), expected, "under rules {version}");
    }
}
