//! Which rules a log is applied by.
//!
//! A release that changes what a record does gets a new version here. It takes effect by a record in the log, not by the binary alone:
//! the first engine of the release that is caught up appends it, and handlers that differ ask [`Replica::rules`](crate::replica::Replica::rules).
//! So a tail that was written under older rules is replayed as it was applied.

use emshop_proto::internal::{Envelope, Rules, record};

use crate::planted::{self, Bug};

/// The newest rules that this release knows.
pub const VERSION: u32 = 1;

/// The log was written by a newer release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is applied by rules {0}, but this release knows rules up to {VERSION}: run a release that knows them")]
pub struct UnknownRules(pub u32);

/// Whether this release knows the rules.
///
/// # Errors
/// [`UnknownRules`] when it does not.
pub fn check(version: u32) -> Result<(), UnknownRules> {
    if version > VERSION && !planted::is(Bug::NewerRulesApplied) { Err(UnknownRules(version)) } else { Ok(()) }
}

/// Whether all records of an envelope can be applied by this release.
///
/// # Errors
/// When one of them puts rules in force that it does not know.
pub fn admit(envelope: &Envelope) -> Result<(), UnknownRules> {
    let mut versions = envelope.records.iter().filter_map(|record| match &record.body {
        Some(record::Body::Rules(Rules { version })) => Some(*version),
        _ => None,
    });
    versions.try_for_each(check)
}

#[cfg(test)]
mod tests {
    use emshop_proto::internal::Record;

    use super::*;

    #[test]
    fn newer_rules_are_refused() {
        let envelope = |version| {
            let rules = Record { body: Some(record::Body::Rules(Rules { version })), ..Record::default() };
            Envelope { records: vec![Record::default(), rules], ..Envelope::default() }
        };
        assert_eq!(admit(&envelope(VERSION)), Ok(()));
        assert_eq!(admit(&envelope(VERSION + 1)), Err(UnknownRules(VERSION + 1)));
    }
}
