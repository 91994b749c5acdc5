//! Who calls, and what they may: each RPC says it in its proto, and the guard sees to it before any service is asked.

pub mod audit;
mod body;
pub mod follow;
mod guard;
pub mod outside;
mod own;
pub mod rates;
mod refused;
pub mod remembered;
pub mod revoked;
pub mod service_accounts;
pub mod trail;

use std::sync::Arc;

use emshop_proto::access;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::{Operator, OperatorKind, Role, Subject};
use tonic::Extensions;

pub use guard::{GuardLayer, Watch};

/// Whoever a call's token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// 0 for staff of an outside issuer, who has no account here.
    pub user_id: u64,
    pub role: Role,
}

/// How a user came by a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// That of the user when it was given.
    pub auth_epoch: u64,
    pub session_id: u64,
}

/// What a token says: who it is, and how long that can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub caller: Caller,
    /// Staff of an outside issuer.
    pub subject: Option<Arc<Subject>>,
    /// `None` when whoever has the key signed it for somebody.
    pub login: Option<Login>,
    /// In Unix seconds.
    pub issued_at_s: u64,
    pub expires_at_s: u64,
}

impl Identity {
    pub fn issued_at_ms(&self) -> i64 {
        i64::try_from(self.issued_at_s.saturating_mul(1_000)).unwrap_or(i64::MAX)
    }

    /// Who does something for anybody.
    pub fn as_staff(&self) -> Operator {
        let Caller { user_id, role } = self.caller;
        let subject = self.subject.as_deref().cloned().map(Box::new);
        Operator { kind: OperatorKind::Admin.into(), user_id, role: role.into(), subject }
    }

    /// Who it is, whatever they do.
    fn operator(&self) -> Operator {
        if self.caller.role == Role::User { self.caller.as_user() } else { self.as_staff() }
    }
}

/// Somebody who makes a call, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acting {
    pub identity: Identity,
    /// As one of the staff, for anybody; otherwise for themself alone.
    pub as_staff: bool,
}

/// Nobody whose name is known, where calls need a token but this one.
#[derive(Clone, Copy)]
struct Nobody;

/// Whether the shop's own people make a call, who see what is off sale and how much of it was sold. Without authentication everybody is.
pub fn is_staff(extensions: &Extensions) -> bool {
    let is_role = |acting: &Acting| acting.identity.caller.role != Role::User;
    extensions.get::<Nobody>().is_none() && acting(extensions).is_none_or(is_role)
}

fn acting(extensions: &Extensions) -> Option<&Acting> {
    extensions.get()
}

/// Who makes a call, and how long that is so; `None` while the server runs without authentication.
pub fn identity(extensions: &Extensions) -> Option<&Identity> {
    acting(extensions).map(|acting| &acting.identity)
}

/// Who gives a command; `None` while the server runs without authentication.
pub fn operator(extensions: &Extensions) -> Option<Operator> {
    let Acting { identity, as_staff } = acting(extensions)?;
    Some(if *as_staff { identity.as_staff() } else { identity.caller.as_user() })
}

/// The user who reads, and may read only what is theirs; 0 for whoever may read everything.
pub fn viewer(extensions: &Extensions) -> u64 {
    acting(extensions).filter(|acting| !acting.as_staff).map_or(0, |acting| acting.identity.caller.user_id)
}

impl Caller {
    /// Who does something for themself: what else they are does not matter.
    fn as_user(self) -> Operator {
        Operator { kind: OperatorKind::User.into(), user_id: self.user_id, ..Operator::default() }
    }
}

/// Whether one of the staff may give this command on a stream: if they may call its RPC for anybody.
pub fn may_stream(operator: &Operator, body: &Body) -> bool {
    access::of_command(body).is_for(operator.role())
}

#[cfg(test)]
mod tests {
    use emshop_proto::v1::{AddCartItemRequest, AdjustBalanceRequest, CancelOrderRequest, SetStockRequest, SetUserRoleRequest};

    use super::*;

    #[test]
    fn a_stream_opens_nothing_that_a_call_does_not() {
        let table = [
            (Body::SetUserRole(SetUserRoleRequest::default()), "super"),
            (Body::AddCartItem(AddCartItemRequest::default()), "admin super"),
            (Body::SetStock(SetStockRequest::default()), "warehouse admin super"),
            (Body::AdjustBalance(AdjustBalanceRequest::default()), "finance admin super"),
            (Body::CancelOrder(CancelOrderRequest::default()), "support admin super"),
        ];
        for (body, roles) in table {
            let of = |role: Role| Operator { role: role.into(), ..Operator::default() };
            let may = access::ROLES.into_iter().filter(|role| may_stream(&of(*role), &body));
            assert_eq!(may.map(Role::name).collect::<Vec<_>>().join(" "), roles, "{body:?}");
        }
    }
}
