//! The key that signs tokens, in a file that only its owner reads.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use emshop_ingress::{Algorithm, Tokens};
use sha2::{Digest, Sha256};

use crate::config::Auth;
use crate::secret;

/// SHA-256 over keys that anybody can have read: they were published with the sources.
const PUBLISHED: [&str; 1] = ["f4af489715c40cbdb27b30811b25d95f8add6f1c92252c6095a23fce92cf97ff"];

/// Reads the key of a file.
pub fn load(path: &Path, auth: &Auth) -> Result<Tokens> {
    let key = secret::read(path).context("the key of tokens")?;
    let key = String::from_utf8(key).with_context(|| format!("the key in {} is not text", path.display()))?;
    ensure!(
        !is_among(&PUBLISHED, &key),
        "the key in {} was published with the sources of emshop, so anybody can sign with it: remove the file, the next start makes a new one",
        path.display()
    );
    tokens(&key, path, auth.algorithm, auth.token_lifetime)
}

/// Reads the key of a file, which is made when it is not there.
pub fn load_or_make(path: &Path, auth: &Auth) -> Result<Tokens> {
    if !path.exists() {
        secret::make(path, emshop_ingress::new_key(auth.algorithm).as_bytes())?;
    }
    load(path, auth)
}

fn tokens(key: &str, path: &Path, algorithm: Algorithm, lifetime: Duration) -> Result<Tokens> {
    let unusable = || format!("the key in {} does not fit the setting auth.algorithm", path.display());
    Tokens::new(algorithm, key, lifetime).with_context(unusable)
}

fn is_among(fingerprints: &[&str], key: &str) -> bool {
    let fingerprint = hex::encode(Sha256::digest(key.trim()));
    fingerprints.contains(&fingerprint.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_key_is_known_by_its_fingerprint() {
        // The SHA-256 of "abc", as the standard gives it.
        let published = ["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"];
        assert!(is_among(&published, "abc\n"));
        assert!(!is_among(&published, "abd"));
        assert!(PUBLISHED.iter().all(|fingerprint| hex::decode(fingerprint).is_ok_and(|bytes| bytes.len() == 32)));
    }
}
