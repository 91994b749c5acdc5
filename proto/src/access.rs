//! Who may call which RPC and give which command, as the protos say it.

use crate::v1::command::Body;
pub use crate::v1::{Access, Owner, Role};

/// One RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Such as `/emshop.v1.CartService/ListCart`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// How it is known whose something is that it is about, where it is for everybody's own.
    pub owner: Owner,
    /// Who of the staff may call it besides admins.
    pub roles: &'static [Role],
    /// Number of the request's field `user_id`, if it has one.
    pub user_id_field: Option<u32>,
}

// Sorted by path.
include!(concat!(env!("OUT_DIR"), "/access.rs"));

/// The RPC at a path; `None` when it is none of ours.
pub fn method(path: &str) -> Option<&'static Method> {
    place(path).map(|place| &METHODS[place])
}

/// Where the RPC at a path stands among [`METHODS`]; `None` when it is none of ours.
pub fn place(path: &str) -> Option<usize> {
    METHODS.binary_search_by_key(&path, |method| method.path).ok()
}

impl Method {
    /// Whether somebody of this role may call it for anybody.
    pub fn is_for(&self, role: Role) -> bool {
        match role {
            Role::Super => true,
            Role::Admin => self.access != Access::Super,
            _ => self.roles.contains(&role),
        }
    }
}

/// All roles, the lowest first.
pub const ROLES: [Role; 6] = [Role::User, Role::Support, Role::Warehouse, Role::Finance, Role::Admin, Role::Super];

impl Role {
    /// What it is called in a token and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::User => "user",
            Self::Support => "support",
            Self::Warehouse => "warehouse",
            Self::Finance => "finance",
            Self::Admin => "admin",
            Self::Super => "super",
        }
    }

    /// The role of a name; `None` when there is none.
    pub fn of_name(name: &str) -> Option<Self> {
        ROLES.into_iter().find(|role| role.name() == name)
    }

    /// Whether somebody of this role is below somebody of the other one.
    pub fn is_below(self, other: Self) -> bool {
        let rank = |role| match role {
            Self::Unspecified | Self::User => 0,
            Self::Support | Self::Warehouse | Self::Finance => 1,
            Self::Admin => 2,
            Self::Super => 3,
        };
        rank(self) < rank(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{CancelOrderRequest, SetOnSaleRequest, SetUserRoleRequest};

    #[test]
    fn methods_are_found_by_path() {
        let list = method("/emshop.v1.CartService/ListCart").expect("it is one of ours");
        assert_eq!((list.access, list.owner, list.user_id_field), (Access::Self_, Owner::RequestUserId, Some(1)));
        assert_eq!(method("/emshop.v1.CartService/Nothing"), None);
        assert!(METHODS.iter().all(|listed| method(listed.path) == Some(listed) && listed.access != Access::Unspecified));
    }

    #[test]
    fn a_command_goes_by_the_rules_of_its_rpc() {
        let path = |body| of_command(&body).path;
        assert_eq!(path(Body::CancelOrder(CancelOrderRequest::default())), "/emshop.v1.OrderService/CancelOrder");
        assert_eq!(path(Body::SetOnSale(SetOnSaleRequest::default())), "/emshop.v1.GoodsService/BatchSetOnSale");
        assert_eq!(of_command(&Body::SetUserRole(SetUserRoleRequest::default())).access, Access::Super);
    }

    #[test]
    fn who_is_below_whom() {
        let below = |one: Role| ROLES.into_iter().filter(|other| other.is_below(one)).map(Role::name).collect::<Vec<_>>();
        assert_eq!(below(Role::User), [""; 0]);
        assert_eq!(below(Role::Finance), ["user"]);
        assert_eq!(below(Role::Admin), ["user", "support", "warehouse", "finance"]);
        assert_eq!(below(Role::Super), ["user", "support", "warehouse", "finance", "admin"]);
        assert!(ROLES.into_iter().all(|role| Role::of_name(role.name()) == Some(role)));
    }
}
