//! The keys that sign tokens, in a file that only its owner reads, and how one takes the place of another.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use emshop_ingress::{Algorithm, LIFETIME_MAX, Tokens};
use emshop_proto::token_keys::{self, TokenKey};
use sha2::{Digest, Sha256};

use crate::cli::RotateFlags;
use crate::config::{Auth, Settings};
use crate::folder::Layout;
use crate::secret;

/// SHA-256 over keys that anybody can have read: they were published with the sources.
const PUBLISHED: [&str; 1] = ["f4af489715c40cbdb27b30811b25d95f8add6f1c92252c6095a23fce92cf97ff"];
/// How often a running process looks whether its file is another one.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long clocks may differ, and processes take to notice.
const MARGIN: Duration = Duration::from_secs(10 * 60);

/// Reads the keys of a file.
pub fn load(path: &Path, auth: &Auth) -> Result<Tokens> {
    tokens(&read(path)?, path, auth.algorithm, auth.token_lifetime)
}

/// Reads the keys of a file, which is made when it is not there.
pub fn load_or_make(path: &Path, auth: &Auth) -> Result<Tokens> {
    if !path.exists() {
        secret::make(path, emshop_ingress::new_key(auth.algorithm).as_bytes())?;
    }
    load(path, auth)
}

/// Where the keys of these settings are.
///
/// # Errors
/// When they are not there.
pub fn find(settings: &Settings) -> Result<PathBuf> {
    let path = settings.auth.key_file.clone().unwrap_or_else(|| Layout::of(&settings.data).key());
    ensure!(
        path.exists(),
        "there is no key in {}: `emshop serve` makes one in its data folder (--data), or has one of its own (--key-file)",
        path.display()
    );
    Ok(path)
}

/// Takes the keys of the file whenever it changes, for ever. What cannot be used is told, and changes nothing.
pub async fn follow(path: PathBuf, tokens: Tokens) {
    // Nothing yet: the file may have changed since these keys were read from it.
    let (mut known, mut told) = (None, None);
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let found = read(&path);
        if known.is_some() && found.as_ref().ok() == known.as_ref() {
            continue;
        }
        let taken = found.and_then(|keys| {
            let (before, ids) = (tokens.ids(), tokens.replace(&keys).context("it does not fit the setting auth.algorithm")?);
            known = Some(keys);
            Ok((ids != before).then_some(ids))
        });
        match taken {
            Ok(ids) => {
                told = None;
                if let Some(ids) = ids {
                    tracing::info!(event = "keys.changed", keys = ids.join(" "), "tokens go by other keys from now on");
                }
            }
            Err(error) if told.as_ref() != Some(&error.to_string()) => {
                tracing::error!(event = "keys.unreadable", "the keys of tokens stay as they were: {error:#}");
                told = Some(error.to_string());
            }
            Err(_) => {}
        }
    }
}

/// Puts another key in front, for `emshop key rotate`. Tells the keys that are there then.
pub fn rotate(flags: &RotateFlags, settings: &Settings) -> Result<String> {
    let path = find(settings)?;
    let keys = token_keys::parse(&read(&path)?);
    let text = emshop_ingress::new_key(settings.auth.algorithm);
    let keys =
        if flags.at_once { vec![TokenKey { since_s: 0, text }] } else { rotated(keys, text, now_s(), flags.after_seconds) };
    let file = token_keys::print(&keys);
    // What no process could use must not get there.
    tokens(&file, &path, settings.auth.algorithm, settings.auth.token_lifetime)?;
    secret::replace(&path, file.as_bytes())?;
    Ok(listed(&keys, now_s()))
}

/// Tells the keys that there are, for `emshop key list`.
pub fn list(settings: &Settings) -> Result<String> {
    Ok(listed(&token_keys::parse(&read(&find(settings)?)?), now_s()))
}

/// The keys with another one in front, without those that no token can be of any more.
fn rotated(mut keys: Vec<TokenKey>, text: String, now_s: u64, after_seconds: u64) -> Vec<TokenKey> {
    keys.insert(0, TokenKey { since_s: now_s + after_seconds, text });
    let needed = |place: usize| place == 0 || now_s < over_s(keys[place - 1].since_s);
    let kept = (0..keys.len()).take_while(|place| needed(*place)).count();
    keys.truncate(kept);
    keys
}

/// When the last token is over of a key whose place another one took then.
fn over_s(replaced_s: u64) -> u64 {
    replaced_s.saturating_add((LIFETIME_MAX + MARGIN).as_secs())
}

fn listed(keys: &[TokenKey], now_s: u64) -> String {
    let signing = token_keys::signing(keys.iter().map(|key| key.since_s), now_s);
    let time = |at_s: u64| humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(at_s.min(u32::MAX.into())));
    let line = |(place, key): (usize, &TokenKey)| match place {
        _ if place < signing => format!("{}  signs from {}\n", key.id(), time(key.since_s)),
        _ if place == signing => format!("{}  signs\n", key.id()),
        _ => format!("{}  is believed until {}\n", key.id(), time(over_s(keys[place - 1].since_s))),
    };
    keys.iter().enumerate().map(line).collect()
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The text of a file of keys, none of which anybody can have read.
fn read(path: &Path) -> Result<String> {
    let text = secret::read(path).context("the key of tokens")?;
    let text = String::from_utf8(text).with_context(|| format!("the key in {} is not text", path.display()))?;
    ensure!(
        !token_keys::parse(&text).iter().any(|key| is_among(&PUBLISHED, &key.text)),
        "the key in {} was published with the sources of emshop, so anybody can sign with it: remove the file, the next start makes a new one",
        path.display()
    );
    Ok(text)
}

fn tokens(keys: &str, path: &Path, algorithm: Algorithm, lifetime: Duration) -> Result<Tokens> {
    let unusable = || format!("the key in {} does not fit the setting auth.algorithm", path.display());
    Tokens::new(algorithm, keys, lifetime).with_context(unusable)
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

    #[test]
    fn a_key_is_kept_for_as_long_as_there_may_be_tokens_of_it() {
        let key = |since_s, text: &str| TokenKey { since_s, text: text.to_owned() };
        let now_s = 1_000_000;
        let first = rotated(vec![key(0, "a")], "b".to_owned(), now_s, 60);
        assert_eq!(first, [key(now_s + 60, "b"), key(0, "a")]);
        let second = rotated(first.clone(), "c".to_owned(), over_s(now_s + 60) - 1, 60);
        assert_eq!(second.iter().map(|key| key.text.as_str()).collect::<String>(), "cba");
        let third = rotated(second, "d".to_owned(), over_s(now_s + 60), 60);
        assert_eq!(third.iter().map(|key| key.text.as_str()).collect::<String>(), "dcb");
        let told = listed(&first, now_s);
        let states: Vec<_> = told.lines().map(|line| line.split_once("  ").expect("an id").1).collect();
        assert_eq!(states, ["signs from 1970-01-12T13:47:40Z", "signs"]);
        assert!(listed(&first, now_s + 60).contains("believed until 1970-01-13T13:57:40Z"), "{}", listed(&first, now_s + 60));
    }
}
