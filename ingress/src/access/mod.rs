//! Who calls, and what they may: each RPC says it in its proto, and the guard sees to it before any service is asked.

pub mod audit;
mod body;
mod guard;
pub mod rates;

use emshop_proto::v1::command::Body;
use emshop_proto::v1::{Operator, OperatorKind, Role};
use tonic::Extensions;

pub use guard::{GuardLayer, Watch};

/// Whoever a call's token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub user_id: u64,
    pub role: Role,
}

/// Nobody whose name is known, where calls need a token but this one.
#[derive(Clone, Copy)]
struct Nobody;

/// Whether the shop's own people make a call, who see what is off sale and how much of it was sold. Without authentication everybody is.
pub fn is_staff(extensions: &Extensions) -> bool {
    extensions.get::<Nobody>().is_none() && caller(extensions).is_none_or(|caller| caller.role != Role::User)
}

/// Who makes a call; `None` while the server runs without authentication.
pub fn caller(extensions: &Extensions) -> Option<Caller> {
    extensions.get().copied()
}

/// Who gives a command; `None` while the server runs without authentication.
pub fn operator(extensions: &Extensions) -> Option<Operator> {
    caller(extensions).map(Caller::operator)
}

impl Caller {
    pub fn operator(self) -> Operator {
        let kind = if self.role == Role::User { OperatorKind::User } else { OperatorKind::Admin };
        Operator { kind: kind.into(), user_id: self.user_id }
    }

    /// Whether they may give this command on a stream. Streams are for admins, but not all commands are.
    pub fn may_stream(self, body: &Body) -> bool {
        self.role == Role::Super || !matches!(body, Body::SetUserRole(_))
    }
}

/// The user who reads, and may read only what is theirs; 0 for whoever may read everything.
pub fn viewer(extensions: &Extensions) -> u64 {
    caller(extensions).filter(|caller| caller.role == Role::User).map_or(0, |caller| caller.user_id)
}

#[cfg(test)]
mod tests {
    use emshop_proto::access::{Access, METHODS};
    use emshop_proto::v1::{CancelOrderRequest, SetUserRoleRequest};

    use super::*;

    #[test]
    fn a_stream_opens_nothing_that_a_call_does_not() {
        let for_super: Vec<_> = METHODS.iter().filter(|method| method.access == Access::Super).collect();
        assert_eq!(for_super.iter().map(|method| method.path).collect::<Vec<_>>(), ["/emshop.v1.UserService/SetUserRole"]);
        let [admin, superuser] = [Role::Admin, Role::Super].map(|role| Caller { user_id: 7, role });
        let set_role = Body::SetUserRole(SetUserRoleRequest::default());
        assert!(!admin.may_stream(&set_role) && superuser.may_stream(&set_role));
        assert!(admin.may_stream(&Body::CancelOrder(CancelOrderRequest::default())));
    }
}
