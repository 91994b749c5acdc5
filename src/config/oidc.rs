//! Settings of an outside issuer, whose tokens the staff comes with.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Error, Result, bail, ensure};
use emshop_ingress::{Issuer, IssuerOptions};
use emshop_proto::access::Role;
use serde::{Deserialize, Serialize};

use super::Unacceptable;

/// `iss` of our own tokens: nobody else is called so.
const OURS: &str = "emshop";
/// It stands in the records of all that its staff does.
const ISSUER_BYTES_MAX: usize = 200;

/// An outside issuer, such as Keycloak, whose tokens the staff comes with. All of it is set, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oidc {
    /// Outside issuer of tokens for the staff, as `iss` in its tokens has it; the other settings of `auth.oidc` go with it.
    pub issuer: Option<String>,
    /// What `aud` in its tokens must have in it: whom they were given for.
    pub audience: Option<String>,
    /// Its keys: the path of a JSON Web Key Set, or the URL of one, https or on a loopback address.
    pub jwks: Option<String>,
    /// The claim that says what somebody is: its name, or the way to it, such as Keycloak's `realm_access.roles`.
    pub role_claim: Option<String>,
    /// What values of that claim are here, such as `shop-support=support,shop-admin=admin`. Whoever has none of them is refused.
    pub roles: Option<StaffRoles>,
}

/// Values of a claim and the roles that they are, written as `shop-support=support,shop-admin=admin`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StaffRoles(BTreeMap<String, Role>);

impl TryFrom<String> for StaffRoles {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let mut roles = BTreeMap::new();
        for part in text.split(',') {
            let (value, name) =
                part.rsplit_once('=').with_context(|| format!("{part:?} is no value of a claim with its role"))?;
            let (value, name) = (value.trim(), name.trim());
            let role = Role::of_name(name).filter(|role| *role != Role::User);
            let role =
                role.with_context(|| format!("{name:?} is no role of the staff: support, warehouse, finance, admin or super"))?;
            ensure!(!value.is_empty(), "{part:?} has no value of a claim");
            ensure!(roles.insert(value.to_owned(), role).is_none(), "{value:?} has two roles");
        }
        Ok(Self(roles))
    }
}

impl From<StaffRoles> for String {
    fn from(StaffRoles(roles): StaffRoles) -> Self {
        roles.iter().map(|(value, role)| format!("{value}={}", role.name())).collect::<Vec<_>>().join(",")
    }
}

impl Oidc {
    /// # Errors
    /// When a part of it is missing, or is none.
    pub fn check(&self) -> Result<()> {
        let Some(IssuerOptions { issuer, audience, role_claim, .. }) = self.options()? else { return Ok(()) };
        ensure!(
            issuer != OURS && (1..=ISSUER_BYTES_MAX).contains(&issuer.len()),
            "auth.oidc.issuer is what iss is in tokens of the outside issuer: up to {ISSUER_BYTES_MAX} bytes, and not {OURS:?}, as in our own"
        );
        ensure!(!audience.is_empty() && !role_claim.is_empty(), "auth.oidc.audience and auth.oidc.role_claim are no empty texts");
        Ok(())
    }

    /// The issuer of these settings, if there is one.
    ///
    /// # Errors
    /// [`Unacceptable`], when its keys cannot be had from where they are.
    pub fn issuer(&self) -> Result<Option<Arc<Issuer>>> {
        let issuer = |options| Issuer::new(options).map(Arc::new).context("auth.oidc.jwks").context(Unacceptable);
        self.options()?.map(issuer).transpose()
    }

    fn options(&self) -> Result<Option<IssuerOptions>> {
        match self.clone() {
            Self { issuer: None, audience: None, jwks: None, role_claim: None, roles: None } => Ok(None),
            Self {
                issuer: Some(issuer),
                audience: Some(audience),
                jwks: Some(jwks),
                role_claim: Some(role_claim),
                roles: Some(roles),
            } => Ok(Some(IssuerOptions { issuer, audience, jwks, role_claim, roles: roles.0 })),
            _ => bail!(
                "an outside issuer needs all of auth.oidc.issuer, auth.oidc.audience, auth.oidc.jwks, auth.oidc.role_claim and \
                 auth.oidc.roles"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(text: &str) -> Result<StaffRoles> {
        text.to_owned().try_into()
    }

    fn oidc() -> Oidc {
        let text = |text: &str| Some(text.to_owned());
        Oidc {
            issuer: text("https://login.example/realms/shop"),
            audience: text("emshop"),
            jwks: text("https://login.example/realms/shop/protocol/openid-connect/certs"),
            role_claim: text("realm_access.roles"),
            roles: Some(roles("shop-admin=admin").expect("a role")),
        }
    }

    #[test]
    fn roles_are_those_of_the_staff() {
        for (text, back) in [
            ("shop-admin=admin", "shop-admin=admin"),
            (" b = support , a=super,c d=finance", "a=super,b=support,c d=finance"),
            ("urn:shop=x=warehouse,https://shop.example/r=admin", "https://shop.example/r=admin,urn:shop=x=warehouse"),
        ] {
            assert_eq!(String::from(roles(text).expect("roles")), back, "{text:?}");
        }
        for text in [
            "",
            "admin",
            "a=",
            "a=king",
            "a=user",
            "a=unspecified",
            "a=Admin",
            "=admin",
            "a=admin,",
            "a=admin,a=support",
            "a:admin",
        ] {
            assert!(roles(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_issuer_is_all_of_its_settings() {
        assert!(Oidc::default().check().is_ok() && Oidc::default().issuer().is_ok_and(|issuer| issuer.is_none()));
        assert!(oidc().check().is_ok() && oidc().issuer().is_ok_and(|issuer| issuer.is_some()));
        let empty = || Some(String::new());
        for bad in [
            Oidc { issuer: None, ..oidc() },
            Oidc { audience: None, ..oidc() },
            Oidc { jwks: None, ..oidc() },
            Oidc { role_claim: None, ..oidc() },
            Oidc { roles: None, ..oidc() },
            Oidc { issuer: Some("emshop".to_owned()), ..oidc() },
            Oidc { issuer: Some("x".repeat(ISSUER_BYTES_MAX + 1)), ..oidc() },
            Oidc { issuer: empty(), ..oidc() },
            Oidc { audience: empty(), ..oidc() },
            Oidc { role_claim: empty(), ..oidc() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        for jwks in ["http://login.example/certs", "ftp://login.example/certs", "/nowhere/at/all.json", ""] {
            let error = Oidc { jwks: Some(jwks.to_owned()), ..oidc() }.issuer().expect_err(jwks);
            assert!(error.is::<Unacceptable>() && format!("{error:#}").contains("auth.oidc.jwks"), "{error:#}");
        }
    }
}
