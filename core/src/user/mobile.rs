//! Mobile numbers: each belongs to one user.

use emshop_proto::errors::Code;
use emshop_proto::ids;
use emshop_proto::internal::{MobileReply, MobileRequest, MobileRow, Owner, Step, step};
use emshop_proto::partitioner::Place;

use crate::context::Context;
use crate::effects::Effects;
use crate::state::State;
use crate::user::code;

/// Gives a number to the user who asks for it, or says why not.
pub fn serve(state: &mut State, ctx: &Context, owner: Owner, request: &MobileRequest, fx: &mut Effects) {
    let refused_code = give(state, ctx, request).err().map_or(0, Code::number);
    let to = Place { log: owner.log, partition: owner.partition };
    let reply = step::Body::MobileReply(MobileReply { refused_code });
    fx.step(to, Step { owner: Some(owner), body: Some(reply) });
}

fn give(state: &mut State, ctx: &Context, request: &MobileRequest) -> Result<(), Code> {
    let key = ids::register_code_key(&request.mobile);
    let taken = state.mobiles.get(&request.mobile).is_some();
    // Only who was sent the code is told that the number belongs to somebody.
    if taken && code::is_known(state, ctx, &key, &request.code_hash) {
        return Err(Code::UserAlreadyExists);
    }
    code::check(state, ctx, &key, &request.code_hash)?;
    assert!(!taken, "a code that is right was not known");
    state.mobiles.insert(request.mobile.clone(), MobileRow { user_id: request.user_id });
    Ok(())
}
