//! Keys that change while tokens come, and how calls with these go on.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use emshop_log::audit::MemoryAudit;
use emshop_telemetry::Registry;
use futures::future::lazy;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic_types::StatusExt;
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::access::audit::Audit;
use crate::access::rates::{Limits, Rates};
use crate::access::service_accounts::ServiceAccounts;
use crate::access::trail::Trail;
use crate::access::{Acting, GuardLayer, Watch};

/// A key set that changes in its file is followed; what is none changes nothing.
#[tokio::test]
async fn a_file_is_followed() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("keys.json");
    let [old, new] = [Pair::ed25519("a"), Pair::ed25519("b")];
    std::fs::write(&path, set(&[&old])).expect("room");
    let issuer = Arc::new(Issuer::new(options(path.to_str().expect("UTF-8"))).expect("a key"));
    let following = issuer.clone();
    let follows = tokio::spawn(async move { following.follow().await });
    issuer.looked().await;
    assert_eq!((role(&issuer, &old.good()), role(&issuer, &new.good())), (Ok(Role::Support), UNKNOWN));
    let within = async |expected: [Told; 2]| {
        let begun = Instant::now();
        while [&old, &new].map(|pair| role(&issuer, &pair.good())) != expected {
            assert!(begun.elapsed() < Duration::from_secs(10), "{expected:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    std::fs::write(&path, set(&[&new, &old])).expect("room");
    within([Ok(Role::Support); 2]).await;
    std::fs::write(&path, "nonsense").expect("room");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    within([Ok(Role::Support); 2]).await;
    let token = old.good();
    assert_eq!(issuer.verify(&token).ok(), issuer.known(&token), "it is verified once");
    assert!(issuer.known(&token).is_some() && issuer.known(&token[1..]).is_none());
    std::fs::write(&path, set(&[&new])).expect("room");
    within([UNKNOWN, Ok(Role::Support)]).await;
    assert_eq!(issuer.known(&token), None, "its key is gone");
    // Whoever says that no key is good any more is believed.
    std::fs::write(&path, set(&[])).expect("room");
    within([UNKNOWN; 2]).await;
    follows.abort();
}

/// Forged keys have the issuer asked once, however many there are; whoever was not heard of before is told so.
#[tokio::test]
async fn who_forges_keys_does_not_flood_the_issuer() {
    let pair = Pair::ed25519("a");
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = {
        let (asked, set) = (asked.clone(), set(&[&pair]));
        async move || {
            asked.fetch_add(1, Ordering::Relaxed);
            set
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/certs", listener.local_addr().expect("an address"));
    let issuer = Arc::new(Issuer::new(options(&url)).expect("a URL"));
    assert_eq!(issuer.verify(&pair.good()), Err(Unbelieved::KeyUnknown), "nobody was asked yet");
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/certs", get(answer))).await });
    let following = issuer.clone();
    let follows = tokio::spawn(async move { following.follow().await });
    issuer.looked().await;
    assert_eq!(role(&issuer, &pair.good()), Ok(Role::Support));
    let begun = Instant::now();
    for number in 0..1_000 {
        let forged = pair.sign(|header, _| header.kid = Some(format!("forged {number}")));
        let refused = issuer.verify_anew(&forged).await.expect_err("a forged key");
        assert_eq!(refused.code, Code::SignatureInvalid);
        let cause = format!("its key (kid) \"forged {number}\" is not among those of the issuer");
        assert_eq!(refused.cause, Some(cause));
    }
    assert!(begun.elapsed() < Duration::from_secs(9), "nobody waits: {:?}", begun.elapsed());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    follows.abort();
}

/// What the service behind the guard sees of a call with a token; otherwise the reason of the refusal.
async fn call(issuer: &Arc<Issuer>, tokens: &Arc<own::Tokens>, path: &str, token: &str) -> Result<Acting, String> {
    let service = service_fn(async |request: Request<Body>| {
        let mut response = Response::new(Body::default());
        response.extensions_mut().insert(request.extensions().get::<Acting>().cloned().expect("whoever is let through is known"));
        Ok::<_, Infallible>(response)
    });
    let audit = Arc::new(Audit::new(own::Tokens::clone(tokens), Trail::new(Arc::new(MemoryAudit::default())).0));
    let watch = Arc::new(Watch {
        tokens: tokens.clone(),
        revoked: Arc::default(),
        service_accounts: ServiceAccounts::new(Box::new(|_| unreachable!("nobody shows the key of a program"))),
        issuer: Some(issuer.clone()),
        rates: Arc::new(Rates::new(Limits::off(), &Registry::new())),
        audit,
    });
    let request = Request::builder().uri(path).header("authorization", format!("Bearer {token}"));
    let request = request.body(Body::default()).expect("a request");
    let Ok(mut response) = GuardLayer::new(Some(watch), IpAddr::V4(Ipv4Addr::LOCALHOST)).layer(service).oneshot(request).await;
    response.extensions_mut().remove::<Acting>().ok_or_else(|| {
        let status = tonic::Status::from_header_map(response.headers()).expect("a status");
        status.get_details_error_info().expect("ErrorInfo").reason
    })
}

#[tokio::test]
async fn the_guard_lets_staff_of_the_issuer_through() {
    let [old, new] = [Pair::ed25519("a"), Pair::ed25519("b")];
    let set_of = Arc::new(Mutex::new(set(&[])));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/certs", listener.local_addr().expect("an address"));
    let told = set_of.clone();
    let answer = async move || told.lock().expect("no panic").clone();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/certs", get(answer))).await });
    let issuer = Arc::new(Issuer::new(options(&url)).expect("a URL"));
    let tokens = Arc::new(own::Tokens::of_chance(Duration::from_secs(60)));
    let get_order = "/emshop.v1.OrderService/GetOrder";
    let look = async |token: &str| call(&issuer, &tokens, get_order, token).await;

    // Nobody looks yet: the call waits for whoever does, and goes on with the key that is found.
    *set_of.lock().expect("no panic") = set(&[&old]);
    let following = issuer.clone();
    let good = old.good();
    let (first, follows) = tokio::join!(look(&good), lazy(|_| tokio::spawn(async move { following.follow().await })));
    let acting = first.expect("support reads orders");
    assert!(acting.as_staff && acting.identity.subject.is_some());
    let operator = acting.identity.as_staff();
    assert_eq!((operator.user_id, operator.role()), (0, Role::Support));
    assert_eq!(operator.subject.map(|subject| (subject.issuer, subject.id)), Some((ISSUER.to_owned(), "f3a1".to_owned())));
    assert_eq!(look(&new.good()).await, Err("SIGNATURE_INVALID".to_owned()), "it was looked for just now");

    let refusals = [
        (get_order, old.sign(|_, claims| claims["realm_access"]["roles"] = json!(["customer"])), "ROLE_NOT_MAPPED"),
        (get_order, old.sign(|_, claims| claims["aud"] = json!("others")), "TOKEN_INVALID"),
        (get_order, old.sign(|_, claims| claims["iss"] = json!("emshop")), "TOKEN_INVALID"),
        (
            "/emshop.v1.UserService/GetUser",
            old.sign(|_, claims| claims["realm_access"]["roles"] = json!(["shop-finance"])),
            "PERMISSION_DENIED",
        ),
        ("/emshop.v1.UserService/UpdateProfile", old.good(), "PERMISSION_DENIED"),
        ("/emshop.v1.UserService/SetUserRole", old.good(), "PERMISSION_DENIED"),
    ];
    for (path, token, reason) in refusals {
        assert_eq!(call(&issuer, &tokens, path, &token).await, Err(reason.to_owned()), "{path}");
    }
    // Tokens of the shop are good beside them.
    let own = tokens.sign(Caller { user_id: 7, role: Role::User }, None).token;
    assert_eq!(look(&own).await.map(|acting| (acting.identity.caller.user_id, acting.as_staff)), Ok((7, false)));
    follows.abort();
}

#[tokio::test]
async fn an_issuer_that_was_never_there_is_told_from_a_forged_key() {
    let pair = Pair::ed25519("a");
    let issuer = Arc::new(Issuer::new(options("http://127.0.0.1:1/certs")).expect("a URL"));
    let following = issuer.clone();
    let follows = tokio::spawn(async move { following.follow().await });
    issuer.looked().await;
    let refused = issuer.verify_anew(&pair.good()).await.expect_err("its keys are not known");
    assert_eq!(refused.code, Code::IssuerUnavailable);
    follows.abort();
}
