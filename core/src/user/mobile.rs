//! Mobile numbers: each belongs to one user.

use emshop_proto::errors::Code;
use emshop_proto::internal::{MobileReply, MobileRequest, MobileRow, Owner, step};
use emshop_proto::partitioner::{Partitioner, Place};

use crate::context::{Ask, Context, Turn};
use crate::state::State;
use crate::user::code;

impl Ask for MobileRequest {
    /// Who lets go of a number hears nothing.
    type Reply = Option<MobileReply>;

    fn place(&self, partitioner: &Partitioner) -> Place {
        partitioner.of_mobile(&self.mobile)
    }

    /// Gives a number to the user who asks for it, or says why not; or takes it back.
    fn serve(&self, turn: &mut Turn, _owner: &Owner) -> Option<MobileReply> {
        if self.release {
            take_back(turn.state, self);
            return None;
        }
        Some(MobileReply { refused_code: give(turn.state, &turn.ctx, self).err().map_or(0, Code::number) })
    }

    fn into_body(self) -> step::Body {
        step::Body::MobileRequest(self)
    }
}

fn take_back(state: &mut State, request: &MobileRequest) {
    if state.mobiles.get(&request.mobile).is_some_and(|row| row.user_id == request.user_id) {
        state.mobiles.remove(&request.mobile);
    }
}

fn give(state: &mut State, ctx: &Context, request: &MobileRequest) -> Result<(), Code> {
    let key = &request.code_key;
    let taken = state.mobiles.get(&request.mobile).is_some();
    // Only who was sent the code is told that the number belongs to somebody.
    if taken && code::is_known(state, ctx.time_ms, key, &request.code_hash) {
        return Err(Code::UserAlreadyExists);
    }
    code::check(state, ctx, key, &request.code_hash, "")?;
    assert!(!taken, "a code that is right was not known");
    state.mobiles.insert(request.mobile.clone(), MobileRow { user_id: request.user_id });
    Ok(())
}
