//! Staff of an outside issuer: its tokens are good here, by the keys that it tells at the time, and what they do is in the records by name.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use emshop_ingress::Algorithm as OurAlgorithm;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::order_service_client::OrderServiceClient;
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::{
    CancelOrderRequest, CommandBatch, CreateGoodsRequest, GetOrderRequest, Operator, OperatorKind, Order, SetStockRequest,
    Subject, SubmitOrderRequest,
};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::shop::{goods, submit};

const ISSUER: &str = "https://login.example/realms/shop";
/// Keys are looked for every ten seconds at most.
const LOOK_PATIENCE: Duration = Duration::from_secs(20);

/// A key of the issuer.
struct Pair {
    id: &'static str,
    signing: EncodingKey,
}

impl Pair {
    fn new(id: &'static str) -> Self {
        let pem = emshop_ingress::new_key(OurAlgorithm::EdDsa);
        Self { id, signing: EncodingKey::from_ed_pem(pem.as_bytes()).expect("a new key") }
    }

    /// Its public half, as a key set has it.
    fn public(&self) -> Value {
        let mut key =
            serde_json::to_value(Jwk::from_encoding_key(&self.signing, Algorithm::EdDSA).expect("a pair")).expect("JSON");
        key["kid"] = json!(self.id);
        key["use"] = json!("sig");
        key
    }

    /// A token for somebody with these roles, but for what the test changes.
    fn changed(&self, sub: &str, roles: &[&str], change: impl FnOnce(&mut Value)) -> String {
        let now = get_current_timestamp();
        let mut claims =
            json!({"iss": ISSUER, "sub": sub, "aud": "emshop", "iat": now, "exp": now + 300, "realm_access": {"roles": roles}});
        change(&mut claims);
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &claims, &self.signing).expect("claims")
    }

    fn token(&self, sub: &str, roles: &[&str]) -> String {
        self.changed(sub, roles, |_| ())
    }
}

/// The issuer's server of its keys.
#[derive(Clone)]
struct Outside {
    address: SocketAddr,
    keys: Arc<Mutex<Value>>,
    is_down: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Outside {
    /// Has a port where nobody listens yet.
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        Self { address, keys: Arc::default(), is_down: Arc::default(), asked: Arc::default() }
    }

    fn tells(&self, pairs: &[&Pair]) {
        *self.keys.lock().expect("no panic") = json!({"keys": pairs.iter().map(|pair| pair.public()).collect::<Vec<_>>()});
    }

    async fn listens(&self) {
        let listener = TcpListener::bind(self.address).await.expect("nobody has taken the port");
        let outside = self.clone();
        let answer = async move || {
            outside.asked.fetch_add(1, Ordering::Relaxed);
            match outside.is_down.load(Ordering::Relaxed) {
                true => Err(StatusCode::SERVICE_UNAVAILABLE),
                false => Ok(outside.keys.lock().expect("no panic").to_string()),
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/certs", get(answer))).await });
    }

    /// Settings of a shop that believes it.
    fn settings(&self) -> String {
        format!(
            "auth:\n  oidc:\n    issuer: {ISSUER}\n    audience: emshop\n    jwks: http://{}/certs\n    role_claim: realm_access.roles\n    \
             roles: shop-support=support,shop-warehouse=warehouse,shop-admin=admin\n",
            self.address
        )
    }
}

/// A shop does not open that would believe somebody whom its operator cannot have meant.
#[tokio::test]
async fn settings_that_are_no_issuer_are_refused() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("emshop.yaml");
    let good = Outside::new().await.settings();
    let jwks = good.lines().find(|line| line.contains("jwks:")).expect("the place of its keys").to_owned();
    for (settings, sentence) in [
        (good.replace(&jwks, ""), "an outside issuer needs all of"),
        (good.replace(&jwks, "    jwks: http://login.example/certs"), "is plain HTTP"),
        (good.replace(&jwks, "    jwks: /nowhere/at/all.json"), "auth.oidc.jwks: /nowhere/at/all.json cannot be read"),
        (good.replace("=warehouse", "=king"), "is no role of the staff"),
        (good.replace("=support", "=user"), "is no role of the staff"),
        (good.replace(ISSUER, "emshop"), "auth.oidc.issuer"),
        (good.replace("role_claim", "claim"), "auth.oidc.claim"),
    ] {
        fs::write(&file, &settings).expect("written");
        let output = command(&["serve", "--data", path(data.path()), "--config", path(&file)]).output().expect("the binary runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains(sentence), "{settings}: {told}");
    }
}

/// What the issuer's staff asks of the shop.
#[derive(Clone)]
struct Orders {
    channel: Channel,
}

impl Orders {
    async fn get(&self, token: &str) -> Result<Order, Status> {
        let request = by(token, GetOrderRequest { order_id: "o".to_owned() });
        Ok(OrderServiceClient::new(self.channel.clone()).get_order(request).await?.into_inner().order.expect("an order"))
    }

    async fn submit(&self, token: &str, request: SubmitOrderRequest) -> Result<(), Status> {
        OrderServiceClient::new(self.channel.clone()).submit_order(by(token, request)).await.map(drop)
    }

    /// It is refused so at first, but not for long.
    async fn get_soon(&self, token: &str, at_first: &str) {
        let begun = Instant::now();
        while let Err(status) = self.get(token).await {
            assert_eq!(reason(&status), at_first);
            assert!(begun.elapsed() < LOOK_PATIENCE, "still refused: {status}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_of_an_outside_issuer_needs_no_account() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("emshop.yaml");
    let outside = Outside::new().await;
    fs::write(&file, outside.settings()).expect("written");
    let shop = data.path().join("shop");
    let [first, second, strange] = [Pair::new("first"), Pair::new("second"), Pair::new("first")];
    let [support, admin] =
        ["shop-support", "shop-admin"].map(|role| first.token(&format!("{role}-1"), &[role, "offline_access"]));

    // The issuer is away at the start: the shop opens, and own tokens are good.
    let process = Process::guarded(&["--config", path(&file), "--data", path(&shop)]);
    let channel = process.channel().await;
    let orders = Orders { channel: channel.clone() };
    assert_eq!(refused(orders.get(&support).await), "ISSUER_UNAVAILABLE");
    assert_eq!(refused(orders.get(&token(&shop, 1, "admin")).await), "ORDER_NOT_FOUND");
    outside.tells(&[&first]);
    outside.listens().await;
    process.says("go by these keys");

    // An admin of the issuer is one here, on streams, too; but nothing is theirs.
    let create = CreateGoodsRequest { goods: Some(goods(1)) };
    GoodsServiceClient::new(channel.clone()).create_goods(by(&admin, create)).await.expect("an admin may");
    let stock = SetStockRequest { goods_id: 1, on_hand: 10 };
    InventoryServiceClient::new(channel.clone()).set_stock(under("k", by(&admin, stock))).await.expect("an admin may");
    let of_nobody = SubmitOrderRequest { user_id: 0, ..submit("o", &[(1, 1)]) };
    assert_eq!(refused(orders.submit(&admin, of_nobody.clone()).await), "VALIDATION_FAILED", "staff says for whom");
    assert_eq!(refused(orders.submit(&support, of_nobody).await), "PERMISSION_DENIED", "support has no orders of its own");
    orders.submit(&admin, submit("o", &[(1, 1)])).await.expect("an admin may");

    // Support reads and cancels, and the record says who that was.
    assert_eq!(orders.get(&support).await.expect("support may").order_id, "o");
    let cancel = CancelOrderRequest { order_id: "o".to_owned(), ..CancelOrderRequest::default() };
    OrderServiceClient::new(channel.clone()).cancel_order(by(&support, cancel)).await.expect("support may");
    let subject = |id: &str| Some(Box::new(Subject { issuer: ISSUER.to_owned(), id: id.to_owned() }));
    let operator = |id: &str, role: Role| {
        Some(Operator { kind: OperatorKind::Admin.into(), user_id: 0, role: role.into(), subject: subject(id) })
    };
    let history = orders.get(&support).await.expect("support may").history;
    let [begun, .., ended] = history.as_slice() else { panic!("it came and went: {history:?}") };
    assert_eq!(begun.operator, operator("shop-admin-1", Role::Admin));
    assert_eq!(ended.operator, operator("shop-support-1", Role::Support));

    // Who is no staff here, or of another kind, sees nothing.
    for roles in [&["customer"][..], &["admin", "super"]] {
        assert_eq!(refused(orders.get(&first.token("x", roles)).await), "ROLE_NOT_MAPPED", "{roles:?}");
    }
    let line = process.says("ROLE_NOT_MAPPED");
    assert!(line.contains(r#""by":"staff \"x\" of https://login.example/realms/shop""#), "{line}");
    assert!(line.contains(r#"its realm_access.roles is [\"customer\"]"#), "{line}");
    let of_warehouse = Person::new(channel.clone(), &first.token("x", &["shop-warehouse"]));
    for user_id in [0, 7] {
        assert_eq!(refused(of_warehouse.get(user_id).await), "PERMISSION_DENIED", "users are for support");
    }
    let forged = |change: &dyn Fn(&mut Value)| first.changed("x", &["shop-admin"], change);
    for (token, code) in [
        (strange.token("x", &["shop-admin"]), "SIGNATURE_INVALID"),
        (forged(&|claims| claims["aud"] = json!("others")), "TOKEN_INVALID"),
        (forged(&|claims| claims["iss"] = json!("https://login.example/realms/others")), "TOKEN_INVALID"),
        (forged(&|claims| claims["iss"] = json!("emshop")), "TOKEN_INVALID"),
        (forged(&|claims| claims["exp"] = json!(get_current_timestamp() - 60)), "TOKEN_EXPIRED"),
    ] {
        assert_eq!(refused(orders.get(&token).await), code, "{token}");
    }
    // Whoever runs the shop is told why; whoever shows the token is not.
    for cause in [
        r#"its signature is not by its key (kid) \"first\""#,
        r#"its aud is \"others\", without auth.oidc.audience \"emshop\""#,
        r#"its iss is \"https://login.example/realms/others\", and not auth.oidc.issuer"#,
        "its exp is ",
    ] {
        process.says(cause);
    }

    // Streams end with their token.
    let brief = first.changed("x", &["shop-admin"], |claims| claims["exp"] = json!(get_current_timestamp() + 2));
    let endless = futures::stream::pending::<CommandBatch>();
    let opened = PipelineServiceClient::new(channel).submit(by(&brief, endless)).await;
    let ended = tokio::time::timeout(PATIENCE, opened.expect("a good token").into_inner().message()).await.expect("in time");
    assert_eq!(reason(&ended.expect_err("the stream is cut off")), "TOKEN_EXPIRED");

    // Another key is found when a token names it, however many name ones that there are not.
    let asked = outside.asked.load(Ordering::Relaxed);
    let begun = Instant::now();
    outside.tells(&[&second, &first]);
    for _ in 0..200 {
        assert_eq!(refused(orders.get(&Pair::new("forged").token("x", &["shop-admin"])).await), "SIGNATURE_INVALID");
    }
    orders.get_soon(&second.token("shop-support-1", &["shop-support"]), "SIGNATURE_INVALID").await;
    let most = begun.elapsed().as_secs() as usize / 10 + 1;
    assert!((1..=most).contains(&(outside.asked.load(Ordering::Relaxed) - asked)), "{most} at most");

    // The issuer is away: what is known of it goes on.
    outside.is_down.store(true, Ordering::Relaxed);
    let unknown = Pair::new("unknown").token("x", &["shop-support"]);
    let asked = outside.asked.load(Ordering::Relaxed);
    let begun = Instant::now();
    while outside.asked.load(Ordering::Relaxed) == asked {
        assert_eq!(refused(orders.get(&unknown).await), "SIGNATURE_INVALID");
        assert!(begun.elapsed() < LOOK_PATIENCE, "it is asked");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    process.says("stay as they were");
    for pair in [&first, &second] {
        orders.get(&pair.token("shop-support-1", &["shop-support"])).await.expect("its keys are known");
    }
}
