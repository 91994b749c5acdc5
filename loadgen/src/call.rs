//! Unary gRPC calls straight on HTTP/2. The layers of a general client (a queue, a task and several boxes a call) cost more than the
//! server spends on the call, on the cores that the server needs.

use anyhow::Context;
use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{Request, Uri, header};
use prost::Message;
use tokio::sync::Mutex;
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
    /// As an admin makes them: an admin stands for the payment's provider.
    submit: Request<()>,
    confirm: Request<()>,
    credentials: Credentials,
    /// Calls that may be under way at once.
    calls: usize,
}

impl Line {
    /// # Errors
    /// When the address of the server is none.
    pub fn new(dial: Dial, credentials: Credentials, calls: usize) -> anyhow::Result<Self> {
        let authority = dial.address.as_str();
        let head = |path: &str| {
            let uri = Uri::builder().scheme(dial.scheme()).authority(authority).path_and_query(path).build()?;
            let mut head = Request::post(uri).header(header::TE, "trailers").header(header::CONTENT_TYPE, "application/grpc");
            if let Some(authorization) = &credentials.admin {
                head = head.header(header::AUTHORIZATION, authorization);
            }
            head.body(())
        };
        Ok(Self { submit: head(SUBMIT)?, confirm: head(CONFIRM)?, credentials, dial, calls })
    }

    /// # Errors
    /// When nobody answers.
    pub async fn open(self) -> anyhow::Result<Calls> {
        let open = self.connect().await.with_context(|| format!("cannot connect to {}", self.dial.address))?;
        Ok(Calls { line: self, open: Mutex::new(open) })
    }

    async fn connect(&self) -> anyhow::Result<Open> {
        let stream = self.dial.open().await?;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES).enable_push(false);
        let (requests, connection) = builder.initial_max_send_streams(self.calls).handshake(stream).await?;
        // Why a connection ended is told by the calls that were under way.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Open { requests, driver })
    }

    fn head(&self, step: Step, user_id: u64) -> Request<()> {
        let mut head = match step {
            Step::Submit => self.submit.clone(),
            Step::Confirm => return self.confirm.clone(),
        };
        if let Some(authorization) = self.credentials.of_user(user_id) {
            head.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        head
    }
}

/// A connection for calls.
pub struct Calls {
    line: Line,
    open: Mutex<Open>,
}

struct Open {
    requests: SendRequest<Bytes>,
    /// Moves the bytes; ends with the connection.
    driver: JoinHandle<()>,
}

impl Calls {
    /// Calls that may be under way at once.
    pub fn at_once(&self) -> usize {
        self.line.calls
    }

    /// Connects again when the connection has ended. When that does not succeed, calls fail.
    async fn requests(&self) -> SendRequest<Bytes> {
        let mut open = self.open.lock().await;
        if open.driver.is_finished()
            && let Ok(again) = self.line.connect().await
        {
            *open = again;
        }
        open.requests.clone()
    }

    /// Sends `message`, the request of `step` for an order of a user; says whether the command had been carried out before.
    pub async fn call(&self, step: Step, user_id: u64, message: Bytes) -> Result<bool, Status> {
        let mut requests = self.requests().await.ready().await.map_err(broken)?;
        let head = self.line.head(step, user_id);
        let (answer, mut body) = requests.send_request(head, false).map_err(broken)?;
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

/// The message, then the status. An answer is smaller than the window of its call, and what it took of that of the connection is given
/// back when the call ends.
async fn read(mut body: RecvStream) -> Result<bool, Status> {
    let mut message = Vec::new();
    while let Some(part) = body.data().await {
        message.extend_from_slice(&part.map_err(broken)?);
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
