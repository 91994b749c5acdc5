//! Bytes of one log message: a header, then a protobuf `Envelope`.
//!
//! ```text
//! 0      4         5          8             24
//! | EMSL | version | reserved | seal        | Envelope …
//! ```
//! The seal is over the version, the reserved bytes and the body: who has not the cluster's key cannot make one.

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, fixed64, uint64};

use crate::internal::Envelope;
use crate::seal::{SEAL_BYTES, Seal};

/// The first bytes of every envelope.
pub const MAGIC: [u8; 4] = *b"EMSL";
/// The format that is written, and the only one that is read.
pub const VERSION: u8 = 2;
/// Magic, version and seal; the body begins behind them.
pub const HEADER_BYTES: usize = SEAL_AT + SEAL_BYTES;
const SEAL_AT: usize = 8;

/// An envelope closes before it grows beyond this. Bigger messages cost both the client and the server copies.
pub const ENVELOPE_BYTES_MAX: usize = 48 * 1024;

/// Field numbers of `Envelope` and of `Record`.
const WRITER_FIELD: u32 = 1;
const RECORDS_FIELD: u32 = 2;
const TICKET_FIELD: u32 = 1;
/// What a message holds before its first record: header and writer.
pub const HEAD_BYTES: usize = HEADER_BYTES + 9;
/// What a record grows by in an envelope: key, length and ticket.
pub const RECORD_OVERHEAD_BYTES: usize = 1 + 3 + 11;

/// Why a log message cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Nobody who has the cluster's key wrote it, so it counts as empty.
    #[error("it has no seal of the cluster's key")]
    Unsealed,
    /// A newer release wrote it. It stops the log: to skip a record would change what later ones mean.
    #[error("format version {0} is unknown to this release, which reads version {VERSION}")]
    Version(u8),
    /// It is sealed, but the body is no protobuf of an envelope. It stops the log.
    #[error("the body is not an envelope: {0}")]
    Body(String),
}

/// The bytes of an envelope, header included.
pub fn encode(envelope: &Envelope, with: &Seal) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + envelope.encoded_len());
    bytes.extend_from_slice(&[0; HEADER_BYTES]);
    envelope.encode(&mut bytes).expect("a Vec grows as needed");
    seal(bytes, with)
}

/// Writes the header into the first [`HEADER_BYTES`] of `bytes`, which the body follows.
///
/// For writers that put the body together from records encoded before.
///
/// # Panics
/// When there is no room for the header.
pub fn seal(mut bytes: Vec<u8>, with: &Seal) -> Bytes {
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..SEAL_AT].copy_from_slice(&[VERSION, 0, 0, 0]);
    let code = with.over(&sealed_parts(&bytes));
    bytes[SEAL_AT..HEADER_BYTES].copy_from_slice(&code);
    Bytes::from(bytes)
}

/// Encoded records, each with whether its outcome is waited for, as the bytes that [`seal`] makes an envelope of.
pub fn assemble(writer: u64, first_ticket: u64, records: &[(Vec<u8>, bool)]) -> Vec<u8> {
    let bytes = records.iter().map(|(record, _)| record.len() + RECORD_OVERHEAD_BYTES).sum::<usize>();
    let mut envelope = Vec::with_capacity(HEAD_BYTES + bytes);
    envelope.resize(HEADER_BYTES, 0);
    fixed64::encode(WRITER_FIELD, &writer, &mut envelope);
    let mut next_ticket = first_ticket;
    for (record, waited_for) in records {
        let ticket_bytes = if *waited_for { 1 + encoded_len_varint(next_ticket) } else { 0 };
        encode_key(RECORDS_FIELD, WireType::LengthDelimited, &mut envelope);
        encode_varint((ticket_bytes + record.len()) as u64, &mut envelope);
        if *waited_for {
            uint64::encode(TICKET_FIELD, &next_ticket, &mut envelope);
            next_ticket += 1;
        }
        envelope.extend_from_slice(record);
    }
    envelope
}

/// Reads what [`encode`] or [`seal`] made with the same seal. What stays bytes in it is shared with `bytes`.
///
/// # Errors
/// When the bytes are not exactly that.
pub fn decode(bytes: &Bytes, with: &Seal) -> Result<Envelope, DecodeError> {
    let is_envelope = bytes.len() >= HEADER_BYTES && bytes[..4] == MAGIC && bytes[5..SEAL_AT] == [0; 3];
    if !is_envelope || !with.is_of(&bytes[SEAL_AT..HEADER_BYTES], &sealed_parts(bytes)) {
        return Err(DecodeError::Unsealed);
    }
    if bytes[4] != VERSION {
        return Err(DecodeError::Version(bytes[4]));
    }
    Envelope::decode(bytes.slice(HEADER_BYTES..)).map_err(|error| DecodeError::Body(error.to_string()))
}

fn sealed_parts(bytes: &[u8]) -> [&[u8]; 2] {
    [&bytes[4..SEAL_AT], &bytes[HEADER_BYTES..]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::internal::{Record, Tick, record};
    use crate::seal::{ClusterKey, KEY_BYTES};

    fn sample() -> Envelope {
        let record = Record { ticket: 7, body_hash: 9, body: Some(record::Body::Tick(Tick::default())), ..Record::default() };
        Envelope { writer: 3, records: vec![record], channel: None }
    }

    fn of_log(log: u32) -> Seal {
        ClusterKey::new([7; KEY_BYTES]).seals("cluster").of(log)
    }

    #[test]
    fn golden_bytes() {
        let bytes = encode(&sample(), &of_log(0));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
        assert_eq!(decode(&bytes, &of_log(0)), Ok(sample()));
    }

    const GOLDEN: &str = "454d534c02000000c2ea77414f29f13cab7672cb6fe16570090300000000000000120d08071109000000000000002a00";

    #[test]
    fn whatever_is_changed_breaks_the_seal() {
        let good = encode(&sample(), &of_log(0)).to_vec();
        let unsealed = |bytes: Vec<u8>, seal: &Seal| decode(&bytes.into(), seal) == Err(DecodeError::Unsealed);
        for at in 0..good.len() {
            assert!(unsealed(good[..at].to_vec(), &of_log(0)), "{at} bytes of an envelope are none");
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(unsealed(bad, &of_log(0)), "a flipped bit at byte {at} went unnoticed");
        }
        assert!(unsealed(good, &of_log(1)), "an envelope of another log");
    }

    #[test]
    fn what_a_newer_release_sealed_is_not_nothing() {
        let mut newer = encode(&sample(), &of_log(0)).to_vec();
        newer[4] = VERSION + 1;
        let code = of_log(0).over(&sealed_parts(&newer));
        newer[SEAL_AT..HEADER_BYTES].copy_from_slice(&code);
        assert_eq!(decode(&newer.into(), &of_log(0)), Err(DecodeError::Version(VERSION + 1)));
        let nonsense = seal([&[0; HEADER_BYTES][..], &[0xff; 9]].concat(), &of_log(0));
        assert!(matches!(decode(&nonsense, &of_log(0)), Err(DecodeError::Body(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_unsealed(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decode(&bytes.into(), &of_log(0)), Err(DecodeError::Unsealed));
        }
    }
}
