//! What log lines tell of tokens that are not believed.

use super::*;

/// Whoever has set the issuer up wrong finds out how by the log lines.
#[test]
fn what_is_wrong_with_a_token_is_told_with_what_was_there() {
    let [one, other] = [Pair::ed25519("a"), Pair::ed25519("b")];
    let issuer = issuer(&[&one, &other]);
    let refused = |token: &str| match issuer.verify(token) {
        Err(Unbelieved::Refused(refused)) => refused,
        believed => panic!("{believed:?}"),
    };
    let now = get_current_timestamp();
    let long = "x".repeat(2_000);
    type Case<'a> = (&'a dyn Fn(&mut Header, &mut Value), &'a str);
    let table: [Case; 12] = [
        (&|_, claims| claims["aud"] = json!("account"), r#"its aud is "account", without auth.oidc.audience "emshop""#),
        (&|_, claims| claims["aud"] = json!(["account", "others"]), r#"its aud is ["account","others"], without"#),
        (&|_, claims| drop(claims.as_object_mut().expect("claims").remove("aud")), "Missing required claim: aud"),
        (&|_, claims| claims["aud"] = json!(long), r#"its aud is "xxxx"#),
        (
            &|_, claims| claims["iss"] = json!("https://a\nb"),
            r#"its iss is "https://a\nb", and not auth.oidc.issuer "https://login"#,
        ),
        (&|_, claims| claims["exp"] = json!(now + 90_000), "it is good for 90000 s from iat to exp, and may be for 86400"),
        (&|_, claims| claims["exp"] = json!(now - 60), "its exp is "),
        (&|_, claims| claims["nbf"] = json!(now + 60), "its nbf is "),
        (&|_, claims| claims["sub"] = json!(""), "its sub has 0 bytes"),
        (&|header, _| header.kid = None, "it names no key (kid), and the issuer has 2"),
        (&|header, _| header.kid = Some("b".to_owned()), r#"its signature is not by its key (kid) "b""#),
        (&|header, _| header.crit = Some(vec!["b64".to_owned()]), "its header has crit"),
    ];
    for (change, expected) in table {
        let cause = refused(&one.sign(change)).cause.expect("a cause");
        assert!(cause.starts_with(expected) && cause.len() < 400, "{expected}: {cause}");
    }

    // Who has no role is somebody all the same.
    let roles = |roles: Value| refused(&one.sign(|_, claims| claims["realm_access"] = roles));
    let nobody = roles(json!({"roles": ["customer"]}));
    let subject = Some(Box::new(Subject { issuer: ISSUER.to_owned(), id: "f3a1".to_owned() }));
    let by = Operator { kind: OperatorKind::Admin.into(), subject, ..Operator::default() };
    assert_eq!((nobody.code, nobody.by), (Code::RoleNotMapped, Some(by)));
    let cause = nobody.cause.expect("a cause");
    assert!(cause.contains(r#"its realm_access.roles is ["customer"], nothing of which"#), "{cause}");
    assert!(roles(json!({})).cause.is_some_and(|cause| cause.starts_with("it has no realm_access.roles")));
}

#[test]
fn a_token_that_names_another_issuer_is_told_so() {
    let pair = Pair::ed25519("a");
    let issuer = issuer(&[&pair]);
    let cause = |issuer: Option<&Issuer>, token: &str| disown(issuer, Code::TokenInvalid, token).cause;
    let strange = pair.sign(|_, claims| claims["iss"] = json!("https://login.example/realms/others"));
    let told = cause(Some(&issuer), &strange).expect("a cause");
    assert!(told.contains(r#"its iss is "https://login.example/realms/others", and not auth.oidc.issuer "https://"#), "{told}");
    assert!(cause(None, &strange).is_some_and(|cause| cause.contains("no auth.oidc.issuer is set")));
    assert!(cause(Some(&issuer), "a.b.c").is_some_and(|cause| cause == "it has no iss that can be read"));
    assert!(cause(None, &"x".repeat(TOKEN_BYTES_MAX + 1)).is_some_and(|cause| cause.contains("longer than 8192 bytes")));
    let own = own::Tokens::of_chance(LIFETIME_MAX).sign(Caller { user_id: 7, role: Role::User }, None).token;
    assert_eq!(cause(Some(&issuer), &own), None, "it is one of the shop's");
}
