//! Unary gRPC calls on one connection, and what their answers mean.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use anyhow::Context;
use bytes::Buf;
use prost::Message;
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;
use tonic::{Code, Status};

use crate::dial::{self, Dial};
use crate::encoder::PREFIX_BYTES;
use crate::http2::{Answer, Field, Lost, Session};
use crate::token::Credentials;
use crate::workload::Step;

/// Room for what comes at once.
const READ_BYTES: usize = 64 << 10;

/// What is read of `SubmitOrderResponse` and of `PaymentResponse`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Told {
    #[prost(bool, tag = "2")]
    repeated: bool,
}

/// Places of what calls have in their headers, by the step that they take. Those of HTTP/2 itself, with a colon, are first.
const SUBMIT: [usize; 4] = [0, 1, 3, 4];
const CONFIRM: [usize; 4] = [0, 2, 3, 4];

/// Where to connect to, and what calls say there.
#[derive(Clone)]
pub struct Line {
    dial: Dial,
    credentials: Credentials,
    fields: [Field; 5],
}

impl Line {
    pub fn new(dial: Dial, credentials: Credentials) -> Self {
        let fields = [
            (":authority", dial.address.as_str()),
            (":path", "/emshop.v1.OrderService/SubmitOrder"),
            (":path", "/emshop.v1.PaymentService/ConfirmPayment"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ];
        let fields = fields.map(|(name, value)| Field { name, value: value.to_owned() });
        Self { fields, dial, credentials }
    }

    /// # Errors
    /// When nobody answers.
    pub async fn open<T>(&self) -> anyhow::Result<Calls<T>> {
        let stream = self.dial.open().await.with_context(|| format!("cannot connect to {}", self.dial.address))?;
        Ok(Calls { line: self.clone(), stream, session: Session::new(self.dial.scheme()) })
    }
}

/// A connection for calls, of each of which `T` is remembered.
pub struct Calls<T> {
    line: Line,
    stream: dial::Bytes,
    session: Session<T>,
}

impl<T> Calls<T> {
    /// Whether a call with this message can be made now.
    pub fn has_room(&self, message: &[u8]) -> bool {
        self.session.has_room(message.len())
    }

    /// Whether all is answered that will be.
    pub fn is_over(&self) -> bool {
        self.session.leaves() && self.session.under_way() == 0
    }

    /// Sends `message`, the request of `step` for an order of a user. An admin confirms: one stands for the payment's provider.
    pub fn call(&mut self, of: T, step: Step, user_id: u64, message: &[u8]) {
        let Line { credentials, fields, .. } = &self.line;
        let (places, authorization) = match step {
            Step::Submit => (SUBMIT, credentials.of_user(user_id)),
            Step::Confirm => (CONFIRM, credentials.admin.as_ref()),
        };
        self.session.call(of, fields, &places, authorization, message);
    }

    /// Sends what is to be sent until something has come in.
    ///
    /// # Errors
    /// When the connection has ended. Nothing is lost when the wait is given up.
    pub async fn exchange(&mut self) -> io::Result<()> {
        let Self { stream, session, .. } = self;
        poll_fn(|context| {
            while !session.out().is_empty() {
                match Pin::new(&mut *stream).poll_write(context, session.out())? {
                    Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(sent) => session.out().advance(sent),
                    Poll::Pending => break,
                }
            }
            let _ = Pin::new(&mut *stream).poll_flush(context)?;
            session.input().reserve(READ_BYTES);
            match ready!(poll_read_buf(Pin::new(&mut *stream), context, session.input()))? {
                0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                _ => Poll::Ready(Ok(())),
            }
        })
        .await
    }

    /// Tells of each call that is answered by what came in: whether the command had been carried out before.
    ///
    /// # Errors
    /// When the connection is of no use any more.
    pub fn take_in(&mut self, mut told: impl FnMut(T, Result<bool, Status>)) -> Result<(), Lost> {
        self.session.take_in(|of, answer| told(of, answer.map_err(broken).and_then(|answer| read(&answer))))
    }

    /// Gives up those calls that `is_over` says it of.
    pub fn give_up(&mut self, is_over: impl FnMut(&T) -> bool) -> Vec<T> {
        self.session.give_up(is_over)
    }

    /// The calls under way, none of which will be answered.
    pub fn end(self) -> impl Iterator<Item = T> {
        self.session.end()
    }
}

fn read(answer: &Answer<'_>) -> Result<bool, Status> {
    if answer.status != 200 {
        return Err(Status::unavailable(format!("HTTP status {}", answer.status)));
    }
    match Status::from_header_map(answer.trailers) {
        Some(status) if status.code() == Code::Ok => {}
        Some(status) => return Err(status),
        None => return Err(Status::unknown("an answer without a status")),
    }
    let message = answer.body.get(PREFIX_BYTES..).ok_or_else(|| Status::internal("an answer without a message"))?;
    Told::decode(message).map(|told| told.repeated).map_err(|error| Status::internal(error.to_string()))
}

/// As any gRPC client calls it when a connection ends.
pub fn broken(error: impl ToString) -> Status {
    Status::unavailable(error.to_string())
}
