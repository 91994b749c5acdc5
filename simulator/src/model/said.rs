//! What one log says to another, and how it is read.

use emshop_proto::errors::Code;
use emshop_proto::internal::{MobileRequest, Owner, Step, StockAction, step};

use super::carts::{self, Taken};
use super::{Asker, Wrong};

/// What one log says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Stock {
        by: Asker,
        action: StockAction,
        lines: Vec<(u64, u64)>,
        /// Whom the units are counted for; 0 when no limits hold.
        user: u64,
    },
    StockReply {
        to: Asker,
        action: StockAction,
        refused: Option<Code>,
    },
    Money {
        by: Asker,
        user: u64,
        delta: i64,
    },
    MoneyReply {
        to: Asker,
        refused: Option<Code>,
    },
    /// Asks for what is selected, or to put these back.
    Cart {
        by: Asker,
        user: u64,
        put_back: Vec<Taken>,
    },
    CartReply {
        to: Asker,
        reply: Result<Vec<Taken>, Code>,
    },
    /// Asks for a mobile number, which is given to who knows the code that was sent there.
    Number {
        by: Asker,
        mobile: String,
        code_key: String,
        code_hash: Vec<u8>,
    },
    NumberReply {
        to: Asker,
        refused: Option<Code>,
    },
    NumberReleased {
        by: Asker,
        mobile: String,
    },
    /// Whoever asks was deleted.
    Forget {
        by: Asker,
    },
}

/// As a step of a log has it.
///
/// # Errors
/// When no log says such things here.
pub fn read(step: Step) -> Result<Said, Wrong> {
    let by = |owner: Option<Owner>| owner.map(|owner| (owner.log, owner.kind(), owner.number)).ok_or("a step without an owner");
    let owner = by(step.owner)?;
    Ok(match step.body {
        Some(step::Body::Request(request)) => {
            let lines = request.lines.iter().map(|line| (line.goods_id, line.quantity)).collect();
            Said::Stock { by: owner, action: request.action(), lines, user: request.user_id }
        }
        Some(step::Body::Reply(reply)) => {
            let refused = reply.refusal.as_ref().and_then(|refusal| Code::from_number(refusal.code));
            Said::StockReply { to: owner, action: reply.action(), refused }
        }
        Some(step::Body::BalanceRequest(request)) => Said::Money { by: owner, user: request.user_id, delta: request.delta_minor },
        Some(step::Body::BalanceReply(reply)) => Said::MoneyReply { to: owner, refused: Code::from_number(reply.refused_code) },
        Some(step::Body::CartRequest(request)) => {
            Said::Cart { by: owner, user: request.user_id, put_back: carts::taken(&request.put_back) }
        }
        Some(step::Body::CartReply(reply)) => {
            let refused = Code::from_number(reply.refused_code);
            Said::CartReply { to: owner, reply: refused.map_or_else(|| Ok(carts::taken(&reply.lines)), Err) }
        }
        Some(step::Body::MobileRequest(request)) => {
            let MobileRequest { mobile, user_id, code_hash, code_key, release } = request;
            if user_id != owner.2 {
                return Err(format!("user {} asks for the number of user {user_id}", owner.2));
            }
            if release {
                Said::NumberReleased { by: owner, mobile }
            } else {
                Said::Number { by: owner, mobile, code_key, code_hash }
            }
        }
        Some(step::Body::MobileReply(reply)) => Said::NumberReply { to: owner, refused: Code::from_number(reply.refused_code) },
        Some(step::Body::EraseUser(user)) if user == owner.2 => Said::Forget { by: owner },
        other => return Err(format!("the model knows nothing of {other:?}")),
    })
}
