//! `emshop dev-certificates`: an authority, and certificates of a server and of a client that it has signed, to try TLS with.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

use crate::cli::DevCertificatesFlags;
use crate::exit::ExitCode;
use crate::secret;

/// What they say of themselves, lest one is taken for more than it is.
const AUTHORITY: &str = "emshop development authority";

/// Makes a folder of them. The key of the authority is thrown away: nobody can make more of them.
///
/// # Errors
/// When there is such a folder, or a name is none.
pub fn make(flags: &DevCertificatesFlags) -> Result<ExitCode> {
    let folder = &flags.to;
    ensure!(!folder.exists(), "{} is there already: name a new folder (--to)", folder.display());
    let issuer = CertifiedIssuer::self_signed(authority()?, KeyPair::generate()?)?;
    let names = || format!("{:?} are no names", flags.name);
    let server = signed(flags.name.clone(), ExtendedKeyUsagePurpose::ServerAuth, &issuer).with_context(names)?;
    let client = signed(vec!["client".to_owned()], ExtendedKeyUsagePurpose::ClientAuth, &issuer)?;
    DirBuilder::new().mode(0o700).create(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    fs::write(folder.join("ca.pem"), issuer.pem())?;
    write(folder, "server", &server)?;
    write(folder, "client", &client)?;
    let path = folder.display();
    println!("made {path}: serve with --tls-cert {path}/server.pem --tls-key {path}/server.key, and clients trust {path}/ca.pem");
    Ok(ExitCode::SUCCESS)
}

fn authority() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = name(AUTHORITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn signed(names: Vec<String>, purpose: ExtendedKeyUsagePurpose, issuer: &Issuer<'_, KeyPair>) -> Result<(Certificate, KeyPair)> {
    let key = KeyPair::generate()?;
    let first = names.first().cloned().unwrap_or_default();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = name(&first);
    params.extended_key_usages = vec![purpose];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok((params.signed_by(&key, issuer)?, key))
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn write(folder: &Path, name: &str, (certificate, key): &(Certificate, KeyPair)) -> Result<()> {
    fs::write(folder.join(format!("{name}.pem")), certificate.pem())?;
    secret::make(&folder.join(format!("{name}.key")), key.serialize_pem().as_bytes())
}
