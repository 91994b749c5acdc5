//! Servers of one's own: whatever they ask for is shown to them, and who shows something else stays outside.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use emshop_log::jetstream::{Access, Cluster, Connection, Create, Login, NatsServer, Tls, User};
use emshop_log::{CommandLog, LogError};
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::{OPTIONS, append, key, payload, take};

/// A server with a configuration of its own.
struct OwnServer {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl OwnServer {
    async fn start(config: impl FnOnce(&Path) -> String) -> Self {
        let folder = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let store = folder.path().join("store");
        let common = format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {store:?} }}\n");
        let path = folder.path().join("nats-server.conf");
        fs::write(&path, common + &config(folder.path())).unwrap();
        let output = fs::File::create(folder.path().join("nats-server.log")).unwrap();
        let mut command = Command::new(NatsServer::binary().unwrap());
        let child = command.arg("--config").arg(&path).stdout(Stdio::null()).stderr(output).spawn().unwrap();
        let mut server = Self { child, port, folder };
        while TcpStream::connect(("127.0.0.1", port)).await.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", fs::read_to_string(server.folder.path().join("nats-server.log")).unwrap());
            sleep(Duration::from_millis(10)).await;
        }
        server
    }

    fn access(&self, login: Login) -> Access {
        Access::new(&format!("nats://localhost:{}", self.port), User::Shop).unwrap().with_login(login)
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

async fn assert_works(access: &Access) {
    let connection = Connection::open(access).await.unwrap_or_else(|error| panic!("{access:?}: {error}"));
    let cluster = Cluster::open(&connection, OPTIONS, Create::Yes, &key()).await.unwrap();
    append(&*cluster.log(0), 1..=1).await;
    assert_eq!(take(&mut cluster.log(0).read(1), 1).await[0].payload, payload(1));
}

async fn assert_stays_outside(access: &Access) {
    match Connection::open(access).await {
        Err(LogError::Unreachable(reason)) => assert!(reason.contains("localhost"), "{reason}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("{access:?} is let in"),
    }
}

#[tokio::test]
async fn a_password() {
    let users = "authorization { users: [ { user: shop, password: s3cret } ] }";
    let server = OwnServer::start(|_| users.to_owned()).await;
    let login = |password: &str| Login::Password { user: "shop".to_owned(), password: password.to_owned() };
    assert_works(&server.access(login("s3cret"))).await;
    assert_stays_outside(&server.access(login("guess"))).await;
    assert_stays_outside(&server.access(Login::Nothing)).await;
}

#[tokio::test]
async fn the_seed_of_an_nkey() {
    let (known, unknown) = (KeyPair::new_user(), KeyPair::new_user());
    let users = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", known.public_key());
    let server = OwnServer::start(|_| users).await;
    assert_works(&server.access(Login::Nkey(known.seed().unwrap()))).await;
    assert_stays_outside(&server.access(Login::Nkey(unknown.seed().unwrap()))).await;
    assert_stays_outside(&server.access(Login::Nkey("no seed".to_owned()))).await;
    assert_stays_outside(&server.access(Login::Nothing)).await;
}

/// As `nsc` makes them.
fn token(issuer: &KeyPair, subject: &KeyPair, claims: Value) -> String {
    let encoded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encoded(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let body =
        json!({ "jti": "x", "iat": 1, "iss": issuer.public_key(), "name": "x", "sub": subject.public_key(), "nats": claims });
    let signed = format!("{head}.{}", encoded(&body));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn credentials(issuer: &KeyPair, user: &KeyPair) -> Login {
    let claims = json!({ "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2 });
    let (token, seed) = (token(issuer, user, claims), user.seed().unwrap());
    Login::Credentials(format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    ))
}

#[tokio::test]
async fn credentials_with_a_jwt() {
    let (operator, account, system) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let all = ["subs", "data", "payload", "imports", "exports", "conn", "leaf"].map(|limit| (limit.to_owned(), json!(-1)));
    let account_claims = |kept: &[&str]| {
        let kept = kept.iter().map(|limit| ((*limit).to_owned(), json!(-1)));
        let mut limits: serde_json::Map<_, _> = all.iter().cloned().chain(kept).collect();
        limits.insert("wildcards".to_owned(), json!(true));
        json!({ "limits": limits, "default_permissions": { "pub": {}, "sub": {} }, "type": "account", "version": 2 })
    };
    let jetstream = ["mem_storage", "disk_storage", "streams", "consumer"];
    let server = OwnServer::start(|_| {
        format!(
            "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}\n {}: {} }}\n",
            token(&operator, &operator, json!({ "type": "operator", "version": 2 })),
            system.public_key(),
            system.public_key(),
            token(&operator, &system, account_claims(&[])),
            account.public_key(),
            token(&operator, &account, account_claims(&jetstream)),
        )
    })
    .await;
    assert_works(&server.access(credentials(&account, &KeyPair::new_user()))).await;
    assert_stays_outside(&server.access(credentials(&KeyPair::new_account(), &KeyPair::new_user()))).await;
    assert_stays_outside(&server.access(Login::Credentials("none".to_owned()))).await;
    assert_stays_outside(&server.access(Login::Nothing)).await;
}

/// Signs certificates.
struct Authority(CertifiedIssuer<'static, rcgen::KeyPair>);

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// The file of its certificate.
    fn ca(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, self.0.pem()).unwrap();
        path
    }

    /// Files of a certificate and its key.
    fn sign(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let files = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        fs::write(&files.0, params.signed_by(&key, &self.0).unwrap().pem()).unwrap();
        fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }
}

#[tokio::test]
async fn certificates_on_both_sides() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = OwnServer::start(|folder| {
        let ((certificate, key), ca) = (authority.sign(folder, "server"), authority.ca(folder, "ca.pem"));
        format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {ca:?}, verify: true }}\n")
    })
    .await;
    let folder = server.folder.path();
    let access = |ca, identity| server.access(Login::Nothing).with_tls(Tls { ca, identity });
    let ca = || Some(authority.ca(folder, "ca.pem"));
    assert_works(&access(ca(), Some(authority.sign(folder, "client")))).await;
    assert_stays_outside(&access(ca(), Some(other.sign(folder, "stranger")))).await;
    assert_stays_outside(&access(ca(), None)).await;
    assert_stays_outside(&access(Some(other.ca(folder, "other.pem")), Some(authority.sign(folder, "client")))).await;
    assert_stays_outside(&access(Some(folder.join("missing.pem")), None)).await;
}
