//! Accounts: registration, log-in, profiles.

use emshop_proto::errors::Code;
use emshop_proto::ids;
use emshop_proto::internal::account_command::Body as AccountBody;
use emshop_proto::internal::{
    CreateServiceAccount, Credentials, DeleteUser, EndSession, IssueCode, MobileQuery, OpenSession, RefreshSession, RegisterUser,
    SetPassword, UseCode, UseOnce, UserQuery, Users, UsersQuery,
};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::outcome::Result as OutcomeResult;
use emshop_proto::v1::user_service_server::UserService;
use emshop_proto::v1::{
    ChangePasswordRequest, CreateServiceAccountRequest, CreateServiceAccountResponse, DeleteUserRequest, GetCaptchaRequest,
    GetCaptchaResponse, GetUserByMobileRequest, GetUserRequest, GetUserResponse, ListUsersRequest, ListUsersResponse,
    LoginBySmsRequest, LoginRequest, LoginResponse, LogoutEverywhereRequest, LogoutRequest, LogoutResponse, Outcome,
    RefreshTokenRequest, RegisterRequest, RegisterResponse, SendSmsCodeRequest, SendSmsCodeResponse, SetUserRoleRequest,
    SetUserStatusRequest, SmsPurpose, UpdateProfileRequest, User, UserResponse,
};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::{Gateway, accept, respond};
use crate::access::audit::{self, Origin};
use crate::accounts::password::{salt_of_change, salt_of_registration};
use crate::accounts::session::Session;
use crate::accounts::verification::SmsProvider;
use crate::accounts::verification::captcha::{CAPTCHA_SECONDS, Captchas};
use crate::accounts::verification::codes::Codes;
use crate::accounts::verification::sms::{CODE_SECONDS, Message};
use crate::accounts::{nick_name_of, user_id_of_registration};
use crate::queries::{questions, unexpected};
use crate::way::dispatch::idempotency_key;
use crate::way::prepare::random_hex;
use crate::{access, page_token, refusals, status, validate};

const PAGE_SIZE_DEFAULT: u32 = 20;
/// Nobody has this user id.
const NOBODY: u64 = 0;

#[tonic::async_trait]
impl UserService for Gateway {
    async fn send_sms_code(&self, request: Request<SendSmsCodeRequest>) -> Result<Response<SendSmsCodeResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (sms, captchas) = (self.sms()?, self.captchas()?);
        accept(validate::user::send_sms_code(&request))?;
        self.use_captcha(&metadata, captchas, &request.captcha_id, &request.captcha_answer, &request).await?;
        // Behind the captcha, lest a program uses up what is there for humans.
        self.rates.mobile(&request.mobile)?;
        self.rates.code()?;
        let (mobile, purpose, code) = (&request.mobile, request.purpose(), Codes::draw());
        let verification_id = self.issue(&metadata, purpose, mobile, &code).await?;
        if let Err(error) = sms.send(Message { mobile, purpose, code: &code }).await {
            tracing::warn!(event = "sms.not_sent", error, "an SMS could not be sent");
            return Err(refused(Code::SmsSendFailed));
        }
        Ok(Response::new(SendSmsCodeResponse { expires_in_seconds: CODE_SECONDS, verification_id }))
    }

    async fn get_captcha(&self, _: Request<GetCaptchaRequest>) -> Result<Response<GetCaptchaResponse>, Status> {
        let (captcha_id, drawing) = self.captchas()?.draw().await.map_err(status::of_refusal)?;
        Ok(Response::new(GetCaptchaResponse {
            captcha_id,
            image: drawing.image,
            media_type: drawing.media_type.to_owned(),
            expires_in_seconds: CAPTCHA_SECONDS,
        }))
    }

    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let (_, captchas) = (self.sms()?, self.captchas()?);
        accept(validate::user::register(&request))?;
        let key = key_of_call(&metadata)?;
        let user_id = user_id_of_registration(&request.mobile, &key);
        let code_key = ids::code_key(SmsPurpose::Register, &request.verification_id, &request.mobile);
        let code_hash = self.accounts.codes.hash(&request.verification_id, &code_key, &request.sms_code);
        self.use_captcha(&metadata, captchas, &request.captcha_id, &request.captcha_answer, &request).await?;
        // The code of a repeat may be over by now.
        if unless_missing(self.user(user_id).await)?.is_none() {
            self.look_at_code(&metadata, &request.mobile, &code_key, &code_hash).await?;
        }
        let RegisterRequest { mobile, password, nick_name, .. } = request;
        let password_hash = self.accounts.passwords.hash(password, salt_of_registration(&mobile, &key)).await;
        let command = RegisterUser {
            user_id,
            password_hash: password_hash.map_err(status::of_refusal)?,
            nick_name: if nick_name.is_empty() { nick_name_of(&mobile) } else { nick_name },
            code_hash,
            code_key,
            mobile,
        };
        // Whoever is registered by it: the user's id is made of the key, so that the record needs none.
        let command = AccountBody::RegisterUser(command);
        let outcome = self.dispatcher.account(&metadata, Some(&extensions), String::new(), command).await;
        let outcome = outcome.map_err(|refusal| status::of(refusal, [("idempotency_key", key.clone())]))?;
        let Outcome { repeated, position, .. } = outcome;
        let user = user_of(outcome)?;
        let given = self.log_in(&metadata, user.clone()).await.map_err(|status| once_registered(status, key))?;
        self.audit.signed_in(audit::origin(&extensions), &user, "registration");
        let LoginResponse { user, token, refresh_token } = given;
        Ok(Response::new(RegisterResponse { user, token, repeated, position, refresh_token }))
    }

    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        accept(validate::user::login(&request))?;
        let (origin, mobile) = (audit::origin(&extensions), request.mobile.clone());
        let shown = self.by_password(&metadata, request).await;
        self.sign_in(&metadata, origin, &mobile, "password", shown).await
    }

    async fn login_by_sms(&self, request: Request<LoginBySmsRequest>) -> Result<Response<LoginResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        self.sms()?;
        accept(validate::user::login_by_sms(&request))?;
        let (origin, mobile) = (audit::origin(&extensions), request.mobile.clone());
        let shown = self.by_code(&metadata, request).await;
        self.sign_in(&metadata, origin, &mobile, "sms", shown).await
    }

    async fn refresh_token(&self, request: Request<RefreshTokenRequest>) -> Result<Response<LoginResponse>, Status> {
        let (metadata, extensions, RefreshTokenRequest { refresh_token }) = request.into_parts();
        accept(validate::user::refresh_token(&refresh_token))?;
        let (shown, key) = (Session::parse(&refresh_token).map_err(refused)?, key_of_call(&metadata)?);
        let next = self.accounts.refreshed(&shown, &key);
        let command = AccountBody::RefreshSession(RefreshSession {
            user_id: shown.user_id,
            session_id: shown.session_id,
            secret_hash: shown.secret_hash(),
            next_secret_hash: next.secret_hash(),
            lifetime_seconds: self.accounts.session_lifetime.seconds(),
        });
        let outcome = self.dispatcher.account(&metadata, None, key.clone(), command).await;
        let refreshed = outcome.map_err(|refusal| status::of(refusal, [("idempotency_key", key)])).inspect_err(|status| {
            self.audit.not_shown(audit::origin(&extensions), shown.user_id, "refresh token", status);
        });
        Ok(Response::new(self.given(user_of(refreshed?)?, &next)))
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Result<Response<LogoutResponse>, Status> {
        let (metadata, _, LogoutRequest { refresh_token }) = request.into_parts();
        accept(validate::user::refresh_token(&refresh_token))?;
        let session = Session::parse(&refresh_token).map_err(refused)?;
        let Session { user_id, session_id, .. } = session;
        let command = AccountBody::EndSession(EndSession { user_id, session_id, secret_hash: session.secret_hash() });
        let ended = self.dispatcher.account(&metadata, None, String::new(), command).await;
        ended.map(|_| Response::new(LogoutResponse {})).map_err(status::of_refusal)
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        let GetUserRequest { user_id } = request.into_inner();
        accept(validate::user::user_id(user_id))?;
        Ok(Response::new(GetUserResponse { user: Some(self.user(user_id).await?) }))
    }

    async fn update_profile(&self, request: Request<UpdateProfileRequest>) -> Result<Response<UserResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::UpdateProfile).await?;
        respond!(outcome, User, UserResponse { user })
    }

    async fn change_password(&self, request: Request<ChangePasswordRequest>) -> Result<Response<UserResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        accept(validate::user::change_password(&request))?;
        let ChangePasswordRequest { user_id, old_password, new_password } = request;
        let key = key_of_call(&metadata)?;
        self.rates.password(user_id)?;
        let (is_known, in_force) = self.shown(user_id, old_password).await?;
        let passwords = &self.accounts.passwords;
        let salt = salt_of_change(user_id, &key);
        let password_hash = passwords.hash(new_password, salt).await.map_err(status::of_refusal)?;
        // The engine decides: whether another password came in between, and whether this is a repeat, when the old one is not in force.
        let replaced_hash = if is_known { in_force } else { String::new() };
        let command = AccountBody::SetPassword(SetPassword { user_id, password_hash, replaced_hash });
        let outcome = self.dispatcher.account(&metadata, Some(&extensions), key.clone(), command).await;
        let identity = [("user_id", user_id.to_string()), ("idempotency_key", key)];
        let outcome = outcome.map_err(|refusal| status::of(refusal, identity));
        let outcome = outcome.inspect_err(|status| {
            self.audit.not_shown(audit::origin(&extensions), user_id, "password", status);
        })?;
        respond!(outcome, User, UserResponse { user })
    }

    async fn delete_user(&self, request: Request<DeleteUserRequest>) -> Result<Response<UserResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let is_self = access::viewer(&extensions) != 0;
        accept(validate::user::delete_user(&request, is_self))?;
        let DeleteUserRequest { user_id, password } = request;
        let shown_hash = if is_self {
            self.rates.password(user_id)?;
            let (is_known, in_force) = self.shown(user_id, password).await?;
            if !is_known {
                let status = refused(Code::PasswordIncorrect);
                self.audit.not_shown(audit::origin(&extensions), user_id, "password", &status);
                return Err(status);
            }
            in_force
        } else {
            String::new()
        };
        let command = AccountBody::DeleteUser(DeleteUser { user_id, shown_hash });
        let outcome = self.dispatcher.account(&metadata, Some(&extensions), String::new(), command).await;
        let outcome = outcome.map_err(|refusal| status::of(refusal, [("user_id", user_id.to_string())]))?;
        respond!(outcome, User, UserResponse { user })
    }

    async fn logout_everywhere(&self, request: Request<LogoutEverywhereRequest>) -> Result<Response<UserResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::LogoutEverywhere).await?;
        respond!(outcome, User, UserResponse { user })
    }

    async fn get_user_by_mobile(&self, request: Request<GetUserByMobileRequest>) -> Result<Response<GetUserResponse>, Status> {
        let GetUserByMobileRequest { mobile } = request.into_inner();
        accept(validate::user::by_mobile(&mobile))?;
        Ok(Response::new(GetUserResponse { user: Some(self.user_of_mobile(mobile).await?) }))
    }

    async fn list_users(&self, request: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        let request = request.into_inner();
        accept(validate::user::list_users(&request))?;
        let size = page_token::size(request.page_size, PAGE_SIZE_DEFAULT);
        let [after_user_id] = page_token::start(&request.page_token);
        let question = UsersQuery {
            after_user_id,
            limit: size,
            role: request.role,
            status: request.status,
            service_accounts: request.service_accounts,
        };
        let of_logs = self.queries.ask_everywhere(questions::Users(question)).await?;
        Ok(Response::new(page(of_logs, size as usize)))
    }

    async fn set_user_status(&self, request: Request<SetUserStatusRequest>) -> Result<Response<UserResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::SetUserStatus).await?;
        respond!(outcome, User, UserResponse { user })
    }

    async fn create_service_account(
        &self,
        request: Request<CreateServiceAccountRequest>,
    ) -> Result<Response<CreateServiceAccountResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        accept(validate::user::create_service_account(&request))?;
        let idempotency_key = key_of_call(&metadata)?;
        let key = self.accounts.service_key(&idempotency_key, &request);
        let CreateServiceAccountRequest { name, role } = request;
        let key_hash = key.hash().to_vec();
        let command = CreateServiceAccount { user_id: key.user_id, name, role, key_hash };
        let command = AccountBody::CreateServiceAccount(command);
        let outcome = self.dispatcher.account(&metadata, Some(&extensions), String::new(), command).await;
        let outcome = outcome.map_err(|refusal| status::of(refusal, [("idempotency_key", idempotency_key)]))?;
        let Outcome { repeated, position, .. } = outcome;
        let user = Some(user_of(outcome)?);
        Ok(Response::new(CreateServiceAccountResponse { user, key: key.text(), repeated, position }))
    }

    async fn set_user_role(&self, request: Request<SetUserRoleRequest>) -> Result<Response<UserResponse>, Status> {
        let outcome = self.dispatcher.call(request, Body::SetUserRole).await?;
        respond!(outcome, User, UserResponse { user })
    }
}

impl Gateway {
    fn sms(&self) -> Result<&dyn SmsProvider, Status> {
        self.accounts.sms().map_err(|missing| status::of_refusal(*missing))
    }

    fn captchas(&self) -> Result<&Captchas, Status> {
        self.accounts.needed_captchas().map_err(|missing| status::of_refusal(*missing))
    }

    /// Makes a code valid for whoever has this number and the id that is given back.
    async fn issue(&self, metadata: &MetadataMap, purpose: SmsPurpose, mobile: &str, code: &str) -> Result<String, Status> {
        let verification_id = self.accounts.codes.verification_id();
        let key = ids::code_key(purpose, &verification_id, mobile);
        let code_hash = self.accounts.codes.hash(&verification_id, &key, code);
        let budget_key = ids::code_budget_key(purpose, mobile);
        let command = IssueCode { key, code_hash, expires_in_seconds: CODE_SECONDS, budget_key };
        // Codes are for those who are nobody yet.
        let issued = self.dispatcher.account(metadata, None, String::new(), AccountBody::IssueCode(command)).await;
        issued.map(|_| verification_id).map_err(status::of_refusal)
    }

    async fn use_code(&self, metadata: &MetadataMap, key: String, code_hash: Vec<u8>) -> Result<(), Status> {
        let idempotency_key = key_of_call(metadata)?;
        let command = AccountBody::UseCode(UseCode { key, code_hash });
        self.use_under(metadata, idempotency_key.clone(), idempotency_key, command).await
    }

    /// A captcha that was read right is good for one request, at whichever ingress.
    async fn use_captcha(
        &self,
        metadata: &MetadataMap,
        captchas: &Captchas,
        id: &str,
        answer: &str,
        request: &impl prost::Message,
    ) -> Result<(), Status> {
        let read = captchas.read(id, answer).map_err(refused)?;
        let idempotency_key = key_of_call(metadata)?;
        let key_of_use = read.key_of_use(&idempotency_key, request);
        let command = AccountBody::UseOnce(UseOnce { key: ids::captcha_key(&read.nonce), expires_in_seconds: read.seconds });
        self.use_under(metadata, idempotency_key, key_of_use, command).await
    }

    /// Uses something up under a key of its use. A client whose call is refused is told the key of the call.
    async fn use_under(
        &self,
        metadata: &MetadataMap,
        idempotency_key: String,
        key_of_use: String,
        command: AccountBody,
    ) -> Result<(), Status> {
        let used = self.dispatcher.account(metadata, None, key_of_use, command).await;
        used.map(drop).map_err(|refusal| status::of(refusal, [("idempotency_key", idempotency_key)]))
    }

    /// Before a password is hashed, which is what costs. A wrong code is a try, and a right one is not used up by it.
    async fn look_at_code(&self, metadata: &MetadataMap, mobile: &str, key: &str, code_hash: &[u8]) -> Result<(), Status> {
        let log = self.queries.partitioner.of_mobile(mobile).log;
        let (key, code_hash) = (key.to_owned(), code_hash.to_vec());
        let said = UseCode { key: key.clone(), code_hash: code_hash.clone() };
        if self.queries.ask(log, questions::Code(said)).await?.is_right {
            return Ok(());
        }
        self.use_code(metadata, key, code_hash).await?;
        Err(refused(Code::SmsCodeNotFound))
    }

    /// Whoever says the password of a number.
    async fn by_password(&self, metadata: &MetadataMap, request: LoginRequest) -> Result<User, Status> {
        if let Some(captchas) = self.accounts.captchas() {
            self.use_captcha(metadata, captchas, &request.captcha_id, &request.captcha_answer, &request).await?;
        }
        self.rates.mobile(&request.mobile)?;
        let found = self.credentials_of_mobile(request.mobile).await?;
        let (user, hash) = match found {
            Some(Credentials { user, password_hash, .. }) => (user, Some(password_hash)),
            None => (None, None),
        };
        // Whoever has not said the password is not told whether there is such a user.
        let right = self.accounts.passwords.verify(request.password, hash).await.map_err(status::of_refusal)?;
        user.filter(|_| right).ok_or_else(|| refused(Code::PasswordIncorrect))
    }

    /// Whoever says the code that was sent to a number.
    async fn by_code(&self, metadata: &MetadataMap, request: LoginBySmsRequest) -> Result<User, Status> {
        let code_key = ids::code_key(SmsPurpose::Login, &request.verification_id, &request.mobile);
        let code_hash = self.accounts.codes.hash(&request.verification_id, &code_key, &request.sms_code);
        self.use_code(metadata, code_key, code_hash).await?;
        self.user_of_mobile(request.mobile).await
    }

    /// Signs in whoever has shown who they are.
    async fn sign_in(
        &self,
        metadata: &MetadataMap,
        origin: Option<Origin>,
        mobile: &str,
        how: &str,
        shown: Result<User, Status>,
    ) -> Result<Response<LoginResponse>, Status> {
        let given = match shown {
            Ok(user) => self.log_in(metadata, user).await,
            Err(status) => Err(status),
        };
        let response = given.inspect_err(|status| self.audit.sign_in_refused(origin, mobile, how, status))?;
        if let Some(user) = &response.user {
            self.audit.signed_in(origin, user, how);
        }
        Ok(Response::new(response))
    }

    /// Opens a session for a user who has shown who they are.
    async fn log_in(&self, metadata: &MetadataMap, user: User) -> Result<LoginResponse, Status> {
        let session = self.accounts.log_in(&user).map_err(refused)?;
        let command = AccountBody::OpenSession(OpenSession {
            user_id: user.user_id,
            session_id: session.session_id,
            secret_hash: session.secret_hash(),
            lifetime_seconds: self.accounts.session_lifetime.seconds(),
            auth_epoch: user.auth_epoch,
        });
        self.dispatcher.account(metadata, None, String::new(), command).await.map_err(status::of_refusal)?;
        Ok(self.given(user, &session))
    }

    fn given(&self, user: User, session: &Session) -> LoginResponse {
        let (token, refresh_token) = self.accounts.tokens(&user, session);
        LoginResponse { user: Some(user), token: Some(token), refresh_token: Some(refresh_token) }
    }

    /// Whether a user's password is this one, and its hash: the engine looks whether it still is.
    async fn shown(&self, user_id: u64, password: String) -> Result<(bool, String), Status> {
        let Credentials { password_hash, .. } = self.credentials(user_id).await?;
        // Programs, and who was deleted, have none that could be known.
        let in_force = Some(password_hash.clone()).filter(|hash| !hash.is_empty());
        let is_right = self.accounts.passwords.verify(password, in_force).await.map_err(status::of_refusal)?;
        Ok((is_right, password_hash))
    }

    async fn user(&self, user_id: u64) -> Result<User, Status> {
        self.ask_of_user(user_id, questions::User(UserQuery { user_id })).await
    }

    async fn credentials(&self, user_id: u64) -> Result<Credentials, Status> {
        self.ask_of_user(user_id, questions::Credentials(UserQuery { user_id })).await
    }

    async fn user_id_of_mobile(&self, mobile: String) -> Result<u64, Status> {
        let log = self.queries.partitioner.of_mobile(&mobile).log;
        Ok(self.queries.ask(log, questions::Mobile(MobileQuery { mobile })).await?.user_id)
    }

    async fn user_of_mobile(&self, mobile: String) -> Result<User, Status> {
        self.user(self.user_id_of_mobile(mobile).await?).await
    }

    /// `None` when the number is nobody's, after as many questions.
    async fn credentials_of_mobile(&self, mobile: String) -> Result<Option<Credentials>, Status> {
        let user_id = unless_missing(self.user_id_of_mobile(mobile).await)?;
        unless_missing(self.credentials(user_id.unwrap_or(NOBODY)).await)
    }
}

/// The key of a call that needs one.
fn key_of_call(metadata: &MetadataMap) -> Result<String, Status> {
    let key = idempotency_key(metadata)?;
    Ok(if key.is_empty() { random_hex() } else { key })
}

/// That nothing was done is not so once there is a user: a repeat under the same key logs them in.
fn once_registered(status: Status, idempotency_key: String) -> Status {
    match status.code() {
        tonic::Code::Unavailable | tonic::Code::ResourceExhausted => {
            status::of(refusals::outcome_unknown(), [("idempotency_key", idempotency_key)])
        }
        _ => status,
    }
}

fn unless_missing<T>(found: Result<T, Status>) -> Result<Option<T>, Status> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(status) => Err(status),
    }
}

fn refused(code: Code) -> Status {
    status::of_refusal(code.refusal())
}

fn user_of(outcome: Outcome) -> Result<User, Status> {
    match outcome.result {
        Some(OutcomeResult::User(user)) => Ok(user),
        _ => Err(unexpected("an outcome of another kind")),
    }
}

/// The first `size` of what the logs gave, as far as all of them were looked through.
fn page(of_logs: Vec<Users>, size: usize) -> ListUsersResponse {
    let total = of_logs.iter().map(|of_log| of_log.total).sum();
    let through = of_logs.iter().map(|of_log| of_log.after).filter(|after| *after != 0).min();
    let mut users: Vec<_> = of_logs.into_iter().flat_map(|of_log| of_log.users).collect();
    users.retain(|user| through.is_none_or(|through| user.user_id <= through));
    users.sort_unstable_by_key(|user| user.user_id);
    let is_full = users.len() > size;
    users.truncate(size);
    let after = if is_full { users.last().map(|last| last.user_id) } else { through };
    ListUsersResponse { users, next_page_token: page_token::after(after.unwrap_or(0)), total }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_by_id_over_all_logs() {
        let of_log = |user_ids: &[u64], after, total| Users {
            users: user_ids.iter().map(|&user_id| User { user_id, ..User::default() }).collect(),
            after,
            total,
        };
        let logs = vec![of_log(&[1, 4, 7], 0, 10), of_log(&[2, 3, 9], 0, 20)];
        let ids = |page: &ListUsersResponse| page.users.iter().map(|user| user.user_id).collect::<Vec<_>>();
        let first = page(logs.clone(), 3);
        assert_eq!((ids(&first), first.next_page_token.as_str(), first.total), (vec![1, 2, 3], "3", 30));
        let whole = page(logs, 6);
        assert_eq!((ids(&whole), whole.next_page_token.as_str(), whole.total), (vec![1, 2, 3, 4, 7, 9], "", 30));
        let cut = page(vec![of_log(&[1, 4, 7], 8, 10), of_log(&[2], 5, 20)], 6);
        assert_eq!((ids(&cut), cut.next_page_token.as_str()), (vec![1, 2, 4], "5"), "the second log may have more after 5");
    }
}
