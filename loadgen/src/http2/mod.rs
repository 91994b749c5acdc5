//! HTTP/2 as a client of unary calls speaks it: what is to be sent and what has come, without the sockets.
//!
//! A general client makes several objects, locks and wakes for each call, which cost more than what the server spends on it, on the cores
//! that the server needs. Here a call is some bytes behind those of other calls, and a place in a table until it is answered.

mod frames;
mod hpack;
mod huffman;

use std::collections::HashMap;
use std::mem;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderValue};

use self::frames::{
    ACK, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADER_TABLE_SIZE, HEADERS,
    INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, Nonsense, PAYLOAD_BYTES_MAX, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_BYTES,
    WINDOW_UPDATE,
};
pub use self::hpack::Field;
use self::hpack::{HTTP, HTTPS, Headers, POST, Writer};

/// Flow control never makes an answer wait.
const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;
const CANCEL: u32 = 8;
/// The last id of a stream.
const STREAM_MAX: u32 = (1 << 31) - 1;
/// What a server keeps of headers unless its settings say otherwise; enough for those of our calls.
const TABLE_BYTES: u32 = 4_096;

/// What a call is answered.
#[derive(Debug)]
pub struct Answer<'session> {
    pub status: u16,
    pub body: &'session [u8],
    /// Headers at its end, which are those at its begin when it has nothing else.
    pub trailers: &'session HeaderMap,
}

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    #[error("the connection ended")]
    Ended,
    #[error("the server goes, and did not look at the call")]
    NotTaken,
    #[error("the server reset the call, with error {0}")]
    Reset(u32),
    #[error("the answer is no HTTP/2 that is understood")]
    Nonsense,
}

/// A connection with calls under way, of which `T` is remembered.
#[derive(Debug)]
pub struct Session<T> {
    out: BytesMut,
    input: BytesMut,
    scheme: u8,
    writer: Writer,
    under_way: HashMap<u32, Call<T>>,
    next_stream: u32,
    /// Calls that the server has at the same time, and bytes that it takes from all and from each.
    calls_max: usize,
    window: i64,
    window_of_call: i64,
    /// Bytes that came and that the server has not been told to be gone.
    taken: u32,
    /// Headers that go on in the next frame: whose, and whether they end it.
    unfinished: Option<(u32, bool, BytesMut)>,
    /// Blocks of headers that came last, at the begin and at the end of answers, and what they say: most are the same.
    known: [(Vec<u8>, Headers); 2],
    /// Whether the server has said how much it takes.
    is_ready: bool,
    leaves: bool,
}

#[derive(Debug)]
struct Call<T> {
    of: T,
    /// The status that its answer begins with.
    status: Option<u16>,
    body: Vec<u8>,
}

impl<T> Session<T> {
    /// Of calls by `http` or `https`.
    pub fn new(scheme: &str) -> Self {
        let mut out = BytesMut::from(PREFACE);
        frames::put(SETTINGS, 0, 0, &mut out, |out| {
            for (name, value) in [(HEADER_TABLE_SIZE, 0), (ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, WINDOW_BYTES_MAX)] {
                out.put_u16(name);
                out.put_u32(value);
            }
        });
        frames::put(WINDOW_UPDATE, 0, 0, &mut out, |out| out.put_u32(WINDOW_BYTES_MAX - WINDOW_BYTES));
        Self {
            out,
            input: BytesMut::new(),
            scheme: if scheme == "https" { HTTPS } else { HTTP },
            writer: Writer::default(),
            under_way: HashMap::new(),
            next_stream: 1,
            calls_max: usize::MAX,
            window: WINDOW_BYTES.into(),
            window_of_call: WINDOW_BYTES.into(),
            taken: 0,
            unfinished: None,
            known: Default::default(),
            is_ready: false,
            leaves: false,
        }
    }

    /// What is to be sent.
    pub fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Where what comes is put.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Whether no more calls can be made.
    pub fn leaves(&self) -> bool {
        self.leaves
    }

    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Whether a call with a message of so many bytes can be made now.
    pub fn has_room(&self, bytes: usize) -> bool {
        let bytes = bytes as i64;
        self.is_ready
            && !self.leaves
            && self.under_way.len() < self.calls_max
            && bytes <= self.window
            && bytes <= self.window_of_call
    }

    /// Calls. `fields` are the same for all calls of the connection, and `places` are those of this one.
    pub fn call(&mut self, of: T, fields: &[Field], places: &[usize], authorization: Option<&HeaderValue>, message: &[u8]) {
        debug_assert!(self.has_room(message.len()) && message.len() <= PAYLOAD_BYTES_MAX);
        let (stream, scheme, writer) = (self.next_stream, self.scheme, &mut self.writer);
        frames::put(HEADERS, END_HEADERS, stream, &mut self.out, |out| {
            out.put_slice(&[POST, scheme]);
            places.iter().for_each(|place| writer.field(fields, *place, out));
            if let Some(authorization) = authorization {
                hpack::authorization(authorization, out);
            }
        });
        frames::put(DATA, END_STREAM, stream, &mut self.out, |out| out.put_slice(message));
        self.window -= message.len() as i64;
        self.under_way.insert(stream, Call { of, status: None, body: Vec::new() });
        self.next_stream += 2;
        self.leaves = self.next_stream > STREAM_MAX;
    }

    /// Gives up those calls that `is_over` says it of.
    pub fn give_up(&mut self, mut is_over: impl FnMut(&T) -> bool) -> Vec<T> {
        let over: Vec<_> = self.under_way.extract_if(|_, call| is_over(&call.of)).collect();
        for (stream, _) in &over {
            frames::put(RST_STREAM, 0, *stream, &mut self.out, |out| out.put_u32(CANCEL));
        }
        over.into_iter().map(|(_, call)| call.of).collect()
    }

    /// The calls under way, none of which will be answered.
    pub fn end(self) -> impl Iterator<Item = T> {
        self.under_way.into_values().map(|call| call.of)
    }

    /// Takes in what has come, and tells of each call that is over.
    ///
    /// # Errors
    /// When it is no HTTP/2: then nothing of it is understood from here on.
    pub fn take_in(&mut self, mut told: impl FnMut(T, Result<Answer<'_>, Lost>)) -> Result<(), Lost> {
        while let Some(frame) = frames::take(&mut self.input).map_err(|Nonsense| Lost::Nonsense)? {
            self.take(&frame, &mut told).ok_or(Lost::Nonsense)?;
        }
        Ok(())
    }

    /// `None` when it is not understood.
    fn take(&mut self, frame: &Frame, told: &mut impl FnMut(T, Result<Answer<'_>, Lost>)) -> Option<()> {
        match frame.kind {
            DATA => {
                self.give_back(frame.payload.len() as u32);
                if let Some(call) = self.under_way.get_mut(&frame.stream) {
                    call.body.extend_from_slice(frame.content()?);
                }
                if frame.has(END_STREAM) {
                    self.lose(frame.stream, Lost::Nonsense, told);
                }
            }
            HEADERS if frame.has(END_HEADERS) => self.headers(frame.stream, frame.has(END_STREAM), frame.content()?, told)?,
            HEADERS => self.unfinished = Some((frame.stream, frame.has(END_STREAM), BytesMut::from(frame.content()?))),
            CONTINUATION => {
                let (stream, is_end, mut block) = self.unfinished.take()?;
                block.extend_from_slice(&frame.payload);
                match frame.has(END_HEADERS) {
                    true => self.headers(stream, is_end, &block, told)?,
                    false => self.unfinished = Some((stream, is_end, block)),
                }
            }
            RST_STREAM => self.lose(frame.stream, Lost::Reset(frame.word(0)?), told),
            SETTINGS if !frame.has(ACK) => self.settle(frame),
            PING if !frame.has(ACK) => frames::put(PING, ACK, 0, &mut self.out, |out| out.put_slice(&frame.payload)),
            GOAWAY => {
                let last = frame.word(0)? & STREAM_MAX;
                self.leaves = true;
                for (_, call) in self.under_way.extract_if(|stream, _| *stream > last) {
                    told(call.of, Err(Lost::NotTaken));
                }
            }
            // No call sends more than it may from its begin on.
            WINDOW_UPDATE if frame.stream == 0 => self.window += i64::from(frame.word(0)?),
            _ => {}
        }
        Some(())
    }

    fn settle(&mut self, frame: &Frame) {
        for (name, value) in frame.settings() {
            match name {
                MAX_CONCURRENT_STREAMS => self.calls_max = value as usize,
                INITIAL_WINDOW_SIZE => self.window_of_call = value.into(),
                HEADER_TABLE_SIZE if value < TABLE_BYTES => self.writer.keep_nothing(),
                _ => {}
            }
        }
        self.is_ready = true;
        frames::put(SETTINGS, ACK, 0, &mut self.out, |_| {});
    }

    /// Lets the server send as much again, now and then.
    fn give_back(&mut self, bytes: u32) {
        self.taken += bytes;
        if self.taken > WINDOW_BYTES_MAX / 2 {
            let taken = mem::take(&mut self.taken);
            frames::put(WINDOW_UPDATE, 0, 0, &mut self.out, |out| out.put_u32(taken));
        }
    }

    fn lose(&mut self, stream: u32, why: Lost, told: &mut impl FnMut(T, Result<Answer<'_>, Lost>)) {
        if let Some(call) = self.under_way.remove(&stream) {
            told(call.of, Err(why));
        }
    }

    /// A block of headers: it begins an answer, or ends it, or both.
    fn headers(
        &mut self,
        stream: u32,
        is_end: bool,
        block: &[u8],
        told: &mut impl FnMut(T, Result<Answer<'_>, Lost>),
    ) -> Option<()> {
        let known = &mut self.known[usize::from(is_end)];
        if known.0 != block || block.is_empty() {
            *known = (block.to_vec(), hpack::read(block)?);
        }
        let headers = &known.1;
        if is_end {
            if let Some(call) = self.under_way.remove(&stream) {
                let status = call.status.or(headers.status)?;
                told(call.of, Ok(Answer { status, body: &call.body, trailers: &headers.others }));
            }
        } else if let Some(call) = self.under_way.get_mut(&stream) {
            call.status = headers.status;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"\x88";
    const STATUS_0: &[u8] = b"\x40\x0bgrpc-status\x010";

    fn server_says(session: &mut Session<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        frames::put(kind, flags, stream, session.input(), |out| out.put_slice(payload));
    }

    /// With calls 1, 2 and 3 under way, on streams 1, 3 and 5.
    fn session() -> Session<u8> {
        let mut session = Session::new("http");
        assert!(!session.has_room(0), "it is not known what the server takes");
        server_says(&mut session, SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 4, 0, 4, 0, 0, 0, 100]);
        assert_eq!(told(&mut session), []);
        let fields = [Field { name: ":path", value: "/x".to_owned() }];
        (1..=3).for_each(|call| session.call(call, &fields, &[0], None, b"abc"));
        session.out().clear();
        session
    }

    /// Status, body and gRPC status of an answer.
    type Told = Result<(u16, Vec<u8>, HeaderValue), Lost>;

    /// Calls that are over.
    fn told(session: &mut Session<u8>) -> Vec<(u8, Told)> {
        let mut all = Vec::new();
        let read = |answer: Answer<'_>| (answer.status, answer.body.to_vec(), answer.trailers["grpc-status"].clone());
        session.take_in(|call, answer| all.push((call, answer.map(read)))).expect("it is understood");
        all
    }

    fn good(body: &[u8]) -> Told {
        Ok((200, body.to_vec(), HeaderValue::from_static("0")))
    }

    #[test]
    fn answers_come_in_any_order_and_in_pieces() {
        let mut session = session();
        for stream in [3, 1] {
            server_says(&mut session, HEADERS, END_HEADERS, stream, OK);
            server_says(&mut session, DATA, 0, stream, b"an");
            server_says(&mut session, DATA, 0, stream, b"swer");
        }
        server_says(&mut session, HEADERS, END_HEADERS | END_STREAM, 1, STATUS_0);
        server_says(&mut session, HEADERS, END_STREAM, 3, &STATUS_0[..5]);
        server_says(&mut session, CONTINUATION, END_HEADERS, 3, &STATUS_0[5..]);
        assert_eq!(told(&mut session), [(1, good(b"answer")), (2, good(b"answer"))]);
        // One without anything but its end.
        server_says(&mut session, HEADERS, END_HEADERS | END_STREAM, 5, &[OK, STATUS_0].concat());
        assert_eq!(told(&mut session), [(3, good(b""))]);
    }

    #[test]
    fn a_call_may_be_lost_alone_or_with_its_connection() {
        let mut session = session();
        server_says(&mut session, RST_STREAM, 0, 3, &[0, 0, 0, 7]);
        assert_eq!(told(&mut session), [(2, Err(Lost::Reset(7)))]);
        assert_eq!(session.give_up(|call| *call == 1), [1]);
        assert_eq!(&session.out()[..], b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08", "the server is told");
        server_says(&mut session, HEADERS, END_HEADERS | END_STREAM, 1, &[OK, STATUS_0].concat());
        assert_eq!(told(&mut session), [], "it is too late");
        server_says(&mut session, GOAWAY, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!((told(&mut session).len(), session.has_room(0), session.under_way()), (0, false, 1), "it ends well");
        server_says(&mut session, GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]);
        assert_eq!(told(&mut session), [(3, Err(Lost::NotTaken))]);
    }

    #[test]
    fn what_the_server_takes_is_kept_to() {
        let mut session = session();
        assert!(session.has_room(100) && !session.has_room(101), "its window of a call");
        session.call(4, &[], &[], None, b"");
        assert!(!session.has_room(0), "it has four at the same time");
        session.give_up(|_| true);
        let fill = |session: &mut Session<u8>| {
            let mut sent = 0;
            while session.has_room(100) {
                session.call(5, &[], &[], None, &[0; 100]);
                session.give_up(|_| true);
                sent += 100;
            }
            sent
        };
        assert_eq!(fill(&mut session), (i64::from(WINDOW_BYTES) - 9) / 100 * 100);
        server_says(&mut session, WINDOW_UPDATE, 0, 0, &[0, 0, 0x10, 0]);
        assert_eq!(told(&mut session), []);
        assert_eq!(fill(&mut session) / 1_000, 4);
    }

    #[test]
    fn questions_are_answered_and_nonsense_is_told() {
        let mut session = session();
        server_says(&mut session, PING, 0, 0, b"12345678");
        assert_eq!(told(&mut session), []);
        assert_eq!(&session.out()[..], b"\0\0\x08\x06\x01\0\0\0\x0012345678");
        for (kind, payload) in [(HEADERS, &b"\xbe"[..]), (CONTINUATION, b""), (RST_STREAM, b"1")] {
            let mut session = self::session();
            server_says(&mut session, kind, END_HEADERS, 1, payload);
            assert_eq!(session.take_in(|_, _| {}), Err(Lost::Nonsense));
        }
    }
}
