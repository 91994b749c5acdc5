//! Where, when and by whom a record is applied, and what its handler works on.

use emshop_proto::internal::{Owner, OwnerKind, ShopLimits, Step, Waiter, step};
use emshop_proto::partitioner::{Partitioner, Place};
use emshop_proto::v1::{LogPosition, Operator, OperatorKind};

use crate::effects::{Answer, Effects};
use crate::idempotency;
use crate::state::State;

/// Timers, and steps between logs: nobody gave a command.
pub const SYSTEM: Operator = Operator { kind: OperatorKind::System as i32, user_id: 0, role: 0, subject: None };

/// Repeats of one command that wait for the same saga; more are refused, since they stand in a row that each of them writes again.
pub const WAITERS_MAX: usize = 100;

/// Somebody waits for an answer, or it is to be remembered.
pub(crate) fn is_waited_for(waiter: &Waiter) -> bool {
    waiter.ticket != 0 || !waiter.idempotency_key.is_empty()
}

/// Where and when a record is applied.
#[derive(Clone)]
pub struct Context<'a> {
    /// Which log has what.
    pub partitioner: &'a Partitioner,
    /// The log that is applied.
    pub log: u32,
    /// Of the envelope in the log.
    pub sequence: u64,
    /// Log time: the highest time stamp of the log so far, in Unix milliseconds.
    pub time_ms: i64,
    /// What the shop allows its users.
    pub limits: ShopLimits,
    /// Who gave the command; `None` while the server runs without authentication.
    pub operator: Option<Operator>,
    /// Tells a repeat of the command from another one under the same key.
    pub body_hash: u64,
    /// Who waits for the outcome.
    pub waiter: Waiter,
}

impl Context<'_> {
    /// Where the record stands.
    pub fn position(&self) -> LogPosition {
        LogPosition { log: self.log, sequence: self.sequence }
    }

    /// The owner is an aggregate of this log.
    pub fn is_local(&self, owner: &Owner) -> bool {
        owner.log == self.log
    }

    /// The user who gave the command, unless it was somebody who may act for anybody.
    pub fn acting_user(&self) -> Option<u64> {
        self.operator.as_ref().filter(|operator| operator.kind() == OperatorKind::User).map(|operator| operator.user_id)
    }

    /// An aggregate of this log as the owner of a step.
    pub fn owner(&self, kind: OwnerKind, number: u64) -> Owner {
        Owner { log: self.log, kind: kind.into(), number }
    }

    /// Whoever gave the command, as the one who waits for an earlier one like it.
    pub fn repeated_waiter(&self) -> Waiter {
        Waiter { repeated: true, ..self.waiter.clone() }
    }
}

/// One record's run to its end: what its handlers read and change, and what follows from it outside of the log.
pub struct Turn<'a> {
    /// Where, when and by whom.
    pub ctx: Context<'a>,
    /// What the log knows.
    pub state: &'a mut State,
    /// What follows outside of it.
    pub fx: &'a mut Effects,
}

/// What an aggregate is asked on behalf of another one, which may live in another log.
pub trait Ask: Sized {
    /// `Option` of one where some are not replied to.
    type Reply;

    /// The partition of the aggregate that is asked.
    fn place(&self, partitioner: &Partitioner) -> Place;

    /// Carries it out.
    fn serve(&self, turn: &mut Turn, owner: &Owner) -> Self::Reply;

    /// The same as a step to another log.
    fn into_body(self) -> step::Body;
}

impl Turn<'_> {
    /// The reply of an aggregate of this log; `None` when it lives in another one, whose reply comes as a step.
    pub fn ask<A: Ask>(&mut self, owner: Owner, ask: A) -> Option<A::Reply> {
        let to = ask.place(self.ctx.partitioner).log;
        if to == self.ctx.log {
            return Some(ask.serve(self, &owner));
        }
        self.fx.step(to, Step { owner: Some(owner), body: Some(ask.into_body()), trace: None });
        None
    }

    /// Carries out what another log's aggregate asks, and replies to it if there is something to reply.
    pub fn serve<A: Ask>(&mut self, owner: Owner, ask: &A, to_body: impl FnOnce(A::Reply) -> Option<step::Body>) {
        let reply = ask.serve(self, &owner);
        if let Some(body) = to_body(reply) {
            self.fx.step(owner.log, Step { owner: Some(owner), body: Some(body), trace: None });
        }
    }

    /// Tells everyone who waits what came of it.
    pub fn tell(&mut self, waiters: Vec<Waiter>, answer: &Answer) {
        for waiter in waiters {
            self.answer(waiter, answer.clone());
        }
    }

    /// Tells one who waits, and remembers it if they gave a key.
    pub fn answer(&mut self, waiter: Waiter, mut answer: Answer) {
        answer.repeated |= waiter.repeated;
        if !waiter.idempotency_key.is_empty() {
            idempotency::settle(self, &waiter.idempotency_key, &answer);
        }
        self.fx.outcome(&waiter, answer.into_outcome(self.ctx.position()));
    }
}
