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
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response, header};
use tower::{Layer, Service};

use super::audit::{Audit, Origin};
use super::outside::{self, Issuer, Unbelieved};
use super::own::Own;
use super::rates::Rates;
use super::refused::Refused;
use super::revoked::Revoked;
use super::service_accounts::ServiceAccounts;
use super::{Acting, Identity, Nobody};
use crate::access_log::Who;
use crate::accounts::service_key::{self, ServiceKey};
use crate::accounts::token::Tokens;
use crate::{services, status};

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
    /// Who is known goes on without a future of its own.
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let question = self.watch.as_ref().map_or(Ok(None), |watch| watch.admit(self.peer, &mut request));
        match (question, &self.watch) {
            (Ok(None), _) | (Ok(_), None) => Either::Left(self.inner.call(request)),
            (Ok(Some(question)), Some(watch)) => {
                // The one that was ready goes with the call.
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
                let (watch, peer) = (watch.clone(), self.peer);
                Either::Right(Box::pin(async move {
                    match watch.ask(question, peer, &mut request).await {
                        Ok(()) => inner.call(request).await,
                        Err(status) => Ok(status.into_http()),
                    }
                }))
            }
            (Err(refused), _) => Either::Right(Box::pin(async move { Ok(refused.into_http()) })),
        }
    }
}

/// Who makes a call, when others have to be asked who that is.
struct Question {
    method: &'static Method,
    stranger: Stranger,
}

/// What somebody shows of whom it is not known here.
enum Stranger {
    /// The engine knows the key.
    Key(ServiceKey),
    /// The issuer tells the key of the token.
    Token(Arc<Issuer>, String),
}

impl Stranger {
    /// Who it is, if nobody has to be asked.
    fn identity(&self) -> Option<Result<Identity, Refused>> {
        let Self::Token(issuer, token) = self else { return None };
        match issuer.verify(token) {
            Err(Unbelieved::KeyUnknown) => None,
            Err(Unbelieved::Refused(refused)) => Some(Err(refused)),
            Ok(identity) => Some(Ok(identity)),
        }
    }
}

impl Watch {
    /// Says whether the caller may make this call, and notes who it is for those behind; or what must be asked first.
    fn admit(self: &Arc<Self>, peer: IpAddr, request: &mut Request<Body>) -> Result<Option<Question>, Status> {
        let path = request.uri().path();
        let method = match access::method(path) {
            Some(method) => method,
            None if path.starts_with(OURS) => return Err(status::of_refusal(Code::MethodUnknown.refusal())),
            // Such as health and reflection, which are for everybody.
            None => return Ok(None),
        };
        if method.access == Access::Public {
            self.rates.anybody(method, peer, request.headers())?;
        }
        let identified = match self.identify(request.headers()) {
            Ok(Bearer::Known(identity)) => Ok(identity),
            Ok(Bearer::Unknown(stranger)) => {
                // To look whether a token is forged costs much more than to forge it.
                self.rates.unknown(peer, request.headers())?;
                match stranger.identity() {
                    Some(identified) => identified,
                    None => return Ok(Some(Question { method, stranger })),
                }
            }
            Err(refused) => Err(refused),
        };
        self.pass(identified, method, peer, request).map(|()| None)
    }

    /// Who somebody is, as far as that is known here.
    fn identify(&self, headers: &HeaderMap) -> Result<Bearer, Refused> {
        let bearer = bearer(headers)?;
        if let Some(issuer) = &self.issuer {
            if let Some(identity) = issuer.known(bearer) {
                return Ok(Bearer::Known(identity));
            }
            // Those that name a key of ours are known at once.
            if !self.tokens.are_named_by(bearer) && issuer.is_named_by(bearer) {
                return Ok(Bearer::Unknown(Stranger::Token(issuer.clone(), bearer.to_owned())));
            }
        }
        if !bearer.starts_with(service_key::PREFIX) {
            let verified = self.tokens.verify(bearer);
            let identity = verified.map_err(|code| outside::disown(self.issuer.as_deref(), code, bearer))?;
            self.revoked.check(&identity)?;
            return Ok(Bearer::Known(identity));
        }
        let key = ServiceKey::parse(bearer).ok_or(Code::TokenInvalid)?;
        // What was known of an account that has changed is asked again.
        let known = self.service_accounts.known(&key).filter(|identity| self.revoked.check(identity).is_ok());
        Ok(known.map_or(Bearer::Unknown(Stranger::Key(key)), Bearer::Known))
    }

    /// Lets a call by somebody go on. What a service sees of the call of somebody who acts for themself names nobody else.
    fn pass(
        self: &Arc<Self>,
        identified: Result<Identity, Refused>,
        method: &'static Method,
        peer: IpAddr,
        request: &mut Request<Body>,
    ) -> Result<(), Status> {
        let identity = match identified {
            Ok(identity) => identity,
            // Who logs in again may send along what is good for nothing any more.
            Err(_) if method.access == Access::Public => {
                request.extensions_mut().insert(Nobody);
                self.note_origin(method, peer, request);
                return Ok(());
            }
            Err(refused) => return Err(self.disbelieve(refused, method.path, self.origin(peer, request))),
        };
        let caller = identity.caller;
        let as_staff = match method.access {
            Access::Public => caller.role != Role::User,
            _ if method.is_for(caller.role) => true,
            // Who has no account has nothing of their own.
            Access::Self_ if identity.subject.is_none() => false,
            _ => return Err(self.refuse(Code::PermissionDenied, method.path, &identity, self.origin(peer, request))),
        };
        if method.access != Access::Public {
            self.rates.caller(caller)?;
        }
        // Without such a field the engine knows whose it is; the build sees to it that this is said.
        if let (false, Access::Self_, Some(field)) = (as_staff, method.access, method.user_id_field) {
            self.keep_to_themself(&identity, method, field, peer, request);
        }
        Who::note(request.extensions(), &identity);
        request.extensions_mut().insert(Acting { identity, as_staff });
        self.note_origin(method, peer, request);
        Ok(())
    }

    /// Has the message refused, when its service reads it, that names somebody else.
    fn keep_to_themself(
        self: &Arc<Self>,
        identity: &Identity,
        method: &'static Method,
        field: u32,
        peer: IpAddr,
        request: &mut Request<Body>,
    ) {
        let (watch, by, origin) = (self.clone(), identity.clone(), self.origin(peer, request));
        let refuse = move || watch.refuse(Code::PermissionDenied, method.path, &by, origin);
        let most = services::request_bytes_max(method.path) + FRAME_BYTES_MAX;
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::new(Own::new(body, most, field, identity.caller.user_id, refuse));
    }

    /// As [`Watch::admit`], of a call whose caller has to be asked for.
    async fn ask(self: &Arc<Self>, question: Question, peer: IpAddr, request: &mut Request<Body>) -> Result<(), Status> {
        let Question { method, stranger } = question;
        let identified = match stranger {
            Stranger::Key(key) => match self.service_accounts.ask(&key).await {
                Ok(identified) => identified.map_err(Refused::from),
                // Nobody needs a key for these.
                Err(_) if method.access == Access::Public => Err(Code::TokenInvalid.into()),
                Err(status) => return Err(status),
            },
            Stranger::Token(issuer, token) => issuer.verify_anew(&token).await,
        };
        self.pass(identified, method, peer, request)
    }

    /// Where a call comes from that may concern security, for those behind: they tell it.
    fn note_origin(&self, method: &Method, peer: IpAddr, request: &mut Request<Body>) {
        if [USERS, BALANCES, STREAMS].contains(&services::service_name(method.path)) {
            let origin = self.origin(peer, request);
            request.extensions_mut().insert(origin);
        }
    }

    fn origin(&self, peer: IpAddr, request: &Request<Body>) -> Origin {
        Origin(self.rates.address(peer, request.headers()))
    }

    fn refuse(&self, code: Code, path: &str, by: &Identity, origin: Origin) -> Status {
        self.audit.refused(Some(origin), path, code, Some(by.operator()));
        status::of_refusal(code.refusal())
    }

    /// Refuses somebody who has not shown who they are, or not that they are somebody here.
    fn disbelieve(&self, refused: Refused, path: &str, origin: Origin) -> Status {
        let code = refused.code;
        self.audit.refused_because(Some(origin), path, refused);
        status::of_refusal(code.refusal())
    }
}

/// What a call shows.
enum Bearer {
    Known(Identity),
    Unknown(Stranger),
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
