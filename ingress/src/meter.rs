//! Measures calls: one layer over all of them, those included that the guard refuses.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use emshop_proto::access::{self, METHODS};
use emshop_telemetry::{Gauge, Histogram, Lazy, Registry, catalogue};
use hyper::body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tower::Service;

/// What takes a stream of commands, and answers by one.
const STREAM: &str = "/emshop.v1.PipelineService/Submit";
/// What the paths of our methods begin with.
const PACKAGE: &str = "/emshop.v1.";
const OTHER: &str = "other";
const STATUS: &str = "grpc-status";

/// The codes of gRPC, by their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What is measured of calls. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Calls(Arc<Handles>);

struct Handles {
    /// By method, that of what is none of ours behind the others, and by code.
    seconds: Lazy<Histogram>,
    streams: Gauge,
    /// The method that takes streams.
    stream: usize,
}

impl Calls {
    pub fn new(registry: &Registry) -> Self {
        let of = registry.clone();
        let seconds = Lazy::new((METHODS.len() + 1) * CODES.len(), move |index| {
            let (method, code) = (index / CODES.len(), index % CODES.len());
            let method = METHODS.get(method).map_or(OTHER, |method| method.path.trim_start_matches(PACKAGE));
            of.histogram(&catalogue::RPC_SECONDS, &[method, CODES[code]])
        });
        let stream = access::place(STREAM).expect("it is one of ours");
        Self(Arc::new(Handles { seconds, streams: registry.gauge(&catalogue::RPC_STREAMS, &[]), stream }))
    }

    /// Puts a meter around what serves a connection.
    pub fn around<S>(&self, inner: S) -> Meter<S> {
        Meter { inner, calls: self.clone() }
    }

    fn begin(&self, path: &str) -> Call {
        let method = access::place(path).unwrap_or(METHODS.len());
        Call { calls: self.clone(), method, began: Instant::now(), code: Code::Cancelled }
    }
}

/// A call from its begin to its end, which is when this is dropped.
struct Call {
    calls: Calls,
    method: usize,
    began: Instant,
    /// Cancelled, as long as nobody has answered.
    code: Code,
}

impl Drop for Call {
    fn drop(&mut self) {
        let index = self.method * CODES.len() + self.code as usize;
        self.calls.0.seconds.get(index).observe(self.began.elapsed().as_secs_f64());
    }
}

#[derive(Clone)]
pub struct Meter<S> {
    inner: S,
    calls: Calls,
}

impl<S> Service<Request<Body>> for Meter<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Unpin>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Measured<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = self.calls.begin(request.uri().path());
        Measured { inner: self.inner.call(request), call: Some(call) }
    }
}

/// A call until it is answered.
pub struct Measured<F> {
    inner: F,
    call: Option<Call>,
}

impl<F> Future for Measured<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Unpin,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(response) = ready!(Pin::new(&mut self.inner).poll(context));
        let mut call = self.call.take().expect("it is answered once");
        let code = code_in(response.headers());
        if code.is_none() && call.method == call.calls.0.stream {
            return Poll::Ready(Ok(response.map(|body| Body::new(Streaming::new(body, call)))));
        }
        // The status of what succeeds comes behind its message; what is no gRPC has none.
        let without = || if response.status().is_success() { Code::Ok } else { Code::Unknown };
        call.code = code.unwrap_or_else(without);
        Poll::Ready(Ok(response))
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}

/// The answer of a stream, which ends with it.
struct Streaming {
    body: Body,
    call: Call,
}

impl Streaming {
    fn new(body: Body, call: Call) -> Self {
        call.calls.0.streams.inc();
        Self { body, call }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.call.calls.0.streams.dec();
    }
}

impl hyper::body::Body for Streaming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(code) = frame.trailers_ref().and_then(code_in)
        {
            self.call.code = code;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::{Ready, pending, ready};
    use http_body_util::{BodyExt, StreamBody};
    use tower::service_fn;

    use super::*;

    const SUBMIT_ORDER: &str = "/emshop.v1.OrderService/SubmitOrder";

    fn request(path: &str) -> Request<Body> {
        Request::builder().uri(path).body(Body::default()).expect("a request")
    }

    fn answers(
        response: impl Fn() -> Response<Body> + Clone,
    ) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Ready<Result<Response<Body>, Infallible>>>
    {
        service_fn(move |_: Request<Body>| ready(Ok(response())))
    }

    /// How many calls of a method ended with a code.
    fn ended(registry: &Registry, method: &str, code: &str) -> Option<u64> {
        let line = format!("emshop_rpc_seconds_count{{code=\"{code}\",method=\"{method}\"}} ");
        registry.text().lines().find_map(|text| text.strip_prefix(&line)?.parse().ok())
    }

    #[test]
    fn calls_are_counted_by_method_and_code() {
        let registry = Registry::new();
        let calls = Calls::new(&registry);
        let call = |path: &str, response: fn() -> Response<Body>| {
            let answered = calls.around(answers(response)).call(request(path)).now_or_never();
            answered.expect("at once").expect("an answer")
        };
        let ok = || Response::new(Body::default());
        let nowhere = || Response::builder().status(404).body(Body::default()).expect("a response");
        call(SUBMIT_ORDER, ok);
        call(SUBMIT_ORDER, ok);
        call(SUBMIT_ORDER, || Status::unavailable("away").into_http());
        call("/grpc.health.v1.Health/Check", ok);
        call("/webhooks/payments", nowhere);
        let waits = service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>());
        drop(calls.around(waits).call(request(SUBMIT_ORDER)));
        let counted = [("OK", 2), ("UNAVAILABLE", 1), ("CANCELLED", 1)];
        for (code, count) in counted {
            assert_eq!(ended(&registry, "OrderService/SubmitOrder", code), Some(count), "{code}");
        }
        assert_eq!(["OK", "UNKNOWN"].map(|code| ended(&registry, OTHER, code)), [Some(1); 2]);
        assert_eq!(ended(&registry, "OrderService/GetOrder", "OK"), None, "what nobody calls is not there");
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_answer() {
        let registry = Registry::new();
        let calls = Calls::new(&registry);
        let open = || registry.text().lines().find_map(|line| line.strip_prefix("emshop_rpc_streams ").map(str::to_owned));
        let trailers = || Status::resource_exhausted("not read").into_http::<Body>().headers().clone();
        let response = move || {
            let frames = [Frame::data(Bytes::from_static(b"outcomes")), Frame::trailers(trailers())];
            Response::new(Body::new(StreamBody::new(futures::stream::iter(frames.map(Ok::<_, Status>)))))
        };
        let mut meter = calls.around(answers(response));
        let [read, left] = [meter.call(request(STREAM)).await, meter.call(request(STREAM)).await];
        assert_eq!(open().as_deref(), Some("2"));
        let name = "PipelineService/Submit";
        assert_eq!(ended(&registry, name, "OK"), None, "they have not ended");
        read.expect("an answer").into_body().collect().await.expect("all of it");
        drop(left);
        assert_eq!(open().as_deref(), Some("0"));
        assert_eq!(["RESOURCE_EXHAUSTED", "CANCELLED", "OK"].map(|code| ended(&registry, name, code)), [Some(1), Some(1), None]);
        let refused = calls.around(answers(|| Status::unauthenticated("who").into_http())).call(request(STREAM)).await;
        drop(refused);
        assert_eq!(ended(&registry, name, "UNAUTHENTICATED"), Some(1), "without a stream");
    }
}
