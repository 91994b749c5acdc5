//! Bytes of one log message: a header, then a protobuf `Envelope`.
//!
//! ```text
//! 0      4         5          8              16
//! | EMSL | version | reserved | XXH3-64 (LE) | Envelope …
//! ```
//! The checksum covers the version, the reserved bytes and the body.

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, fixed64, uint64};
use xxhash_rust::xxh3::Xxh3;

use crate::internal::Envelope;

/// The first bytes of every envelope.
pub const MAGIC: [u8; 4] = *b"EMSL";
/// The format that is written, and the only one that is read.
pub const VERSION: u8 = 1;
/// Magic, version and checksum; the body begins behind them.
pub const HEADER_BYTES: usize = 16;

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

/// Why a log message cannot be read. All of them stop the log: to skip a record would change what later ones mean.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Shorter than a header: so many bytes.
    #[error("{0} bytes are too few for an envelope")]
    TooShort(usize),
    /// Something else than an envelope.
    #[error("it does not begin with the magic EMSL, so emshop did not write it")]
    Magic,
    /// A newer release wrote it.
    #[error("format version {0} is unknown to this release, which reads version {VERSION}")]
    Version(u8),
    /// Not the bytes that were written.
    #[error("checksum is {actual:016x}, but the header says {expected:016x}: the bytes are damaged")]
    Checksum {
        /// By the header.
        expected: u64,
        /// Of the bytes.
        actual: u64,
    },
    /// The header is right, but the body is no protobuf of an envelope.
    #[error("the body is not an envelope: {0}")]
    Body(String),
}

/// The bytes of an envelope, header included.
pub fn encode(envelope: &Envelope) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + envelope.encoded_len());
    bytes.extend_from_slice(&[0; HEADER_BYTES]);
    envelope.encode(&mut bytes).expect("a Vec grows as needed");
    seal(bytes)
}

/// Writes the header into the first [`HEADER_BYTES`] of `bytes`, which the body follows.
///
/// For writers that put the body together from records encoded before.
///
/// # Panics
/// When there is no room for the header.
pub fn seal(mut bytes: Vec<u8>) -> Bytes {
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&[VERSION, 0, 0, 0]);
    let checksum = checksum(&bytes);
    bytes[8..16].copy_from_slice(&checksum.to_le_bytes());
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

/// Reads what [`encode`] or [`seal`] made. What stays bytes in it is shared with `bytes`.
///
/// # Errors
/// When the bytes are not exactly that.
pub fn decode(bytes: &Bytes) -> Result<Envelope, DecodeError> {
    if bytes.len() < HEADER_BYTES {
        return Err(DecodeError::TooShort(bytes.len()));
    }
    if bytes[..4] != MAGIC {
        return Err(DecodeError::Magic);
    }
    let expected = u64::from_le_bytes(bytes[8..16].try_into().expect("8 bytes"));
    let actual = checksum(bytes);
    if expected != actual {
        return Err(DecodeError::Checksum { expected, actual });
    }
    if bytes[4] != VERSION {
        return Err(DecodeError::Version(bytes[4]));
    }
    Envelope::decode(bytes.slice(HEADER_BYTES..)).map_err(|error| DecodeError::Body(error.to_string()))
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&bytes[4..8]);
    hasher.update(&bytes[HEADER_BYTES..]);
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::internal::{Record, Tick, record};

    fn sample() -> Envelope {
        let record = Record { ticket: 7, body_hash: 9, body: Some(record::Body::Tick(Tick::default())), operator: None };
        Envelope { writer: 3, records: vec![record], channel: None }
    }

    #[test]
    fn golden_bytes() {
        let bytes = encode(&sample());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
        assert_eq!(decode(&bytes), Ok(sample()));
    }

    const GOLDEN: &str = "454d534c01000000461bf5235c538c21090300000000000000120d08071109000000000000002a00";

    #[test]
    fn damage_is_found() {
        let good = encode(&sample()).to_vec();
        assert_eq!(decode(&Bytes::copy_from_slice(&good[..10])), Err(DecodeError::TooShort(10)));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(decode(&bad.into()).is_err(), "a flipped bit at byte {at} went unnoticed");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes.into()).is_err());
        }
    }
}
