//! The way into a nats-server: where it is, and what is shown there.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use async_nats::{ConnectOptions, ServerAddr};

use super::User;
use crate::LogError;

/// How a process gets into a nats-server. Printed, it is the address, and no secret.
#[derive(Clone)]
pub struct Access {
    address: ServerAddr,
    user: User,
    login: Login,
    tls: Tls,
}

/// What a client shows to be let in.
#[derive(Clone, Default)]
pub enum Login {
    /// Nothing, or a certificate.
    #[default]
    Nothing,
    /// Of a user of the server's configuration.
    Password {
        /// Its name.
        user: String,
        /// In clear.
        password: String,
    },
    /// The seed of an nkey.
    Nkey(String),
    /// The text of a credentials file: a JWT and the seed of its user.
    Credentials(String),
}

/// Files in PEM.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Certificates of who signs that of the server, instead of those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The client's certificate, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Access {
    /// By an address such as `nats://127.0.0.1:4222` or `tls://user:password@host`.
    ///
    /// # Errors
    /// [`LogError::Unreachable`] when it is none.
    pub fn new(url: &str, user: User) -> Result<Self, LogError> {
        let address = url.parse::<ServerAddr>().map_err(|error| unreachable(&error))?;
        let login = match (address.username(), address.password()) {
            (Some(user), Some(password)) => Login::Password { user: user.to_owned(), password: password.to_owned() },
            _ => Login::Nothing,
        };
        Ok(Self { address: without_login(address)?, user, login, tls: Tls::default() })
    }

    /// Shows this.
    #[must_use]
    pub fn with_login(self, login: Login) -> Self {
        Self { login, ..self }
    }

    /// Trusts these certificates, and shows this one.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls, ..self }
    }

    /// As whom.
    pub(super) fn user(&self) -> User {
        self.user
    }

    pub(super) fn address(&self) -> &ServerAddr {
        &self.address
    }

    /// Whether nothing but the address is shown, and the address is of another machine.
    pub(super) fn is_open_to_others(&self) -> bool {
        let host = self.address.host();
        let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        !is_here && self.tls.identity.is_none()
    }

    pub(super) fn options(&self) -> Result<ConnectOptions, LogError> {
        let mut options = match self.login.clone() {
            Login::Nothing => ConnectOptions::new(),
            Login::Password { user, password } => ConnectOptions::with_user_and_password(user, password),
            Login::Nkey(seed) => ConnectOptions::with_nkey(seed),
            Login::Credentials(text) => ConnectOptions::with_credentials(&text)
                .map_err(|error| LogError::Unreachable(format!("no connection to nats-server at {self}: {error}")))?,
        };
        if let Some(ca) = self.tls.ca.clone() {
            options = options.add_root_certificates(ca);
        }
        if let Some((certificate, key)) = self.tls.identity.clone() {
            options = options.add_client_certificate(certificate, key);
        }
        Ok(options.custom_inbox_prefix(self.user.inbox()))
    }
}

/// The client would not use it, and shows addresses.
fn without_login(address: ServerAddr) -> Result<ServerAddr, LogError> {
    let mut url = address.into_inner();
    let cleared = url.set_password(None).and_then(|()| url.set_username(""));
    cleared.map_err(|()| unreachable(&"it has no host"))?;
    ServerAddr::from_url(url).map_err(|error| unreachable(&error))
}

fn unreachable(error: &dyn fmt::Display) -> LogError {
    LogError::Unreachable(format!("not the way into a nats-server: {error}"))
}

impl fmt::Display for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let (scheme, host, port) = (self.address.scheme(), self.address.host(), self.address.port());
        if host.contains(':') {
            write!(formatter, "{scheme}://[{host}]:{port}")
        } else {
            write!(formatter, "{scheme}://{host}:{port}")
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{self} as {}", self.user.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_has_no_secret() {
        for (url, printed) in [
            ("nats://shop:s3cret@shop.example:4333", "nats://shop.example:4333"),
            ("tls://shop:s3cret@[::1]", "tls://[::1]:4222"),
            ("127.0.0.1", "nats://127.0.0.1:4222"),
        ] {
            let access = Access::new(url, User::Shop).expect("an address");
            assert_eq!(access.to_string(), printed);
            assert_eq!(access.address().password(), None);
            assert_eq!(matches!(access.login, Login::Password { .. }), url.contains('@'));
            assert!(!format!("{access:?} {:?}", access.options().expect("options")).contains("s3cret"), "{access:?}");
        }
        let refused = Access::new("http://shop:s3cret@shop.example", User::Shop).expect_err("another protocol").to_string();
        assert!(!refused.contains("s3cret"), "{refused}");
    }

    #[test]
    fn who_is_elsewhere_is_told_apart() {
        for (url, elsewhere) in
            [("localhost", false), ("127.0.0.9:1", false), ("[::1]:1", false), ("0.0.0.0", true), ("shop.example", true)]
        {
            assert_eq!(Access::new(url, User::Shop).expect("an address").is_open_to_others(), elsewhere, "{url}");
        }
    }
}
