//! What becomes of tokens: revoked, refreshed, signed by another key; and keys of programs in their place.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::{
    Command, CommandBatch, CreateServiceAccountRequest, LogoutEverywhereRequest, LogoutRequest, RefreshTokenRequest,
    RefundPaymentRequest, SetStockRequest, outcome,
};

use super::*;

/// What a token was given for has changed: it is believed no more, by any ingress, nor are streams that were opened with it.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_revoked_by_what_changes_their_user() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let channel = process.channel().await;
    let nobody = Person::new(channel.clone(), "");
    let code = nobody.code(&process, MOBILE, SmsPurpose::Register).await;
    let registered = nobody.register(MOBILE, PASSWORD, &code, "k").await.expect("registered");
    let user_id = registered.user.expect("a user").user_id;
    let superuser = Person::new(channel.clone(), &token(data.path(), 1, "super"));

    let customer = Person::new(channel.clone(), &registered.token.expect("a token").token);
    superuser.set_role(user_id, Role::Warehouse).await.expect("may");
    within_a_second(async || customer.get(user_id).await, "TOKEN_REVOKED").await;

    // A stream ends with its token, and says why, once what it has read is answered.
    let worker = nobody.logged_in(MOBILE, PASSWORD).await;
    let stock = SetStockRequest { goods_id: 1, on_hand: 10 };
    let set_stock = Command { tag: 1, idempotency_key: "k".to_owned(), ..Body::SetStock(stock).into() };
    let refund = Command { tag: 2, ..Body::RefundPayment(RefundPaymentRequest::default()).into() };
    let batch = CommandBatch { commands: vec![set_stock, refund] };
    let endless = futures::stream::iter([batch]).chain(futures::stream::pending());
    let opened = PipelineServiceClient::new(channel.clone()).submit(by(&worker.token, endless)).await;
    let mut outcomes = opened.expect("a warehouse has streams").into_inner();
    let mut codes = std::collections::BTreeMap::new();
    while codes.len() < 2 {
        for outcome in outcomes.message().await.expect("open").expect("not at its end").outcomes {
            let refused = match outcome.result {
                Some(outcome::Result::Refusal(refusal)) => Some(refusal.reason),
                _ => None,
            };
            codes.insert(outcome.tag, refused);
        }
    }
    assert_eq!(codes[&2].as_deref(), Some("PERMISSION_DENIED"), "refunds are for finance");
    assert_eq!(codes[&1], None, "stock is for the warehouse");
    let log_out = by(&worker.token, LogoutEverywhereRequest::default());
    worker.users.clone().logout_everywhere(log_out).await.expect("oneself");
    let ended = tokio::time::timeout(Duration::from_secs(1), outcomes.message()).await.expect("within a second");
    assert_eq!(reason(&ended.expect_err("the stream is cut off")), "TOKEN_REVOKED");
    within_a_second(async || worker.get(user_id).await, "TOKEN_REVOKED").await;

    // It is known from the first call on after a start; a token from after the change is good.
    let later = nobody.logged_in(MOBILE, PASSWORD).await;
    drop(process);
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let channel = process.channel().await;
    let again = |person: &Person| Person::new(channel.clone(), &person.token);
    assert_eq!(refused(again(&worker).get(user_id).await), "TOKEN_REVOKED");
    again(&later).get(user_id).await.expect("of the epoch in force");
    again(&superuser).set_status(user_id, UserStatus::Disabled).await.expect("may");
    within_a_second(async || again(&later).get(user_id).await, "TOKEN_REVOKED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_token_expires() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let token = signed(&["--data", path(data.path()), "--user", "1", "--role", "admin", "--lifetime", "2s"]);
    let endless = futures::stream::pending::<CommandBatch>();
    let opened = PipelineServiceClient::new(process.channel().await).submit(by(&token, endless)).await;
    let ended = tokio::time::timeout(PATIENCE, opened.expect("a good token").into_inner().message()).await.expect("in time");
    assert_eq!(reason(&ended.expect_err("the stream is cut off")), "TOKEN_EXPIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_refreshed_and_ended() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let nobody = Person::new(process.channel().await, "");
    let code = nobody.code(&process, MOBILE, SmsPurpose::Register).await;
    let registered = nobody.register(MOBILE, PASSWORD, &code, "k").await.expect("registered");
    let user_id = registered.user.expect("a user").user_id;
    let first = registered.refresh_token.expect("a session").token;
    let refresh = async |key: &str, refresh_token: &str| {
        let request = RefreshTokenRequest { refresh_token: refresh_token.to_owned() };
        nobody.users.clone().refresh_token(call(key, request)).await.map(tonic::Response::into_inner)
    };
    let refreshed = |answer: &LoginResponse| answer.refresh_token.clone().expect("a session").token;
    let with_access = |answer: &LoginResponse| Person { token: answer.token.clone().expect("a token").token, ..nobody.clone() };

    let second = refresh("a", &first).await.expect("shown for the first time");
    assert_eq!(refreshed(&refresh("a", &first).await.expect("the answer was lost")), refreshed(&second));
    let third = refresh("b", &refreshed(&second)).await.expect("the one in force");
    assert_eq!(with_access(&third).get(user_id).await.expect("oneself").user_id, user_id);

    // Somebody has stolen one that is used up: whoever has the session now loses it.
    assert_eq!(refused(refresh("c", &first).await), "TOKEN_REVOKED");
    assert_eq!(refused(refresh("d", &refreshed(&third)).await), "TOKEN_REVOKED");
    within_a_second(async || with_access(&third).get(user_id).await, "TOKEN_REVOKED").await;

    // Another login is another session, which goes on when one is ended.
    let [one, other] =
        [nobody.login(MOBILE, PASSWORD).await, nobody.login(MOBILE, PASSWORD).await].map(|login| login.expect("may"));
    for _ in 0..2 {
        nobody.users.clone().logout(LogoutRequest { refresh_token: refreshed(&one) }).await.expect("ended, or ended before");
    }
    assert_eq!(refused(refresh("e", &refreshed(&one)).await), "TOKEN_REVOKED");
    within_a_second(async || with_access(&one).get(user_id).await, "TOKEN_REVOKED").await;
    with_access(&other).get(user_id).await.expect("of another session");
    assert_eq!(refused(refresh("f", "nonsense").await), "TOKEN_INVALID");
    let as_access = Person { token: refreshed(&other), ..nobody.clone() };
    assert_eq!(refused(as_access.get(user_id).await), "TOKEN_INVALID", "it opens nothing by itself");

    // The log has none of what a client shows.
    drop(process);
    let bytes = |token: &str| BASE64_URL_SAFE_NO_PAD.decode(token).expect("as it was given");
    let secrets = [&first, &refreshed(&second), &refreshed(&other)].map(|token| bytes(token)[16..].to_vec());
    for file in files_below(data.path()) {
        let bytes = fs::read(&file).expect("a file");
        let has = |secret: &Vec<u8>| bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!secrets.iter().any(has), "{}", file.display());
    }
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Another key takes the place of the one there is while the server runs; what was given before is good until the old one is dropped.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_without_an_outage() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let nobody = Person::new(process.channel().await, "");
    let code = nobody.code(&process, MOBILE, SmsPurpose::Register).await;
    let (captcha_id, answer) = nobody.captcha().await.expect("drawn");
    let superuser = Person { token: token(data.path(), 1, "super"), ..nobody.clone() };
    let keys = |arguments: &[&str]| {
        let output = command(&[&["key"], arguments, &["--data", path(data.path())]].concat()).output().expect("the binary runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let [old] = keys(&["list"]).lines().map(str::to_owned).collect::<Vec<_>>().try_into().expect("one key");

    let listed = keys(&["rotate", "--after-seconds", "0"]);
    let [new, before] = listed.lines().collect::<Vec<_>>().try_into().expect("two keys");
    assert!(new.ends_with("  signs") && before.starts_with(&old.replace("signs", "is believed until")), "{listed}");
    process.says("tokens go by other keys");
    let by_new = Person { token: token(data.path(), 1, "super"), ..nobody.clone() };
    assert_ne!(by_new.token.split('.').next(), superuser.token.split('.').next(), "another key is named");
    // What was sent and drawn by the old key is good still.
    let registered = nobody.register(MOBILE, PASSWORD, &code, "k").await.expect("the code of before");
    let logged_in = nobody.login_with(MOBILE, PASSWORD, &captcha_id, &answer).await.expect("the captcha of before");
    let user_id = registered.user.expect("a user").user_id;
    for person in [&superuser, &by_new] {
        person.get(user_id).await.expect("both keys are believed");
    }

    keys(&["rotate", "--at-once"]);
    process.says("tokens go by other keys");
    for person in [&superuser, &by_new] {
        assert_eq!(refused(person.get(user_id).await), "SIGNATURE_INVALID");
    }
    // Sessions go on: they do not hang on the key.
    let refresh_token = logged_in.refresh_token.expect("a session").token;
    let refreshed = nobody.users.clone().refresh_token(RefreshTokenRequest { refresh_token }).await.expect("good still");
    let token = refreshed.into_inner().token.expect("a token").token;
    Person { token, ..nobody.clone() }.get(user_id).await.expect("by the newest key");
}

/// Programs call with a key of their own, for as long as nobody takes it back.
#[tokio::test(flavor = "multi_thread")]
async fn programs_have_service_accounts() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let nobody = Person::new(process.channel().await, "");
    let [admin, superuser] = ["admin", "super"].map(|role| Person { token: token(data.path(), 1, role), ..nobody.clone() });
    let create = async |person: &Person, role: Role| {
        let request = CreateServiceAccountRequest { name: "back office".to_owned(), role: role.into() };
        let answer = person.users.clone().create_service_account(under("k", by(&person.token, request))).await;
        answer.map(tonic::Response::into_inner)
    };
    assert_eq!(refused(create(&admin, Role::Support).await), "PERMISSION_DENIED");
    assert_eq!(refused(create(&superuser, Role::User).await), "VALIDATION_FAILED");
    let created = create(&superuser, Role::Support).await.expect("may");
    assert_eq!(create(&superuser, Role::Support).await.expect("the answer was lost").key, created.key);
    assert_eq!(refused(create(&superuser, Role::Finance).await), "IDEMPOTENCY_KEY_REUSED");

    let user_id = created.user.expect("a user").user_id;
    let program = Person { token: created.key.clone(), ..nobody.clone() };
    program.get(user_id).await.expect("asked of the engine");
    program.get(user_id).await.expect("known");
    assert_eq!(refused(program.set_status(1, UserStatus::Disabled).await), "PERMISSION_DENIED", "not for support");
    let list = ListUsersRequest { service_accounts: true, ..ListUsersRequest::default() };
    let listed = superuser.users.clone().list_users(by(&superuser.token, list)).await.expect("listed").into_inner().users;
    assert_eq!(listed.iter().map(|user| user.user_id).collect::<Vec<_>>(), [user_id]);

    // Another role is in force at once, and so is the end.
    superuser.set_role(user_id, Role::Admin).await.expect("may");
    let begun = Instant::now();
    while let Err(status) = program.set_status(user_id + 1, UserStatus::Disabled).await {
        if reason(&status) == "USER_NOT_FOUND" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{status}");
    }
    superuser.set_status(user_id, UserStatus::Disabled).await.expect("may");
    within_a_second(async || program.get(user_id).await, "USER_DISABLED").await;
    let flipped = if created.key.ends_with('A') { 'E' } else { 'A' };
    let forged = format!("{}{flipped}", &created.key[..created.key.len() - 1]);
    for key in [forged, created.key[..30].to_owned(), "emshop_sk_".to_owned()] {
        assert_eq!(refused(Person { token: key, ..nobody.clone() }.get(user_id).await), "TOKEN_INVALID");
    }
}
