//! Where, when and by whom a record is applied, and what a partition gets to apply.

use emshop_proto::internal::{AccountCommand, Owner, OwnerKind, Step, Waiter};
use emshop_proto::partitioner::{Partitioner, Place};
use emshop_proto::v1::{Command, LogPosition, Operator, OperatorKind};

/// Where and when a record is applied.
pub struct Context {
    pub partitioner: Partitioner,
    /// The partition that applies it.
    pub place: Place,
    /// Of the envelope in the log.
    pub sequence: u64,
    /// Log time: the highest time stamp of the log so far, in Unix milliseconds.
    pub time_ms: i64,
    /// Who gave the command; `None` while the server runs without authentication.
    pub operator: Option<Operator>,
}

impl Context {
    pub fn position(&self) -> LogPosition {
        LogPosition { log: self.place.log, sequence: self.sequence }
    }

    pub fn is_local(&self, owner: &Owner) -> bool {
        owner.log == self.place.log
    }

    /// The user who gave the command, unless it was somebody who may act for anybody.
    pub fn acting_user(&self) -> Option<u64> {
        self.operator.filter(|operator| operator.kind() == OperatorKind::User).map(|operator| operator.user_id)
    }

    pub fn owner(&self, kind: OwnerKind, number: u64) -> Owner {
        Owner { log: self.place.log, partition: self.place.partition, kind: kind.into(), number }
    }
}

/// What a partition gets to apply.
pub enum Message {
    Command(Request<Box<Command>>),
    Account(Box<Request<AccountCommand>>),
    Step(Box<Step>),
    Tick,
}

/// A command with what its record says of it.
pub struct Request<C> {
    pub command: C,
    pub body_hash: u64,
    pub waiter: Waiter,
    pub operator: Option<Operator>,
}

/// Timers, and steps between partitions: nobody gave a command.
const SYSTEM: Operator = Operator { kind: OperatorKind::System as i32, user_id: 0 };

impl Message {
    pub fn operator(&self) -> Option<Operator> {
        match self {
            Self::Command(request) => request.operator,
            Self::Account(request) => request.operator,
            Self::Step(_) | Self::Tick => Some(SYSTEM),
        }
    }
}
