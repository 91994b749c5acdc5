//! What becomes of the sagas of one log.

use emshop_core::order::steps;
use emshop_core::tally::{StepResult, Tally};
use emshop_proto::v1::{SagaKind, SagaStatus, SagaStep};
use emshop_telemetry::{Counter, Histogram, Registry, catalogue};

use super::business::label;

const KINDS: [SagaKind; 3] = [SagaKind::SubmitOrder, SagaKind::CheckoutCart, SagaKind::PaymentSuccess];
const ENDS: [SagaStatus; 3] = [SagaStatus::Completed, SagaStatus::Compensated, SagaStatus::Stuck];

/// Counters of one log.
pub struct Sagas(Vec<OfKind>);

struct OfKind {
    kind: SagaKind,
    started: Counter,
    ended: Vec<(SagaStatus, Counter)>,
    steps: Vec<(SagaStep, StepResult, Counter)>,
    seconds: Histogram,
}

impl Sagas {
    /// Of log `number`.
    pub fn new(registry: &Registry, number: u32) -> Self {
        let log = number.to_string();
        Self(KINDS.map(|kind| OfKind::new(registry, &log, kind)).into())
    }

    /// Counts what has happened since the tally was cleared.
    pub fn note(&self, tally: &Tally) {
        for OfKind { kind, started, ended, steps, seconds } in &self.0 {
            started.inc_by(tally.started(*kind));
            ended.iter().for_each(|(status, counter)| counter.inc_by(tally.ended(*kind, *status)));
            steps.iter().for_each(|(step, result, counter)| counter.inc_by(tally.steps(*kind, *step, *result)));
            let times = seconds.local();
            let took = tally.took().iter().filter(|(of, _)| of == kind);
            took.for_each(|(_, took_ms)| times.observe(*took_ms as f64 / 1_000.0));
            times.flush();
        }
    }
}

impl OfKind {
    fn new(registry: &Registry, log: &str, kind: SagaKind) -> Self {
        let saga = label(kind.as_str_name(), "SAGA_KIND_");
        let ended = |status: SagaStatus| {
            let ended = label(status.as_str_name(), "SAGA_STATUS_");
            (status, registry.counter(&catalogue::SAGAS_ENDED, &[log, &saga, &ended]))
        };
        let step = |of: &steps::Step| {
            let (step, named) = (of.step, label(of.step.as_str_name(), "SAGA_STEP_"));
            StepResult::ALL
                .map(|result| (step, result, registry.counter(&catalogue::SAGA_STEPS, &[log, &saga, &named, label_of(result)])))
        };
        Self {
            kind,
            started: registry.counter(&catalogue::SAGAS_STARTED, &[log, &saga]),
            ended: ENDS.map(ended).into(),
            steps: steps::of(kind).iter().flat_map(step).collect(),
            seconds: registry.histogram(&catalogue::SAGA_SECONDS, &[log, &saga]),
        }
    }
}

fn label_of(result: StepResult) -> &'static str {
    match result {
        StepResult::Done => "done",
        StepResult::Refused => "refused",
        StepResult::Compensated => "compensated",
        StepResult::Stuck => "stuck",
    }
}
