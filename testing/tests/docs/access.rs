//! The table of who may call what, in docs/ACCESS.md.

use emshop_proto::access::{Access, METHODS, Method, ROLES, Role};
use emshop_testing::docs::{assert_section, table};

#[test]
fn the_table_is_fresh() {
    let mut rows: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
    for method in METHODS {
        let (service, call) = method.path.trim_start_matches("/emshop.v1.").split_once('/').expect("a service and a call");
        let rule: Vec<_> = [service.to_owned()].into_iter().chain(ROLES.map(|role| may(method, role).to_owned())).collect();
        // Calls of one service with one rule stand in one line.
        match rows.iter_mut().find(|(listed, _)| *listed == rule) {
            Some((_, calls)) => calls.push(call),
            None => rows.push((rule, vec![call])),
        }
    }
    let rows = rows.into_iter().map(|(mut rule, calls)| {
        rule.insert(1, calls.join(", "));
        rule
    });
    let heads: Vec<_> = ["service", "calls"].into_iter().chain(ROLES.map(Role::name)).collect();
    assert_section("docs/ACCESS.md", "roles", &table(&heads, rows));
}

fn may(method: &Method, role: Role) -> &'static str {
    match method.access {
        Access::Public => "anyone",
        _ if method.is_for(role) => "yes",
        Access::Self_ => "own",
        _ => "",
    }
}
