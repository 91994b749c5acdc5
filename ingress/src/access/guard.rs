//! Lets calls through or refuses them: one layer over all services, by the table that the protos make.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use emshop_proto::access::{self, Access, Method};
use emshop_proto::errors::Code;
use emshop_proto::v1::Role;
use emshop_proto::v1::user_service_server::SERVICE_NAME as USERS;
use futures::future::{BoxFuture, Either};
use http_body_util::{BodyExt, Full, Limited};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::request::Parts;
use tonic::codegen::http::{HeaderMap, Request, Response, header};
use tower::{Layer, Service};

use super::audit::{Audit, Origin};
use super::rates::Rates;
use super::{Caller, Nobody, body};
use crate::accounts::token::Tokens;
use crate::{refusals, services, status};

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
        match passage {
            Ok(Passage::Open) => Either::Left(self.inner.call(request)),
            Ok(Passage::Own { field, user_id }) => {
                // The one that was ready goes with the call.
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
                let (watch, peer) = (self.watch.clone(), self.peer);
                Either::Right(Box::pin(async move {
                    let (head, body) = request.into_parts();
                    match unless_of_another(head.uri.path(), body, field, user_id).await {
                        Ok(body) => inner.call(Request::from_parts(head, body)).await,
                        Err(status) => {
                            if let Some(watch) = watch.filter(|_| status.code() == tonic::Code::PermissionDenied) {
                                watch.note_refused(peer, &head, Code::PermissionDenied);
                            }
                            Ok(status.into_http())
                        }
                    }
                }))
            }
            Err(refused) => Either::Right(Box::pin(async move { Ok(refused.into_http()) })),
        }
    }
}

/// How a call goes on.
#[derive(Debug, PartialEq, Eq)]
enum Passage {
    Open,
    /// When the request's field has no other user than this one.
    Own {
        field: u32,
        user_id: u64,
    },
}

impl Watch {
    /// Says whether the caller may make this call, and notes who it is for those behind.
    fn admit(&self, peer: IpAddr, request: &mut Request<Body>) -> Result<Passage, Status> {
        // What is none of ours, such as health and reflection, is for everybody.
        let Some(method) = access::method(request.uri().path()) else { return Ok(Passage::Open) };
        if method.access == Access::Public {
            self.rates.anybody(method, peer, request.headers())?;
            self.note_origin(method, peer, request);
            // Who logs in again may send along what is good for nothing any more.
            if let Ok(caller) = bearer(request.headers()).and_then(|token| self.tokens.verify(token)) {
                request.extensions_mut().insert(caller);
            } else {
                request.extensions_mut().insert(Nobody);
            }
            return Ok(Passage::Open);
        }
        let (caller, passage) = match self.identify(method, request.headers()) {
            Ok(identified) => identified,
            Err(code) => {
                let origin = Origin(self.rates.address(peer, request.headers()));
                self.audit.refused(origin, method.path, code, None);
                return Err(status::of_refusal(code.refusal()));
            }
        };
        self.rates.caller(caller)?;
        request.extensions_mut().insert(caller);
        self.note_origin(method, peer, request);
        Ok(passage)
    }

    /// Where a call about accounts comes from, for those behind: they tell it.
    fn note_origin(&self, method: &Method, peer: IpAddr, request: &mut Request<Body>) {
        if services::service_name(method.path) == USERS {
            let origin = Origin(self.rates.address(peer, request.headers()));
            request.extensions_mut().insert(origin);
        }
    }

    fn note_refused(&self, peer: IpAddr, head: &Parts, code: Code) {
        let origin = Origin(self.rates.address(peer, &head.headers));
        self.audit.refused(origin, head.uri.path(), code, head.extensions.get().copied());
    }

    fn identify(&self, method: &Method, headers: &HeaderMap) -> Result<(Caller, Passage), Code> {
        let caller = self.tokens.verify(bearer(headers)?)?;
        Ok((caller, may(caller, method)?))
    }
}

fn may(caller: Caller, method: &Method) -> Result<Passage, Code> {
    let of_user = match method.user_id_field {
        Some(field) => Passage::Own { field, user_id: caller.user_id },
        // The engine knows whose it is.
        None => Passage::Open,
    };
    match (method.access, caller.role) {
        (Access::Public, _) | (Access::Self_ | Access::Admin, Role::Admin) | (_, Role::Super) => Ok(Passage::Open),
        (Access::Self_, Role::User) => Ok(of_user),
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

/// The body as it came, unless it names another user. One that names none is for validation to judge.
async fn unless_of_another(path: &str, request_body: Body, field: u32, user_id: u64) -> Result<Body, Status> {
    let invalid = |error: String| status::of_refusal(refusals::invalid_field("request", error));
    let most = services::request_bytes_max(path) + FRAME_BYTES_MAX;
    let bytes = Limited::new(request_body, most).collect().await.map_err(|error| invalid(error.to_string()))?;
    let bytes = bytes.to_bytes();
    let named = match body::message(&bytes) {
        Ok(Some(message)) => body::uint64(message, field).map_err(|error| invalid(error.to_string()))?,
        Ok(None) => 0,
        Err(error) => return Err(invalid(error.to_string())),
    };
    if named != 0 && named != user_id {
        return Err(status::of_refusal(Code::PermissionDenied.refusal()));
    }
    Ok(Body::new(Full::new(bytes)))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use bytes::Bytes;
    use prost::encoding::{encode_key, encode_varint};
    use tonic_types::StatusExt;
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::access::rates::Limits;
    use crate::accounts::token::{Algorithm, new_key};

    const USER: u64 = 7;
    const OTHER: u64 = 8;

    fn tokens() -> Tokens {
        Tokens::new(Algorithm::Hs256, &new_key(Algorithm::Hs256), Duration::from_secs(60)).expect("a new key")
    }

    fn authorization(tokens: &Tokens, role: Role) -> String {
        format!("Bearer {}", tokens.sign(Caller { user_id: USER, role }).token)
    }

    /// The body of a request whose field names a user.
    fn naming(field: Option<u32>, user_id: u64) -> Bytes {
        let mut message = Vec::new();
        if let Some(field) = field {
            encode_key(field, prost::encoding::WireType::Varint, &mut message);
            encode_varint(user_id, &mut message);
        }
        [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat().into()
    }

    /// What the service behind the guard saw: who calls, and the body. Otherwise the reason of the refusal.
    async fn call(
        tokens: Option<&Tokens>,
        path: &str,
        authorization: &[&str],
        body: Bytes,
    ) -> Result<(Option<Caller>, Bytes), String> {
        let service = service_fn(async |request: Request<Body>| {
            let caller = request.extensions().get::<Caller>().copied();
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            let mut response = Response::new(Body::default());
            response.extensions_mut().insert((caller, body));
            Ok::<_, Infallible>(response)
        });
        let watch = tokens.map(|tokens| {
            let audit = Arc::new(Audit::new(tokens.secret()));
            Arc::new(Watch { tokens: Arc::new(tokens.clone()), rates: Arc::new(Rates::new(Limits::off())), audit })
        });
        let guard = GuardLayer::new(watch, IpAddr::from([192, 0, 2, 1])).layer(service);
        let request = authorization
            .iter()
            .fold(Request::builder().uri(path), |request, value| request.header(header::AUTHORIZATION, *value));
        let request = request.body(Body::new(Full::new(body))).expect("a request");
        let Ok(mut response) = guard.oneshot(request).await;
        match response.extensions_mut().remove::<(Option<Caller>, Bytes)>() {
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
        let [user, admin, superuser] = [Role::User, Role::Admin, Role::Super].map(|role| (role, authorization(&tokens, role)));
        let denied = || Err("PERMISSION_DENIED".to_owned());
        for method in access::METHODS {
            let Method { path, access, user_id_field } = *method;
            let (own, others) = (naming(user_id_field, USER), naming(user_id_field, OTHER));
            let nobody = call(Some(&tokens), path, &[], others.clone()).await;
            if access == Access::Public {
                assert_eq!(nobody, Ok((None, others.clone())), "{path}");
                assert_eq!(call(Some(&tokens), path, &["nonsense"], others.clone()).await, Ok((None, others.clone())), "{path}");
                let known = call(Some(&tokens), path, &[&user.1], others.clone()).await;
                assert_eq!(known, Ok((Some(Caller { user_id: USER, role: Role::User }), others)), "{path}");
                continue;
            }
            assert_eq!(nobody, Err("AUTH_HEADER_MISSING".to_owned()), "{path}");
            for (role, token) in [&user, &admin, &superuser] {
                let role = *role;
                let caller = Some(Caller { user_id: USER, role });
                let may_own = match access {
                    Access::Self_ => true,
                    Access::Admin => role != Role::User,
                    _ => role == Role::Super,
                };
                let may_others = may_own && (role != Role::User || user_id_field.is_none());
                let on_own = call(Some(&tokens), path, &[token], own.clone()).await;
                assert_eq!(on_own, if may_own { Ok((caller, own.clone())) } else { denied() }, "{path} by {role:?}");
                let on_others = call(Some(&tokens), path, &[token], others.clone()).await;
                assert_eq!(on_others, if may_others { Ok((caller, others.clone())) } else { denied() }, "{path} by {role:?}");
            }
        }
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
    async fn who_names_nobody_is_let_through_and_what_cannot_be_read_is_not() {
        let tokens = tokens();
        let good = authorization(&tokens, Role::User);
        let path = "/emshop.v1.UserService/GetUser";
        let [zero, own, others] = [0, USER, OTHER].map(|user_id| naming(Some(1), user_id));
        for open in [Bytes::new(), naming(None, 0), zero, own.clone()] {
            assert_eq!(call(Some(&tokens), path, &[&good], open.clone()).await.expect("let through").1, open);
        }
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
        for path in ["/grpc.health.v1.Health/Check", "/emshop.v1.UserService/GetUser/", "/emshop.v1.Nothing/GetUser", "/"] {
            assert_eq!(call(Some(&tokens), path, &[], Bytes::new()).await, Ok((None, Bytes::new())), "{path}");
        }
        for method in access::METHODS {
            assert_eq!(call(None, method.path, &[], naming(Some(1), OTHER)).await, Ok((None, naming(Some(1), OTHER))));
        }
    }
}
