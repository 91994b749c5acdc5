//! Lets calls through or refuses them: one layer over all services, by the table that the protos make.

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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use bytes::Bytes;
    use emshop_log::audit::MemoryAudit;
    use emshop_proto::access::{ROLES, Role};
    use emshop_proto::internal::Credentials;
    use emshop_proto::v1::{AccessChanged, CreateServiceAccountRequest, Event, Subject, User, UserStatus, event};
    use emshop_telemetry::Registry;
    use futures::future::ready;
    use prost::encoding::{encode_key, encode_varint};
    use tonic_types::StatusExt;
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::access::Caller;
    use crate::access::rates::Limits;
    use crate::access::trail::Trail;
    use crate::accounts::token::{Algorithm, new_key};

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const USER: u64 = 7;
    const OTHER: u64 = 8;
    const PROGRAM: u64 = 9;
    const STOPPED: u64 = 10;

    fn tokens() -> Tokens {
        Tokens::new(Algorithm::Hs256, &new_key(Algorithm::Hs256), Duration::from_secs(60)).expect("a new key")
    }

    fn authorization(tokens: &Tokens, role: Role) -> String {
        format!("Bearer {}", tokens.sign(Caller { user_id: USER, role }, None).token)
    }

    fn service_key(user_id: u64, of_ingress: u8) -> ServiceKey {
        ServiceKey::of(user_id, &[of_ingress; 32], "k", &CreateServiceAccountRequest::default())
    }

    /// What the engine says of a service account for the warehouse.
    fn credentials(user_id: u64) -> Result<Credentials, Status> {
        let status = match user_id {
            PROGRAM => UserStatus::Active,
            STOPPED => UserStatus::Disabled,
            _ => return Err(status::of_refusal(Code::UserNotFound.refusal())),
        };
        let user = User { user_id, role: Role::Warehouse.into(), status: status.into(), ..User::default() };
        let key_hash = service_key(user_id, 1).hash().to_vec();
        Ok(Credentials { user: Some(user), key_hash, ..Credentials::default() })
    }

    /// Who calls, and whether as one of the staff.
    type Seen = (Caller, bool);

    /// The body of a request whose field names a user.
    fn naming(field: Option<u32>, user_id: u64) -> Bytes {
        let mut message = Vec::new();
        if let Some(field) = field {
            encode_key(field, prost::encoding::WireType::Varint, &mut message);
            encode_varint(user_id, &mut message);
        }
        [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat().into()
    }

    fn watch(tokens: &Tokens) -> Arc<Watch> {
        let audit = Arc::new(Audit::new(tokens.clone(), Trail::new(Arc::new(MemoryAudit::default())).0));
        let service_accounts = ServiceAccounts::new(Box::new(|user_id| Box::pin(ready(credentials(user_id)))));
        let (tokens, rates) = (Arc::new(tokens.clone()), Arc::new(Rates::new(Limits::off(), &Registry::new())));
        Arc::new(Watch { tokens, revoked: Arc::default(), service_accounts, issuer: None, rates, audit })
    }

    async fn call(
        tokens: Option<&Tokens>,
        path: &str,
        authorization: &[&str],
        body: Bytes,
    ) -> Result<(Option<Seen>, Bytes), String> {
        call_by(tokens.map(watch), path, authorization, body).await
    }

    /// What the service behind the guard saw: who calls, and the body. Otherwise the reason of the refusal.
    async fn call_by(
        watch: Option<Arc<Watch>>,
        path: &str,
        authorization: &[&str],
        body: Bytes,
    ) -> Result<(Option<Seen>, Bytes), String> {
        let service = service_fn(async |request: Request<Body>| {
            let acting = request.extensions().get::<Acting>().cloned();
            let caller = acting.map(|acting| (acting.identity.caller, acting.as_staff));
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            let mut response = Response::new(Body::default());
            response.extensions_mut().insert((caller, body));
            Ok::<_, Infallible>(response)
        });
        let guard = GuardLayer::new(watch, PEER).layer(service);
        let request = authorization
            .iter()
            .fold(Request::builder().uri(path), |request, value| request.header(header::AUTHORIZATION, *value));
        let request = request.body(Body::new(Full::new(body))).expect("a request");
        let Ok(mut response) = guard.oneshot(request).await;
        match response.extensions_mut().remove::<(Option<Seen>, Bytes)>() {
            Some(seen) => Ok(seen),
            None => {
                let status = Status::from_header_map(response.headers()).expect("a status");
                Err(status.get_details_error_info().expect("ErrorInfo").reason)
            }
        }
    }

    /// Every RPC that there is, with every kind of caller.
    #[tokio::test]
    async fn no_rpc_is_forgotten() {
        let tokens = tokens();
        let denied = || Err("PERMISSION_DENIED".to_owned());
        for method in access::METHODS {
            let Method { path, access, user_id_field, .. } = *method;
            let (own, others) = (naming(user_id_field, USER), naming(user_id_field, OTHER));
            let nobody = call(Some(&tokens), path, &[], others.clone()).await;
            if access == Access::Public {
                assert_eq!(nobody, Ok((None, others.clone())), "{path}");
                assert_eq!(call(Some(&tokens), path, &["nonsense"], others.clone()).await, Ok((None, others.clone())), "{path}");
                for role in ROLES {
                    let known = call(Some(&tokens), path, &[&authorization(&tokens, role)], others.clone()).await;
                    let seen = (Caller { user_id: USER, role }, role != Role::User);
                    assert_eq!(known, Ok((Some(seen), others.clone())), "{path} by {role:?}");
                }
                continue;
            }
            assert_eq!(nobody, Err("AUTH_HEADER_MISSING".to_owned()), "{path}");
            for role in ROLES {
                let token = authorization(&tokens, role);
                let as_staff = match role {
                    Role::Super => true,
                    Role::Admin => access != Access::Super,
                    _ => method.roles.contains(&role),
                };
                let acting = Some((Caller { user_id: USER, role }, as_staff));
                let may_own = as_staff || access == Access::Self_;
                let may_others = as_staff || may_own && user_id_field.is_none();
                let on_own = call(Some(&tokens), path, &[&token], own.clone()).await;
                assert_eq!(on_own, if may_own { Ok((acting, own.clone())) } else { denied() }, "{path} by {role:?}");
                let on_others = call(Some(&tokens), path, &[&token], others.clone()).await;
                assert_eq!(on_others, if may_others { Ok((acting, others.clone())) } else { denied() }, "{path} by {role:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_program_shows_its_key() {
        let watch = watch(&tokens());
        let call = async |path, key: ServiceKey| {
            let authorization = format!("Bearer {}", key.text());
            call_by(Some(watch.clone()), path, &[&authorization], Bytes::new()).await.map(|(seen, _)| seen)
        };
        let (stock, roles) = ("/emshop.v1.InventoryService/SetStock", "/emshop.v1.UserService/SetUserRole");
        let goods = "/emshop.v1.GoodsService/ListGoods";
        let program = Some((Caller { user_id: PROGRAM, role: Role::Warehouse }, true));
        assert_eq!(call(stock, service_key(PROGRAM, 1)).await, Ok(program));
        assert_eq!(call(goods, service_key(PROGRAM, 1)).await, Ok(program));
        assert_eq!(call(roles, service_key(PROGRAM, 1)).await, Err("PERMISSION_DENIED".to_owned()));
        assert_eq!(call(stock, service_key(PROGRAM, 2)).await, Err("TOKEN_INVALID".to_owned()));
        assert_eq!(call(stock, service_key(OTHER, 1)).await, Err("TOKEN_INVALID".to_owned()));
        assert_eq!(call(stock, service_key(STOPPED, 1)).await, Err("USER_DISABLED".to_owned()));
        assert_eq!(call(goods, service_key(PROGRAM, 2)).await, Ok(None), "goods are for everybody");
        assert!(watch.service_accounts.known(&service_key(PROGRAM, 1)).is_some(), "it is asked about once");
        let changed = AccessChanged { user_id: PROGRAM, auth_epoch: 1, ended_session_id: 0 };
        watch.revoked.learn(&[Event { body: Some(event::Body::Access(changed)), ..Event::default() }]);
        assert_eq!(call(stock, service_key(PROGRAM, 1)).await, Ok(program), "the engine is asked again, and says so");
    }

    /// Staff of an outside issuer has no account: what it may not do for anybody, it may not do for whoever has number 0.
    #[test]
    fn who_has_no_account_has_nothing_of_their_own() {
        let watch = watch(&tokens());
        let subject = Arc::new(Subject { issuer: "https://login.example".to_owned(), id: "f3a1".to_owned() });
        for (method, role) in access::METHODS.iter().flat_map(|method| ROLES.map(|role| (method, role))) {
            let caller = Caller { user_id: 0, role };
            let identity = Identity { caller, subject: Some(subject.clone()), login: None, issued_at_s: 0, expires_at_s: 0 };
            let passed = watch.pass(Ok(identity), method, PEER, &mut Request::new(Body::default()));
            let is_open = matches!(passed, Ok(Passage::Open));
            let may = method.access == Access::Public || method.is_for(role);
            assert!(is_open == may && passed.is_ok() == may, "{} by {role:?}", method.path);
        }
    }

    /// A customer's token opens what is theirs, whatever else there is.
    #[test]
    fn customers_are_no_staff() {
        assert!(access::METHODS.iter().all(|method| !method.is_for(Role::User)));
    }

    #[tokio::test]
    async fn tokens_are_told_what_is_wrong_with_them() {
        let tokens = tokens();
        let good = authorization(&tokens, Role::User);
        let theirs = authorization(&self::tokens(), Role::User);
        let path = "/emshop.v1.OrderService/GetOrder";
        let table: [(&[&str], &str); 10] = [
            (&[], "AUTH_HEADER_MISSING"),
            (&[""], "AUTH_HEADER_INVALID"),
            (&["Bearer"], "AUTH_HEADER_INVALID"),
            (&["Bearer "], "AUTH_HEADER_INVALID"),
            (&["Basic dXNlcjpwYXNz"], "AUTH_HEADER_INVALID"),
            (&[&good["Bearer ".len()..]], "AUTH_HEADER_INVALID"),
            (&[&good, &good], "AUTH_HEADER_INVALID"),
            (&["Bearer x"], "TOKEN_INVALID"),
            (&[&good.replace('.', "..")], "TOKEN_INVALID"),
            (&[&theirs], "SIGNATURE_INVALID"),
        ];
        for (authorization, reason) in table {
            assert_eq!(call(Some(&tokens), path, authorization, Bytes::new()).await, Err(reason.to_owned()), "{authorization:?}");
        }
        assert!(call(Some(&tokens), path, &[&good.replace("Bearer", "bearer")], Bytes::new()).await.is_ok());
    }

    #[tokio::test]
    async fn who_names_nobody_means_themself_and_what_cannot_be_read_is_refused() {
        let tokens = tokens();
        let good = authorization(&tokens, Role::User);
        let path = "/emshop.v1.UserService/GetUser";
        let [zero, own, others] = [0, USER, OTHER].map(|user_id| naming(Some(1), user_id));
        let filled = Bytes::from([&[0, 0, 0, 0, 4][..], &zero[5..], &own[5..]].concat());
        for (given, seen) in
            [(Bytes::new(), Bytes::new()), (naming(None, 0), own.clone()), (zero, filled), (own.clone(), own.clone())]
        {
            assert_eq!(call(Some(&tokens), path, &[&good], given).await.expect("let through").1, seen);
        }
        let admin = authorization(&tokens, Role::Admin);
        let seen = call(Some(&tokens), path, &[&admin], naming(None, 0)).await.expect("let through").1;
        assert_eq!(seen, naming(None, 0), "who acts for others says for whom");
        let twice = Bytes::from([&[0, 0, 0, 0, 4][..], &own[5..], &others[5..]].concat());
        assert_eq!(call(Some(&tokens), path, &[&good], twice).await, Err("PERMISSION_DENIED".to_owned()));
        let two_messages = Bytes::from([own.clone(), others].concat());
        let compressed = Bytes::from([&[1][..], &own[1..]].concat());
        for unreadable in [two_messages, compressed, own.slice(..6), Bytes::from_static(&[0, 0, 0, 0, 1, 0x08])] {
            assert_eq!(call(Some(&tokens), path, &[&good], unreadable).await, Err("VALIDATION_FAILED".to_owned()));
        }
        let huge = Bytes::from(vec![0; services::request_bytes_max(path) + FRAME_BYTES_MAX + 1]);
        assert_eq!(call(Some(&tokens), path, &[&good], huge).await, Err("VALIDATION_FAILED".to_owned()));
    }

    #[tokio::test]
    async fn what_is_none_of_ours_passes_and_without_tokens_everything_does() {
        let tokens = tokens();
        for path in ["/grpc.health.v1.Health/Check", "/webhooks/payment", "/"] {
            assert_eq!(call(Some(&tokens), path, &[], Bytes::new()).await, Ok((None, Bytes::new())), "{path}");
        }
        for path in ["/emshop.v1.UserService/GetUser/", "/emshop.v1.Nothing/GetUser", "/emshop.v2.UserService/GetUser"] {
            assert_eq!(call(Some(&tokens), path, &[], Bytes::new()).await, Err("METHOD_UNKNOWN".to_owned()), "{path}");
        }
        for method in access::METHODS {
            assert_eq!(call(None, method.path, &[], naming(Some(1), OTHER)).await, Ok((None, naming(Some(1), OTHER))));
        }
    }
}
