//! Headers of HTTP/2 (RFC 7541), as far as calls need them. What goes out is kept by the server and then named by a byte, as other clients
//! do; what comes in is not kept here, which the settings of a connection say, so the same headers always come as the same bytes.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::huffman;

/// `:method: POST`, and the two schemes, in the table that everybody has.
pub const POST: u8 = 0x83;
pub const HTTP: u8 = 0x86;
pub const HTTPS: u8 = 0x87;
/// Entries of that table.
const STATIC: usize = 61;
/// Its entries of `:status`.
const STATUSES: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
const FIRST_STATUS: usize = 8;
const AUTHORIZATION: usize = 23;

/// Ways that a header is written, by the first bits of its first byte, and how many bits of that are left for a number.
const INDEXED: (u8, u8) = (0x80, 7);
const TO_KEEP: (u8, u8) = (0x40, 6);
const TABLE_SIZE: (u8, u8) = (0x20, 5);
const NEVER_KEPT: (u8, u8) = (0x10, 4);
const NOT_KEPT: (u8, u8) = (0x00, 4);
/// The first whose bit is set.
const WAYS: [(u8, u8); 5] = [INDEXED, TO_KEEP, TABLE_SIZE, NEVER_KEPT, NOT_KEPT];

/// A text that is not coded.
const AS_IT_IS: (u8, u8) = (0x00, 7);

/// A header of many calls.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: &'static str,
    pub value: String,
}

/// Writes headers of one connection.
#[derive(Debug, Default)]
pub struct Writer {
    /// What the server keeps, by its place in `fields`: the last is the newest.
    kept: Vec<usize>,
    keeps_nothing: bool,
}

impl Writer {
    /// From the begin on the server has no room for what it could keep.
    pub fn keep_nothing(&mut self) {
        self.keeps_nothing = true;
    }

    /// One of `fields`.
    pub fn field(&mut self, fields: &[Field], place: usize, out: &mut BytesMut) {
        if let Some(age) = self.kept.iter().rev().position(|kept| *kept == place) {
            return number(INDEXED, STATIC + 1 + age, out);
        }
        if self.keeps_nothing {
            number(NOT_KEPT, 0, out);
        } else {
            self.kept.push(place);
            number(TO_KEEP, 0, out);
        }
        text(fields[place].name.as_bytes(), out);
        text(fields[place].value.as_bytes(), out);
    }
}

/// A header of one call, and nobody else's business.
pub fn authorization(value: &HeaderValue, out: &mut BytesMut) {
    number(NEVER_KEPT, AUTHORIZATION, out);
    text(value.as_bytes(), out);
}

fn text(bytes: &[u8], out: &mut BytesMut) {
    number(AS_IT_IS, bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn number((first, bits): (u8, u8), number: usize, out: &mut BytesMut) {
    let most = (1 << bits) - 1;
    if number < most {
        return out.put_u8(first | number as u8);
    }
    out.put_u8(first | most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// What of the headers of an answer is looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers {
    /// Trailers have none.
    pub status: Option<u16>,
    /// But those with a name that everybody has, which say nothing about gRPC.
    pub others: HeaderMap,
}

/// Reads a block of headers; `None` when it is none, or one for a table that is not kept.
pub fn read(mut block: &[u8]) -> Option<Headers> {
    let mut headers = Headers::default();
    while let Some(first) = block.first().copied() {
        let (_, bits) = WAYS.into_iter().find(|(way, _)| first & way == *way).expect("the last is any");
        let index = take_number(&mut block, bits)?;
        if bits == TABLE_SIZE.1 {
            continue;
        }
        if index > STATIC || (index == 0 && bits == INDEXED.1) {
            return None;
        }
        if bits == INDEXED.1 {
            headers.status = status(index).or(headers.status);
        } else {
            let name = if index == 0 { Some(take_text(&mut block)?) } else { None };
            let value = take_text(&mut block)?;
            if status(index).is_some() {
                headers.status = Some(std::str::from_utf8(&value).ok()?.parse().ok()?);
            }
            if let Some(name) = name {
                headers.others.append(HeaderName::from_bytes(&name).ok()?, HeaderValue::from_bytes(&value).ok()?);
            }
        }
    }
    Some(headers)
}

fn status(index: usize) -> Option<u16> {
    STATUSES.get(index.checked_sub(FIRST_STATUS)?).copied()
}

fn take_number(block: &mut &[u8], bits: u8) -> Option<usize> {
    let most = (1 << bits) - 1;
    let mut number = usize::from(take_byte(block)?) & most;
    if number < most {
        return Some(number);
    }
    for shift in (0..28).step_by(7) {
        let byte = take_byte(block)?;
        number += usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take_byte(block: &mut &[u8]) -> Option<u8> {
    let (first, rest) = block.split_first()?;
    *block = rest;
    Some(*first)
}

fn take_text(block: &mut &[u8]) -> Option<Vec<u8>> {
    let is_coded = *block.first()? >= 0x80;
    let length = take_number(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    if is_coded { huffman::decode(text) } else { Some(text.to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_sent_once_and_then_named() {
        let fields = [("te", "trailers"), ("x", "1")].map(|(name, value)| Field { name, value: value.to_owned() });
        let (mut writer, mut first, mut second) = (Writer::default(), BytesMut::new(), BytesMut::new());
        (0..2).for_each(|place| writer.field(&fields, place, &mut first));
        (0..2).for_each(|place| writer.field(&fields, place, &mut second));
        assert_eq!(&first[..], b"\x40\x02te\x08trailers\x40\x01x\x011");
        assert_eq!(second[..], [0x80 | 63, 0x80 | 62]);
    }

    #[test]
    fn numbers_of_any_size_are_read_as_they_are_written() {
        for many in [0, 1, 14, 15, 16, 126, 127, 128, 254, 255, 300, 16_383, 1_000_000] {
            for (first, bits) in [INDEXED, TO_KEEP, NEVER_KEPT] {
                let mut out = BytesMut::new();
                number((first, bits), many, &mut out);
                let mut block = &out[..];
                assert_eq!((take_number(&mut block, bits), block.len()), (Some(many), 0));
            }
        }
    }

    #[test]
    fn answers_are_read() {
        let block = b"\x20\x88\x0f\x10\x10application/grpc\x40\x0bgrpc-status\x011";
        let headers = read(block).expect("headers");
        assert_eq!((headers.status, &headers.others["grpc-status"]), (Some(200), &HeaderValue::from_static("1")));
        assert_eq!(read(b"\x48\x03503").expect("headers").status, Some(503));
        assert_eq!(read(b""), Some(Headers::default()));
        for wrong in [&b"\xbe"[..], b"\x80", b"\x88\x40\x03te", b"\xff\xff\xff\xff\xff\xff", b"\x40\x01 \x01a", b"\x48\x01x"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
