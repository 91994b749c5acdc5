//! Names of streams and subjects on NATS. Listed in docs/DATA.md.

use std::fmt;
use std::time::Duration;

use crate::events::EventType;
use crate::v1::AuditKind;

/// The stream of all events for downstream consumers, but those of goods and of access.
pub const EVENT_STREAM: &str = "EMSHOP_EVENTS";

/// The stream of the events of goods. Apart, and without a limit, so that no flood of orders pushes out what the search index is built from.
pub const CATALOGUE_STREAM: &str = "EMSHOP_CATALOGUE";
/// What that stream holds.
pub const CATALOGUE_SUBJECTS: &str = "emshop.event.goods.>";

/// The stream of the events that revoke tokens. Apart, and with no limit but an age: what a flood of orders pushed out would be let in again.
pub const ACCESS_STREAM: &str = "EMSHOP_ACCESS";
/// How long it keeps them. No token that they revoke is good for more than a day; one more is for clocks that differ, and one for whoever
/// looks whether what should be there still is.
pub const ACCESS_AGE_MAX: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// What that stream holds.
pub const ACCESS_SUBJECTS: &str = "emshop.event.access.>";

/// All streams of events, in the order in which they are made and archived.
pub const EVENT_STREAMS: [&str; 3] = [CATALOGUE_STREAM, ACCESS_STREAM, EVENT_STREAM];

/// The stream of the audit trail. Ingresses write it, and nobody else reads it.
pub const AUDIT_STREAM: &str = "EMSHOP_AUDIT";
/// Where its entries are published, in whatever epoch.
pub const AUDIT_ENTRIES: &str = "emshop.*.audit.*";

/// Where engines answer queries, each on one of these.
pub const QUERIES: &str = "emshop.query.*";
/// Where writers hear of outcomes, each on one of these.
pub const OUTCOMES: &str = "emshop.outcome.*";
/// What every subject begins with on which an answer is expected.
pub const INBOXES: &str = "_INBOX.";

/// The key-value bucket that says which engine serves which log.
pub const LEASE_BUCKET: &str = "EMSHOP_LEASES";

/// The stream that is [`LEASE_BUCKET`].
pub fn lease_stream() -> String {
    format!("KV_{LEASE_BUCKET}")
}

/// The key-value bucket of the settings that may change while processes run, and that all of them share.
pub const SETTINGS_BUCKET: &str = "EMSHOP_CONFIG";
/// The stream that is [`SETTINGS_BUCKET`].
pub const SETTINGS_STREAM: &str = "KV_EMSHOP_CONFIG";
/// Where all of them are written at once, so that each message is what holds from there on.
pub const SETTINGS: &str = "$KV.EMSHOP_CONFIG.settings";

/// What [`EVENT_STREAM`] holds: the events of every entity that has no stream of its own.
pub fn event_subjects() -> Vec<String> {
    let mut subjects: Vec<String> = Vec::new();
    for event_type in EventType::ALL {
        let entity = event_type.name().split('.').next().expect("a name begins with its entity");
        let held = format!("emshop.event.{entity}.>");
        if held != CATALOGUE_SUBJECTS && held != ACCESS_SUBJECTS && !subjects.contains(&held) {
            subjects.push(held);
        }
    }
    subjects
}

/// Drawn with a cluster. What its streams capture begins with it, so that nothing that is meant for one cluster gets into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Where commands for log `log` go, and what its engine itself has to say.
    pub fn log(self, log: u32) -> String {
        format!("emshop.{self}.log.{log}")
    }

    /// Where steps for log `log` go that another log sends.
    pub fn steps(self, log: u32, source_log: u32) -> String {
        format!("emshop.{self}.log.{log}.{source_log}")
    }

    /// Where all steps for log `log` go, and what is said of its entries.
    pub fn all_steps(self, log: u32) -> String {
        format!("emshop.{self}.log.{log}.*")
    }

    /// Where it is said which entries of log `log` are void.
    pub fn voids(self, log: u32) -> String {
        format!("emshop.{self}.log.{log}.void")
    }

    /// Where events are published whose subject in their stream is this: the stream takes the epoch out.
    pub fn publishing(self, subject: &str) -> String {
        let rest = subject.strip_prefix("emshop.").expect("a subject of emshop");
        format!("emshop.{self}.{rest}")
    }

    /// Where entries of one kind go into the audit trail.
    pub fn audit(self, kind: AuditKind) -> String {
        let name = kind.as_str_name().trim_start_matches("AUDIT_KIND_").to_lowercase();
        format!("emshop.{self}.audit.{name}")
    }

    /// Where all entries of the audit trail go.
    pub fn all_audit(self) -> String {
        format!("emshop.{self}.audit.*")
    }

    /// Where a message of a stream goes in this epoch that another one of the cluster had at `subject`.
    pub fn instead(self, subject: &str) -> String {
        match subject.strip_prefix("emshop.").and_then(|rest| rest.split_once('.')) {
            // The settings are those of the cluster, whatever its epoch.
            _ if subject == SETTINGS => subject.to_owned(),
            Some((epoch, rest)) if epoch != "event" => format!("emshop.{self}.{rest}"),
            _ => self.publishing(subject),
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// What the names of the streams begin with that are logs.
const LOG_STREAMS: &str = "EMSHOP_LOG_";

/// The stream that is log `log`.
pub fn log_stream(log: u32) -> String {
    format!("{LOG_STREAMS}{log}")
}

/// Subject of the events of one type, such as `order.submitted`, that log `log` makes.
pub fn event(event_type: &str, log: u32) -> String {
    format!("emshop.event.{event_type}.{log}")
}

/// Subject of the events of one type, whichever log makes them.
pub fn events(event_type: &str) -> String {
    format!("emshop.event.{event_type}.*")
}

/// The stream that has the events of a type.
pub fn stream_of(event_type: EventType) -> &'static str {
    match event_type.name().split('.').next() {
        Some("goods") => CATALOGUE_STREAM,
        Some("access") => ACCESS_STREAM,
        _ => EVENT_STREAM,
    }
}

/// Where the writer of a command hears of its outcome.
pub fn outcome(writer: u64) -> String {
    format!("emshop.outcome.{writer:016x}")
}

/// Where the engine of log `log` says how far it is.
pub fn progress(log: u32) -> String {
    format!("emshop.progress.{log}")
}

/// Where all engines do.
pub const ALL_PROGRESS: &str = "emshop.progress.*";

/// Where the engine of log `log` answers queries.
pub fn query(log: u32) -> String {
    format!("emshop.query.{log}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_stands_in_what_is_written() {
        let epoch = Epoch(0xab);
        let subjects = [epoch.log(1), epoch.steps(1, 0), epoch.all_steps(1), epoch.publishing(&event("order.paid", 1))];
        let rests = ["log.1", "log.1.0", "log.1.*", "event.order.paid.1"];
        assert_eq!(subjects, rests.map(|rest| format!("emshop.00000000000000ab.{rest}")));
    }

    #[test]
    fn entries_of_the_audit_trail_go_by_their_kind_and_along_into_another_epoch() {
        let (before, after) = (Epoch(1), Epoch(2));
        let subject = before.audit(AuditKind::SignInRefused);
        assert_eq!(subject, "emshop.0000000000000001.audit.sign_in_refused");
        assert_eq!(after.instead(&subject), after.audit(AuditKind::SignInRefused));
    }

    #[test]
    fn settings_are_of_no_epoch() {
        assert_eq!(SETTINGS_STREAM, format!("KV_{SETTINGS_BUCKET}"));
        assert_eq!(SETTINGS, format!("$KV.{SETTINGS_BUCKET}.settings"));
        assert_eq!(Epoch(1).instead(SETTINGS), SETTINGS);
    }

    #[test]
    fn every_event_has_one_stream() {
        let entities = ["order", "payment", "stock", "logistics", "user"];
        assert_eq!(event_subjects(), entities.map(|entity| format!("emshop.event.{entity}.>")));
        for event_type in EventType::ALL {
            let captures = |subjects: &str| event(event_type.name(), 7).starts_with(subjects.trim_end_matches('>'));
            let streams = event_subjects().iter().filter(|subjects| captures(subjects)).count();
            let apart = [(CATALOGUE_SUBJECTS, CATALOGUE_STREAM), (ACCESS_SUBJECTS, ACCESS_STREAM)];
            let held_apart = apart.iter().filter(|(subjects, _)| captures(subjects)).count();
            assert_eq!(streams + held_apart, 1, "{}", event_type.name());
            for (subjects, stream) in apart {
                assert_eq!(captures(subjects), stream_of(*event_type) == stream, "{}", event_type.name());
            }
        }
    }
}
