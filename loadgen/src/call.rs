//! Unary gRPC calls straight on HTTP/2. The layers of a general client (a queue, a task and several boxes a call) cost more than the
//! server spends on the call, on the cores that the server needs.

use anyhow::Context;
use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use prost::Message;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use crate::dial::Dial;
use crate::encoder::PREFIX_BYTES;
use crate::token::Credentials;
use crate::workload::Step;

/// Flow control never makes an answer wait.
const WINDOW_BYTES: u32 = 4 << 20;

const SUBMIT: &str = "/emshop.v1.OrderService/SubmitOrder";
const CONFIRM: &str = "/emshop.v1.PaymentService/ConfirmPayment";

/// What is read of `SubmitOrderResponse` and of `PaymentResponse`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Told {
    #[prost(bool, tag = "2")]
    repeated: bool,
}

/// Where to connect to, and what each call says.
#[derive(Clone)]
pub struct Line {
    dial: Dial,
    submit: Uri,
    confirm: Uri,
    headers: HeaderMap,
    credentials: Credentials,
    /// Calls that may be under way at once.
    calls: usize,
}

impl Line {
    /// # Errors
    /// When the address of the server is none.
    pub fn new(dial: Dial, credentials: Credentials, calls: usize) -> anyhow::Result<Self> {
        let authority = dial.address.as_str();
        let path = |path: &str| Uri::builder().scheme(dial.scheme()).authority(authority).path_and_query(path).build();
        let mut headers = HeaderMap::new();
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        Ok(Self { submit: path(SUBMIT)?, confirm: path(CONFIRM)?, headers, credentials, dial, calls })
    }

    /// # Errors
    /// When nobody answers.
    pub async fn open(self) -> anyhow::Result<Calls> {
        let (requests, driver) = self.connect().await.with_context(|| format!("cannot connect to {}", self.dial.address))?;
        Ok(Calls { line: self, requests, driver })
    }

    async fn connect(&self) -> anyhow::Result<(SendRequest<Bytes>, JoinHandle<()>)> {
        let stream = self.dial.open().await?;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES).enable_push(false);
        let (requests, connection) = builder.initial_max_send_streams(self.calls).handshake(stream).await?;
        // Why a connection ended is told by the calls that were under way.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok((requests, driver))
    }

    /// An order is submitted by its user, and confirmed by an admin, who stands for the payment's provider.
    fn head(&self, step: Step, user_id: u64) -> Request<()> {
        let (uri, authorization) = match step {
            Step::Submit => (&self.submit, self.credentials.of_user(user_id)),
            Step::Confirm => (&self.confirm, self.credentials.admin.as_ref()),
        };
        let mut head = Request::new(());
        *head.method_mut() = Method::POST;
        *head.uri_mut() = uri.clone();
        *head.headers_mut() = self.headers.clone();
        head.headers_mut().extend(authorization.map(|authorization| (header::AUTHORIZATION, authorization.clone())));
        head
    }
}

/// A connection for calls.
pub struct Calls {
    line: Line,
    requests: SendRequest<Bytes>,
    /// Moves the bytes; ends with the connection.
    driver: JoinHandle<()>,
}

impl Calls {
    /// Calls that may be under way at once.
    pub fn at_once(&self) -> usize {
        self.line.calls
    }

    /// Connects again when the connection has ended. When that does not succeed, the next calls fail.
    pub async fn keep_open(&mut self) {
        if self.driver.is_finished()
            && let Ok((requests, driver)) = self.line.connect().await
        {
            (self.requests, self.driver) = (requests, driver);
        }
    }

    /// Sends `message`, the request of `step` for an order of a user; says whether the command had been carried out before.
    pub fn call(&self, step: Step, user_id: u64, message: Bytes) -> impl Future<Output = Result<bool, Status>> + use<> {
        let (head, requests) = (self.line.head(step, user_id), self.requests.clone());
        async move {
            let (answer, mut body) = requests.ready().await.map_err(broken)?.send_request(head, false).map_err(broken)?;
            body.send_data(message, true).map_err(broken)?;
            let answer = answer.await.map_err(broken)?;
            if !answer.status().is_success() {
                return Err(Status::unavailable(format!("HTTP status {}", answer.status())));
            }
            if let Some(status) = Status::from_header_map(answer.headers()) {
                return Err(status);
            }
            read(answer.into_body()).await
        }
    }
}

/// The message, then the status.
async fn read(mut body: RecvStream) -> Result<bool, Status> {
    let mut message = Vec::new();
    while let Some(part) = body.data().await {
        let part = part.map_err(broken)?;
        body.flow_control().release_capacity(part.len()).map_err(broken)?;
        message.extend_from_slice(&part);
    }
    let trailers = body.trailers().await.map_err(broken)?.unwrap_or_default();
    match Status::from_header_map(&trailers) {
        Some(status) if status.code() == Code::Ok => {}
        Some(status) => return Err(status),
        None => return Err(Status::unknown("an answer without a status")),
    }
    let message = message.get(PREFIX_BYTES..).ok_or_else(|| Status::internal("an answer without a message"))?;
    Told::decode(message).map(|told| told.repeated).map_err(|error| Status::internal(error.to_string()))
}

/// As any gRPC client calls it when a connection ends.
fn broken(error: h2::Error) -> Status {
    Status::unavailable(error.to_string())
}
