//! Who may call which RPC, as the protos say it.

pub use crate::v1::Access;

/// One RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Such as `/emshop.v1.CartService/ListCart`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Number of the request's field `user_id`, if it has one.
    pub user_id_field: Option<u32>,
}

// Sorted by path.
include!(concat!(env!("OUT_DIR"), "/access.rs"));

/// The RPC at a path; `None` when it is none of ours.
pub fn method(path: &str) -> Option<&'static Method> {
    METHODS.binary_search_by_key(&path, |method| method.path).ok().map(|index| &METHODS[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_by_path() {
        let list = method("/emshop.v1.CartService/ListCart").expect("it is one of ours");
        assert_eq!((list.access, list.user_id_field), (Access::Self_, Some(1)));
        assert_eq!(method("/emshop.v1.CartService/Nothing"), None);
        assert!(METHODS.iter().all(|listed| method(listed.path) == Some(listed) && listed.access != Access::Unspecified));
    }
}
