//! The audit trail of the real binary: what stands there, who reads it, and what is in no byte of it.

use std::time::Duration;

use async_nats::ConnectOptions;
use bytes::Bytes;
use emshop_log::jetstream::users::CONSUMER_API;
use emshop_proto::subjects::AUDIT_STREAM;
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::balance_service_client::BalanceServiceClient;
use emshop_proto::v1::user_service_client::UserServiceClient;
use emshop_proto::v1::{
    AdjustBalanceRequest, AuditEvent, AuditKind, AuditOutcome, CreateServiceAccountRequest, DeleteUserRequest, InspectRequest,
    ListAuditEventsRequest, LogoutEverywhereRequest, Money, Operator, OperatorKind, Role, SetUserRoleRequest, SmsPurpose,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

use crate::accounts::{Person, by, reason, token, under};
use crate::backup::done;
use crate::logins::credentials;
use crate::privacy::found;
use crate::process::{PATIENCE, Process, path};

const MOBILE: &str = "13812345678";
const PASSWORD: &str = "correct horse battery";
const WRONG: &str = "another password";
const HERE: &str = "127.0.0.1";
const SUPER: u64 = 1;
const ADMIN: u64 = 2;
const PAUSE: Duration = Duration::from_millis(20);
/// For what is not answered.
const NO_ANSWER: Duration = Duration::from_millis(300);

/// What the trail has of a kind, newest first.
async fn listed(channel: &Channel, token: &str, kind: AuditKind) -> Vec<AuditEvent> {
    let request = ListAuditEventsRequest { kind: kind.into(), ..ListAuditEventsRequest::default() };
    let page = AdminServiceClient::new(channel.clone()).list_audit_events(by(token, request)).await.expect("staff may");
    page.into_inner().events
}

/// Entries are on their way for a moment.
async fn until_there(channel: &Channel, token: &str, kind: AuditKind, count: usize) -> Vec<AuditEvent> {
    let waiting = async {
        loop {
            let events = listed(channel, token, kind).await;
            if events.len() >= count {
                return events;
            }
            sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{kind:?} is not told"))
}

fn staff(user_id: u64, role: Role) -> Option<Operator> {
    Some(Operator { kind: OperatorKind::Admin.into(), user_id, role: role.into(), ..Operator::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_security_is_found_with_who_and_from_where() {
    let (data, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let channel = process.channel().await;
    let [superuser, admin] = [(SUPER, "super"), (ADMIN, "admin")].map(|(user_id, role)| token(data.path(), user_id, role));
    let nobody = Person::new(channel.clone(), "");
    let code = nobody.code(&process, MOBILE, SmsPurpose::Register).await;
    let registered = nobody.register(MOBILE, PASSWORD, &code, "k").await.expect("registered");
    let (user_id, own) = (registered.user.expect("a user").user_id, registered.token.expect("a token").token);

    nobody.login(MOBILE, WRONG).await.expect_err("not the password");
    AdminServiceClient::new(channel.clone()).inspect(by(&own, InspectRequest {})).await.expect_err("not for users");
    let request = by(&own, ListAuditEventsRequest::default());
    let refused = AdminServiceClient::new(channel.clone()).list_audit_events(request).await.expect_err("not for users");
    assert_eq!(reason(&refused), "PERMISSION_DENIED");
    let set_role = SetUserRoleRequest { user_id, role: Role::Admin.into() };
    let mut users = UserServiceClient::new(channel.clone());
    assert_eq!(reason(&users.set_user_role(by(&admin, set_role)).await.expect_err("for a super")), "PERMISSION_DENIED");
    users.set_user_role(by(&superuser, set_role)).await.expect("a super may");
    let missing = SetUserRoleRequest { user_id: user_id + 1, role: Role::Admin.into() };
    assert_eq!(reason(&users.set_user_role(by(&superuser, missing)).await.expect_err("there is none")), "USER_NOT_FOUND");
    let delta = Some(Money { amount_minor: 250, currency: "CNY".to_owned() });
    let adjust = AdjustBalanceRequest { user_id, delta: delta.clone() };
    BalanceServiceClient::new(channel.clone()).adjust_balance(under("k", by(&admin, adjust))).await.expect("an admin may");

    let signed_in = until_there(&channel, &admin, AuditKind::SignedIn, 1).await;
    assert_eq!((signed_in[0].user_id, signed_in[0].how.as_str(), signed_in[0].address.as_str()), (user_id, "registration", HERE));
    let wrong = until_there(&channel, &admin, AuditKind::SignInRefused, 1).await;
    assert_eq!((wrong[0].reason.as_str(), wrong[0].address.as_str()), ("PASSWORD_INCORRECT", HERE));
    assert_eq!(wrong[0].mobile_mac, signed_in[0].mobile_mac, "it is the same number");
    let refused = until_there(&channel, &admin, AuditKind::CallRefused, 3).await;
    let told: Vec<_> = refused.iter().map(|event| (event.rpc.as_str(), event.by.as_ref(), event.address.as_str())).collect();
    let user = Some(Operator { kind: OperatorKind::User.into(), user_id, ..Operator::default() });
    let admins = staff(ADMIN, Role::Admin);
    let expected = [
        ("/emshop.v1.UserService/SetUserRole", admins.as_ref(), HERE),
        ("/emshop.v1.AdminService/ListAuditEvents", user.as_ref(), HERE),
        ("/emshop.v1.AdminService/Inspect", user.as_ref(), HERE),
    ];
    assert_eq!(told, expected);
    let roles = until_there(&channel, &admin, AuditKind::Role, 2).await;
    let came: Vec<_> = roles.iter().map(|event| (event.user_id, event.outcome(), event.reason.as_str())).collect();
    let expected = [(user_id + 1, AuditOutcome::Refused, "USER_NOT_FOUND"), (user_id, AuditOutcome::Done, "")];
    assert_eq!(came, expected);
    assert!(
        roles.iter().all(|event| event.by == staff(SUPER, Role::Super) && event.role() == Role::Admin && event.address == HERE)
    );
    assert!(roles[1].position.is_some(), "the log has it there");
    let balances = until_there(&channel, &admin, AuditKind::Balance, 1).await;
    assert_eq!((balances[0].by.clone(), balances[0].user_id, &balances[0].delta), (staff(ADMIN, Role::Admin), user_id, &delta));
    assert_eq!((balances[0].outcome(), balances[0].address.as_str()), (AuditOutcome::Done, HERE));

    users.logout_everywhere(by(&superuser, LogoutEverywhereRequest { user_id })).await.expect("a super may");
    let everywhere = until_there(&channel, &admin, AuditKind::LoggedOutEverywhere, 1).await;
    assert_eq!((everywhere[0].by.clone(), everywhere[0].user_id), (staff(SUPER, Role::Super), user_id));
    let account = CreateServiceAccountRequest { name: "back office".to_owned(), role: Role::Warehouse.into() };
    let account = users.create_service_account(by(&superuser, account)).await.expect("a super may").into_inner();
    let made = until_there(&channel, &admin, AuditKind::ServiceAccountMade, 1).await;
    assert_eq!(
        (made[0].by.clone(), made[0].user_id),
        (staff(SUPER, Role::Super), account.user.map(|user| user.user_id).unwrap_or_default())
    );

    let missing = DeleteUserRequest { user_id: user_id + 1, ..DeleteUserRequest::default() };
    users.delete_user(by(&admin, missing)).await.expect_err("there is none");
    let deleted = until_there(&channel, &admin, AuditKind::UserDeleted, 1).await;
    assert_eq!((deleted[0].by.clone(), deleted[0].outcome()), (staff(ADMIN, Role::Admin), AuditOutcome::Refused));

    // Downstream services do not read it.
    downstream_reads_nothing(&credentials(data.path(), "printer")).await;

    // No byte of it is a secret, or a number.
    let everything = listed(&channel, &admin, AuditKind::Unspecified).await;
    let secrets = [MOBILE, PASSWORD, WRONG, code.0.as_str(), code.1.as_str(), own.as_str(), admin.as_str(), superuser.as_str()];
    let folder = data.path().join("nats/jetstream/SHOP/streams").join(AUDIT_STREAM);
    let addresses = found(std::slice::from_ref(&folder), &[HERE]);
    assert!(!addresses.is_empty(), "that is where it is");
    assert_eq!(found(&[folder], &secrets), [""; 0]);

    // It outlives the process, and is part of a backup.
    assert_eq!(process.terminate().code(), Some(0));
    let to = elsewhere.path().join("backup");
    done(&["backup", "--data", path(data.path()), "--to", path(&to)]);
    let restored = elsewhere.path().join("restored");
    done(&["restore", "--from", path(&to), "--data", path(&restored)]);
    for folder in [data.path(), &restored] {
        let process = Process::guarded(&["--dev", "--data", path(folder)]);
        let again = listed(&process.channel().await, &admin, AuditKind::Unspecified).await;
        let without_place = |event: &AuditEvent| AuditEvent { sequence: 0, ..event.clone() };
        assert!(again.iter().map(without_place).eq(everything.iter().map(without_place)), "{again:#?}");
    }
}

async fn downstream_reads_nothing(given: &Value) {
    let text = |name: &str| given[name].as_str().expect("text").to_owned();
    let options = ConnectOptions::with_user_and_password(text("user"), text("password"));
    let client = options.connect(text("url")).await.expect("it is let in");
    for prefix in ["$JS.API", CONSUMER_API] {
        for request in ["STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET", "CONSUMER.CREATE", "STREAM.PURGE", "STREAM.DELETE"] {
            let subject = format!("{prefix}.{request}.{AUDIT_STREAM}");
            let answer = timeout(NO_ANSWER, client.request(subject.clone(), Bytes::from_static(br#"{"seq":1}"#))).await;
            assert!(!answer.is_ok_and(|answer| answer.is_ok()), "{subject} is answered");
        }
    }
}
