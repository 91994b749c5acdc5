//! What TLS is spoken, as programs that others wrote find it out.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use emshop_proto::v1::GetGoodsRequest;
use prost::Message;
use tempfile::TempDir;

use crate::process::{Process, path};
use crate::wire;

/// What may be agreed on: nothing without forward secrecy, nothing but authenticated encryption.
const GOOD: [&str; 6] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

/// A program of the distribution.
fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

/// What it writes, however it ends.
fn told(command: &mut Command) -> String {
    let name = command.get_program().to_owned();
    let output = command.output().unwrap_or_else(|error| panic!("{name:?}: {error}. `scripts/tools tests` installs it"));
    [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
}

/// A certificate with an RSA key, which the most and the oldest ciphers go with.
fn make_certificate(folder: &Path) -> [String; 2] {
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| path(&folder.join(name)).to_owned());
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let files = ["-out", &cert, "-keyout", &key];
    let told = told(program("openssl").args(["req", "-x509", "-newkey", "rsa:2048", "-nodes"]).args(subject).args(files));
    assert!(Path::new(&key).exists(), "{told}");
    [cert, key]
}

fn serve(folder: &Path, [cert, key]: &[String; 2]) -> Process {
    Process::serve(&["--data", path(&folder.join("data")), "--tls-cert", cert, "--tls-key", key])
}

/// A server that takes whatever there ever was, so that it is known what the programs see.
struct Weak {
    child: Child,
    address: String,
}

impl Weak {
    fn serve([cert, key]: &[String; 2]) -> Self {
        let mut command = program("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", key, "-www", "-min_protocol", "TLSv1"]);
        let child = command.args(["-cipher", "ALL:@SECLEVEL=0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("openssl: {error}. `scripts/tools tests` installs it"));
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut addresses = lines.filter_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned));
        let address = addresses.next().expect("it listens");
        // What it writes later must have somewhere to go.
        thread::spawn(move || addresses.for_each(drop));
        Self { child, address }
    }
}

impl Drop for Weak {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What sslscan finds.
#[derive(Debug, Default)]
struct Found {
    versions: Vec<String>,
    ciphers: Vec<String>,
    /// Compression, renegotiation, and the like.
    weaknesses: Vec<String>,
}

fn scan(address: &str) -> Found {
    let told = told(program("sslscan").args(["--xml=-", "--no-check-certificate", address]));
    assert!(told.contains("<ssltest"), "{told}");
    let mut found = Found::default();
    for line in told.lines().map(str::trim) {
        let attribute = |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=\""))?;
            Some(rest.split_once('"')?.0)
        };
        let is = |name: &str| attribute(name) == Some("1");
        if line.starts_with("<protocol ") && is("enabled") {
            found.versions.push([attribute("type"), attribute("version")].map(|part| part.expect("its name")).concat());
        } else if line.starts_with("<cipher ") {
            found.ciphers.push(attribute("cipher").expect("its name").to_owned());
        } else if is("vulnerable") || (line.starts_with("<compression ") && is("supported")) {
            found.weaknesses.push(line.to_owned());
        }
    }
    found
}

#[test]
fn nothing_old_or_weak_is_agreed_on() {
    let folder = TempDir::new().unwrap();
    let certificate = make_certificate(folder.path());
    let weak = Weak::serve(&certificate);
    let seen = scan(&weak.address);
    assert!(seen.versions.contains(&"tls1.0".to_owned()), "what is old is found: {seen:?}");
    for bad in ["AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA256"] {
        assert!(seen.ciphers.iter().any(|cipher| cipher == bad), "{bad} is found: {seen:?}");
    }

    let process = serve(folder.path(), &certificate);
    let found = scan(process.address());
    assert_eq!(found.versions, ["tls1.2", "tls1.3"]);
    let mut ciphers = found.ciphers;
    ciphers.sort_unstable();
    let mut good = GOOD.to_vec();
    good.sort_unstable();
    assert_eq!(ciphers, good);
    assert_eq!(found.weaknesses, [""; 0]);
}

/// What is agreed on with a client that offers these protocols.
fn agreed(address: &str, protocols: &str) -> Option<String> {
    let told = told(program("openssl").args(["s_client", "-connect", address, "-alpn", protocols]));
    assert!(told.contains("CONNECTED"), "{told}");
    told.lines().find_map(|line| line.strip_prefix("ALPN protocol: ").map(str::to_owned))
}

#[test]
fn http2_comes_first_and_what_is_unknown_is_refused() {
    let folder = TempDir::new().unwrap();
    let certificate = make_certificate(folder.path());
    let process = serve(folder.path(), &certificate);
    let address = process.address();
    assert_eq!(agreed(address, "http/1.1,h2").as_deref(), Some("h2"), "whatever the client likes better");
    assert_eq!(agreed(address, "http/1.1").as_deref(), Some("http/1.1"), "payment providers speak it");
    for unknown in ["spdy/3", "http/1.0", "h2c", "h3"] {
        assert_eq!(agreed(address, unknown), None, "{unknown}");
    }
}

#[test]
fn a_client_of_others_is_served_call_by_call() {
    const CALLS: usize = 5_000;
    let folder = TempDir::new().unwrap();
    let process = serve(folder.path(), &make_certificate(folder.path()));
    let request = folder.path().join("request");
    std::fs::write(&request, wire::message(&GetGoodsRequest { goods_id: 1 }.encode_to_vec())).expect("a file");
    let url = format!("https://{}/emshop.v1.GoodsService/GetGoods", process.address());
    let calls = format!("-n{CALLS}");
    let headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"];
    let told = told(program("h2load").args(["-c10", "-m100", &calls, "-d", path(&request), &url]).args(headers));
    for expected in
        ["Application protocol: h2", &format!("{CALLS} done, {CALLS} succeeded, 0 failed, 0 errored, 0 timeout"), "TLSv1.3"]
    {
        assert!(told.contains(expected), "{expected:?} is missing in:\n{told}");
    }
}
