//! Measures calls, traces those that are, and has them written down: one layer over all of them, those included that the guard refuses.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use emshop_proto::access::{self, METHODS};
use emshop_proto::trace::TRACEPARENT;
use emshop_telemetry::traces::{Begun, KeyValue, Role, Span, Traces, names};
use emshop_telemetry::{Gauge, Histogram, Lazy, Registry, catalogue};
use hyper::body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tower::Service;

use crate::access_log::{self, Access, Who};
use crate::payment::webhook;

/// What takes a stream of commands, and answers by one.
const STREAM: &str = "/emshop.v1.PipelineService/Submit";
/// What the paths of our methods begin with.
const PACKAGE: &str = "/emshop.v1.";
const OTHER: &str = "other";
/// The span of a payment provider's word.
const NOTIFICATION: &str = "POST /webhooks/payments";
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
    traces: Traces,
}

impl Calls {
    pub fn new(registry: &Registry, traces: Traces) -> Self {
        let of = registry.clone();
        let seconds = Lazy::new((METHODS.len() + 1) * CODES.len(), move |index| {
            let (method, code) = (index / CODES.len(), index % CODES.len());
            of.histogram(&catalogue::RPC_SECONDS, &[name_of(method), CODES[code]])
        });
        let stream = access::place(STREAM).expect("it is one of ours");
        Self(Arc::new(Handles { seconds, streams: registry.gauge(&catalogue::RPC_STREAMS, &[]), stream, traces }))
    }

    /// Puts a meter around what serves a connection, at whose other end `peer` is.
    pub fn around<S>(&self, peer: IpAddr, inner: S) -> Meter<S> {
        Meter { inner, calls: self.clone(), peer }
    }

    /// Those behind find in the request's extensions what is to be known of it: [`Begun`] when it is traced, [`Who`] when it is written down.
    fn begin(&self, peer: IpAddr, request: &mut Request<Body>) -> Call {
        let path = request.uri().path();
        let method = access::place(path).unwrap_or(METHODS.len());
        let is_ours = method < METHODS.len() || path == webhook::PATH;
        let trace = if is_ours { self.trace(request) } else { None };
        let line = access_log::is_on().then(|| Box::new((peer, Who::default())));
        if let Some(line) = &line {
            request.extensions_mut().insert(line.1.clone());
        }
        Call { calls: self.clone(), method, began: Instant::now(), code: Code::Cancelled, trace, line }
    }

    fn trace(&self, request: &mut Request<Body>) -> Option<Box<Begun>> {
        if !self.0.traces.are_on() {
            return None;
        }
        let says = request.headers().get(TRACEPARENT).and_then(|text| text.to_str().ok());
        let begun = self.0.traces.begin(says)?;
        request.extensions_mut().insert(begun);
        Some(Box::new(begun))
    }
}

/// Such as `OrderService/SubmitOrder`.
fn name_of(method: usize) -> &'static str {
    METHODS.get(method).map_or(OTHER, |method| method.path.trim_start_matches(PACKAGE))
}

/// A call from its begin to its end, which is when this is dropped.
struct Call {
    calls: Calls,
    method: usize,
    began: Instant,
    /// Cancelled, as long as nobody has answered.
    code: Code,
    trace: Option<Box<Begun>>,
    /// Of the line that is written of it.
    line: Option<Box<(IpAddr, Who)>>,
}

impl Drop for Call {
    fn drop(&mut self) {
        let index = self.method * CODES.len() + self.code as usize;
        let took = self.began.elapsed();
        self.calls.0.seconds.get(index).observe(took.as_secs_f64());
        if let Some(begun) = &self.trace {
            self.calls.0.traces.end(self.span(begun));
        }
        if let Some(line) = &self.line {
            let (peer, who) = &**line;
            let (method, code, trace) = (name_of(self.method), CODES[self.code as usize], self.trace.as_ref());
            Access { method, code, took, peer: *peer, who, trace: trace.map(|begun| begun.trace) }.write();
        }
    }
}

impl Call {
    fn span(&self, begun: &Begun) -> Span {
        let Begun { trace, parent_id, at } = *begun;
        let code = CODES[self.code as usize];
        let (name, attributes) = match METHODS.get(self.method) {
            Some(method) => {
                let name = method.path.trim_start_matches('/');
                let attributes = vec![
                    KeyValue::new(names::RPC_SYSTEM_NAME, "grpc"),
                    KeyValue::new(names::RPC_METHOD, name),
                    KeyValue::new(names::RPC_RESPONSE_STATUS_CODE, code),
                ];
                (name, attributes)
            }
            None => (NOTIFICATION, vec![KeyValue::new(names::HTTP_ROUTE, webhook::PATH)]),
        };
        // What the client is to blame for is no error of the server.
        let is_ours = matches!(
            self.code,
            Code::Unknown | Code::DeadlineExceeded | Code::Unimplemented | Code::Internal | Code::Unavailable | Code::DataLoss
        );
        let (role, error) = (Role::Server, is_ours.then_some(code.into()));
        Span { trace, parent_id, name: name.into(), role, begin: at, end: at + self.began.elapsed(), attributes, error }
    }
}

#[derive(Clone)]
pub struct Meter<S> {
    inner: S,
    calls: Calls,
    peer: IpAddr,
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let call = self.calls.begin(self.peer, &mut request);
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
    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

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
        let calls = Calls::new(&registry, Traces::default());
        let call = |path: &str, response: fn() -> Response<Body>| {
            let answered = calls.around(PEER, answers(response)).call(request(path)).now_or_never();
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
        drop(calls.around(PEER, waits).call(request(SUBMIT_ORDER)));
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
        let calls = Calls::new(&registry, Traces::default());
        let open = || registry.text().lines().find_map(|line| line.strip_prefix("emshop_rpc_streams ").map(str::to_owned));
        let trailers = || Status::resource_exhausted("not read").into_http::<Body>().headers().clone();
        let response = move || {
            let frames = [Frame::data(Bytes::from_static(b"outcomes")), Frame::trailers(trailers())];
            Response::new(Body::new(StreamBody::new(futures::stream::iter(frames.map(Ok::<_, Status>)))))
        };
        let mut meter = calls.around(PEER, answers(response));
        let [read, left] = [meter.call(request(STREAM)).await, meter.call(request(STREAM)).await];
        assert_eq!(open().as_deref(), Some("2"));
        let name = "PipelineService/Submit";
        assert_eq!(ended(&registry, name, "OK"), None, "they have not ended");
        read.expect("an answer").into_body().collect().await.expect("all of it");
        drop(left);
        assert_eq!(open().as_deref(), Some("0"));
        assert_eq!(["RESOURCE_EXHAUSTED", "CANCELLED", "OK"].map(|code| ended(&registry, name, code)), [Some(1), Some(1), None]);
        let refused = calls.around(PEER, answers(|| Status::unauthenticated("who").into_http())).call(request(STREAM)).await;
        drop(refused);
        assert_eq!(ended(&registry, name, "UNAUTHENTICATED"), Some(1), "without a stream");
    }
}
