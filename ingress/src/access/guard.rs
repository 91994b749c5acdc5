//! Lets calls through or refuses them: one layer over all services, by the table that the protos make.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use emshop_proto::access::{self, Access, Method};
use emshop_proto::errors::Code;
use emshop_proto::v1::Role;
use emshop_proto::v1::balance_service_server::SERVICE_NAME as BALANCES;
use emshop_proto::v1::pipeline_service_server::SERVICE_NAME as STREAMS;
use emshop_proto::v1::user_service_server::SERVICE_NAME as USERS;
use futures::future::{BoxFuture, Either};
use http_body_util::{BodyExt, Full, Limited};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response, header};
use tower::{Layer, Service};

use super::audit::{Audit, Origin};
use super::outside::{Issuer, Unbelieved};
use super::rates::Rates;
use super::revoked::Revoked;
use super::service_accounts::ServiceAccounts;
use super::{Acting, Identity, Nobody, body};
use crate::accounts::service_key::{self, ServiceKey};
use crate::accounts::token::Tokens;
use crate::{refusals, services, status};

/// What the paths of our own services begin with.
const OURS: &str = "/emshop.";
const SCHEME: &str = "Bearer ";
/// Of a request whose user is looked at, beside the message that its service takes.
const FRAME_BYTES_MAX: usize = 1024;

/// Puts a [`Guard`] in front of the services of a connection. Without a watch it lets everything through.
#[derive(Clone)]
pub struct GuardLayer {
    watch: Option<Arc<Watch>>,
    peer: IpAddr,
}

/// What a guard goes by.
pub struct Watch {
    pub tokens: Arc<Tokens>,
    pub revoked: Arc<Revoked>,
    pub service_accounts: ServiceAccounts,
    /// Of tokens of the staff, beside our own.
    pub issuer: Option<Arc<Issuer>>,
    pub rates: Arc<Rates>,
    pub audit: Arc<Audit>,
}

impl GuardLayer {
    /// `peer` is at the other end of the connection.
    pub fn new(watch: Option<Arc<Watch>>, peer: IpAddr) -> Self {
        Self { watch, peer }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, watch: self.watch.clone(), peer: self.peer }
    }
}

#[derive(Clone)]
pub struct Guard<S> {
    inner: S,
    watch: Option<Arc<Watch>>,
    peer: IpAddr,
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    /// What needs no look at the body goes on without a future of its own.
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let passage = match &self.watch {
            Some(watch) => watch.admit(self.peer, &mut request),
            None => Ok(Passage::Open),
        };
        match (passage, &self.watch) {
            (Ok(Passage::Open), _) | (Ok(_), None) => Either::Left(self.inner.call(request)),
            (Ok(passage), Some(watch)) => {
                // The one that was ready goes with the call.
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
                let (watch, peer) = (watch.clone(), self.peer);
                Either::Right(Box::pin(async move {
                    match watch.take(passage, peer, request).await {
                        Ok(request) => inner.call(request).await,
                        Err(status) => Ok(status.into_http()),
                    }
                }))
            }
            (Err(refused), _) => Either::Right(Box::pin(async move { Ok(refused.into_http()) })),
        }
    }
}

/// How a call goes on.
enum Passage {
    Open,
    /// When the request's field has no other user than this one, whom whoever says nothing means.
    Own {
        field: u32,
        user_id: u64,
    },
    /// When the engine knows the key.
    Ask {
        key: ServiceKey,
        method: &'static Method,
    },
    /// When the issuer tells the key of the token.
    Look {
        issuer: Arc<Issuer>,
        token: String,
        method: &'static Method,
    },
}

impl Watch {
    /// Says whether the caller may make this call, and notes who it is for those behind.
    fn admit(&self, peer: IpAddr, request: &mut Request<Body>) -> Result<Passage, Status> {
        let path = request.uri().path();
        let method = match access::method(path) {
            Some(method) => method,
            None if path.starts_with(OURS) => return Err(status::of_refusal(Code::MethodUnknown.refusal())),
            // Such as health and reflection, which are for everybody.
            None => return Ok(Passage::Open),
        };
        if method.access == Access::Public {
            self.rates.anybody(method, peer, request.headers())?;
        }
        match self.identify(request.headers()) {
            Ok(Bearer::Known(identity)) => self.pass(Ok(identity), method, peer, request),
            Ok(Bearer::Unknown(key)) => {
                self.rates.unknown(peer, request.headers())?;
                Ok(Passage::Ask { key, method })
            }
            Ok(Bearer::Foreign(issuer, token)) => {
                // To look whether it is forged costs much more than to forge it.
                self.rates.unknown(peer, request.headers())?;
                match issuer.verify(&token) {
                    Ok(identity) => self.pass(Ok(identity), method, peer, request),
                    Err(Unbelieved::Refused(code)) => self.pass(Err(code), method, peer, request),
                    Err(Unbelieved::KeyUnknown) => Ok(Passage::Look { issuer, token, method }),
                }
            }
            Err(code) => self.pass(Err(code), method, peer, request),
        }
    }

    /// Who somebody is, as far as that is known here.
    fn identify(&self, headers: &HeaderMap) -> Result<Bearer, Code> {
        let bearer = bearer(headers)?;
        if let Some(issuer) = self.issuer_of(bearer) {
            let foreign = || Bearer::Foreign(issuer.clone(), bearer.to_owned());
            return Ok(issuer.known(bearer).map_or_else(foreign, Bearer::Known));
        }
        if !bearer.starts_with(service_key::PREFIX) {
            let identity = self.tokens.verify(bearer)?;
            self.revoked.check(&identity)?;
            return Ok(Bearer::Known(identity));
        }
        let key = ServiceKey::parse(bearer).ok_or(Code::TokenInvalid)?;
        // What was known of an account that has changed is asked again.
        let known = self.service_accounts.known(&key).filter(|identity| self.revoked.check(identity).is_ok());
        Ok(known.map_or(Bearer::Unknown(key), Bearer::Known))
    }

    /// The outside issuer, if a token is one of its own. Those that name a key of ours are known at once.
    fn issuer_of(&self, token: &str) -> Option<&Arc<Issuer>> {
        self.issuer.as_ref().filter(|issuer| !self.tokens.are_named_by(token) && issuer.is_named_by(token))
    }

    /// How a call by somebody goes on.
    fn pass(
        &self,
        identified: Result<Identity, Code>,
        method: &Method,
        peer: IpAddr,
        request: &mut Request<Body>,
    ) -> Result<Passage, Status> {
        let identity = match identified {
            Ok(identity) => identity,
            // Who logs in again may send along what is good for nothing any more.
            Err(_) if method.access == Access::Public => {
                request.extensions_mut().insert(Nobody);
                self.note_origin(method, peer, request);
                return Ok(Passage::Open);
            }
            Err(code) => return Err(self.refuse(code, method.path, None, peer, request.headers())),
        };
        let caller = identity.caller;
        let (as_staff, passage) = match method.access {
            Access::Public => (caller.role != Role::User, Passage::Open),
            _ if method.is_for(caller.role) => (true, Passage::Open),
            _ => match for_themself(&identity, method) {
                Ok(passage) => (false, passage),
                Err(code) => return Err(self.refuse(code, method.path, Some(&identity), peer, request.headers())),
            },
        };
        if method.access != Access::Public {
            self.rates.caller(caller)?;
        }
        request.extensions_mut().insert(Acting { identity, as_staff });
        self.note_origin(method, peer, request);
        Ok(passage)
    }

    /// What goes on of a call that had to be looked into.
    async fn take(&self, passage: Passage, peer: IpAddr, mut request: Request<Body>) -> Result<Request<Body>, Status> {
        let passage = match passage {
            Passage::Ask { key, method } => {
                let identified = match self.service_accounts.ask(&key).await {
                    Ok(identified) => identified,
                    // Nobody needs a key for these.
                    Err(_) if method.access == Access::Public => Err(Code::TokenInvalid),
                    Err(status) => return Err(status),
                };
                self.pass(identified, method, peer, &mut request)?
            }
            Passage::Look { issuer, token, method } => self.pass(issuer.verify_anew(&token).await, method, peer, &mut request)?,
            passage => passage,
        };
        let Passage::Own { field, user_id } = passage else { return Ok(request) };
        let (head, body) = request.into_parts();
        match of_themself(head.uri.path(), body, field, user_id).await {
            Ok(Some(body)) => Ok(Request::from_parts(head, body)),
            Ok(None) => {
                let identity = super::identity(&head.extensions);
                Err(self.refuse(Code::PermissionDenied, head.uri.path(), identity, peer, &head.headers))
            }
            Err(status) => Err(status),
        }
    }

    /// Where a call comes from that may concern security, for those behind: they tell it.
    fn note_origin(&self, method: &Method, peer: IpAddr, request: &mut Request<Body>) {
        if [USERS, BALANCES, STREAMS].contains(&services::service_name(method.path)) {
            let origin = Origin(self.rates.address(peer, request.headers()));
            request.extensions_mut().insert(origin);
        }
    }

    fn refuse(&self, code: Code, path: &str, by: Option<&Identity>, peer: IpAddr, headers: &HeaderMap) -> Status {
        let origin = Origin(self.rates.address(peer, headers));
        self.audit.refused(Some(origin), path, code, by.map(Identity::operator));
        status::of_refusal(code.refusal())
    }
}

/// What a call shows.
enum Bearer {
    Known(Identity),
    /// The engine must be asked.
    Unknown(ServiceKey),
    /// One of an outside issuer that was not seen before.
    Foreign(Arc<Issuer>, String),
}

/// How somebody goes on who may not act for others.
fn for_themself(identity: &Identity, method: &Method) -> Result<Passage, Code> {
    match (method.access, method.user_id_field) {
        // Nothing here is theirs: they have no account.
        _ if identity.subject.is_some() => Err(Code::PermissionDenied),
        (Access::Self_, Some(field)) => Ok(Passage::Own { field, user_id: identity.caller.user_id }),
        // The engine knows whose it is; the build sees to it that this is said.
        (Access::Self_, None) => Ok(Passage::Open),
        _ => Err(Code::PermissionDenied),
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Code> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Code::AuthHeaderMissing)?;
    let value = value.to_str().ok().filter(|_| values.next().is_none()).ok_or(Code::AuthHeaderInvalid)?;
    match value.split_at_checked(SCHEME.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) && !token.is_empty() => Ok(token),
        _ => Err(Code::AuthHeaderInvalid),
    }
}

/// The body, unless it names another user. One that names none means the caller.
async fn of_themself(path: &str, request_body: Body, field: u32, user_id: u64) -> Result<Option<Body>, Status> {
    let invalid = |error: String| status::of_refusal(refusals::invalid_field("request", error));
    let most = services::request_bytes_max(path) + FRAME_BYTES_MAX;
    let bytes = Limited::new(request_body, most).collect().await.map_err(|error| invalid(error.to_string()))?;
    let bytes = bytes.to_bytes();
    let bytes = match body::message(&bytes).map_err(|error| invalid(error.to_string()))? {
        Some(message) => match body::uint64(message, field).map_err(|error| invalid(error.to_string()))? {
            0 => body::with_uint64(message, field, user_id),
            named if named == user_id => bytes,
            _ => return Ok(None),
        },
        None => bytes,
    };
    Ok(Some(Body::new(Full::new(bytes))))
}
