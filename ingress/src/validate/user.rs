//! Of users.

use emshop_proto::v1::{
    ChangePasswordRequest, CreateServiceAccountRequest, DeleteUserRequest, FieldViolation, Gender, ListUsersRequest,
    LoginBySmsRequest, LoginRequest, RegisterRequest, Role, SendSmsCodeRequest, SetUserRoleRequest, SetUserStatusRequest,
    SmsPurpose, UpdateProfileRequest, UserStatus,
};

use super::PAGE_SIZE_MAX;
use super::fields::Check;

const NICK_NAME_BYTES_MAX: usize = 64;
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=64;
/// Of what a client says back to an SMS or a captcha.
const ANSWER_BYTES_MAX: usize = 16;
const CAPTCHA_ID_BYTES_MAX: usize = 128;
const REFRESH_TOKEN_BYTES_MAX: usize = 128;
const VERIFICATION_ID_BYTES_MAX: usize = 64;
const BIRTH_YEAR_MIN: u32 = 1900;

pub fn update_profile(check: &mut Check, request: &UpdateProfileRequest) {
    check.numeric_id("user_id", request.user_id);
    if let Some(nick_name) = &request.nick_name {
        check.words("nick_name", nick_name, 1..=NICK_NAME_BYTES_MAX);
    }
    if let Some(gender) = request.gender {
        check.require(Gender::try_from(gender).is_ok(), "gender", "is not known");
    }
    if let Some(birthday) = &request.birthday {
        check.require(
            birthday.is_empty() || is_date(birthday),
            "birthday",
            "must be a day as yyyy-mm-dd, from 1900 on, or empty",
        );
    }
}

pub fn set_user_status(check: &mut Check, request: &SetUserStatusRequest) {
    check.numeric_id("user_id", request.user_id);
    let known = matches!(UserStatus::try_from(request.status), Ok(UserStatus::Active | UserStatus::Disabled));
    check.require(known, "status", "must be active or disabled");
}

pub fn set_user_role(check: &mut Check, request: &SetUserRoleRequest) {
    check.numeric_id("user_id", request.user_id);
    let known = Role::try_from(request.role).is_ok_and(|role| role != Role::Unspecified);
    check.require(known, "role", "must be one of the roles");
}

pub fn create_service_account(request: &CreateServiceAccountRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.words("name", &request.name, 1..=NICK_NAME_BYTES_MAX);
    let is_staff = !matches!(request.role(), Role::Unspecified | Role::User);
    check.require(is_staff, "role", "must be one of the staff's");
    check.into_violations()
}

pub fn send_sms_code(request: &SendSmsCodeRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    mobile(&mut check, &request.mobile);
    let known = SmsPurpose::try_from(request.purpose).is_ok_and(|purpose| purpose != SmsPurpose::Unspecified);
    check.require(known, "purpose", "must be one of the purposes");
    captcha(&mut check, &request.captcha_id, &request.captcha_answer, 1);
    check.into_violations()
}

pub fn register(request: &RegisterRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    mobile(&mut check, &request.mobile);
    check.text("password", &request.password, PASSWORD_BYTES);
    code(&mut check, &request.sms_code, &request.verification_id);
    captcha(&mut check, &request.captcha_id, &request.captcha_answer, 1);
    check.words("nick_name", &request.nick_name, 0..=NICK_NAME_BYTES_MAX);
    check.into_violations()
}

/// Bounds only: whether a password could be one is nothing that a login tells.
pub fn login(request: &LoginRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    mobile(&mut check, &request.mobile);
    check.text("password", &request.password, 1..=*PASSWORD_BYTES.end());
    captcha(&mut check, &request.captcha_id, &request.captcha_answer, 0);
    check.into_violations()
}

pub fn refresh_token(token: &str) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.text("refresh_token", token, 1..=REFRESH_TOKEN_BYTES_MAX);
    check.into_violations()
}

pub fn login_by_sms(request: &LoginBySmsRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    mobile(&mut check, &request.mobile);
    code(&mut check, &request.sms_code, &request.verification_id);
    check.into_violations()
}

fn code(check: &mut Check, code: &str, verification_id: &str) {
    check.text("sms_code", code, 1..=ANSWER_BYTES_MAX);
    check.text("verification_id", verification_id, 1..=VERIFICATION_ID_BYTES_MAX);
}

fn captcha(check: &mut Check, id: &str, answer: &str, bytes_min: usize) {
    check.text("captcha_id", id, bytes_min..=CAPTCHA_ID_BYTES_MAX);
    check.text("captcha_answer", answer, bytes_min..=ANSWER_BYTES_MAX);
}

pub fn change_password(request: &ChangePasswordRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.numeric_id("user_id", request.user_id);
    check.text("old_password", &request.old_password, 1..=*PASSWORD_BYTES.end());
    check.text("new_password", &request.new_password, PASSWORD_BYTES);
    check.into_violations()
}

/// Staff says no password.
pub fn delete_user(request: &DeleteUserRequest, is_self: bool) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.numeric_id("user_id", request.user_id);
    if is_self {
        check.text("password", &request.password, 1..=*PASSWORD_BYTES.end());
    }
    check.into_violations()
}

/// Of a read that names one user.
pub fn user_id(user_id: u64) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.numeric_id("user_id", user_id);
    check.into_violations()
}

/// Of a read that names one number.
pub fn by_mobile(number: &str) -> Vec<FieldViolation> {
    let mut check = Check::default();
    mobile(&mut check, number);
    check.into_violations()
}

pub fn list_users(request: &ListUsersRequest) -> Vec<FieldViolation> {
    let mut check = Check::default();
    check.page::<[u64; 1]>(request.page_size, PAGE_SIZE_MAX, &request.page_token);
    check.require(Role::try_from(request.role).is_ok(), "role", "is not known");
    check.require(UserStatus::try_from(request.status).is_ok(), "status", "is not known");
    check.into_violations()
}

fn mobile(check: &mut Check, mobile: &str) {
    check.require(is_mobile(mobile), "mobile", "must be a mobile number of mainland China: 11 digits, the first two 13 to 19");
}

/// Operators get new prefixes now and then, so all that there can be are taken.
fn is_mobile(mobile: &str) -> bool {
    mobile.len() == 11 && mobile.bytes().all(|byte| byte.is_ascii_digit()) && matches!(mobile.as_bytes(), [b'1', b'3'..=b'9', ..])
}

/// A day of the calendar as `yyyy-mm-dd`.
fn is_date(text: &str) -> bool {
    let shaped = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !shaped {
        return false;
    }
    let number = |range: std::ops::Range<usize>| text[range].parse::<u32>().unwrap_or(0);
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    year >= BIRTH_YEAR_MIN && (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(violations: Vec<FieldViolation>) -> Vec<String> {
        violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn mobile_numbers() {
        for good in ["13800000000", "19912345678", "16612345678", "14700000000", "17012345678"] {
            assert!(is_mobile(good), "{good}");
        }
        for bad in ["", "1380000000", "138000000000", "12800000000", "03800000000", "1380000000a", "１3800000000", "+8613800000"]
        {
            assert!(!is_mobile(bad), "{bad}");
        }
    }

    #[test]
    fn days_of_the_calendar() {
        for good in ["1990-01-31", "2000-02-29", "2024-02-29", "1999-12-31", "2023-04-30", "1900-01-01"] {
            assert!(is_date(good), "{good}");
        }
        for bad in [
            "",
            "1990-1-31",
            "1990-13-01",
            "1990-00-10",
            "1990-04-31",
            "2023-02-29",
            "1900-02-29",
            "1899-12-31",
            "1990-01-00",
            "1990/01/01",
            "19900-1-01",
            "+990-01-01",
            "1990-01-011",
        ] {
            assert!(!is_date(bad), "{bad}");
        }
    }

    #[test]
    fn every_field_is_looked_at() {
        assert_eq!(
            fields(register(&RegisterRequest::default())),
            ["mobile", "password", "sms_code", "verification_id", "captcha_id", "captcha_answer"]
        );
        let long = "x".repeat(65);
        let request = RegisterRequest {
            mobile: "13800000000".to_owned(),
            password: long.clone(),
            sms_code: "x".repeat(17),
            nick_name: long.clone(),
            verification_id: long.clone(),
            captcha_id: "x".repeat(129),
            captcha_answer: long,
        };
        let too_long = ["password", "sms_code", "verification_id", "captcha_id", "captcha_answer", "nick_name"];
        assert_eq!(fields(register(&request)), too_long);
        // Not every server draws captchas.
        assert_eq!(fields(login(&LoginRequest::default())), ["mobile", "password"]);
        assert_eq!(fields(login_by_sms(&LoginBySmsRequest::default())), ["mobile", "sms_code", "verification_id"]);
        let unread = ["mobile", "purpose", "captcha_id", "captcha_answer"];
        assert_eq!(fields(send_sms_code(&SendSmsCodeRequest { purpose: 9, ..Default::default() })), unread);
        let request = ChangePasswordRequest { old_password: "old".to_owned(), new_password: "short".to_owned(), user_id: 0 };
        assert_eq!(fields(change_password(&request)), ["user_id", "new_password"]);
        let request =
            ListUsersRequest { page_size: 101, page_token: "x".to_owned(), role: 9, status: 9, ..ListUsersRequest::default() };
        assert_eq!(fields(list_users(&request)), ["page_size", "page_token", "role", "status"]);

        let checked = |fill: &dyn Fn(&mut Check)| {
            let mut check = Check::default();
            fill(&mut check);
            fields(check.into_violations())
        };
        let profile = UpdateProfileRequest {
            user_id: 0,
            nick_name: Some(String::new()),
            gender: Some(9),
            birthday: Some("yesterday".to_owned()),
        };
        assert_eq!(checked(&|check| update_profile(check, &profile)), ["user_id", "nick_name", "gender", "birthday"]);
        let forget = UpdateProfileRequest { user_id: 7, birthday: Some(String::new()), gender: Some(0), nick_name: None };
        assert!(checked(&|check| update_profile(check, &forget)).is_empty());
        assert_eq!(checked(&|check| set_user_status(check, &SetUserStatusRequest::default())), ["user_id", "status"]);
        assert_eq!(checked(&|check| set_user_role(check, &SetUserRoleRequest::default())), ["user_id", "role"]);
    }
}
