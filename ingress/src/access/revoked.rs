//! Which tokens are revoked, as the events say it.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use emshop_proto::errors::Code;
use emshop_proto::v1::{AccessChanged, Event, event};
use tokio::sync::watch;

use super::{Identity, Login};
use crate::accounts::token::LIFETIME_MAX;

/// Tokens of before are over by then, whatever the clocks of two machines say.
pub const REMEMBERED: Duration = LIFETIME_MAX.saturating_add(Duration::from_secs(10 * 60));
/// Changes that are looked through at least, before what is over is forgotten.
const FORGET_FROM: usize = 1_024;

/// What is known of users whose tokens were revoked lately.
pub struct Revoked {
    state: RwLock<State>,
    /// Counts what was learnt, so that streams look again.
    learnt: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    users: HashMap<u64, Change>,
    /// Sessions by their user and id, and when they ended.
    ended: HashMap<(u64, u64), i64>,
    /// How many are looked through next for what is over.
    forget_at: usize,
}

/// The last change of a user.
struct Change {
    auth_epoch: u64,
    /// Log time in Unix milliseconds.
    at_ms: i64,
}

impl Default for Revoked {
    fn default() -> Self {
        let state = State { forget_at: FORGET_FROM, ..State::default() };
        Self { state: RwLock::new(state), learnt: watch::Sender::new(0) }
    }
}

impl Revoked {
    /// Takes in what events say, in any order and as often as they come.
    pub fn learn(&self, events: &[Event]) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        events.iter().for_each(|event| state.learn(event));
        state.forget(SystemTime::now());
        drop(state);
        self.learnt.send_modify(|count| *count += 1);
    }

    /// # Errors
    /// `TOKEN_REVOKED`.
    pub fn check(&self, identity: &Identity) -> Result<(), Code> {
        let state = self.read();
        let user_id = identity.caller.user_id;
        let change = state.users.get(&user_id);
        let is_revoked = match identity.login {
            Some(Login { auth_epoch, session_id }) => {
                change.is_some_and(|change| auth_epoch < change.auth_epoch) || state.ended.contains_key(&(user_id, session_id))
            }
            // Signed by whoever has the key, without a look at the user.
            None => change.is_some_and(|change| identity.issued_at_ms() <= change.at_ms),
        };
        if is_revoked { Err(Code::TokenRevoked) } else { Ok(()) }
    }

    /// Returns when a token is good no more, with the reason.
    pub async fn ended(&self, identity: Identity) -> Code {
        let mut learnt = self.learnt.subscribe();
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let left = Duration::from_secs(identity.expires_at_s.saturating_sub(now_s));
        let revoked = async {
            loop {
                learnt.borrow_and_update();
                if let Err(code) = self.check(&identity) {
                    return code;
                }
                if learnt.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::select! {
            code = revoked => code,
            () = tokio::time::sleep(left) => Code::TokenExpired,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn learn(&mut self, Event { at_ms, body, .. }: &Event) {
        let Some(event::Body::Access(AccessChanged { user_id, auth_epoch, ended_session_id })) = body else { return };
        if *ended_session_id != 0 {
            self.ended.insert((*user_id, *ended_session_id), *at_ms);
            return;
        }
        let change = self.users.entry(*user_id).or_insert(Change { auth_epoch: 0, at_ms: 0 });
        change.auth_epoch = change.auth_epoch.max(*auth_epoch);
        change.at_ms = change.at_ms.max(*at_ms);
    }

    fn forget(&mut self, now: SystemTime) {
        if self.users.len() + self.ended.len() < self.forget_at {
            return;
        }
        let now_ms = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let over_ms = now_ms - REMEMBERED.as_millis() as i64;
        self.users.retain(|_, change| change.at_ms > over_ms);
        self.ended.retain(|_, at_ms| *at_ms > over_ms);
        self.forget_at = FORGET_FROM.max(2 * (self.users.len() + self.ended.len()));
    }
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::Role;

    use super::*;
    use crate::access::Caller;

    fn now_s() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
    }

    const SESSION: u64 = 5;

    fn identity(user_id: u64, auth_epoch: Option<u64>) -> Identity {
        let caller = Caller { user_id, role: Role::User };
        let login = auth_epoch.map(|auth_epoch| Login { auth_epoch, session_id: SESSION });
        Identity { caller, subject: None, login, issued_at_s: now_s(), expires_at_s: now_s() + 60 }
    }

    fn changed(user_id: u64, auth_epoch: u64, at_s: u64) -> Event {
        let body = event::Body::Access(AccessChanged { user_id, auth_epoch, ended_session_id: 0 });
        Event { at_ms: at_s as i64 * 1_000, body: Some(body), ..Event::default() }
    }

    #[test]
    fn tokens_of_before_are_revoked_in_whatever_order_that_is_heard() {
        let revoked = Revoked::default();
        revoked.learn(&[changed(7, 3, now_s()), changed(7, 2, now_s() - 10)]);
        for (user_id, auth_epoch, expected) in [
            (7, Some(2), Err(Code::TokenRevoked)),
            (7, Some(3), Ok(())),
            (7, Some(4), Ok(())),
            (7, None, Err(Code::TokenRevoked)),
            (8, Some(0), Ok(())),
            (8, None, Ok(())),
        ] {
            assert_eq!(revoked.check(&identity(user_id, auth_epoch)), expected, "{user_id} {auth_epoch:?}");
        }
        let later = Identity { issued_at_s: now_s() + 1, ..identity(7, None) };
        assert_eq!(revoked.check(&later), Ok(()), "signed after the change");
    }

    #[test]
    fn the_end_of_a_session_is_that_of_its_tokens_alone() {
        let revoked = Revoked::default();
        let ended = |ended_session_id| {
            let body = event::Body::Access(AccessChanged { user_id: 7, auth_epoch: 3, ended_session_id });
            Event { at_ms: now_s() as i64 * 1_000, body: Some(body), ..Event::default() }
        };
        revoked.learn(&[ended(SESSION + 1)]);
        assert_eq!(revoked.check(&identity(7, Some(3))), Ok(()));
        revoked.learn(&[ended(SESSION)]);
        assert_eq!(revoked.check(&identity(7, Some(3))), Err(Code::TokenRevoked));
        assert_eq!(revoked.check(&identity(8, Some(3))), Ok(()), "another user's of the same number");
        assert_eq!(revoked.check(&identity(7, None)), Ok(()), "of no session");
    }

    #[test]
    fn what_no_token_is_left_of_is_forgotten() {
        let revoked = Revoked::default();
        let over = now_s() - REMEMBERED.as_secs() - 1;
        let events: Vec<_> =
            (0..2_000).map(|user_id| changed(user_id, 1, if user_id < 1_500 { over } else { now_s() })).collect();
        revoked.learn(&events);
        assert_eq!(revoked.read().users.len(), 500);
        assert_eq!(revoked.check(&identity(1_999, Some(0))), Err(Code::TokenRevoked));
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_token() {
        let revoked = Revoked::default();
        let brief = Identity { expires_at_s: now_s() + 1, ..identity(7, Some(0)) };
        assert_eq!(revoked.ended(brief).await, Code::TokenExpired);
        let (code, ()) = tokio::join!(revoked.ended(identity(7, Some(0))), async {
            tokio::task::yield_now().await;
            revoked.learn(&[changed(8, 1, now_s())]);
            revoked.learn(&[changed(7, 1, now_s())]);
        });
        assert_eq!(code, Code::TokenRevoked);
        assert_eq!(revoked.ended(identity(7, Some(0))).await, Code::TokenRevoked, "that it was revoked before is seen, too");
    }
}
