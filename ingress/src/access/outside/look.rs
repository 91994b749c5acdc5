//! When the keys of an outside issuer are looked for: at the start, now and then, and when a token names one that nobody knows.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use emshop_proto::errors::Code;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::source::Rhythm;
use super::{Identity, Issuer, Unbelieved, key_of};
use crate::access::refused::Refused;

/// A little longer than an answer of the issuer may take.
const LOOK_WAIT: Duration = Duration::from_secs(6);
/// Calls that wait for a look at the same time.
const WAITING_MAX: usize = 256;

/// What those who look and those who wait for it tell each other.
pub struct Looking {
    /// A token names a key that is not known.
    wanted: Notify,
    /// Counts the looks.
    looks: watch::Sender<u64>,
    /// The last look was just now, so that nobody waits for another one.
    rests: AtomicBool,
    waiting: Semaphore,
}

impl Default for Looking {
    fn default() -> Self {
        let (wanted, looks, rests) = (Notify::new(), watch::Sender::new(0), AtomicBool::new(false));
        Self { wanted, looks, rests, waiting: Semaphore::new(WAITING_MAX) }
    }
}

/// What was found at the last look, so that log lines tell what has changed.
#[derive(Default)]
struct Found {
    set: Option<Vec<u8>>,
    trouble: Option<String>,
}

impl Issuer {
    /// Looks for keys for ever.
    pub async fn follow(&self) -> Infallible {
        let Rhythm { pause, period } = self.source.rhythm();
        let mut found = Found::default();
        loop {
            let read = self.source.read().await;
            self.note(read, &mut found);
            self.looking.rests.store(true, Ordering::Release);
            self.looking.looks.send_modify(|count| *count += 1);
            // Whatever tokens name: who forges them must not have the issuer asked all the time.
            sleep(pause).await;
            self.looking.rests.store(false, Ordering::Release);
            if found.trouble.is_none() {
                // What was wanted in the meantime is looked for now; otherwise it is early enough at the end of the period.
                let _ = timeout(period.saturating_sub(pause), self.looking.wanted.notified()).await;
            }
        }
    }

    /// Returns when keys were looked for once, whether there were some or not.
    pub async fn looked(&self) {
        self.looking.looks.subscribe().wait_for(|count| *count > 0).await.expect("the issuer has the sender");
    }

    /// As [`Issuer::verify`], of a token whose key is not known: once the issuer was asked again, unless that was just now.
    pub async fn verify_anew(&self, token: &str) -> Result<Identity, Refused> {
        let mut looks = self.looking.looks.subscribe();
        self.looking.wanted.notify_one();
        if !self.looking.rests.load(Ordering::Acquire) {
            let _waiting = self.looking.waiting.try_acquire().map_err(|_| Code::Overloaded)?;
            // Whether it was in time is seen by whether the key is known.
            let _ = timeout(LOOK_WAIT, looks.changed()).await;
        }
        self.verify(token).map_err(|unbelieved| match unbelieved {
            Unbelieved::KeyUnknown if self.keys().is_none() => {
                Refused::because(Code::IssuerUnavailable, "the keys of the issuer could not be read yet")
            }
            Unbelieved::KeyUnknown => {
                let id = jsonwebtoken::decode_header(token).map_or_else(|_| String::new(), |header| key_of(&header));
                Refused::because(Code::SignatureInvalid, &format!("its key (kid) {id} is not among those of the issuer"))
            }
            Unbelieved::Refused(refused) => refused,
        })
    }

    /// Takes what was read. What is no key set changes nothing: the last keys are good while the issuer is away.
    fn note(&self, read: Result<Vec<u8>, String>, found: &mut Found) {
        let issuer = &self.options.issuer;
        let taken = read.and_then(|set| {
            if found.set.as_ref() != Some(&set) {
                let keys = self.take(&set).map_err(|error| error.to_string())?;
                found.set = Some(set);
                match keys.is_empty() {
                    true => {
                        tracing::warn!(issuer, "the issuer has no key that verifies tokens, so none of its tokens is believed")
                    }
                    false => tracing::info!(
                        event = "issuer.keys_changed",
                        issuer,
                        keys = keys.ids(),
                        "tokens of the issuer go by these keys from now on"
                    ),
                }
            }
            Ok(())
        });
        match taken {
            Ok(()) if found.trouble.take().is_some() => tracing::info!(issuer, "the keys of the issuer can be read again"),
            Ok(()) => {}
            Err(error) if found.trouble.as_ref() != Some(&error) => {
                tracing::warn!(
                    event = "issuer.unreadable",
                    issuer,
                    "the keys of the issuer cannot be read, and stay as they were: {error}"
                );
                found.trouble = Some(error);
            }
            Err(_) => {}
        }
    }
}
