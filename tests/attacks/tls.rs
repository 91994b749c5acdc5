//! Whoever listens in or pretends to be somebody, where the port has TLS.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::process::{PATIENCE, Process, Starting, command, path};
use crate::wire::Line;

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the binary runs")
}

/// What `emshop dev-certificates` makes.
pub struct Certificates(PathBuf);

impl Certificates {
    pub fn make(folder: PathBuf) -> Self {
        let made = run(&["dev-certificates", "--to", path(&folder)]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self(folder)
    }

    pub fn file(&self, name: &str) -> String {
        path(&self.0.join(name)).to_owned()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect("it is made")
    }

    pub fn trusted(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.text("ca.pem"))).domain_name("localhost")
    }

    /// The same for who speaks TLS without gRPC.
    pub fn client_config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file("ca.pem")).expect("a certificate")).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("ring has them");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }

    fn client(&self) -> Identity {
        Identity::from_pem(self.text("client.pem"), self.text("client.key"))
    }

    pub fn serve(&self, data: &Path, more: &[&str]) -> Process {
        let (cert, key) = (self.file("server.pem"), self.file("server.key"));
        Process::serve(&[&["--data", path(data), "--tls-cert", &cert, "--tls-key", &key], more].concat())
    }
}

pub async fn connect(process: &Process, tls: ClientTlsConfig) -> Result<Channel, Error> {
    let endpoint = Endpoint::from_shared(format!("https://{}", process.address())).expect("an address").timeout(PATIENCE);
    endpoint.tls_config(tls).expect("certificates").connect().await
}

/// Whether a call gets through: a client certificate is looked at after the handshake of the client.
async fn is_served(process: &Process, tls: ClientTlsConfig) -> bool {
    match connect(process, tls).await {
        Ok(channel) => HealthClient::new(channel).check(HealthCheckRequest::default()).await.is_ok(),
        Err(_) => false,
    }
}

/// What `emshop inspect` says of a server that it cannot speak with has the reason, and what may help.
fn assert_unreached(target: &[&str], remedy: &str) {
    let inspected = run(&[&["inspect", "--target"], target].concat());
    let said = String::from_utf8_lossy(&inspected.stderr).into_owned();
    assert_eq!(inspected.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be reached: ") && said.contains(remedy), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whoever_trusts_the_server_speaks_with_it_and_renewed_certificates_are_taken() {
    let data = TempDir::new().unwrap();
    let [certificates, others] = ["a", "b"].map(|name| Certificates::make(data.path().join(name)));
    let process = certificates.serve(&data.path().join("data"), &[]);
    assert!(is_served(&process, certificates.trusted()).await);
    assert!(!is_served(&process, others.trusted()).await, "another authority");
    let plain = Endpoint::from_shared(format!("http://{}", process.address())).expect("an address").timeout(PATIENCE);
    let spoken = async { HealthClient::new(plain.connect().await.ok()?).check(HealthCheckRequest::default()).await.ok() };
    assert!(spoken.await.is_none(), "it speaks nothing but TLS");
    let target = format!("https://localhost:{}", process.address().rsplit_once(':').expect("a port").1);
    let inspected = run(&["inspect", "--target", &target, "--tls-ca", &certificates.file("ca.pem")]);
    assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
    assert_unreached(&[&format!("http://{}", process.address())], "it is at https://");
    assert_unreached(&[&target], "name them (--tls-ca)");

    for name in ["server.pem", "server.key"] {
        fs::copy(others.file(name), certificates.file(name)).expect("a copy");
    }
    let deadline = Instant::now() + PATIENCE;
    while !is_served(&process, others.trusted()).await {
        assert!(Instant::now() < deadline, "the new certificate is not taken");
    }
    assert!(!is_served(&process, certificates.trusted()).await, "the old one is gone");
    fs::write(certificates.file("server.pem"), "nonsense").expect("a file");
    process.says("those before are used still");
    assert!(is_served(&process, others.trusted()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_clients_need_certificates_nobody_gets_in_without() {
    let data = TempDir::new().unwrap();
    let [certificates, others] = ["a", "b"].map(|name| Certificates::make(data.path().join(name)));
    let authority = certificates.file("ca.pem");
    let process = certificates.serve(&data.path().join("data"), &["--tls-client-ca", &authority]);
    assert!(is_served(&process, certificates.trusted().identity(certificates.client())).await);
    assert!(!is_served(&process, certificates.trusted()).await, "without a certificate");
    let target = format!("https://localhost:{}", process.address().rsplit_once(':').expect("a port").1);
    assert_unreached(&[&target, "--tls-ca", &authority], "show one (--tls-cert, --tls-key)");
    assert!(!is_served(&process, certificates.trusted().identity(others.client())).await, "of another authority");
}

#[test]
fn passwords_are_not_taken_in_clear_from_elsewhere_unless_somebody_says_so() {
    let data = TempDir::new().unwrap();
    let serve = ["serve", "--data", path(data.path()), "--print-config", "--listen", "0.0.0.0:0"];
    let refused = run(&serve);
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8(refused.stderr).expect("text");
    assert!(told.contains("--insecure") && told.contains("--tls-cert"), "{told}");
    assert!(run(&[&serve[..], &["--insecure"]].concat()).status.success());
    let certificates = Certificates::make(data.path().join("certificates"));
    let (cert, key) = (certificates.file("server.pem"), certificates.file("server.key"));
    assert!(run(&[&serve[..], &["--tls-cert", &cert, "--tls-key", &key]].concat()).status.success());
    assert_eq!(run(&[&serve[..], &["--tls-cert", &cert]].concat()).status.code(), Some(2), "a certificate without its key");
    let again = run(&["dev-certificates", "--to", path(&certificates.0)]);
    assert_eq!(again.status.code(), Some(1), "nothing is written over");
}

/// What is measured was plain to whoever was on the way, wherever others reached the port.
#[tokio::test(flavor = "multi_thread")]
async fn where_others_reach_the_admin_port_it_has_tls() {
    let folder = TempDir::new().unwrap();
    let certificates = Certificates::make(folder.path().join("certificates"));
    let data = folder.path().join("data");
    let (cert, key) = (certificates.file("server.pem"), certificates.file("server.key"));
    let flags = ["--data", path(&data), "--tls-cert", &cert, "--tls-key", &key, "--admin", "0.0.0.0:0"];
    let starting = Starting::spawn_with(&flags, &[]);
    let fields: Value = serde_json::from_str(&starting.says("the admin port is open")).expect("JSON");
    let listen = fields["listen"].as_str().expect("an address").replace("0.0.0.0", "127.0.0.1");
    let process = starting.serves();

    let ask = |line: &mut dyn Line| -> io::Result<String> {
        write!(line, "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        // Whoever closes without a word of TLS has said all the same what they had to say.
        match line.read_to_string(&mut answer) {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(answer),
        }
    };
    let connect = || {
        let line = TcpStream::connect(&listen).expect("it listens");
        line.set_read_timeout(Some(PATIENCE)).expect("a time");
        line
    };
    let mut config = certificates.client_config();
    config.alpn_protocols.clear();
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    let answer = ask(&mut StreamOwned::new(session, connect())).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let plain = ask(&mut connect());
    assert!(plain.as_ref().is_ok_and(|answer| !answer.contains("HTTP")) || plain.is_err(), "{plain:?}");
    assert_eq!(process.terminate().code(), Some(0));
}
