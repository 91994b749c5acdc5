//! Events as downstream services read them.

use emshop_core::events::EventRun;
use emshop_proto::events::EventType;
use emshop_proto::v1::{Event, EventBatch};
use prost::Message;

#[derive(Debug, PartialEq)]
pub struct NumberedEvent {
    pub event_type: EventType,
    /// Number of the event of the same type before it; 0 when there is none.
    pub previous_number: u64,
    pub event: Event,
}

/// The events of a turn, in the order in which they came about.
pub fn decode(runs: Vec<EventRun>) -> Vec<NumberedEvent> {
    let mut events = Vec::new();
    for EventRun { event_type, mut previous_number, last_number, bytes, .. } in runs {
        for event in EventBatch::decode(bytes.as_slice()).expect("a run is the middle of a batch").events {
            let number = event.number;
            events.push(NumberedEvent { event_type, previous_number, event });
            previous_number = number;
        }
        assert_eq!(previous_number, last_number, "a run ends with its last event");
    }
    events.sort_by_key(|event| event.event.number);
    events
}
