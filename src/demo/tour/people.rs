//! Accounts: a mobile number, a password, a token.

use anyhow::{Context, Result, ensure};
use emshop_proto::commands::call;
use emshop_proto::errors::Code;
use emshop_proto::v1::{
    Address, CreateAddressRequest, CreateMessageRequest, GetCaptchaRequest, LoginRequest, MessageKind, RegisterRequest,
    SendSmsCodeRequest, SmsPurpose, UpdateProfileRequest, UserMessage,
};

use super::{Tour, refused};
use crate::demo::phones;

const PASSWORD: &str = "correct horse battery";

/// Whoever shops in the tour.
pub struct Customer {
    pub user_id: u64,
    pub address_id: u64,
}

pub async fn arrive(tour: &mut Tour) -> Result<Customer> {
    let mobile = format!("139{:08}", tour.number % 100_000_000);
    let user_id = register(tour, &mobile).await?;
    log_in(tour, &mobile).await?;
    let address_id = settle_in(tour, user_id).await?;
    Ok(Customer { user_id, address_id })
}

/// A captcha that somebody has read: its id and answer.
async fn captcha(tour: &Tour) -> Result<(String, String)> {
    let captcha = tour.client.users().get_captcha(GetCaptchaRequest {}).await?.into_inner();
    Ok((captcha.captcha_id, phones::read(&captcha.image)?))
}

async fn register(tour: &mut Tour, mobile: &str) -> Result<u64> {
    let mut users = tour.client.users();
    let ask = async || {
        let (captcha_id, captcha_answer) = captcha(tour).await?;
        let (mobile, purpose) = (mobile.to_owned(), SmsPurpose::Register.into());
        anyhow::Ok(SendSmsCodeRequest { mobile, purpose, captcha_id, captcha_answer })
    };
    let sent = users.send_sms_code(ask().await?).await.context("a code is not sent")?.into_inner();
    refused(users.send_sms_code(ask().await?).await, Code::SmsTooOften)?;
    let right = tour.phones.code(mobile)?;
    let wrong = if right == "000000" { "000001" } else { "000000" };
    let request = async |key: &str, nick_name: &str, sms_code: &str| {
        let (captcha_id, captcha_answer) = captcha(tour).await?;
        let (mobile, password, sms_code) = (mobile.to_owned(), PASSWORD.to_owned(), sms_code.to_owned());
        let (verification_id, nick_name) = (sent.verification_id.clone(), nick_name.to_owned());
        let request = RegisterRequest { mobile, password, sms_code, nick_name, verification_id, captcha_id, captcha_answer };
        anyhow::Ok(call(key, request))
    };
    refused(users.register(request("first", "小明", wrong).await?).await, Code::SmsCodeIncorrect)?;
    let first = users.register(request("first", "小明", &right).await?).await?.into_inner();
    let user = first.user.context("no user is registered")?;
    let again = users.register(request("first", "小明", &right).await?).await?.into_inner();
    ensure!(again.repeated && again.user.as_ref() == Some(&user), "registering again is no repeat");
    refused(users.register(request("second", "小红", &right).await?).await, Code::UserAlreadyExists)?;
    tour.saw("register", format!("{mobile} is user {}; sent again: repeated; the number is nobody else's", user.user_id));
    Ok(user.user_id)
}

async fn log_in(tour: &mut Tour, mobile: &str) -> Result<()> {
    let mut users = tour.client.users();
    let login = |(captcha_id, captcha_answer): (String, String), password: &str| LoginRequest {
        mobile: mobile.to_owned(),
        password: password.to_owned(),
        captcha_id,
        captcha_answer,
    };
    let used = captcha(tour).await?;
    refused(users.login(login(used.clone(), "wrong")).await, Code::PasswordIncorrect)?;
    refused(users.login(login(used, PASSWORD)).await, Code::CaptchaIncorrect)?;
    let answer = users.login(login(captcha(tour).await?, PASSWORD)).await?.into_inner();
    let token = answer.token.context("a login gives a token")?;
    ensure!(token.token.split('.').count() == 3, "the token is no JSON Web Token");
    tour.saw("login", format!("a token of {} bytes; a captcha is good for one try", token.token.len()));
    Ok(())
}

async fn settle_in(tour: &mut Tour, user_id: u64) -> Result<u64> {
    let profile = UpdateProfileRequest { user_id, birthday: Some("1990-02-28".to_owned()), ..UpdateProfileRequest::default() };
    tour.client.users().update_profile(profile).await?;
    let mut operations = tour.client.user_operations();
    let address = Address {
        province: "上海市".to_owned(),
        city: "上海市".to_owned(),
        district: "长宁区".to_owned(),
        street: "愚园路 1107 号".to_owned(),
        receiver_name: "王小明".to_owned(),
        receiver_phone: "13800000000".to_owned(),
        ..Address::default()
    };
    let request = CreateAddressRequest { user_id, address: Some(address) };
    let address = operations.create_address(request).await?.into_inner().address.context("no address")?;
    ensure!(address.is_default, "the first address is the default");
    let message = UserMessage {
        kind: MessageKind::Enquiry.into(),
        subject: "到货".to_owned(),
        text: "龙井什么时候到货？".to_owned(),
        ..UserMessage::default()
    };
    operations.create_message(CreateMessageRequest { user_id, message: Some(message) }).await?;
    tour.saw("profile", "a birthday, a default address, an enquiry");
    Ok(address.address_id)
}
