//! Messages of the pipeline: commands are counted before they are decoded, and outcomes are bytes already.

use bytes::{Buf, BufMut};
use emshop_proto::v1::CommandBatch;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::way::sink::EncodedBatch;
use crate::{refusals, status};

/// Bytes of one batch of commands.
pub const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Commands in one batch. An empty one takes two bytes to send, and hundreds in memory.
const COMMANDS_PER_BATCH_MAX: usize = 4_096;

pub struct BatchCodec;

impl Codec for BatchCodec {
    type Encode = EncodedBatch;
    type Decode = CommandBatch;
    type Encoder = BatchEncoder;
    type Decoder = BatchDecoder;

    fn encoder(&mut self) -> BatchEncoder {
        BatchEncoder
    }

    fn decoder(&mut self) -> BatchDecoder {
        BatchDecoder
    }
}

pub struct BatchDecoder;

impl Decoder for BatchDecoder {
    type Item = CommandBatch;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<CommandBatch>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        let invalid = |description: String| status::of_refusal(refusals::invalid_field("commands", description));
        let commands = fields(&bytes).map_err(|error| invalid(error.to_string()))?;
        if commands > COMMANDS_PER_BATCH_MAX {
            return Err(invalid(format!("a batch has at most {COMMANDS_PER_BATCH_MAX} commands, not {commands}")));
        }
        CommandBatch::decode(bytes).map(Some).map_err(|error| invalid(error.to_string()))
    }
}

/// How many fields a message has: a batch has nothing but commands.
fn fields(mut message: &[u8]) -> Result<usize, DecodeError> {
    let mut count = 0;
    while message.has_remaining() {
        let (field, wire_type) = decode_key(&mut message)?;
        skip_field(wire_type, field, &mut message, DecodeContext::default())?;
        count += 1;
    }
    Ok(count)
}

pub struct BatchEncoder;

impl Encoder for BatchEncoder {
    type Item = EncodedBatch;
    type Error = Status;

    fn encode(&mut self, batch: EncodedBatch, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(batch.parts.iter().map(Vec::len).sum());
        batch.parts.iter().for_each(|part| buffer.put_slice(part));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::Command;

    use super::*;

    #[test]
    fn commands_are_counted_without_a_look_into_them() {
        for count in [0, 1, 4_096, 4_097, 1_000_000] {
            let batch = CommandBatch { commands: vec![Command::default(); count] };
            assert_eq!(fields(&batch.encode_to_vec()), Ok(count));
        }
        assert!(fields(&[0x0a, 5, 1]).is_err(), "it is cut off");
    }
}
