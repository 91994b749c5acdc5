//! The file of the keys that sign tokens: several of them, so that one can take the place of another while both are believed.
//!
//! The newest comes first. A line `# signs from <Unix seconds>` before a key says since when it signs; it is believed before, too, so that
//! every process knows it by then. A file of one key alone needs no such line.

use std::fmt::Write;

/// What is before the time of a key.
const SINCE: &str = "# signs from ";
const PEM_BEGIN: &str = "-----BEGIN ";
const PEM_END: &str = "-----END ";
/// Bytes of an id.
const ID_BYTES: usize = 8;

/// One key of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey {
    /// Since when it signs, in Unix seconds; 0 when it always has.
    pub since_s: u64,
    /// The key itself: a line of hexadecimal digits, or a block of PEM.
    pub text: String,
}

impl TokenKey {
    /// What tokens name it by. It tells nothing of the key.
    pub fn id(&self) -> String {
        let digest = blake3::derive_key("emshop 2026-11 ids of keys of tokens", self.text.trim().as_bytes());
        digest[..ID_BYTES].iter().fold(String::new(), |mut id, byte| {
            write!(id, "{byte:02x}").expect("a String grows as needed");
            id
        })
    }
}

/// Neither in log lines nor anywhere else.
impl std::fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.debug_struct("TokenKey").field("id", &self.id()).field("since_s", &self.since_s).finish_non_exhaustive()
    }
}

/// The keys of a file, in its order. Whether they are keys, whoever uses them finds out.
pub fn parse(text: &str) -> Vec<TokenKey> {
    let mut keys = Vec::new();
    let (mut since_s, mut block) = (0, String::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(since) = line.strip_prefix(SINCE) {
            since_s = since.parse().unwrap_or(u64::MAX);
            continue;
        }
        let is_in_block = !block.is_empty() || line.starts_with(PEM_BEGIN);
        if !is_in_block && line.starts_with('#') {
            continue;
        }
        block += line;
        block.push('\n');
        if !is_in_block || line.starts_with(PEM_END) {
            keys.push(TokenKey { since_s: std::mem::take(&mut since_s), text: std::mem::take(&mut block) });
        }
    }
    if !block.is_empty() {
        keys.push(TokenKey { since_s, text: block });
    }
    keys
}

/// The text of a file with these keys.
pub fn print(keys: &[TokenKey]) -> String {
    keys.iter().map(|TokenKey { since_s, text }| format!("{SINCE}{since_s}\n{}\n", text.trim())).collect()
}

/// The place of the key that signs at this time, in Unix seconds: the first whose time has come. The last one, if none has.
pub fn signing(since: impl ExactSizeIterator<Item = u64>, now_s: u64) -> usize {
    let last = since.len().saturating_sub(1);
    since.enumerate().find(|(_, since_s)| *since_s <= now_s).map_or(last, |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

    #[test]
    fn files_have_one_key_or_several() {
        let key = |since_s, text: &str| TokenKey { since_s, text: text.to_owned() };
        let table = [
            ("", vec![]),
            ("# nothing\n", vec![]),
            ("abcd", vec![key(0, "abcd\n")]),
            ("# signs from 7\nabcd\n\n# signs from 0\nef01\n", vec![key(7, "abcd\n"), key(0, "ef01\n")]),
            (PEM, vec![key(0, PEM)]),
            (&format!("# signs from 7\n{PEM}{PEM}"), vec![key(7, PEM), key(0, PEM)]),
            ("-----BEGIN PRIVATE KEY-----\nAAAA", vec![key(0, "-----BEGIN PRIVATE KEY-----\nAAAA\n")]),
            ("# signs from tomorrow\nabcd", vec![key(u64::MAX, "abcd\n")]),
        ];
        for (text, keys) in table {
            assert_eq!(parse(text), keys, "{text:?}");
            assert_eq!(parse(&print(&keys)), keys, "{text:?}");
        }
    }

    #[test]
    fn a_key_has_an_id_that_does_not_show_it() {
        let [one, other] = ["abcd", "ef01"].map(|text| TokenKey { since_s: 0, text: text.to_owned() });
        assert_eq!(one.id().len(), 2 * ID_BYTES);
        assert_ne!(one.id(), other.id());
        assert_eq!(TokenKey { since_s: 7, text: "abcd\n".to_owned() }.id(), one.id());
        assert!(!format!("{one:?}").contains("abcd"));
    }

    #[test]
    fn the_newest_signs_whose_time_has_come() {
        let place = |since: &[u64]| signing(since.iter().copied(), 10);
        assert_eq!([&[0][..], &[10, 0], &[11, 0], &[12, 11, 3, 0], &[12]].map(place), [0, 0, 1, 2, 0]);
    }
}
