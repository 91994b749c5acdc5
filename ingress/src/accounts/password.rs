//! Passwords: argon2id hashes, made and compared aside of the threads that serve.

use argon2::password_hash::phc::{Error as PhcError, PasswordHash};
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use emshop_proto::errors::Code;
use emshop_proto::v1::Refusal;
use sha2::{Digest, Sha256};

use super::aside::Aside;

/// Stands in for the hash of a user who is not there, so that the time taken tells nothing. No password has it.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

pub type Salt = [u8; 16];

/// Bounds how many hashes are under way: each takes a core for about 20 ms, and 19 MiB.
pub struct Passwords {
    aside: Aside,
}

impl Passwords {
    /// Hashes `at_once` passwords side by side.
    pub fn new(at_once: usize) -> Self {
        Self { aside: Aside::new(at_once) }
    }

    /// The PHC string of a password: the same for the same salt.
    pub async fn hash(&self, password: String, salt: Salt) -> Result<String, Refusal> {
        let hashed = self.aside.run(move || Argon2::default().hash_password_with_salt(password.as_bytes(), &salt)).await?;
        hashed.map(|hash| hash.to_string()).map_err(|_| Code::EncryptionFailed.refusal())
    }

    /// Whether a password has this hash; without one it takes as long, and the answer is no.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Refusal> {
        let verified = self.aside.run(move || {
            let hash = PasswordHash::new(hash.as_deref().unwrap_or(NOBODY))?;
            Ok::<_, PhcError>(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        verified.await?.map_err(|_| Code::EncryptionFailed.refusal())
    }
}

/// The salt of a registration, so that a repeat gives the same hash. Numbers are taken once, so no two users share one.
pub fn salt_of_registration(mobile: &str, idempotency_key: &str) -> Salt {
    salt(Sha256::new().chain_update(b"emshop registration ").chain_update(mobile).chain_update([0]), idempotency_key)
}

/// The salt of a new password, likewise.
pub fn salt_of_change(user_id: u64, idempotency_key: &str) -> Salt {
    salt(Sha256::new().chain_update(b"emshop change of password ").chain_update(user_id.to_le_bytes()), idempotency_key)
}

fn salt(begun: Sha256, idempotency_key: &str) -> Salt {
    let digest = begun.chain_update(idempotency_key).finalize();
    std::array::from_fn(|index| digest[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(2)
    }

    #[tokio::test]
    async fn hashes_are_argon2id_and_depend_on_the_salt() {
        let passwords = passwords();
        let hash = async |password: &str, salt| passwords.hash(password.to_owned(), salt).await.expect("a hash");
        let first = hash("correct horse", [1; 16]).await;
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert!(!first.contains("correct"));
        assert_eq!(hash("correct horse", [1; 16]).await, first);
        assert_ne!(hash("correct horse", [2; 16]).await, first);
        assert_ne!(hash("correct mule", [1; 16]).await, first);
        let verify = async |password: &str, hash: Option<&String>| {
            passwords.verify(password.to_owned(), hash.cloned()).await.expect("an answer")
        };
        assert!(verify("correct horse", Some(&first)).await);
        assert!(!verify("correct mule", Some(&first)).await);
        assert!(!verify("correct horse", None).await);
        let broken = passwords.verify("x".to_owned(), Some("plain".to_owned())).await.expect_err("not a hash");
        assert_eq!(broken.code, Code::EncryptionFailed.number());
    }

    /// It costs what a real one costs.
    #[test]
    fn the_hash_of_nobody_is_a_whole_one() {
        let nobody = PasswordHash::new(NOBODY).expect("a PHC string");
        let real = Argon2::default().hash_password_with_salt(b"x", &[0; 16]).expect("a hash");
        assert_eq!((nobody.algorithm, nobody.version, nobody.params), (real.algorithm, real.version, real.params));
        assert_eq!(nobody.hash.map(|hash| hash.len()), real.hash.map(|hash| hash.len()));
    }

    #[test]
    fn salts_tell_numbers_and_keys_apart() {
        let salt = salt_of_registration;
        assert_eq!(salt("13800000000", "k"), salt("13800000000", "k"));
        assert_ne!(salt("13800000000", "k"), salt("13800000001", "k"));
        assert_ne!(salt("13800000000", "k"), salt("13800000000", "l"));
        assert_ne!(salt("1380000000", "0k"), salt("13800000000", "k"));
        let salt = salt_of_change;
        assert_eq!(salt(7, "k"), salt(7, "k"));
        assert_ne!(salt(7, "k"), salt(8, "k"));
        assert_ne!(salt(7, "k"), salt(7, "l"));
    }
}
