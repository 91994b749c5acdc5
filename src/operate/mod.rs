//! `emshop orders`, `stock` and `sagas`: what operators look up and repair over the API.
//!
//! Reading order: the [`Api`], [`refusal`] (what it says when it does not), [`repair`] (who agrees to what is changed), [`print`](mod@print);
//! then [`orders`], [`stock`] and [`sagas`].

pub mod orders;
pub mod print;
mod refusal;
mod repair;
pub mod sagas;
pub mod stock;

use std::cmp::min;
use std::env;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use emshop_ingress::Caller;
use emshop_proto::access::Role;
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::payment_service_client::PaymentServiceClient;
use tokio::time::timeout;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

pub use self::refusal::CallError;
use crate::cli::{ApiFlags, PageFlags, TlsFlags};
use crate::config::{Auth, Settings};
use crate::{key, reach, secret};

/// Longer than a server waits for an outcome.
const CALL_WAIT: Duration = Duration::from_secs(30);
/// How long a token is good that is signed for one command.
const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// Where a token is that was not made here, as for `emshop inspect`.
const TOKEN_VARIABLE: &str = "EMSHOP_TOKEN";

/// The API of a server, as one of the staff.
pub struct Api<'a> {
    channel: Channel,
    bearer: Bearer,
    target: String,
    tls: &'a TlsFlags,
}

/// The way of a call: with a token.
pub type Way = InterceptedService<Channel, Bearer>;

/// Says who asks, if anybody is known to.
#[derive(Clone)]
pub struct Bearer(Option<AsciiMetadataValue>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.0 {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

impl<'a> Api<'a> {
    /// # Errors
    /// When there is no such server, or no token of it.
    pub async fn open(flags: &'a ApiFlags, settings: &Settings) -> Result<Self> {
        let target = match &flags.api {
            Some(target) => target.clone(),
            None => here(settings)?,
        };
        let bearer = Bearer(authorization(flags, settings)?);
        let channel = reach::connect(&target, &flags.tls).await.map_err(CallError::unanswered)?;
        Ok(Self { channel, bearer, target, tls: &flags.tls })
    }

    fn way(&self) -> Way {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    fn admin(&self) -> AdminServiceClient<Way> {
        AdminServiceClient::new(self.way())
    }

    fn orders(&self) -> OrderServiceClient<Way> {
        OrderServiceClient::new(self.way())
    }

    fn payments(&self) -> PaymentServiceClient<Way> {
        PaymentServiceClient::new(self.way())
    }

    fn inventory(&self) -> InventoryServiceClient<Way> {
        InventoryServiceClient::new(self.way())
    }

    /// What a call is answered.
    ///
    /// # Errors
    /// What it is refused with, or why nobody answers.
    async fn answer<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T> {
        match timeout(CALL_WAIT, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(refusal::of(&self.target, self.tls, &status)),
            Err(_) => {
                let sentence = format!("{} has not answered for {} s", self.target, CALL_WAIT.as_secs());
                Err(CallError::Unanswered(sentence).into())
            }
        }
    }
}

/// Where a server with these settings is reached from its own machine.
fn here(settings: &Settings) -> Result<String> {
    let listen = settings.listen;
    ensure!(listen.port() != 0, "the settings let the API listen on any free port: say where it is (--api)");
    Ok(reach::url_of(listen, settings.tls.cert.is_some()))
}

/// What says who asks: a token that was given, or else one of the key that servers here sign with. `None` where there is neither, as for a
/// server that asks for none.
fn authorization(flags: &ApiFlags, settings: &Settings) -> Result<Option<AsciiMetadataValue>> {
    let given = match &flags.token_file {
        Some(file) => {
            Some(String::from_utf8(secret::read(file).context("--token-file")?).context("--token-file: it is no text")?)
        }
        None if flags.names_key() => None,
        None => env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()),
    };
    let token = match given {
        Some(token) => Some(token),
        None => match key::find(settings) {
            Ok(path) => {
                let auth = Auth { token_lifetime: min(LIFETIME, settings.auth.token_lifetime), ..settings.auth.clone() };
                Some(key::load(&path, &auth)?.sign(Caller { user_id: flags.operator, role: Role::Admin }, None).token)
            }
            Err(error) if flags.names_key() => return Err(error),
            Err(_) => None,
        },
    };
    let authorization = |token: String| format!("Bearer {}", token.trim()).parse().context("the token is none");
    token.map(authorization).transpose()
}

/// Part of a list, gathered page by page, and where it goes on; empty where it does not.
async fn gather<T>(
    flags: &PageFlags,
    size_max: u32,
    mut page: impl AsyncFnMut(u32, String) -> Result<(Vec<T>, String)>,
) -> Result<(Vec<T>, String)> {
    let (mut all, mut token) = (Vec::new(), flags.page.clone());
    loop {
        let left = flags.limit.saturating_sub(all.len() as u32);
        let (items, next) = page(min(left, size_max), token).await?;
        all.extend(items);
        if next.is_empty() || all.len() >= flags.limit as usize {
            return Ok((all, next));
        }
        token = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_reached_on_its_own_machine() {
        let at = |listen: &str, cert: Option<&str>| {
            let mut settings = Settings { listen: listen.parse().expect("an address"), ..Settings::default() };
            settings.tls.cert = cert.map(Into::into);
            here(&settings)
        };
        for (listen, cert, url) in [
            ("127.0.0.1:50051", None, "http://127.0.0.1:50051"),
            ("0.0.0.0:1", Some("cert.pem"), "https://127.0.0.1:1"),
            ("[::]:1", None, "http://[::1]:1"),
            ("10.1.2.3:1", None, "http://10.1.2.3:1"),
        ] {
            assert_eq!(at(listen, cert).expect("an address"), url);
        }
        assert!(at("127.0.0.1:0", None).is_err_and(|error| error.to_string().contains("--api")));
    }

    #[tokio::test]
    async fn pages_are_gathered_up_to_the_limit() {
        let gathered = async |limit, page: &str| {
            let flags = PageFlags { limit, page: page.to_owned() };
            let pages = async |size: u32, token: String| {
                let from: u32 = token.parse().unwrap_or(0);
                let to = min(from + size, 7);
                Ok(((from..to).collect(), if to < 7 { to.to_string() } else { String::new() }))
            };
            gather(&flags, 3, pages).await.expect("pages")
        };
        assert_eq!(gathered(20, "").await, ((0..7).collect(), String::new()));
        assert_eq!(gathered(4, "").await, ((0..4).collect(), "4".to_owned()));
        assert_eq!(gathered(4, "4").await, ((4..7).collect(), String::new()));
        assert_eq!(gathered(1, "6").await, (vec![6], String::new()));
    }
}
