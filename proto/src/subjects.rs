//! Names of streams and subjects on NATS. Listed in docs/DATA.md.

use crate::events::EventType;

/// The stream of all events for downstream consumers, but those of goods.
pub const EVENT_STREAM: &str = "EMSHOP_EVENTS";

/// The stream of the events of goods. Apart, and without a limit, so that no flood of orders pushes out what the search index is built from.
pub const CATALOGUE_STREAM: &str = "EMSHOP_CATALOGUE";
/// What that stream captures.
pub const CATALOGUE_SUBJECTS: &str = "emshop.event.goods.>";

/// What [`EVENT_STREAM`] captures: the events of every entity but goods.
pub fn event_subjects() -> Vec<String> {
    let mut subjects: Vec<String> = Vec::new();
    for event_type in EventType::ALL {
        let entity = event_type.name().split('.').next().expect("a name begins with its entity");
        let captured = event(&format!("{entity}.>"));
        if captured != CATALOGUE_SUBJECTS && !subjects.contains(&captured) {
            subjects.push(captured);
        }
    }
    subjects
}

/// The stream that is log `log`.
pub fn log_stream(log: u32) -> String {
    format!("EMSHOP_LOG_{log}")
}

/// The one subject of log `log`.
pub fn log_subject(log: u32) -> String {
    format!("emshop.log.{log}")
}

/// Subject of the events of one type, such as `order.submitted`.
pub fn event(event_type: &str) -> String {
    format!("emshop.event.{event_type}")
}

/// Where the writer of a command hears of its outcome.
pub fn outcome(writer: u64) -> String {
    format!("emshop.outcome.{writer:016x}")
}

/// Where the engine of log `log` answers queries.
pub fn query(log: u32) -> String {
    format!("emshop.query.{log}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_one_stream() {
        let entities = ["order", "payment", "stock", "logistics", "user"];
        assert_eq!(event_subjects(), entities.map(|entity| format!("emshop.event.{entity}.>")));
        for event_type in EventType::ALL {
            let captures = |subjects: &str| event(event_type.name()).starts_with(subjects.trim_end_matches('>'));
            let streams = event_subjects().iter().filter(|subjects| captures(subjects)).count();
            assert_eq!(streams + usize::from(captures(CATALOGUE_SUBJECTS)), 1, "{}", event_type.name());
        }
    }
}
