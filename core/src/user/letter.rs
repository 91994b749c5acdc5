//! Messages of a user to the shop.

use emshop_proto::internal::MessageRow;
use emshop_proto::v1::{CreateMessageRequest, UserMessage, outcome};

use crate::context::Turn;
use crate::effects::Answer;
use crate::state::rows::Newest;

pub(crate) fn create(turn: &mut Turn, request: CreateMessageRequest) -> Answer {
    let counters = turn.state.counters.entry(&());
    counters.messages += 1;
    let message_id = counters.messages;
    let given = request.message.unwrap_or_default();
    let message = UserMessage { message_id, created_at_ms: turn.ctx.time_ms, ..given };
    let row = MessageRow { message: Some(message.clone()) };
    turn.state.messages.insert_new(Newest { user_id: request.user_id, number: message_id }, row);
    Answer::new(outcome::Result::Message(message))
}
