//! What is done of traced calls, as spans: records that are applied, the steps of sagas in them, and the events that are published of them.

use std::time::{Duration, SystemTime};

use emshop_core::spans::Span as Done;
use emshop_proto::errors::Code;
use emshop_proto::subjects;
use emshop_telemetry::traces::{KeyValue, Role, Span, Traces, names};

use crate::shell::relay::Group;

/// Tells the spans of one engine.
pub struct Tracer {
    traces: Traces,
    log: u32,
    stream: String,
}

impl Tracer {
    pub fn new(traces: Traces, log: u32) -> Self {
        Self { traces, log, stream: subjects::log_stream(log) }
    }

    /// A turn was made that has just ended, which took so long.
    pub fn turned(&self, sequence: u64, took: Duration, spans: Vec<Done>) {
        let end = SystemTime::now();
        let begin = end - took;
        for Done { trace, parent_id, name, is_step, refused_code } in spans {
            let mut attributes = self.of_log(sequence);
            if !is_step {
                attributes.extend([
                    KeyValue::new(names::MESSAGING_SYSTEM, "nats"),
                    KeyValue::new(names::MESSAGING_DESTINATION_NAME, self.stream.clone()),
                    KeyValue::new(names::MESSAGING_OPERATION_TYPE, "process"),
                    KeyValue::new(names::MESSAGING_OPERATION_NAME, "apply"),
                ]);
            }
            if let Some(code) = Code::from_number(refused_code) {
                attributes.push(KeyValue::new("emshop.refusal", code.name()));
            }
            let (role, name) =
                if is_step { (Role::Internal, name.into()) } else { (Role::Consumer, format!("apply {name}").into()) };
            self.traces.end(Span { trace, parent_id, name, role, begin, end, attributes, error: None });
        }
    }

    /// A group of events has just got into its streams, which took so long.
    pub fn published(&self, group: &Group, took: Duration) {
        let end = SystemTime::now();
        let begin = end - took;
        for run in &group.runs {
            let (name, stream) = (run.event_type.name(), subjects::stream_of(run.event_type));
            for (trace, parent_id) in &run.traces {
                let mut attributes = self.of_log(group.cause.sequence);
                attributes.extend([
                    KeyValue::new(names::MESSAGING_SYSTEM, "nats"),
                    KeyValue::new(names::MESSAGING_DESTINATION_NAME, stream),
                    KeyValue::new(names::MESSAGING_OPERATION_TYPE, "send"),
                    KeyValue::new(names::MESSAGING_OPERATION_NAME, "publish"),
                ]);
                let (trace, parent_id, name) = (*trace, *parent_id, format!("publish {name}").into());
                self.traces.end(Span { trace, parent_id, name, role: Role::Producer, begin, end, attributes, error: None });
            }
        }
    }

    fn of_log(&self, sequence: u64) -> Vec<KeyValue> {
        vec![KeyValue::new("emshop.log", i64::from(self.log)), KeyValue::new("emshop.sequence", sequence as i64)]
    }
}
