//! What concerns security stands in the audit trail, by whichever way it came, and holds up no stop.

use std::time::{Duration, Instant};

use emshop_ingress::{Algorithm, Caller, Options, Tokens, new_key};
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::user_service_client::UserServiceClient;
use emshop_proto::v1::{
    AuditEvent, AuditKind, AuditOutcome, Command, CommandBatch, InspectRequest, ListAuditEventsRequest, Operator, OperatorKind,
    Role, SetUserRoleRequest,
};
use tonic::Request;
use tonic::transport::Channel;

use crate::shop::{PATIENCE, Shop, reason, until};

const USER: u64 = 7;
const HERE: &str = "127.0.0.1";

fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("ASCII"));
    request
}

/// Oldest first.
async fn all(channel: &Channel, token: &str) -> Vec<AuditEvent> {
    let request = by(token, ListAuditEventsRequest::default());
    let page = AdminServiceClient::new(channel.clone()).list_audit_events(request).await.expect("staff may").into_inner();
    page.events.into_iter().rev().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_streams_are_told_with_who_and_from_where() {
    let tokens = Tokens::new(Algorithm::Hs256, &new_key(Algorithm::Hs256), PATIENCE).expect("a new key");
    let shop = Shop::guarded(1, Options { tokens: tokens.clone(), ..Options::default() }).await;
    let [user, admin, superuser] =
        [Role::User, Role::Admin, Role::Super].map(|role| tokens.sign(Caller { user_id: USER, role }, None).token);
    let mut admins = AdminServiceClient::new(shop.channel.clone());
    let refused = admins.list_audit_events(ListAuditEventsRequest::default()).await.expect_err("not for strangers");
    assert_eq!(reason(&refused), "AUTH_HEADER_MISSING");
    let refused = admins.list_audit_events(by(&user, ListAuditEventsRequest::default())).await.expect_err("not for users");
    assert_eq!(reason(&refused), "PERMISSION_DENIED");
    admins.inspect(by(&admin, InspectRequest {})).await.expect("an admin may");

    let set_role = SetUserRoleRequest { user_id: 5, role: Role::Admin.into() };
    for token in [&admin, &superuser] {
        let commands = vec![Command { tag: 1, ..Body::SetUserRole(set_role).into() }];
        let request = by(token, tokio_stream::once(CommandBatch { commands }));
        let answers = PipelineServiceClient::new(shop.channel.clone()).submit(request).await;
        answers.expect("a stream").into_inner().message().await.expect("an answer").expect("one batch");
    }
    // The stand-in knows no roles.
    let mut users = UserServiceClient::new(shop.channel.clone());
    assert_eq!(reason(&users.set_user_role(by(&superuser, set_role)).await.expect_err("refused")), "UNKNOWN");

    until(async || all(&shop.channel, &admin).await.len() >= 5).await;
    let events = all(&shop.channel, &admin).await;
    assert!(events.iter().all(|event| event.address == HERE && event.at_ms > 0));
    let list = "/emshop.v1.AdminService/ListAuditEvents";
    let staff = Some(OperatorKind::Admin);
    let expected_of_calls = [
        (list, "AUTH_HEADER_MISSING", None),
        (list, "PERMISSION_DENIED", Some(OperatorKind::User)),
        ("/emshop.v1.PipelineService/Submit", "PERMISSION_DENIED", staff),
    ];
    let kind_of = |by: Option<&Operator>| by.map(Operator::kind);
    let (roles, calls): (Vec<_>, Vec<_>) = events.iter().partition(|event| event.kind() == AuditKind::Role);
    let told: Vec<_> =
        calls.iter().map(|event| (event.rpc.as_str(), event.reason.as_str(), kind_of(event.by.as_ref()))).collect();
    assert_eq!(told, expected_of_calls);
    let told: Vec<_> = roles.iter().map(|event| (event.outcome(), event.reason.as_str(), event.user_id)).collect();
    assert_eq!(told, [(AuditOutcome::Unknown, "", 5), (AuditOutcome::Refused, "UNKNOWN", 5)], "by stream, and by call");
    let by = Operator { kind: OperatorKind::Admin.into(), user_id: USER, role: Role::Super.into(), ..Operator::default() };
    assert!(roles.iter().all(|event| event.by == Some(by.clone())));

    let begun = Instant::now();
    shop.close().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "the trail is written, and nothing waits for more");
}
