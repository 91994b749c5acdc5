//! Frames of HTTP/2 (RFC 9113).

use bytes::{Buf, BufMut, Bytes, BytesMut};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const PRIORITY_BYTES: usize = 5;

pub const HEADER_TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// What a side may send before it is told anything.
pub const WINDOW_BYTES: u32 = 65_535;
/// What frames may carry unless settings say more.
pub const PAYLOAD_BYTES_MAX: usize = 16_384;
const HEAD_BYTES: usize = 9;
/// A client's first words.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Bytes,
}

impl Frame {
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload of DATA and HEADERS without what may be around it.
    pub fn content(&self) -> Option<&[u8]> {
        let mut content = &self.payload[..];
        if self.has(PADDED) {
            let (padding, rest) = content.split_first()?;
            content = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
        }
        if self.kind == HEADERS && self.has(PRIORITY) {
            content = content.get(PRIORITY_BYTES..)?;
        }
        Some(content)
    }

    /// The number in four bytes of the payload.
    pub fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
    }

    /// The names and values of SETTINGS.
    pub fn settings(&self) -> impl Iterator<Item = (u16, u32)> {
        self.payload.chunks_exact(6).map(|mut setting| (setting.get_u16(), setting.get_u32()))
    }
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonsense;

/// The next frame that has come as a whole.
pub fn take(input: &mut BytesMut) -> Result<Option<Frame>, Nonsense> {
    let Some(&[a, b, c, kind, flags, ref stream @ ..]) = input.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let (length, stream) = (u32::from_be_bytes([0, a, b, c]) as usize, u32::from_be_bytes(*stream) & !(1 << 31));
    if length > PAYLOAD_BYTES_MAX {
        return Err(Nonsense);
    }
    if input.len() < HEAD_BYTES + length {
        return Ok(None);
    }
    input.advance(HEAD_BYTES);
    Ok(Some(Frame { kind, flags, stream, payload: input.split_to(length).freeze() }))
}

/// Writes a frame whose payload is written by `payload`.
pub fn put(kind: u8, flags: u8, stream: u32, out: &mut BytesMut, payload: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_bytes(0, 3);
    out.put_slice(&[kind, flags]);
    out.put_u32(stream);
    payload(out);
    let length = (out.len() - at - HEAD_BYTES) as u32;
    out[at..at + 3].copy_from_slice(&length.to_be_bytes()[1..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_as_they_were_put() {
        let mut bytes = BytesMut::new();
        put(DATA, END_STREAM, 7, &mut bytes, |out| out.put_slice(b"abc"));
        put(PING, 0, 0, &mut bytes, |out| out.put_u64(9));
        let mut input = BytesMut::new();
        let mut frames = Vec::new();
        // As they may come: byte by byte.
        for byte in &bytes[..] {
            input.put_u8(*byte);
            frames.extend(take(&mut input).expect("frames"));
        }
        let [data, ping] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!((data.kind, data.stream, data.has(END_STREAM), data.content()), (DATA, 7, true, Some(&b"abc"[..])));
        assert_eq!((ping.kind, ping.word(4)), (PING, Some(9)));
        assert_eq!(take(&mut BytesMut::from(&[0xff; 20][..])).err(), Some(Nonsense));
    }

    #[test]
    fn padding_is_left_out() {
        let frame = |flags, payload: &'static [u8]| Frame { kind: HEADERS, flags, stream: 1, payload: payload.into() };
        assert_eq!(frame(PADDED | PRIORITY, b"\x02.....abc..").content(), Some(&b"abc"[..]));
        assert_eq!(frame(PADDED, b"\x09abc").content(), None);
        assert_eq!(frame(PRIORITY, b"abc").content(), None);
    }
}
