//! Who may write to a log: whoever has the cluster's key. What others wrote counts as nothing.

use std::fmt;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a seal: nobody guesses one of 2^128.
pub const SEAL_BYTES: usize = 16;

// Each use of the key has a key of its own, so that none of them tells anything about another.
const FINGERPRINT: &str = "emshop 2026-11 fingerprint of a cluster's key";
const CLUSTER: &str = "emshop 2026-11 seals of a cluster";

/// The secret that all ingresses and engines of a cluster share.
#[derive(Clone)]
pub struct ClusterKey([u8; KEY_BYTES]);

impl ClusterKey {
    /// Of bytes that nobody else knows.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Tells it from other keys, and nothing else: 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        blake3::derive_key(FINGERPRINT, &self.0)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Of the logs of one cluster: what is sealed for one of two clusters with the same key is nothing to the other.
    pub fn seals(&self, cluster_id: &str) -> Seals {
        Seals(
            *blake3::Hasher::new_keyed(&blake3::derive_key(CLUSTER, &self.0)).update(cluster_id.as_bytes()).finalize().as_bytes(),
        )
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "ClusterKey({})", self.fingerprint())
    }
}

/// The seals of all logs of a cluster.
#[derive(Clone)]
pub struct Seals([u8; KEY_BYTES]);

impl Seals {
    /// Of one log: an envelope of another one is nothing to it.
    pub fn of(&self, log: u32) -> Seal {
        Seal(*blake3::keyed_hash(&self.0, &log.to_le_bytes()).as_bytes())
    }

    /// Of the settings that all processes of the cluster share.
    pub fn of_settings(&self) -> Seal {
        Seal(*blake3::keyed_hash(&self.0, b"settings").as_bytes())
    }
}

/// What envelopes of one log are sealed with: a message authentication code by keyed BLAKE3.
#[derive(Clone)]
pub struct Seal([u8; KEY_BYTES]);

impl Seal {
    /// Of the times at which entries were taken: what is sealed as one of these is no envelope.
    pub fn of_times(&self) -> Self {
        self.of(b"times")
    }

    /// Of what else is sealed than envelopes: what is sealed as one kind of it is none of another.
    pub(crate) fn of(&self, kind: &[u8]) -> Self {
        Self(*blake3::keyed_hash(&self.0, kind).as_bytes())
    }

    /// The code over these parts, one behind the other.
    pub fn over(&self, parts: &[&[u8]]) -> [u8; SEAL_BYTES] {
        let hash = self.hash(parts);
        hash.as_bytes()[..SEAL_BYTES].try_into().expect("a hash is longer")
    }

    /// Whether `code` is the one over these parts. Takes as long for any wrong one.
    pub fn is_of(&self, code: &[u8], parts: &[&[u8]]) -> bool {
        constant_time_eq::constant_time_eq(&self.over(parts), code)
    }

    fn hash(&self, parts: &[&[u8]]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        parts.iter().for_each(|part| {
            hasher.update(part);
        });
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_of_one_key_one_cluster_and_one_log() {
        let (key, other) = (ClusterKey::new([1; KEY_BYTES]), ClusterKey::new([2; KEY_BYTES]));
        let code = key.seals("a").of(0).over(&[b"envelope"]);
        assert!(key.seals("a").of(0).is_of(&code, &[b"enve", b"lope"]), "parts are one behind the other");
        for seal in [other.seals("a").of(0), key.seals("b").of(0), key.seals("a").of(1), key.seals("a").of_settings()] {
            assert!(!seal.is_of(&code, &[b"envelope"]));
        }
        assert!(!key.seals("a").of(0).is_of(&code[..8], &[b"envelope"]), "a part of a seal is none");
    }

    /// What is written today is read by each later release.
    #[test]
    fn frozen() {
        let key = ClusterKey::new([7; KEY_BYTES]);
        assert_eq!(key.fingerprint(), "f1f652f447e70180");
        assert_eq!(
            format!("{:02x?}", key.seals("c").of(3).over(&[b"e"])),
            "[63, a3, f3, f8, 92, 48, 14, 91, c9, aa, 51, b4, 88, 88, 38, 9d]"
        );
        assert_eq!(
            format!("{:02x?}", key.seals("c").of_settings().over(&[b"e"])),
            "[96, 4a, ed, 73, fa, 8e, 2d, 4a, fa, 4e, 04, b8, 7f, 24, 3c, a9]"
        );
        assert_eq!(format!("{key:?}"), "ClusterKey(f1f652f447e70180)");
    }
}
