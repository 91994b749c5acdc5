//! The sagas of an order as tables, and the one function that moves them on.
//!
//! A step that is refused leaves nothing behind, so compensation begins with the step before it. Only a step over several stock
//! partitions can be refused by one and done by another; what it holds then is given back first.

use emshop_proto::v1::{SagaKind, SagaStatus, SagaStep};

/// A step and the compensation that undoes it, as people read them.
#[derive(Clone, Copy)]
pub struct Step {
    pub step: SagaStep,
    pub action: &'static str,
    pub compensation: &'static str,
}

pub const SUBMIT_ORDER: &[Step] = &[
    Step { step: SagaStep::CreateOrder, action: "Order/CreateOrder", compensation: "Order/CreateOrderCompensate" },
    Step { step: SagaStep::CreatePayment, action: "Payment/CreatePayment", compensation: "Payment/CancelPayment" },
    Step { step: SagaStep::ReserveStock, action: "Inventory/ReserveStock", compensation: "Inventory/ReleaseReserved" },
];

/// As [`SUBMIT_ORDER`], with lines and perhaps the address out of the user's cart.
pub const CHECKOUT_CART: &[Step] = &[
    SUBMIT_ORDER[0],
    Step { step: SagaStep::TakeCartItems, action: "Cart/TakeItems", compensation: "Cart/PutItemsBack" },
    SUBMIT_ORDER[1],
    SUBMIT_ORDER[2],
];

pub const PAYMENT_SUCCESS: &[Step] = &[
    Step { step: SagaStep::ConfirmPayment, action: "Payment/ConfirmPayment", compensation: "Payment/RefundPayment" },
    Step { step: SagaStep::UpdatePaymentStatus, action: "Order/UpdatePaymentStatus", compensation: "Order/RevertPaymentStatus" },
    Step { step: SagaStep::ConfirmSell, action: "Inventory/ConfirmSell", compensation: "Inventory/Reback" },
    Step {
        step: SagaStep::CreateLogisticsOrder,
        action: "Logistics/CreateLogisticsOrder",
        compensation: "Logistics/CancelLogisticsOrder",
    },
];

/// How a step, or the compensation of one, went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Done,
    /// `held`: parts of the step were done and must be taken back.
    Refused {
        held: bool,
    },
}

/// Where a saga stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub status: SagaStatus,
    pub step: SagaStep,
}

pub fn steps(kind: SagaKind) -> &'static [Step] {
    match kind {
        SagaKind::SubmitOrder => SUBMIT_ORDER,
        SagaKind::PaymentSuccess => PAYMENT_SUCCESS,
        SagaKind::CheckoutCart => CHECKOUT_CART,
        SagaKind::Unspecified => panic!("a saga without a kind"),
    }
}

/// The beginning of a saga.
pub fn first(kind: SagaKind) -> Position {
    Position { status: SagaStatus::Running, step: steps(kind)[0].step }
}

/// The beginning of taking a completed saga back.
pub fn last(kind: SagaKind) -> Position {
    let last = steps(kind).last().expect("sagas have steps");
    Position { status: SagaStatus::Compensating, step: last.step }
}

/// Where `event` takes a saga.
///
/// # Panics
/// When the saga has ended already or the step is none of it.
pub fn next(kind: SagaKind, at: Position, event: Event) -> Position {
    let steps = steps(kind);
    let index = steps.iter().position(|step| step.step == at.step).expect("a step of this saga");
    let to = |status, index: usize| Position { status, step: steps[index].step };
    let back = || match index.checked_sub(1) {
        Some(before) => to(SagaStatus::Compensating, before),
        None => to(SagaStatus::Compensated, index),
    };
    match (at.status, event) {
        (SagaStatus::Running, Event::Done) if index + 1 == steps.len() => to(SagaStatus::Completed, index),
        (SagaStatus::Running, Event::Done) => to(SagaStatus::Running, index + 1),
        (SagaStatus::Running, Event::Refused { held: true }) => to(SagaStatus::Compensating, index),
        (SagaStatus::Running, Event::Refused { held: false }) => back(),
        (SagaStatus::Compensating, Event::Done) => back(),
        (SagaStatus::Compensating, Event::Refused { .. }) => to(SagaStatus::Stuck, index),
        (status, _) => panic!("a saga that is {} takes no more steps", status.as_str_name()),
    }
}

/// How a step reads in a timeline.
pub fn name(kind: SagaKind, step: SagaStep, compensation: bool) -> &'static str {
    let found = steps(kind).iter().find(|candidate| candidate.step == step).expect("a step of this saga");
    if compensation { found.compensation } else { found.action }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a saga whose step number `refused` is refused, and names what it did.
    fn run(kind: SagaKind, refused: usize, held: bool) -> (SagaStatus, Vec<&'static str>) {
        let (mut at, mut done) = (first(kind), Vec::new());
        loop {
            let compensation = match at.status {
                SagaStatus::Running => false,
                SagaStatus::Compensating => true,
                ended => return (ended, done),
            };
            let refuse = !compensation && at.step == steps(kind).get(refused).map_or(SagaStep::Unspecified, |step| step.step);
            if !refuse {
                done.push(name(kind, at.step, compensation));
            }
            at = next(kind, at, if refuse { Event::Refused { held } } else { Event::Done });
        }
    }

    #[test]
    fn every_step_refused_takes_back_what_was_done_in_reverse() {
        for kind in [SagaKind::SubmitOrder, SagaKind::CheckoutCart, SagaKind::PaymentSuccess] {
            let table = steps(kind);
            for refused in 0..table.len() {
                let actions = table[..refused].iter().map(|step| step.action);
                let compensations = table[..refused].iter().rev().map(|step| step.compensation);
                let expected: Vec<_> = actions.chain(compensations).collect();
                assert_eq!(run(kind, refused, false), (SagaStatus::Compensated, expected), "{kind:?}, step {refused}");
            }
            let all: Vec<_> = table.iter().map(|step| step.action).collect();
            assert_eq!(run(kind, table.len(), false), (SagaStatus::Completed, all));
        }
    }

    #[test]
    fn a_step_done_in_parts_is_taken_back_itself() {
        let (status, done) = run(SagaKind::SubmitOrder, 2, true);
        assert_eq!(status, SagaStatus::Compensated);
        let expected = [
            "Order/CreateOrder",
            "Payment/CreatePayment",
            "Inventory/ReleaseReserved",
            "Payment/CancelPayment",
            "Order/CreateOrderCompensate",
        ];
        assert_eq!(done, expected);
    }

    #[test]
    fn a_compensation_that_is_refused_is_stuck() {
        let at = last(SagaKind::PaymentSuccess);
        let stuck = next(SagaKind::PaymentSuccess, at, Event::Refused { held: false });
        assert_eq!(stuck.status, SagaStatus::Stuck);
    }

    #[test]
    #[should_panic(expected = "takes no more steps")]
    fn an_ended_saga_stays_ended() {
        let at = Position { status: SagaStatus::Completed, step: SagaStep::ReserveStock };
        next(SagaKind::SubmitOrder, at, Event::Done);
    }
}
