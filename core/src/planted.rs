//! Mistakes that are made on purpose, to see whether the simulator finds them. Only a build with the feature `planted` can make any, and
//! only in a thread that has chosen one.

/// A mistake in the core or in the shell of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A release that comes before its reservation leaves nothing behind, so that the reservation is made.
    TombstoneLeftOut,
    /// A checkpoint is written although the events of its turns are not published.
    CheckpointBeforeEvents,
    /// An idempotency key is forgotten after a second.
    KeyDroppedEarly,
    /// The log is trimmed to one entry above what is durable.
    TrimmedOneTooFar,
    /// Steps that were not acknowledged are taken for sent, and what is missing between two logs is not noticed.
    GapIgnored,
    /// Units that are released are counted twice.
    FreedTwice,
    /// Log time is taken from the machine's clock.
    TimeFromTheWall,
    /// A key that was used is answered as before, whatever the command says.
    OtherBodyAnswered,
    /// An engine goes on although its lease is over.
    LeaseIgnored,
    /// An engine follows a log that is ahead of its time, however far.
    AheadFollowed,
    /// Rules of a newer release are taken for known ones.
    NewerRulesApplied,
    /// What comes to its end after its user was deleted is not looked for again.
    ForgottenOnce,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::TombstoneLeftOut,
        Self::CheckpointBeforeEvents,
        Self::KeyDroppedEarly,
        Self::TrimmedOneTooFar,
        Self::GapIgnored,
        Self::FreedTwice,
        Self::TimeFromTheWall,
        Self::OtherBodyAnswered,
        Self::LeaseIgnored,
        Self::AheadFollowed,
        Self::NewerRulesApplied,
        Self::ForgottenOnce,
    ];
}

#[cfg(feature = "planted")]
mod chosen {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static CHOSEN: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// From now on this thread makes a mistake, or none.
    pub fn plant(bug: Option<Bug>) {
        CHOSEN.set(bug);
    }

    /// Whether this thread makes the mistake.
    pub fn is(bug: Bug) -> bool {
        CHOSEN.get() == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub use chosen::{is, plant};

/// Whether the mistake is made: not in this build.
#[cfg(not(feature = "planted"))]
pub const fn is(_: Bug) -> bool {
    false
}
