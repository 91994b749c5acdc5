//! Runs over TLS: against whom the certificates say, and against nobody else.

use std::path::{Path, PathBuf};

use clap::Parser;
use emshop_loadgen::dial::Security;
use emshop_loadgen::{Report, Settings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::transport::{Certificate as Pem, Identity, ServerTlsConfig};

use crate::shop::{Fault, Shop};

/// Signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Certificate and key of `name`, in PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn server(&self) -> ServerTlsConfig {
        let (certificate, key) = self.sign("localhost");
        ServerTlsConfig::new().identity(Identity::from_pem(certificate, key))
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

async fn run(target: &str, options: &[(&str, &Path)], arguments: &str) -> anyhow::Result<Report> {
    let mut words = vec!["emshop-loadgen", "--json", "--skus", "50", "--orders", "500", "--target", target];
    words.extend(arguments.split_whitespace());
    words.extend(options.iter().flat_map(|(option, path)| [*option, path.to_str().unwrap()]));
    emshop_loadgen::run(&Settings::parse_from(words)).await
}

#[tokio::test]
async fn the_server_shows_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, another) = (Authority::new(), Authority::new());
    let ca = write(folder.path(), "ca.pem", &authority.0.pem());
    let target = Shop::new(Fault::None).serve_tls(authority.server());
    for mode in ["--mode unary --workload checkout", "--mode stream"] {
        let report = run(&target, &[("--tls-ca", &ca)], mode).await.unwrap();
        assert!(report.good, "{mode}: {report} {:?}", report.differences);
        assert_eq!((report.tls, report.ok), (Security::Tls, 500));
    }
    let theirs = write(folder.path(), "theirs.pem", &another.0.pem());
    let error = run(&target, &[("--tls-ca", &theirs)], "").await.expect_err("somebody else signed");
    assert!(format!("{error:#}").contains("certificate"), "{error:#}");
    let plain = target.replace("https", "http");
    let error = run(&plain, &[], "").await.expect_err("the server speaks nothing but TLS");
    assert!(format!("{error:#}").contains("if it has TLS, its target begins with https://"), "{error:#}");
    let without = Shop::open(Fault::None).replace("http://127.0.0.1", "https://localhost");
    let error = run(&without, &[("--tls-ca", &ca)], "").await.expect_err("the server speaks no TLS");
    assert!(format!("{error:#}").contains("if the server has no TLS, its target begins with http://"), "{error:#}");
}

#[tokio::test]
async fn the_generator_shows_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ca = write(folder.path(), "ca.pem", &authority.0.pem());
    let (certificate, key) = authority.sign("generator");
    let (certificate, key) = (write(folder.path(), "own.pem", &certificate), write(folder.path(), "own.key", &key));
    let config = authority.server().client_ca_root(Pem::from_pem(authority.0.pem()));
    let target = Shop::new(Fault::None).serve_tls(config);
    let shown = [("--tls-ca", ca.as_path()), ("--tls-cert", &certificate), ("--tls-key", &key)];
    for mode in ["--mode unary", "--mode stream"] {
        let report = run(&target, &shown, mode).await.unwrap();
        assert!(report.good && report.tls == Security::Mutual, "{mode}: {report} {:?}", report.differences);
    }
    let error = run(&target, &shown[..1], "").await.expect_err("a stranger is not served");
    assert!(format!("{error:#}").contains("name one (--tls-cert and --tls-key)"), "{error:#}");
}
