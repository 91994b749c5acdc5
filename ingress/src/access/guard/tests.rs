//! The guard before a service that tells what it sees.

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
use http_body_util::{BodyExt, Full};
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

async fn call(tokens: Option<&Tokens>, path: &str, authorization: &[&str], body: Bytes) -> Result<(Option<Seen>, Bytes), String> {
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
        // As the services do it: what is wrong with the body is what is wrong with the call.
        Ok::<_, Infallible>(match request.into_body().collect().await {
            Ok(body) => {
                let mut response = Response::new(Body::default());
                response.extensions_mut().insert((caller, body.to_bytes()));
                response
            }
            Err(status) => status.into_http(),
        })
    });
    let guard = GuardLayer::new(watch, PEER).layer(service);
    let request =
        authorization.iter().fold(Request::builder().uri(path), |request, value| request.header(header::AUTHORIZATION, *value));
    let request = request.body(Body::new(Full::new(body))).expect("a request");
    let Ok(mut response) = guard.oneshot(request).await;
    match response.extensions_mut().remove::<(Option<Seen>, Bytes)>() {
        Some(seen) => Ok(seen),
        None => {
            let status = Status::from_header_map(response.headers()).expect("a status");
            // What is none of the shop's refusals has its code alone.
            Err(status.get_details_error_info().map_or_else(|| format!("{:?}", status.code()), |info| info.reason))
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
        let may = method.access == Access::Public || method.is_for(role);
        assert_eq!(passed.is_ok(), may, "{} by {role:?}", method.path);
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
    assert_eq!(call(Some(&tokens), path, &[&good], huge).await, Err("OutOfRange".to_owned()));
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
