mod oidc;
mod tokens;

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use emshop_log::jetstream::{self, NatsServer, ServerOptions, SyncMode};
use emshop_proto::commands::{KEY_METADATA, call};
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::user_service_client::UserServiceClient;
use emshop_proto::v1::{
    ChangePasswordRequest, GetCaptchaRequest, GetUserByMobileRequest, GetUserRequest, InspectRequest, ListUsersRequest,
    LoginBySmsRequest, LoginRequest, LoginResponse, RegisterRequest, RegisterResponse, Role, SendSmsCodeRequest,
    SetUserRoleRequest, SetUserStatusRequest, SmsPurpose, UpdateProfileRequest, User, UserStatus,
};
use futures::StreamExt;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt;

use crate::process::{PATIENCE, Process, command, nats_as, nats_client, path, send};

const MOBILE: &str = "13812345678";
const PASSWORD: &str = "correct horse battery";
const NEW_PASSWORD: &str = "even more correct staple";

/// What a user does.
#[derive(Clone)]
pub struct Person {
    users: UserServiceClient<Channel>,
    pub token: String,
}

/// A request with the token of who makes it.
pub fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("ASCII"));
    request
}

/// The same call under an idempotency key.
pub fn under<T>(key: &str, mut request: Request<T>) -> Request<T> {
    request.metadata_mut().insert(KEY_METADATA, key.parse().expect("ASCII"));
    request
}

/// A token from the command line, signed with the key of a data folder.
pub fn token(data: &Path, user_id: u64, role: &str) -> String {
    signed(&["--data", path(data), "--user", &user_id.to_string(), "--role", role])
}

fn signed(flags: &[&str]) -> String {
    let output = command(&[&["token"], flags].concat()).output().expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> String {
    reason(&result.expect_err("refused"))
}

/// A call is refused for this reason from now on, or at least from within a second on.
async fn within_a_second<T: std::fmt::Debug>(call: impl AsyncFn() -> Result<T, Status>, expected: &str) {
    let begun = Instant::now();
    loop {
        match call().await {
            Ok(_) => assert!(begun.elapsed() < Duration::from_secs(1), "still let through"),
            Err(status) => return assert_eq!(reason(&status), expected),
        }
    }
}

impl Person {
    pub fn new(channel: Channel, token: &str) -> Self {
        Self { users: UserServiceClient::new(channel), token: token.to_owned() }
    }

    /// A captcha that somebody has read as a human does, off the picture: its id and answer.
    async fn captcha(&self) -> Result<(String, String), Status> {
        let captcha = self.users.clone().get_captcha(GetCaptchaRequest {}).await?.into_inner();
        let picture = String::from_utf8(captcha.image).expect("SVG");
        let answer = picture.split('>').filter_map(|part| part.split_once("</text")).next().expect("a text").0.to_owned();
        Ok((captcha.captcha_id, answer))
    }

    /// The id that goes with the code.
    async fn send_code(&self, mobile: &str, purpose: SmsPurpose) -> Result<String, Status> {
        let (captcha_id, captcha_answer) = self.captcha().await?;
        let request = SendSmsCodeRequest { mobile: mobile.to_owned(), purpose: purpose.into(), captcha_id, captcha_answer };
        Ok(self.users.clone().send_sms_code(request).await?.into_inner().verification_id)
    }

    /// The code, and the id that goes with it: the server that sent it has said so.
    pub async fn code(&self, server: &Process, mobile: &str, purpose: SmsPurpose) -> (String, String) {
        let verification_id = self.send_code(mobile, purpose).await.expect("sent");
        let line: Value = serde_json::from_str(&server.says("an SMS would be sent")).expect("JSON");
        assert_eq!(line["mobile"], mobile);
        (line["code"].as_str().expect("digits").to_owned(), verification_id)
    }

    pub async fn register(
        &self,
        mobile: &str,
        password: &str,
        code: &(String, String),
        key: &str,
    ) -> Result<RegisterResponse, Status> {
        let ((sms_code, verification_id), (captcha_id, captcha_answer)) = (code.clone(), self.captcha().await?);
        let request = RegisterRequest {
            mobile: mobile.to_owned(),
            password: password.to_owned(),
            nick_name: String::new(),
            sms_code,
            verification_id,
            captcha_id,
            captcha_answer,
        };
        self.users.clone().register(call(key, request)).await.map(tonic::Response::into_inner)
    }

    pub async fn login(&self, mobile: &str, password: &str) -> Result<LoginResponse, Status> {
        let (captcha_id, answer) = self.captcha().await?;
        self.login_with(mobile, password, &captcha_id, &answer).await
    }

    /// As whoever this number and password are of.
    async fn logged_in(&self, mobile: &str, password: &str) -> Self {
        let token = self.login(mobile, password).await.expect("the right password").token;
        Self { token: token.expect("a token").token, ..self.clone() }
    }

    async fn login_with(&self, mobile: &str, password: &str, captcha: &str, answer: &str) -> Result<LoginResponse, Status> {
        let request = LoginRequest {
            mobile: mobile.to_owned(),
            password: password.to_owned(),
            captcha_id: captcha.to_owned(),
            captcha_answer: answer.to_owned(),
        };
        self.users.clone().login(request).await.map(tonic::Response::into_inner)
    }

    async fn get(&self, user_id: u64) -> Result<User, Status> {
        let response = self.users.clone().get_user(by(&self.token, GetUserRequest { user_id })).await?;
        Ok(response.into_inner().user.expect("a user"))
    }

    async fn change_password(&self, key: &str, user_id: u64, old: &str, new: &str) -> Result<bool, Status> {
        let (old_password, new_password) = (old.to_owned(), new.to_owned());
        let request = ChangePasswordRequest { user_id, old_password, new_password };
        self.users.clone().change_password(under(key, by(&self.token, request))).await.map(|answer| answer.into_inner().repeated)
    }

    async fn set_status(&self, user_id: u64, status: UserStatus) -> Result<User, Status> {
        let request = by(&self.token, SetUserStatusRequest { user_id, status: status.into() });
        Ok(self.users.clone().set_user_status(request).await?.into_inner().user.expect("a user"))
    }

    async fn set_role(&self, user_id: u64, role: Role) -> Result<User, Status> {
        let request = by(&self.token, SetUserRoleRequest { user_id, role: role.into() });
        Ok(self.users.clone().set_user_role(request).await?.into_inner().user.expect("a user"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_registers_and_logs_in() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let channel = process.channel().await;
    let nobody = Person::new(channel.clone(), "");

    let unsent = ("123456".to_owned(), "v".to_owned());
    assert_eq!(refused(nobody.register(MOBILE, PASSWORD, &unsent, "k").await), "SMS_CODE_NOT_FOUND");
    let code = nobody.code(&process, MOBILE, SmsPurpose::Register).await;
    assert_eq!(refused(nobody.send_code(MOBILE, SmsPurpose::Register).await), "SMS_TOO_OFTEN");
    let another = (unsent.0, code.1.clone());
    assert_eq!(refused(nobody.register(MOBILE, PASSWORD, &another, "k").await), "SMS_CODE_INCORRECT");
    let first = nobody.register(MOBILE, PASSWORD, &code, "k").await.expect("registered");
    let user = first.user.expect("a user");
    let user_id = user.user_id;
    assert_eq!((user.mobile.as_str(), user.nick_name.as_str(), user.role()), (MOBILE, "user-5678", Role::User));
    let again = nobody.register(MOBILE, PASSWORD, &code, "k").await.expect("the same again");
    assert_eq!((again.user.as_ref(), again.repeated), (Some(&user), true));
    assert_eq!(refused(nobody.register(MOBILE, NEW_PASSWORD, &code, "k").await), "IDEMPOTENCY_KEY_REUSED");

    let own = Person::new(channel.clone(), &first.token.expect("a token").token);
    assert_eq!(own.get(user_id).await.expect("oneself"), user);
    assert_eq!(refused(own.get(user_id + 1).await), "PERMISSION_DENIED");
    let profile = UpdateProfileRequest { user_id, nick_name: Some("李".to_owned()), ..UpdateProfileRequest::default() };
    own.users.clone().update_profile(by(&own.token, profile)).await.expect("changed");

    let logged_in = nobody.login(MOBILE, PASSWORD).await.expect("the right password");
    assert_eq!(logged_in.user.expect("a user").nick_name, "李");
    assert!(logged_in.token.expect("a token").expires_at_ms > user.created_at_ms);
    // Nobody learns whether there is such a user.
    for (mobile, password) in [(MOBILE, NEW_PASSWORD), ("13800000000", PASSWORD)] {
        assert_eq!(refused(nobody.login(mobile, password).await), "PASSWORD_INCORRECT");
    }
    let (sms_code, verification_id) = nobody.code(&process, MOBILE, SmsPurpose::Login).await;
    let by_sms = LoginBySmsRequest { mobile: MOBILE.to_owned(), sms_code, verification_id };
    let log_in = async |key: &str| nobody.users.clone().login_by_sms(call(key, by_sms.clone())).await;
    log_in("k").await.expect("the right code");
    log_in("k").await.expect("the answer was lost");
    assert_eq!(refused(log_in("l").await), "SMS_CODE_NOT_FOUND");

    assert_eq!(refused(own.change_password("k", user_id, NEW_PASSWORD, "something else").await), "PASSWORD_INCORRECT");
    assert_eq!(own.change_password("l", user_id, PASSWORD, NEW_PASSWORD).await.ok(), Some(false));
    within_a_second(async || own.get(user_id).await, "TOKEN_REVOKED").await;
    let own = nobody.logged_in(MOBILE, NEW_PASSWORD).await;
    assert_eq!(own.change_password("l", user_id, PASSWORD, NEW_PASSWORD).await.ok(), Some(true), "asked again");
    assert_eq!(refused(own.change_password("m", user_id, PASSWORD, NEW_PASSWORD).await), "PASSWORD_INCORRECT");
    assert_eq!(refused(nobody.login(MOBILE, PASSWORD).await), "PASSWORD_INCORRECT");
    assert_eq!(refused(nobody.register(MOBILE, PASSWORD, &code, "k").await), "IDEMPOTENCY_KEY_REUSED");
    nobody.login(MOBILE, NEW_PASSWORD).await.expect("the new password");

    // It comes back with the process.
    drop(process);
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let channel = process.channel().await;
    assert_eq!(Person::new(channel.clone(), &own.token).get(user_id).await.expect("the key is the same").nick_name, "李");
    Person::new(channel, "").login(MOBILE, NEW_PASSWORD).await.expect("the new password");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captcha_is_good_for_one_login() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let nobody = Person::new(process.channel().await, "");
    let login = async |captcha: &str, answer: &str| refused(nobody.login_with(MOBILE, PASSWORD, captcha, answer).await);
    let (id, answer) = nobody.captcha().await.expect("drawn");
    assert_eq!(login("another", &answer).await, "CAPTCHA_INCORRECT");
    assert_eq!(login("", "").await, "CAPTCHA_INCORRECT");
    assert_eq!(login(&id, &answer).await, "PASSWORD_INCORRECT");
    assert_eq!(login(&id, &answer).await, "CAPTCHA_INCORRECT");
    let (id, answer) = nobody.captcha().await.expect("drawn");
    assert_eq!(login(&id, "54321").await, "CAPTCHA_INCORRECT");
    assert_eq!(login(&id, &answer).await, "CAPTCHA_INCORRECT");
}

/// Whoever kept to one idempotency key could try any number of passwords, or have codes sent to any number, by one captcha.
#[tokio::test(flavor = "multi_thread")]
async fn a_captcha_is_good_again_for_the_same_request_alone() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let nobody = Person::new(process.channel().await, "");
    let (captcha_id, captcha_answer) = nobody.captcha().await.expect("drawn");
    let try_password = async |password: &str| {
        let (captcha_id, captcha_answer) = (captcha_id.clone(), captcha_answer.clone());
        let request = LoginRequest { mobile: MOBILE.to_owned(), password: password.to_owned(), captcha_id, captcha_answer };
        refused(nobody.users.clone().login(call("k", request)).await)
    };
    assert_eq!(try_password("first guess").await, "PASSWORD_INCORRECT");
    assert_eq!(try_password("first guess").await, "PASSWORD_INCORRECT", "the answer was lost");
    assert_eq!(try_password("second guess").await, "CAPTCHA_INCORRECT");

    let (captcha_id, captcha_answer) = nobody.captcha().await.expect("drawn");
    let send = async |mobile: &str| {
        let (captcha_id, captcha_answer) = (captcha_id.clone(), captcha_answer.clone());
        let purpose = SmsPurpose::Register.into();
        let request = SendSmsCodeRequest { mobile: mobile.to_owned(), purpose, captcha_id, captcha_answer };
        nobody.users.clone().send_sms_code(call("k", request)).await
    };
    send(MOBILE).await.expect("sent");
    assert_eq!(refused(send("13900000000").await), "CAPTCHA_INCORRECT");
}

/// Whoever knew a number could use up the tries of its code, or log in by one that everybody knew.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_try_the_code_of_somebody_else() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let nobody = Person::new(process.channel().await, "");
    let code = nobody.code(&process, MOBILE, SmsPurpose::Register).await;
    nobody.register(MOBILE, PASSWORD, &code, "k").await.expect("registered");
    let (sms_code, verification_id) = nobody.code(&process, MOBILE, SmsPurpose::Login).await;
    let log_in = async |sms_code: &str, verification_id: &str| {
        let (sms_code, verification_id) = (sms_code.to_owned(), verification_id.to_owned());
        let request = LoginBySmsRequest { mobile: MOBILE.to_owned(), sms_code, verification_id };
        nobody.users.clone().login_by_sms(request).await
    };
    for guess in 0..20 {
        assert_eq!(refused(log_in(&format!("{guess:06}"), "guessed").await), "SMS_CODE_NOT_FOUND");
    }
    assert_eq!(refused(log_in(&sms_code, "guessed").await), "SMS_CODE_NOT_FOUND");
    log_in(&sms_code, &verification_id).await.expect("it is still good");
}

/// Such a server has neither codes nor captchas, and passwords do without.
#[tokio::test(flavor = "multi_thread")]
async fn without_providers_a_password_still_logs_in() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let nobody = Person::new(process.channel().await, "");
    let code = nobody.code(&process, MOBILE, SmsPurpose::Register).await;
    nobody.register(MOBILE, PASSWORD, &code, "k").await.expect("registered");
    drop(process);
    let process = Process::guarded(&["--data", path(data.path())]);
    let nobody = Person::new(process.channel().await, "");
    assert_eq!(refused(nobody.captcha().await), "VERIFICATION_MISSING");
    assert_eq!(refused(nobody.login_with(MOBILE, NEW_PASSWORD, "", "").await), "PASSWORD_INCORRECT");
    nobody.login_with(MOBILE, PASSWORD, "", "").await.expect("the right password");
}

/// Nothing that lets everybody in is served to a network, whatever the settings say besides.
#[test]
fn what_is_for_development_is_not_served_to_others() {
    let data = TempDir::new().unwrap();
    let refused = |flags: &[&str], sentence: &str| {
        let output = command(&[&["serve", "--data", path(data.path())], flags].concat()).output().expect("the binary runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(sentence), "{flags:?}: {told}");
    };
    refused(&["--dev", "--listen", "0.0.0.0:0"], "no loopback address");
    let file = data.path().join("settings.yaml");
    for setting in ["sms: log", "captcha: plain"] {
        fs::write(&file, format!("verification:\n  {setting}\n")).expect("written");
        refused(&["--config", path(&file)], "keep nobody out");
    }
    fs::write(&file, "verification:\n  sms: http\n").expect("written");
    refused(&["--config", path(&file)], "verification.sms_url");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_super_admin_comes_from_the_command_line() {
    let data = TempDir::new().unwrap();
    let process = Process::guarded(&["--dev", "--data", path(data.path())]);
    let channel = process.channel().await;
    let nobody = Person::new(channel.clone(), "");
    let code = nobody.code(&process, MOBILE, SmsPurpose::Register).await;
    let user = nobody.register(MOBILE, PASSWORD, &code, "").await.expect("registered").user.expect("a user");
    let user_id = user.user_id;

    let [admin, superuser] = ["admin", "super"].map(|role| Person::new(channel.clone(), &token(data.path(), 1, role)));
    assert_eq!(refused(admin.set_role(user_id, Role::Super).await), "PERMISSION_DENIED");
    assert_eq!(superuser.set_role(user_id, Role::Super).await.expect("may").role(), Role::Super);
    let logged_in = nobody.login(MOBILE, PASSWORD).await.expect("logged in");
    let promoted = Person::new(channel.clone(), &logged_in.token.expect("a token").token);
    assert_eq!(refused(promoted.set_role(user_id, Role::Admin).await), "ROLE_NOT_BELOW", "one's own");
    assert_eq!(refused(admin.set_status(user_id, UserStatus::Disabled).await), "ROLE_NOT_BELOW", "a super admin's");
    assert_eq!(superuser.set_role(user_id, Role::Support).await.expect("may").role(), Role::Support);

    assert_eq!(admin.get(user_id).await.expect("an admin sees everybody").user_id, user_id);
    let by_mobile = by(&admin.token, GetUserByMobileRequest { mobile: MOBILE.to_owned() });
    let found = admin.users.clone().get_user_by_mobile(by_mobile).await.expect("found").into_inner().user;
    assert_eq!(found.map(|user| user.user_id), Some(user_id));
    let listed = admin.users.clone().list_users(by(&admin.token, ListUsersRequest::default())).await.expect("listed");
    assert_eq!((listed.get_ref().total, listed.get_ref().users.len()), (1, 1));

    assert_eq!(admin.set_status(user_id, UserStatus::Disabled).await.expect("may").status(), UserStatus::Disabled);
    assert_eq!(refused(nobody.login(MOBILE, PASSWORD).await), "USER_DISABLED");
    let (sms_code, verification_id) = nobody.code(&process, MOBILE, SmsPurpose::Login).await;
    let by_sms = LoginBySmsRequest { mobile: MOBILE.to_owned(), sms_code, verification_id };
    assert_eq!(refused(nobody.users.clone().login_by_sms(by_sms).await), "USER_DISABLED");
    admin.set_status(user_id, UserStatus::Active).await.expect("may");
    nobody.login(MOBILE, PASSWORD).await.expect("enabled again");

    let address = format!("http://{}", process.address());
    let inspect = |token: &[&str]| command(&[&["inspect", "--target", &address], token].concat()).output().expect("it runs");
    let refused = inspect(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--token"), "{refused:?}");
    assert!(inspect(&["--token", &admin.token]).status.success());
}

/// Users, numbers and codes of two logs, through two ingresses that share a key.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_ingress_began_another_goes_on_with() {
    let data = TempDir::new().unwrap();
    let key = data.path().join("shared.key");
    let options = ServerOptions { data_dir: data.path().join("nats"), sync: SyncMode::Always };
    let nats = NatsServer::start(options).await.expect("nats-server starts");
    let url = nats_as(data.path(), jetstream::User::Engine);
    let engines = Process::serve(&["--role", "engine", "--logs", "2", "--nats", &url, "--data", path(&data.path().join("data"))]);
    // Any server makes one at its first start.
    let maker = TempDir::new().unwrap();
    drop(Process::guarded(&["--data", path(maker.path())]));
    fs::copy(maker.path().join("auth.key"), &key).expect("a key");
    let ingress = |name: &str| {
        let (url, data) = (nats_as(data.path(), jetstream::User::Ingress), data.path().join(name));
        Process::guarded(&["--dev", "--role", "ingress", "--nats", &url, "--key-file", path(&key), "--data", path(&data)])
    };
    let (first, second) = (ingress("first"), ingress("second"));
    let (here, there) = (Person::new(first.channel().await, ""), Person::new(second.channel().await, ""));

    // Enough of them that some live in the log of their number, and some in the other.
    let mut users = Vec::new();
    for number in 0..6 {
        let mobile = format!("1390000000{number}");
        let code = here.code(&first, &mobile, SmsPurpose::Register).await;
        let user = there.register(&mobile, PASSWORD, &code, "k").await.expect("registered").user.expect("a user");
        users.push((user.user_id, mobile));
    }
    let (user_id, mobile) = users[0].clone();
    let (captcha_id, answer) = here.captcha().await.expect("drawn");
    let logged_in = there.login_with(&mobile, PASSWORD, &captcha_id, &answer).await.expect("logged in");
    assert_eq!(refused(here.login_with(&mobile, PASSWORD, &captcha_id, &answer).await), "CAPTCHA_INCORRECT");
    let own = Person::new(first.channel().await, &logged_in.token.expect("a token").token);
    assert_eq!(own.get(user_id).await.expect("the key is the same").mobile, mobile);

    let token = signed(&["--key-file", path(&key), "--user", "1", "--role", "admin"]);
    let mut listed = Vec::new();
    let mut request = ListUsersRequest { page_size: 4, ..ListUsersRequest::default() };
    loop {
        let page = here.users.clone().list_users(by(&token, request.clone())).await.expect("listed").into_inner();
        assert_eq!(page.total, 6);
        listed.extend(page.users.into_iter().map(|user| (user.user_id, user.mobile)));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    users.sort_unstable();
    assert_eq!(listed, users);
    let logs = AdminServiceClient::new(first.channel().await).inspect(by(&token, InspectRequest {})).await.expect("inspected");
    for log in logs.into_inner().logs {
        assert_eq!((log.sagas_running, log.violations.as_slice()), (0, [].as_slice()), "log {}", log.log);
    }

    for process in [first, second, engines] {
        assert_eq!(process.terminate().code(), Some(0));
    }
    nats.stop().await;
}

/// W42: there was one key for everybody, in a public repository.
#[tokio::test(flavor = "multi_thread")]
async fn w42_every_installation_has_a_key_of_its_own() {
    use std::os::unix::fs::PermissionsExt;
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let process = Process::guarded(&["--data", path(ours.path())]);
    drop(Process::guarded(&["--data", path(theirs.path())]));
    let key = |data: &TempDir| fs::read_to_string(data.path().join("auth.key")).expect("made at the first start");
    assert_ne!(key(&ours), key(&theirs));
    let mode = fs::metadata(ours.path().join("auth.key")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let channel = process.channel().await;
    let by_key_of = |data: &TempDir| Person::new(channel.clone(), &token(data.path(), 1, "admin"));
    assert_eq!(refused(by_key_of(&theirs).get(1).await), "SIGNATURE_INVALID");
    assert_eq!(refused(by_key_of(&ours).get(1).await), "USER_NOT_FOUND");
}

/// W43: answers had the hash of the password in them. Now nothing has the password, and answers and log lines not even the hash.
#[tokio::test(flavor = "multi_thread")]
async fn w43_passwords_show_nowhere() {
    let data = TempDir::new().unwrap();
    let lines = data.path().join("lines");
    let stderr = File::create(&lines).expect("a file");
    let flags = ["serve", "--dev", "--listen", "127.0.0.1:0", "--data", path(data.path())];
    let mut child = command(&flags).env("EMSHOP_LOG", "trace").stderr(Stdio::from(stderr)).spawn().expect("the binary runs");
    let serving = line_with(&lines, r#""message":"serving""#).await;
    let text = |name: &str| serving[name].as_str().expect("an address").to_owned();
    let channel = Endpoint::from_shared(format!("http://{}", text("listen"))).unwrap().connect().await.expect("it serves");
    let nobody = Person::new(channel.clone(), "");

    let mut answers = Vec::new();
    let verification_id = nobody.send_code(MOBILE, SmsPurpose::Register).await.expect("sent");
    let sent = line_with(&lines, "an SMS would be sent").await;
    let code = (sent["code"].as_str().expect("digits").to_owned(), verification_id);
    let registered = nobody.register(MOBILE, PASSWORD, &code, "k").await.expect("registered");
    let user_id = registered.user.as_ref().expect("a user").user_id;
    let own = Person::new(channel.clone(), &registered.token.as_ref().expect("a token").token);
    answers.push(format!("{registered:?}"));
    answers.push(format!("{:?}", nobody.register(MOBILE, NEW_PASSWORD, &code, "k").await));
    answers.push(format!("{:?}", nobody.login(MOBILE, PASSWORD).await));
    answers.push(format!("{:?}", nobody.login(MOBILE, NEW_PASSWORD).await));
    answers.push(format!("{:?}", own.change_password("k", user_id, PASSWORD, NEW_PASSWORD).await));
    answers.push(format!("{:?}", own.get(user_id).await));
    for answer in answers {
        assert!(!shows(answer.as_bytes(), PASSWORD) && !shows(answer.as_bytes(), NEW_PASSWORD), "{answer}");
        assert!(!shows(answer.as_bytes(), "argon2id"), "{answer}");
    }

    let records = log_messages(&nats_as(data.path(), jetstream::User::Operator)).await;
    assert!(records.iter().any(|record| shows(record, "$argon2id$")), "the log has the hash");
    assert!(!records.iter().any(|record| shows(record, PASSWORD) || shows(record, NEW_PASSWORD)));
    send(child.id(), Signal::SIGTERM);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let written = fs::read(&lines).expect("log lines");
    assert!(shows(&written, "an SMS would be sent"), "the log lines are all there");
    assert!(!shows(&written, "argon2id") && !shows(&written, &own.token));
    for file in files_of(data.path()) {
        let bytes = fs::read(&file).expect("a file");
        assert!(!shows(&bytes, PASSWORD) && !shows(&bytes, NEW_PASSWORD), "{}", file.display());
    }
}

fn shows(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// The first line with this in it.
async fn line_with(lines: &Path, part: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(lines).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.contains(part) && line.ends_with('}')) {
            return serde_json::from_str(line).expect("JSON");
        }
        assert!(Instant::now() < deadline, "it does not say {part}: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Payloads of all messages of the first log.
async fn log_messages(nats: &str) -> Vec<Vec<u8>> {
    let client = nats_client(nats).await;
    let stream = async_nats::jetstream::new(client).get_stream("EMSHOP_LOG_0").await.expect("the log");
    let last = stream.cached_info().state.messages;
    let consumer =
        stream.create_consumer(async_nats::jetstream::consumer::pull::OrderedConfig::default()).await.expect("a reader");
    let messages = consumer.messages().await.expect("it can be read");
    messages.take(last as usize).map(|message| message.expect("a message").payload.to_vec()).collect().await
}

fn files_of(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_of(&path) } else { vec![path] }).collect()
}
