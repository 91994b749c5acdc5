//! What ingresses and the engine of a log tell each other beside the log: questions, answers, and what commands came to. All of it is sealed
//! as the log is, so that nobody else on the NATS server can ask an engine, answer in its place, or say what came of a command.
//!
//! | letter | bytes |
//! |---|---|
//! | question | seal over nonce and query, nonce, `Query` |
//! | answer | seal over the nonce of its question and reply, `QueryReply` |
//! | outcomes | number of the log (4, little-endian), seal over writer and outcomes, `TurnOutcomes` |

use bytes::{Buf, Bytes};

use crate::seal::{SEAL_BYTES, Seal};

/// What tells a question from any other one.
pub type Nonce = [u8; NONCE_BYTES];

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;

const LOG_BYTES: usize = 4;

/// Seals of what is told about one log.
#[derive(Clone)]
pub struct Letters {
    questions: Seal,
    answers: Seal,
    outcomes: Seal,
}

impl Letters {
    /// Of a log, by the seal of its envelopes.
    pub fn of(log: &Seal) -> Self {
        Self { questions: log.of(b"questions"), answers: log.of(b"answers"), outcomes: log.of(b"outcomes") }
    }

    /// A question; its nonce must be by chance.
    pub fn question(&self, nonce: &Nonce, query: &[u8]) -> Vec<u8> {
        let seal = self.questions.over(&[nonce, query]);
        [&seal, &nonce[..], query].concat()
    }

    /// The nonce and the query of a question; `None` when somebody else asks.
    pub fn read_question(&self, mut question: Bytes) -> Option<(Nonce, Bytes)> {
        let seal = take::<SEAL_BYTES>(&mut question)?;
        let nonce = take::<NONCE_BYTES>(&mut question)?;
        self.questions.is_of(&seal, &[&nonce, &question]).then_some((nonce, question))
    }

    /// The answer to a question.
    pub fn answer(&self, nonce: &Nonce, reply: &[u8]) -> Vec<u8> {
        [&self.answers.over(&[nonce, reply]), reply].concat()
    }

    /// The reply of an answer to this question; `None` when somebody else answers, or another question.
    pub fn read_answer(&self, nonce: &Nonce, mut answer: Bytes) -> Option<Bytes> {
        let seal = take::<SEAL_BYTES>(&mut answer)?;
        self.answers.is_of(&seal, &[nonce, &answer]).then_some(answer)
    }

    /// What commands of a writer came to in log number `log`.
    pub fn outcomes(&self, log: u32, writer: u64, outcomes: &[u8]) -> Vec<u8> {
        [&log.to_le_bytes(), &self.outcomes.over(&[&writer.to_le_bytes(), outcomes])[..], outcomes].concat()
    }
}

/// The outcomes that are told to a writer; `None` when somebody else than an engine tells them. `logs` are the letters of all logs.
pub fn read_outcomes(logs: &[Letters], writer: u64, mut letter: Bytes) -> Option<Bytes> {
    let log = u32::from_le_bytes(take::<LOG_BYTES>(&mut letter)?);
    let seal = take::<SEAL_BYTES>(&mut letter)?;
    let Letters { outcomes, .. } = logs.get(usize::try_from(log).ok()?)?;
    outcomes.is_of(&seal, &[&writer.to_le_bytes(), &letter]).then_some(letter)
}

fn take<const BYTES: usize>(from: &mut Bytes) -> Option<[u8; BYTES]> {
    let taken = from.get(..BYTES)?.try_into().ok()?;
    from.advance(BYTES);
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::ClusterKey;

    fn letters() -> [Letters; 2] {
        let seals = ClusterKey::new([1; 32]).seals("c");
        [0, 1].map(|log| Letters::of(&seals.of(log)))
    }

    #[test]
    fn letters_are_read_by_whom_they_are_to() {
        let [here, there] = letters();
        let (nonce, other) = ([7; NONCE_BYTES], [8; NONCE_BYTES]);
        for body in [&b""[..], b"b", &[9; 1_000]] {
            let question = Bytes::from(here.question(&nonce, body));
            assert_eq!(here.read_question(question.clone()), Some((nonce, Bytes::copy_from_slice(body))));
            let answer = Bytes::from(here.answer(&nonce, body));
            assert_eq!(here.read_answer(&nonce, answer.clone()), Some(Bytes::copy_from_slice(body)));
            let outcomes = Bytes::from(there.outcomes(1, 5, body));
            assert_eq!(read_outcomes(&letters(), 5, outcomes.clone()), Some(Bytes::copy_from_slice(body)));

            assert_eq!(there.read_question(question.clone()), None, "of another log");
            assert_eq!(there.read_answer(&nonce, answer.clone()), None, "of another log");
            assert_eq!(here.read_answer(&other, answer.clone()), None, "of another question");
            assert_eq!(here.read_answer(&nonce, question.clone()), None, "no answer");
            assert_eq!(read_outcomes(&letters(), 6, outcomes.clone()), None, "of another writer");
            assert_eq!(read_outcomes(&letters(), 5, here.outcomes(1, 5, body).into()), None, "of another log");
            assert_eq!(read_outcomes(&letters(), 5, here.outcomes(2, 5, body).into()), None, "of no log");
        }
    }

    #[test]
    fn whatever_is_changed_of_them_they_are_nothing() {
        let [here, there] = letters();
        let nonce = [7; NONCE_BYTES];
        let read = [
            (here.question(&nonce, b"who"), (|bytes| letters()[0].read_question(bytes).is_some()) as fn(Bytes) -> bool),
            (here.answer(&nonce, b"me"), |bytes| letters()[0].read_answer(&[7; NONCE_BYTES], bytes).is_some()),
            (there.outcomes(1, 5, b"done"), |bytes| read_outcomes(&letters(), 5, bytes).is_some()),
        ];
        for (letter, is_read) in read {
            assert!(is_read(letter.clone().into()));
            for at in 0..letter.len() {
                let mut changed = letter.clone();
                changed[at] ^= 1;
                assert!(!is_read(changed.into()), "byte {at}");
                assert!(!is_read(letter[..at].to_vec().into()), "{at} bytes");
            }
            assert!(!is_read([&letter[..], b"x"].concat().into()));
        }
    }
}
