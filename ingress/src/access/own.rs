//! The request of somebody who acts for themself: no user but them is named in it.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::combinators::Collect;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Frame;
use tonic::Status;
use tonic::body::Body;

use super::body::{self, BodyError};
use crate::{refusals, status};

/// The one message of a call. It is refused when it names another user; one that names none means the caller.
///
/// Its service reads it before it does anything, so that it is early enough to look at it then: to look at it before would have
/// all of the call wait in a future of its own.
pub struct Own<R> {
    /// `None` once it was read.
    gathering: Option<Collect<Limited<Body>>>,
    field: u32,
    user_id: u64,
    refuse: R,
}

impl<R> Own<R> {
    /// `field` of a message of `most` bytes names a user, who must be `user_id`.
    pub fn new(body: Body, most: usize, field: u32, user_id: u64, refuse: R) -> Self {
        Self { gathering: Some(Limited::new(body, most).collect()), field, user_id, refuse }
    }
}

impl<R: Fn() -> Status + Unpin> Own<R> {
    fn look(&self, bytes: Bytes) -> Result<Bytes, Status> {
        let Some(message) = body::message(&bytes).map_err(unreadable)? else { return Ok(bytes) };
        match body::uint64(message, self.field).map_err(|error| unreadable(error.into()))? {
            0 => Ok(body::with_uint64(message, self.field, self.user_id)),
            named if named == self.user_id => Ok(bytes),
            _ => Err((self.refuse)()),
        }
    }
}

/// A message that is too large, or did not come, is what it is to who reads it without this.
fn lost(error: Box<dyn Error + Send + Sync>) -> Status {
    match error.downcast::<LengthLimitError>() {
        Ok(error) => Status::out_of_range(error.to_string()),
        Err(error) => Status::from_error(error),
    }
}

fn unreadable(error: BodyError) -> Status {
    status::of_refusal(refusals::invalid_field("request", error.to_string()))
}

impl<R: Fn() -> Status + Unpin> hyper::body::Body for Own<R> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(gathering) = &mut self.gathering else { return Poll::Ready(None) };
        let gathered = ready!(Pin::new(gathering).poll(context));
        self.gathering = None;
        let bytes = gathered.map_err(lost).and_then(|gathered| self.look(gathered.to_bytes()));
        Poll::Ready(Some(bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.gathering.is_none()
    }
}
