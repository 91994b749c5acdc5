//! Where calls come in from hyper, and their answers go back. The body of each must arrive soon, but for those of streams, which are not
//! bodies of one message.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::Service;

use super::untaken::{Answer, Share};

/// How long a request may take to arrive once its headers are here.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);
/// What begins like this takes streams.
const STREAMING: [&str; 2] = ["/emshop.v1.PipelineService/", "/grpc.reflection."];

/// The door of one connection.
pub struct Door<S> {
    service: S,
    share: Arc<Share>,
}

impl<S> Door<S> {
    pub fn new(service: S, share: Arc<Share>) -> Self {
        Self { service, share }
    }
}

impl<S> hyper::service::Service<Request<Incoming>> for Door<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Unpin> + Clone,
{
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let streams = STREAMING.iter().any(|prefix| request.uri().path().starts_with(prefix));
        // Ours are always ready.
        let request = request.map(|body| if streams { Body::new(body) } else { Body::new(Arriving::new(body)) });
        Answering { call: self.service.clone().call(request), share: Some(self.share.clone()) }
    }
}

/// A call, until there is an answer.
pub struct Answering<F> {
    call: F,
    /// Goes with the answer.
    share: Option<Arc<Share>>,
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Unpin,
{
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(answer) = ready!(Pin::new(&mut self.call).poll(context));
        let share = self.share.take().expect("it is answered once");
        Poll::Ready(Ok(answer.map(|body| Answer::new(body, share))))
    }
}

/// A body that must be here in time. Most are when they are first looked at, and these need no timer.
struct Arriving<B> {
    body: B,
    end: Option<Pin<Box<Sleep>>>,
}

impl<B> Arriving<B> {
    fn new(body: B) -> Self {
        Self { body, end: None }
    }
}

impl<B> hyper::body::Body for Arriving<B>
where
    B: hyper::body::Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let broken = |error: B::Error| Status::cancelled(format!("the request did not arrive: {error}"));
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(ARRIVAL_MAX)));
        match end.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(Status::deadline_exceeded("the request did not arrive in time")))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
