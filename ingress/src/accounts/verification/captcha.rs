//! Pictures to be read by a human. Nothing is kept of one that was drawn: its id is the answer, sealed. Only which were used is state, and
//! at this ingress which were read wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use captcha::Captcha;
use captcha::filters::{Dots, Noise, Wave};
use emshop_proto::errors::Code;
use emshop_proto::v1::Refusal;
use prost::Message;

use crate::accounts::aside::Aside;
use crate::accounts::token::{Key, Tokens};

/// How long a captcha is good.
pub const CAPTCHA_SECONDS: u32 = 120;

/// Captchas that are drawn at the same time.
const AT_ONCE: usize = 1;
const CHARS: u32 = 5;
/// No two of them look alike.
const ALPHABET: &[char] =
    &['a', 'b', 'c', 'd', 'e', 'f', 'h', 'k', 'm', 'n', 'p', 'r', 's', 't', 'w', 'x', 'y', '3', '4', '6', '7', '8'];
const WIDTH: u32 = 220;
const HEIGHT: u32 = 120;

// An id is a nonce, the end in Unix seconds, a MAC over the answer too, and one over these three: what nobody drew costs no memory.
const NONCE_BYTES: usize = 16;
const TIME_BYTES: usize = 8;
const MAC_BYTES: usize = 16;
const ID_BYTES: usize = NONCE_BYTES + TIME_BYTES + 2 * MAC_BYTES;

/// Captchas that were read wrong and are remembered until they are over. Beyond it none is good until some are.
const WRONG_MAX: usize = 100_000;

/// Draws captchas.
pub trait CaptchaProvider: Send + Sync {
    fn draw(&self) -> Drawing;
}

/// A picture, and what it says.
pub struct Drawing {
    pub answer: String,
    pub image: Vec<u8>,
    /// Such as `image/png`.
    pub media_type: &'static str,
}

/// What takes a human to read.
pub struct Picture;

impl CaptchaProvider for Picture {
    fn draw(&self) -> Drawing {
        let mut captcha = Captcha::new();
        captcha.set_chars(ALPHABET).add_chars(CHARS);
        captcha
            .apply_filter(Noise::new(0.3))
            .apply_filter(Wave::new(2.0, 15.0).horizontal())
            .apply_filter(Wave::new(2.0, 15.0).vertical());
        captcha.view(WIDTH, HEIGHT).apply_filter(Dots::new(12));
        let image = captcha.as_png().expect("a picture of letters can be made");
        Drawing { answer: captcha.chars_as_string(), image, media_type: "image/png" }
    }
}

/// Keeps nobody out: a machine reads it as well as a human.
pub struct Plain;

impl CaptchaProvider for Plain {
    fn draw(&self) -> Drawing {
        let answer: String = (0..CHARS).map(|_| ALPHABET[rand::random_range(0..ALPHABET.len())]).collect();
        let image = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><rect width="120" height="40" fill="white"/><text x="60" y="28" font-family="monospace" font-size="24" letter-spacing="4" text-anchor="middle">{answer}</text></svg>"#
        );
        Drawing { answer, image: image.into_bytes(), media_type: "image/svg+xml" }
    }
}

/// Draws captchas, and looks at what was read.
pub struct Captchas {
    provider: Arc<dyn CaptchaProvider>,
    /// A picture takes a core for a millisecond or more, and anybody may ask for one.
    aside: Aside,
    /// Share their keys: what was drawn with one that is believed still is good still.
    tokens: Tokens,
    /// Until when, in Unix seconds.
    wrong: Mutex<HashMap<[u8; NONCE_BYTES], u64>>,
}

/// A captcha that was read right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Tells it from all others.
    pub nonce: String,
    /// How long it would be good still.
    pub seconds: u32,
    /// Of what stands for a request: that of the captcha, which a repeat comes with too.
    request_key: [u8; 32],
}

impl Read {
    /// The key under which the captcha is used for a request. Only the same request under the same idempotency key is a repeat: otherwise one
    /// captcha would be good for any number of passwords, or of codes to other numbers.
    pub fn key_of_use(&self, idempotency_key: &str, request: &impl Message) -> String {
        let request = blake3::keyed_hash(&self.request_key, &request.encode_to_vec());
        format!("{idempotency_key}:{}", request.to_hex())
    }
}

/// What is derived from a key of tokens.
struct Seal {
    key: [u8; 32],
    request_key: [u8; 32],
}

impl Captchas {
    pub fn new(provider: Arc<dyn CaptchaProvider>, tokens: Tokens) -> Self {
        Self { provider, aside: Aside::new(AT_ONCE), tokens, wrong: Mutex::default() }
    }

    /// A captcha, and its id.
    ///
    /// # Errors
    /// As [`Aside::run`].
    pub async fn draw(&self) -> Result<(String, Drawing), Refusal> {
        let provider = self.provider.clone();
        let drawing = self.aside.run(move || provider.draw()).await?;
        Ok(self.sealed(drawing))
    }

    fn sealed(&self, drawing: Drawing) -> (String, Drawing) {
        let seal = self.tokens.with_signing(Seal::of);
        (seal.seal(rand::random(), now() + u64::from(CAPTCHA_SECONDS), &drawing.answer), drawing)
    }

    /// # Errors
    /// `CAPTCHA_INCORRECT`, whatever is wrong: whoever reads one for a machine is told as little as possible. Read wrong, it is good for
    /// nothing any more.
    pub fn read(&self, id: &str, answer: &str) -> Result<Read, Code> {
        self.read_at(id, answer, now())
    }

    fn read_at(&self, id: &str, answer: &str, now: u64) -> Result<Read, Code> {
        let (seal, (nonce, expires)) = self.parts(id).ok_or(Code::CaptchaIncorrect)?;
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= expires || expires - now > CAPTCHA_SECONDS.into() || wrong.contains_key(&nonce) {
            return Err(Code::CaptchaIncorrect);
        }
        if wrong.len() >= WRONG_MAX {
            wrong.retain(|_, until| *until > now);
        }
        if wrong.len() >= WRONG_MAX {
            return Err(Code::Overloaded);
        }
        let sealed = seal.seal(nonce, expires, answer.trim());
        if !constant_time_eq::constant_time_eq(sealed.as_bytes(), id.as_bytes()) {
            wrong.insert(nonce, expires);
            return Err(Code::CaptchaIncorrect);
        }
        Ok(Read { nonce: hex::encode(nonce), seconds: (expires - now) as u32, request_key: seal.request_key })
    }

    /// Of an id that was drawn: what it was sealed with, and what it says.
    fn parts(&self, id: &str) -> Option<(Seal, ([u8; NONCE_BYTES], u64))> {
        let keys = self.tokens.keys();
        keys.iter().map(Seal::of).find_map(|seal| seal.parts(id).map(|parts| (seal, parts)))
    }
}

impl Seal {
    fn of(key: &Key) -> Self {
        let derive = |context| blake3::derive_key(context, &key.secret);
        let request_key = derive("emshop 2026-11 requests that captchas are used for");
        Self { key: derive("emshop 2026-11 what captchas say"), request_key }
    }

    fn seal(&self, nonce: [u8; NONCE_BYTES], expires: u64, answer: &str) -> String {
        let mut bytes = [&nonce[..], &expires.to_le_bytes()].concat();
        let of_answer = self.mac(&[&bytes, answer.to_lowercase().as_bytes()].concat());
        bytes.extend(of_answer);
        let of_all = self.mac(&bytes);
        bytes.extend(of_all);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The nonce and the end, in Unix seconds, of an id that was drawn.
    fn parts(&self, id: &str) -> Option<([u8; NONCE_BYTES], u64)> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(id).ok().filter(|bytes| bytes.len() == ID_BYTES)?;
        let (sealed, seal) = bytes.split_last_chunk::<MAC_BYTES>()?;
        let (nonce, rest) = sealed.split_first_chunk()?;
        let (expires, _) = rest.split_first_chunk()?;
        constant_time_eq::constant_time_eq(&self.mac(sealed), seal).then_some((*nonce, u64::from_le_bytes(*expires)))
    }

    fn mac(&self, bytes: &[u8]) -> [u8; MAC_BYTES] {
        let mac = blake3::keyed_hash(&self.key, bytes);
        *mac.as_bytes().first_chunk().expect("a longer hash")
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set after 1970").as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use emshop_proto::v1::LoginRequest;

    use super::*;
    use crate::accounts::token::Algorithm;

    const LIFETIME: Duration = Duration::from_secs(60);

    fn with(keys: &str) -> Captchas {
        Captchas::new(Arc::new(Plain), Tokens::new(Algorithm::Hs256, keys, LIFETIME).expect("keys"))
    }

    fn captchas() -> Captchas {
        with(&"ab".repeat(32))
    }

    #[test]
    fn a_captcha_is_read_by_who_shares_the_secret_until_it_is_over() {
        let (id, Drawing { answer, .. }) = captchas().sealed(Plain.draw());
        assert_eq!(id.len(), 75);
        let (_, (_, expires)) = captchas().parts(&id).expect("an id");
        let read = captchas().read_at(&id, &answer, expires - 7).expect("right");
        assert_eq!((read.nonce.len(), read.seconds), (32, 7));
        assert_eq!(
            captchas().read_at(&id, &format!(" {} ", answer.to_uppercase()), expires - 1).expect("right").nonce,
            read.nonce
        );
        assert_eq!(captchas().read_at(&id, &answer, expires), Err(Code::CaptchaIncorrect));
        let (ours, another) = ("ab".repeat(32), "cd".repeat(32));
        assert_eq!(with(&another).read_at(&id, &answer, expires - 1), Err(Code::CaptchaIncorrect));
        let rotated = with(&format!("{another}\n{ours}")).read_at(&id, &answer, expires - 7);
        assert_eq!(rotated, Ok(read), "the key has changed meanwhile, what stands for the request has not");
    }

    #[test]
    fn a_captcha_is_read_wrong_once() {
        let captchas = captchas();
        let (id, Drawing { answer, .. }) = captchas.sealed(Plain.draw());
        assert_eq!(captchas.read(&id, "nonsense"), Err(Code::CaptchaIncorrect));
        assert_eq!(captchas.read(&id, &answer), Err(Code::CaptchaIncorrect));
        let (id, Drawing { answer, .. }) = captchas.sealed(Plain.draw());
        assert_eq!(captchas.read(&id, &answer), captchas.read(&id, &answer), "whether it was used the log says");
    }

    #[test]
    fn a_use_is_of_one_request_under_one_key() {
        let captchas = captchas();
        let (id, Drawing { answer, .. }) = captchas.sealed(Plain.draw());
        let read = captchas.read(&id, &answer).expect("right");
        let of = |key: &str, password: &str| {
            read.key_of_use(key, &LoginRequest { password: password.to_owned(), ..LoginRequest::default() })
        };
        assert_eq!(of("k", "right"), of("k", "right"));
        assert_ne!(of("k", "right"), of("k", "wrong"));
        assert_ne!(of("k", "right"), of("l", "right"));
        assert!(!of("k", "right").contains("right"));
    }

    #[test]
    fn what_nobody_drew_is_no_captcha() {
        let captchas = captchas();
        let (id, Drawing { answer, .. }) = captchas.sealed(Plain.draw());
        let mut longer = BASE64_URL_SAFE_NO_PAD.decode(&id).expect("an id");
        // It would be good for ever.
        longer[NONCE_BYTES + TIME_BYTES - 1] ^= 1;
        for forged in ["", "x", &"A".repeat(75), &id[1..], &format!("{id}A"), &BASE64_URL_SAFE_NO_PAD.encode(longer)] {
            assert_eq!(captchas.read(forged, &answer), Err(Code::CaptchaIncorrect), "{forged}");
        }
        assert!(captchas.wrong.lock().expect("no panic").is_empty(), "junk takes no memory");
    }

    #[test]
    fn pictures_are_pictures_and_differ() {
        let [one, another] = [Picture.draw(), Picture.draw()];
        for Drawing { answer, image, media_type } in [&one, &another] {
            assert_eq!((answer.chars().count(), *media_type), (CHARS as usize, "image/png"));
            assert!(answer.chars().all(|char| ALPHABET.contains(&char)));
            assert!(image.starts_with(b"\x89PNG"));
        }
        assert_ne!(one.answer, another.answer);
    }
}
