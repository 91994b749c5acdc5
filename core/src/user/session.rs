//! Sessions of a user: each is one login, whose client comes back for other tokens by a secret that changes each time. Only hashes of secrets
//! are known here.

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{EndSession, OpenSession, RefreshSession, SessionRow, UserRow};
use emshop_proto::v1::{AccessChanged, Done, event, outcome};

use super::{answer, existing};
use crate::context::Turn;
use crate::effects::Answer;

/// Sessions of one user at the same time.
pub const SESSIONS_MAX: usize = 10;

/// Another login, in place of the session that was refreshed longest ago if there are too many.
pub(crate) fn open(turn: &mut Turn, command: OpenSession) -> Answer {
    let OpenSession { user_id, session_id, secret_hash, lifetime_seconds, auth_epoch } = command;
    let time_ms = turn.ctx.time_ms;
    let Some(row) = change(turn, user_id) else { return Code::UserNotFound.into() };
    // Another password or status may have come in between.
    if row.auth_epoch != auth_epoch {
        return Code::TokenRevoked.into();
    }
    row.sessions.retain(|session| session.expires_at_ms > time_ms && session.session_id != session_id);
    let ended = (row.sessions.len() >= SESSIONS_MAX).then(|| row.sessions.remove(0));
    let expires_at_ms = expiry(time_ms, lifetime_seconds);
    row.sessions.push(SessionRow { session_id, secret_hash, expires_at_ms, ..SessionRow::default() });
    let opened = answer(user_id, row);
    if let Some(ended) = ended {
        tell_end(turn, user_id, auth_epoch, ended.session_id);
    }
    opened
}

/// Another secret for the one that is shown.
pub(crate) fn refresh(turn: &mut Turn, command: RefreshSession, key: &str) -> Answer {
    let RefreshSession { user_id, session_id, secret_hash, next_secret_hash, lifetime_seconds } = command;
    let time_ms = turn.ctx.time_ms;
    let Some(row) = change(turn, user_id) else { return Code::TokenRevoked.into() };
    let Some(place) = row.sessions.iter().position(|session| session.session_id == session_id) else {
        return Code::TokenRevoked.into();
    };
    let mut session = row.sessions.remove(place);
    let (is_in_force, is_repeat) = (session.secret_hash == secret_hash, is_repeat(&session, &secret_hash, key));
    if session.expires_at_ms <= time_ms {
        return Code::TokenExpired.into();
    }
    if !is_in_force && !is_repeat {
        let auth_epoch = row.auth_epoch;
        tell_end(turn, user_id, auth_epoch, session_id);
        return Code::TokenRevoked.into();
    }
    if is_in_force {
        session.previous_hash = secret_hash;
        session.refreshed_key = key.to_owned();
        session.expires_at_ms = expiry(time_ms, lifetime_seconds);
    }
    // A repeat is given what the first one was, unless its ingress has another key by now.
    session.secret_hash = next_secret_hash;
    row.sessions.push(session);
    let refreshed = answer(user_id, row);
    if is_in_force { refreshed } else { refreshed.repeated() }
}

/// One that has ended already is none any more.
pub(crate) fn end(turn: &mut Turn, command: &EndSession) -> Answer {
    let EndSession { user_id, session_id, ref secret_hash } = *command;
    let done = Answer::new(outcome::Result::Done(Done {}));
    let Some(row) = change(turn, user_id) else { return done.repeated() };
    let (before, auth_epoch) = (row.sessions.len(), row.auth_epoch);
    // Only who has been given the session: its number stands in each token.
    let is_shown = |session: &SessionRow| session.secret_hash == *secret_hash || session.previous_hash == *secret_hash;
    row.sessions.retain(|session| session.session_id != session_id || !is_shown(session));
    if row.sessions.len() == before {
        return done.repeated();
    }
    tell_end(turn, user_id, auth_epoch, session_id);
    done
}

fn is_repeat(session: &SessionRow, secret_hash: &[u8], key: &str) -> bool {
    !key.is_empty() && session.refreshed_key == key && session.previous_hash == secret_hash
}

fn expiry(time_ms: i64, lifetime_seconds: u32) -> i64 {
    time_ms + i64::from(lifetime_seconds) * 1000
}

fn change<'a>(turn: &'a mut Turn, user_id: u64) -> Option<&'a mut UserRow> {
    existing(turn.state, user_id)?;
    turn.state.users.change(&user_id)
}

fn tell_end(turn: &mut Turn, user_id: u64, auth_epoch: u64, ended_session_id: u64) {
    turn.fx.event(EventType::AccessChanged, event::Body::Access(AccessChanged { user_id, auth_epoch, ended_session_id }));
}
