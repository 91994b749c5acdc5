//! What stands in a log: envelopes and their records.

use bytes::Bytes;
use emshop_core::entry::{Body, Entry};
use emshop_core::order::row;
use emshop_proto::envelope::{self, DecodeError, HEADER_BYTES};
use emshop_proto::internal::{Envelope, OrderRow, Record, record};
use emshop_proto::seal::{ClusterKey, KEY_BYTES, Seal};
use prost::Message;

use crate::choice::Choices;

/// Any bytes as a message of a log, and as the body of one whose header is right.
pub fn envelope(input: &[u8]) {
    if let Ok(envelope) = envelope::decode(&Bytes::copy_from_slice(input), &seal()) {
        comes_back(envelope);
    }
    let sealed = envelope::seal([&[0; HEADER_BYTES], input].concat(), &seal());
    match envelope::decode(&sealed, &seal()) {
        Ok(envelope) => {
            let _ = Entry::read(envelope.clone());
            comes_back(envelope);
        }
        Err(error) => assert!(matches!(error, DecodeError::Body(_)), "{error}"),
    }
    damage_is_found(&sealed, input);
}

fn comes_back(envelope: Envelope) {
    let again = envelope::decode(&envelope::encode(&envelope, &seal()), &seal());
    assert_eq!(again.as_ref(), Ok(&envelope));
    let records: Vec<_> =
        envelope.records.into_iter().map(|record| (Record { ticket: 0, ..record }.encode_to_vec(), true)).collect();
    let assembled = envelope::seal(envelope::assemble(envelope.writer, 5, &records), &seal());
    let read = envelope::decode(&assembled, &seal()).expect("just assembled");
    assert_eq!(
        read.records.iter().map(|record| record.ticket).collect::<Vec<_>>(),
        (5..5 + records.len() as u64).collect::<Vec<_>>()
    );
}

/// One changed byte, wherever it is.
fn damage_is_found(sealed: &Bytes, input: &[u8]) {
    let mut damaged = sealed.to_vec();
    let at = input.iter().fold(0, |sum: usize, byte| sum + usize::from(*byte)) % damaged.len();
    damaged[at] ^= input.first().copied().unwrap_or(0) | 1;
    assert_eq!(envelope::decode(&damaged.into(), &seal()), Err(DecodeError::Unsealed), "a changed byte at {at} went unnoticed");
}

/// What messages are sealed with here.
pub fn seal() -> Seal {
    ClusterKey::new([0; KEY_BYTES]).seals("fuzzing").of(0)
}

/// Any bytes as a command: it is read, or its log stops with a sentence.
pub fn record(input: &[u8]) {
    let mut choices = Choices::new(input);
    // A command of the right shape, or what could be anything; orders are read in a way of their own.
    let command = match choices.below(4) {
        0 => choices.bytes().to_vec(),
        1 => in_field(2, choices.bytes()),
        2 => in_field(16, choices.bytes()),
        _ => choices.made::<emshop_proto::v1::Command>("emshop.v1.Command").encode_to_vec(),
    };
    let record = Record { body: Some(record::Body::Command(command.into())), ..Record::default() };
    let envelope = Envelope { records: vec![record], ..Envelope::default() };
    if let Ok(Body::NewOrder(order)) = Entry::read(envelope).map(|mut entry| entry.records.remove(0).body) {
        // What an order keeps of it as it came is read later.
        let order = OrderRow { texts: order.bytes.to_vec(), ..OrderRow::default() };
        assert!(row::id(&order).len() <= order.texts.len() && row::names(&order).is_empty());
        assert_eq!(row::address(&order), row::destination(&order).address);
    }
}

fn in_field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    prost::encoding::bytes::encode(number, &bytes.to_vec(), &mut message);
    message
}
