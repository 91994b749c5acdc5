//! What is done of a record that is traced: for each such record a span, and one for each step of a saga in it. Data only, as all effects.

use emshop_proto::internal::Trace;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The span of this.
    pub trace: Trace,
    /// The span that it is below of.
    pub parent_id: u64,
    /// Such as `submit_order`, or `Inventory/ReserveStock`.
    pub name: &'static str,
    /// Of a saga.
    pub is_step: bool,
    /// Number of the refusal that it came to; 0 when it was done.
    pub refused_code: i32,
}

/// The spans of a turn.
#[derive(Default)]
pub struct Spans {
    all: Vec<Span>,
    /// Of the record that is applied, and in which place of the list that is.
    record: Option<(Trace, usize)>,
}

impl Spans {
    /// A record is applied that is traced if somebody says where it comes from. `place` tells it from all others of its log.
    pub fn begin(&mut self, parent: Option<Trace>, place: u64, name: &'static str) {
        self.record = parent.map(|parent| {
            let trace = parent.child(place);
            self.all.push(Span { trace, parent_id: parent.span_id, name, is_step: false, refused_code: 0 });
            (trace, self.all.len() - 1)
        });
    }

    /// The span of the record that is applied, if it is traced.
    pub fn record(&self) -> Option<Trace> {
        self.record.map(|(trace, _)| trace)
    }

    /// The record came to a refusal.
    pub fn refused(&mut self, code: i32) {
        if let Some((_, index)) = self.record {
            self.all[index].refused_code = code;
        }
    }

    /// A step of a saga was taken, or taken back.
    pub fn step(&mut self, name: &'static str, refused_code: i32) {
        if let Some((record, _)) = self.record {
            let trace = record.child(self.all.len() as u64);
            self.all.push(Span { trace, parent_id: record.span_id, name, is_step: true, refused_code });
        }
    }

    /// All of the turn, which ends.
    pub fn end_turn(&mut self) -> Vec<Span> {
        self.record = None;
        std::mem::take(&mut self.all)
    }
}
