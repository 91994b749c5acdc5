//! HTTP/2 connections to the server.

use std::time::Duration;

use anyhow::{Context, Error};
use http::{HeaderValue, Uri};
use hyper_util::rt::TokioIo;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use tower::service_fn;

use crate::call::Line;
use crate::dial::{Dial, TlsFiles};
use crate::token::Credentials;

/// Flow-control windows: enough that outcomes never wait for the generator.
const WINDOW_BYTES: u32 = 4 << 20;

/// A connection whose calls say that an admin makes them.
pub type Connection = InterceptedService<Channel, Bearer>;

/// Puts the token, if there is one, on every call.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    fn new(authorization: Option<&HeaderValue>) -> anyhow::Result<Self> {
        let value = |header: &HeaderValue| {
            let mut value = MetadataValue::try_from(header.as_bytes())?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        };
        authorization.map(value).transpose().map(Self)
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Self(Some(authorization)) = self {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

/// Where the server is, and how to connect to it.
#[derive(Clone)]
pub struct Server {
    dial: Dial,
    endpoint: Endpoint,
    timeout: Duration,
    credentials: Credentials,
    bearer: Bearer,
}

impl Server {
    /// `timeout` bounds each unary call; `credentials` say who makes them.
    ///
    /// # Errors
    /// When `target` is not a URL, or the files are not what TLS to it needs.
    pub fn new(target: &str, tls: &TlsFiles, timeout: Duration, credentials: Credentials) -> anyhow::Result<Self> {
        let target: Uri = target.parse().with_context(|| format!("{target} is not a URL"))?;
        let dial = Dial::new(&target, tls)?;
        // TLS is the dial's business, so the channel is told of none.
        let endpoint = Endpoint::from_shared(format!("http://{}", dial.address))?
            .origin(target)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        let bearer = Bearer::new(credentials.admin.as_ref())?;
        Ok(Self { dial, endpoint, timeout, credentials, bearer })
    }

    /// A connection whose calls time out.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        self.open(&self.endpoint.clone().timeout(self.timeout)).await
    }

    /// The way to connections for unary calls.
    pub fn line(&self) -> Line {
        Line::new(self.dial.clone(), self.credentials.clone())
    }

    /// A connection whose calls may last as long as the run.
    pub async fn connect_for_streams(&self) -> anyhow::Result<Connection> {
        self.open(&self.endpoint).await
    }

    /// What may be wrong when the first call of a run fails like this.
    pub fn explain(&self, status: Status) -> Error {
        let is_named = status.get_details_error_info().is_some();
        let hint = match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => {
                "the server wants the token of an admin: name one (--token, or EMSHOP_TOKEN), or the key that signs them (--key-file)"
            }
            Code::Unknown | Code::Unavailable | Code::Internal | Code::Cancelled if !is_named => self.dial.doubt(),
            _ => return status.into(),
        };
        Error::from(status).context(hint)
    }

    async fn open(&self, endpoint: &Endpoint) -> anyhow::Result<Connection> {
        let dial = self.dial.clone();
        let connector = service_fn(move |_| {
            let dial = dial.clone();
            async move { dial.open().await.map(TokioIo::new) }
        });
        let refused = || format!("cannot connect to {}", self.dial.address);
        let channel = endpoint.connect_with_connector(connector).await.with_context(refused)?;
        Ok(InterceptedService::new(channel, self.bearer.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token;

    #[test]
    fn every_call_shows_the_token_there_is() {
        let header = |token: Option<&str>| {
            let authorization = token.map(|token| token::authorization(token).expect("ASCII"));
            let request = Bearer::new(authorization.as_ref()).expect("a header").call(Request::new(())).expect("let through");
            request.metadata().get("authorization").map(|value| value.to_str().expect("ASCII").to_owned())
        };
        assert_eq!(header(Some("a.b.c")).as_deref(), Some("Bearer a.b.c"));
        assert_eq!(header(None), None);
    }
}
