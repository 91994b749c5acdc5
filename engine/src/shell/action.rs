//! What happens to an engine, and what it does: all that its shell has to do with the world.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use emshop_core::replica::Checkpoint;
use emshop_log::{AppendError, LastSteps, LogError};
use emshop_proto::internal::{Envelope, Query, QueryReply, ShopLimits};
use emshop_proto::letters::Nonce;
use emshop_proto::v1::Outcome;

use super::LogEntry;
use super::relay::{Group, NotPublished, Places};
#[cfg(doc)]
use super::{Shell, own};

/// Who asked: where the answer goes, and to which question it is one.
#[derive(Clone, Debug)]
pub struct ReplyTo {
    /// Where they wait for it.
    pub subject: Subject,
    /// Of the question.
    pub nonce: Nonce,
}

/// Outcomes for one ingress, each with the ticket of whoever waits.
pub type Outcomes = Vec<(u64, Outcome)>;

/// What an envelope was appended for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What the engine itself has to say in its log.
    Own,
    /// Steps for another log, up to this number, behind those that are at a sequence there.
    Steps { target: u32, through: u64, after: u64 },
}

/// What happens to an engine.
pub enum Input {
    /// The next entry of the log. Only when [`Shell::takes_entries`].
    Entry(LogEntry),
    /// Somebody asks.
    Query { query: Query, reply_to: ReplyTo },
    /// What came of an [`Action::Append`]; perhaps late, and perhaps again.
    Appended { purpose: Purpose, result: Result<u64, AppendError> },
    /// What came of an [`Action::LookAtSteps`].
    LastSteps { target: u32, acknowledged: u64, after: u64, result: Result<LastSteps, LogError> },
    /// What came of an [`Action::Publish`], by the number of the group's last event.
    Published { through: u64, result: Result<Places, NotPublished> },
    /// The store has this checkpoint.
    Written { number: u64 },
    /// The lease of the log was renewed, as was asked at this time of the engine. Without it nothing goes out.
    Renewed { asked_at: Duration },
    /// Another engine has the log.
    Relieved { by: String },
    /// An [`Action::Inspect`] is done.
    Inspected,
    /// The shop allows its users this from now on: the log is told of it.
    Limits(ShopLimits),
    /// The engine is to end in order.
    Stop,
}

/// What is to be done.
pub enum Action {
    /// Seal an envelope and append it to a log, and tell by [`Input::Appended`].
    Append { log: u32, envelope: Envelope, purpose: Purpose },
    /// Look for the last steps that another log has from this one, which had acknowledged some before, up to that sequence of its own, and
    /// tell by [`Input::LastSteps`].
    LookAtSteps { target: u32, acknowledged: u64, after: u64 },
    /// Publish events, the first batch of each type behind the place where the last one of it is, and tell by [`Input::Published`].
    Publish { group: Arc<Group>, behind: Places },
    /// Tell those who wait at one ingress for what a turn came to. Nobody hears whether that arrived.
    Tell { writer: u64, outcomes: Outcomes },
    /// Answer a query.
    Answer { reply_to: ReplyTo, reply: Box<QueryReply> },
    /// Bring a checkpoint to the store, and tell by [`Input::Written`].
    Write(Box<Checkpoint>),
    /// Inspect what the store has now, answer, and tell by [`Input::Inspected`].
    Inspect { reply_to: ReplyTo },
    /// Drop what the log has below this sequence. What fails is tried again by a later one.
    Trim { below: u64 },
    /// The engine is as far as the log was when it started: it can be asked.
    CaughtUp,
    /// The engine has ended.
    End,
}

impl Action {
    /// Whether nobody else sees it.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::Write(_) | Self::End)
    }
}
