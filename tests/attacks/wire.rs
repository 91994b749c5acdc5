//! HTTP/2 by hand, frame by frame: what no library would send.

use std::io::{self, Read, Write};

/// Kinds of frames.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

/// Flags of frames.
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Settings.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// What is wrong, in a GOAWAY.
pub const NO_ERROR: u32 = 0;
pub const ENHANCE_YOUR_CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;

/// What frames go by: a socket, or TLS on one.
pub trait Line: Read + Write + Send {}
impl<T: Read + Write + Send> Line for T {}

/// A frame that came in.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The last stream that is still served, and what is wrong, of a GOAWAY.
    pub fn farewell(&self) -> (u32, u32) {
        let word = |at: usize| u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"));
        (word(0), word(4))
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The payload of SETTINGS.
pub fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    settings.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect()
}

/// The headers of a call, each as it is: no table, no Huffman.
pub fn headers_of(path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    fields.into_iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A header that is not to be kept in the table.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    [vec![0], text(name), text(value)].concat()
}

/// A header that is to be kept in the table.
pub fn kept_field(name: &str, value: &str) -> Vec<u8> {
    [vec![0x40], text(name), text(value)].concat()
}

/// What an answer that is served begins with: the eighth header of the table that all have.
pub const STATUS_OK: u8 = 0x80 | 8;

/// The header that was kept last.
pub const LAST_KEPT: u8 = 0x80 | 62;

/// Its length in the first seven bits and, of a longer one, seven more in each byte; then itself.
fn text(text: &str) -> Vec<u8> {
    const MANY: usize = 0x7f;
    let mut bytes = vec![text.len().min(MANY) as u8];
    if text.len() >= MANY {
        let mut rest = text.len() - MANY;
        while rest >= 0x80 {
            bytes.push(0x80 | (rest & 0x7f) as u8);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// A gRPC message.
pub fn message(message: &[u8]) -> Vec<u8> {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

/// A connection.
pub struct Wire(Box<dyn Line>);

impl Wire {
    /// Says what a client says first.
    pub fn open(line: impl Line + 'static, first: &[(u16, u32)]) -> io::Result<Self> {
        let mut wire = Self(Box::new(line));
        wire.write(&[PREFACE, &frame(SETTINGS, 0, 0, &settings(first))].concat())?;
        Ok(wire)
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    /// Calls, with all of the message.
    pub fn call(&mut self, stream: u32, path: &str, request: &[u8]) -> io::Result<()> {
        let head = frame(HEADERS, END_HEADERS, stream, &headers_of(path));
        self.write(&[head, frame(DATA, END_STREAM, stream, &message(request))].concat())
    }

    /// The next frame. Questions of the server are answered meanwhile, as a good client does.
    pub fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; HEAD_BYTES];
        self.0.read_exact(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload)?;
        if matches!(kind, SETTINGS | PING) && flags & ACK == 0 {
            let told = if kind == PING { &payload[..] } else { &[] };
            // A server that listens no more may still have said something.
            let _ = self.write(&frame(kind, ACK, 0, told));
        }
        Ok(Frame { kind, stream: u32::from_be_bytes(stream), payload })
    }

    /// The next frame of this kind.
    pub fn read_until(&mut self, kind: u8) -> io::Result<Frame> {
        loop {
            let frame = self.read()?;
            if frame.kind == kind {
                return Ok(frame);
            }
        }
    }
}
