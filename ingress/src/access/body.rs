//! Reads one field out of the body of a unary call, before it is known what the message is.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::DecodeError;
use prost::encoding::{self, DecodeContext, decode_key, skip_field};

/// In front of each message: one byte whether it is compressed, four how long it is.
const FRAME_HEADER_BYTES: usize = 5;

/// A key and a value, each a varint.
const FIELD_BYTES_MAX: usize = 5 + 10;

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum BodyError {
    #[error("the body is not one message")]
    Framing,
    #[error("compressed messages are not taken")]
    Compressed,
    #[error("the message cannot be decoded: {0}")]
    Message(#[from] DecodeError),
}

/// The one message of a body; `None` when there is none.
pub fn message(body: &[u8]) -> Result<Option<&[u8]>, BodyError> {
    if body.is_empty() {
        return Ok(None);
    }
    let (header, message) = body.split_at_checked(FRAME_HEADER_BYTES).ok_or(BodyError::Framing)?;
    // What this cannot read, a service must not read either.
    if header[0] != 0 {
        return Err(BodyError::Compressed);
    }
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
    // A second message would be one that nobody has looked at.
    if message.len() == length as usize { Ok(Some(message)) } else { Err(BodyError::Framing) }
}

/// The value of a `uint64` field as the decoder of the whole message will see it: the last one counts, and 0 when there is none.
pub fn uint64(mut message: &[u8], field: u32) -> Result<u64, DecodeError> {
    let mut value = 0;
    while message.has_remaining() {
        let (found, wire_type) = decode_key(&mut message)?;
        if found == field {
            encoding::uint64::merge(wire_type, &mut value, &mut message, DecodeContext::default())?;
        } else {
            skip_field(wire_type, found, &mut message, DecodeContext::default())?;
        }
    }
    Ok(value)
}

/// A body with this message and, behind all that it has, a `uint64` field: the decoder of the whole message takes the last one.
pub fn with_uint64(message: &[u8], field: u32, value: u64) -> Bytes {
    let mut body = BytesMut::with_capacity(FRAME_HEADER_BYTES + message.len() + FIELD_BYTES_MAX);
    body.put_bytes(0, FRAME_HEADER_BYTES);
    body.put_slice(message);
    encoding::uint64::encode(field, &value, &mut body);
    let length = u32::try_from(body.len() - FRAME_HEADER_BYTES).expect("a body that was read is short enough");
    body[1..FRAME_HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    body.freeze()
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::{CreateAddressRequest, GetUserRequest, GoodsQuantity, Receiver, SubmitOrderRequest};
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
    }

    #[test]
    fn a_body_is_one_plain_message() {
        assert_eq!(message(b""), Ok(None));
        assert_eq!(message(&framed(b"")), Ok(Some(&b""[..])));
        assert_eq!(message(&framed(b"abc")), Ok(Some(&b"abc"[..])));
        assert_eq!(message(&[1, 0, 0, 0, 0]), Err(BodyError::Compressed));
        let two = [framed(b"abc"), framed(b"def")].concat();
        for broken in [&[0][..], &[0, 0, 0, 0], &framed(b"abc")[..7], &two, &[0, 255, 255, 255, 255, 1]] {
            assert_eq!(message(broken), Err(BodyError::Framing), "{broken:?}");
        }
    }

    #[test]
    fn the_field_is_found_among_others() {
        let order = SubmitOrderRequest {
            user_id: 7,
            order_id: "o".to_owned(),
            lines: vec![GoodsQuantity { goods_id: 8, quantity: 9 }; 3],
            // A text and a message in which the same field number has something else.
            receiver: Some(Receiver { name: "\u{18}\u{5}".to_owned(), phone: "1".to_owned() }),
            ..SubmitOrderRequest::default()
        };
        assert_eq!(uint64(&order.encode_to_vec(), 3), Ok(7));
        assert_eq!(uint64(&SubmitOrderRequest { user_id: 0, ..order }.encode_to_vec(), 3), Ok(0));
        assert_eq!(uint64(&GetUserRequest { user_id: u64::MAX }.encode_to_vec(), 1), Ok(u64::MAX));
        assert_eq!(uint64(b"", 1), Ok(0));
    }

    #[test]
    fn the_last_one_counts() {
        let of = |user_id| GetUserRequest { user_id }.encode_to_vec();
        let repeated = [of(1), of(2), of(3)].concat();
        assert_eq!(uint64(&repeated, 1), Ok(3));
        assert_eq!(GetUserRequest::decode(repeated.as_slice()).map(|request| request.user_id), Ok(3));
        // Set back to 0 in so many words.
        assert_eq!(uint64(&[0x08, 1, 0x08, 0], 1), Ok(0));
        // A varint with more bytes than it needs.
        assert_eq!(uint64(&[0x08, 0x87, 0x80, 0x80, 0], 1), Ok(7));
        // Behind a field that nobody knows, and behind a group.
        assert_eq!(uint64(&[0x98, 0x06, 5, 0x08, 7], 1), Ok(7));
        assert_eq!(uint64(&[0x1b, 0x08, 9, 0x1c, 0x08, 7], 1), Ok(7));
    }

    #[test]
    fn what_a_decoder_would_not_take_is_refused() {
        let broken: [&[u8]; 9] = [
            // Packed, fixed, and as text: not how a single uint64 is written.
            &[0x0a, 2, 7, 7],
            &[0x09, 7, 0, 0, 0, 0, 0, 0, 0],
            &[0x0d, 7, 0, 0, 0],
            // Cut off in a key, in a varint, in a text; longer than there are bytes.
            &[0x88],
            &[0x08, 0x80],
            &[0x12, 5, 1],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f],
            // Eleven bytes of a varint, and a group that does not end.
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x1b, 0x08, 9],
        ];
        for message in broken {
            assert!(uint64(message, 1).is_err(), "{message:?}");
            assert!(GetUserRequest::decode(message).is_err(), "{message:?}");
        }
    }

    #[test]
    fn a_field_that_is_added_is_the_one_that_is_read() {
        let order = SubmitOrderRequest { order_id: "o".to_owned(), ..SubmitOrderRequest::default() };
        let explicit_zero = [&order.encode_to_vec()[..], &[0x18, 0]].concat();
        for given in [order.encode_to_vec(), explicit_zero, Vec::new()] {
            let body = with_uint64(&given, 3, u64::MAX);
            let read = message(&body).expect("one message").expect("a message");
            assert_eq!(SubmitOrderRequest::decode(read).expect("an order").user_id, u64::MAX);
            assert_eq!(&read[..given.len()], given);
        }
    }

    proptest! {
        /// Nobody gets by with bytes that two readers read differently.
        #[test]
        fn it_reads_what_the_decoder_reads(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(decoded) = CreateAddressRequest::decode(bytes.as_slice()) {
                prop_assert_eq!(uint64(&bytes, 1), Ok(decoded.user_id));
            }
        }

        #[test]
        fn it_reads_what_the_decoder_reads_of_nearly_right_ones(
            fields in proptest::collection::vec((0_u8..6, 0_u8..6, 0_u64..300), 0..8)
        ) {
            let mut bytes = Vec::new();
            for (field, wire_type, value) in fields {
                bytes.push(field << 3 | wire_type);
                encoding::encode_varint(value, &mut bytes);
            }
            if let Ok(decoded) = CreateAddressRequest::decode(bytes.as_slice()) {
                prop_assert_eq!(uint64(&bytes, 1), Ok(decoded.user_id));
            }
        }
    }
}
