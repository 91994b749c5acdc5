//! Messages of a user to the shop.

use emshop_proto::internal::MessageRow;
use emshop_proto::v1::{CreateMessageRequest, UserMessage, outcome};

use crate::context::Context;
use crate::effects::Answer;
use crate::idempotency;
use crate::state::State;
use crate::state::rows::Newest;

pub fn create(state: &mut State, ctx: &Context, request: &CreateMessageRequest, body_hash: u64) -> Answer {
    let key = format!("create-message:{}:{}", request.user_id, request.idempotency_key);
    idempotency::once(state, ctx, key, body_hash, |state| {
        let counters = state.counters.entry(&());
        counters.messages += 1;
        let message_id = counters.messages;
        let given = request.message.clone().unwrap_or_default();
        let message = UserMessage { message_id, created_at_ms: ctx.time_ms, ..given };
        let row = MessageRow { message: Some(message.clone()) };
        state.messages.insert_new(Newest { user_id: request.user_id, number: message_id }, row);
        Answer::new(outcome::Result::Message(message))
    })
}
