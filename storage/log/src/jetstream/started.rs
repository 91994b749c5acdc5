//! What stands in the folder of a started nats-server beside its streams: its configuration, where it listens, and the passwords of its
//! users. Only their owner may read any of it.

use std::io::{self, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::{fs, iter};

use rand::Rng;
use tempfile::NamedTempFile;

use super::users::{self, CONSUMER};
use super::{Access, Login, SyncMode, User};

/// Below the range from which systems take the ports of outgoing connections, so that nobody takes ours while the child restarts.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const PORT_ATTEMPTS: usize = 100;

const CONFIG_FILE: &str = "nats-server.conf";
/// Where it can be reached.
const URL_FILE: &str = "nats-server.url";
const PASSWORD_BYTES: usize = 32;

/// Writes all of it for a server that is started now, and gives its configuration.
///
/// Passwords are new at each start, but that of downstream services: they were told it.
pub(super) fn write(data_dir: &Path, port: u16, sync: SyncMode) -> io::Result<PathBuf> {
    for user in User::ALL {
        write_secret(&password_file(data_dir, user.name()), &new_password())?;
    }
    if !password_file(data_dir, CONSUMER).exists() {
        write_secret(&password_file(data_dir, CONSUMER), &new_password())?;
    }
    let users = User::ALL.map(User::name).into_iter().chain([CONSUMER]);
    let passwords = users.map(|user| Ok((user, password(data_dir, user)?))).collect::<io::Result<Vec<_>>>()?;
    let password = |user: &str| passwords.iter().find(|(name, _)| *name == user).map(|(_, password)| format!("{password:?}"));
    let accounts = users::accounts(|user| password(user).expect("each user has one"));
    let path = data_dir.join(CONFIG_FILE);
    write_secret(&path, &(config(data_dir, port, sync) + &accounts))?;
    write_secret(&data_dir.join(URL_FILE), &url(port))?;
    Ok(path)
}

/// The way into it as this user.
pub(super) fn access(data_dir: &Path, user: User) -> io::Result<Access> {
    let access = Access::new(&address(data_dir)?, user).map_err(io::Error::other)?;
    let (user, password) = (user.name().to_owned(), password(data_dir, user.name())?);
    Ok(access.with_login(Login::Password { user, password }))
}

/// Where it listens.
pub(super) fn address(data_dir: &Path) -> io::Result<String> {
    fs::read_to_string(data_dir.join(URL_FILE))
}

/// Of this user.
pub(super) fn password(data_dir: &Path, user: &str) -> io::Result<String> {
    let path = password_file(data_dir, user);
    let password = fs::read_to_string(&path)?;
    match password.trim() {
        "" => Err(io::Error::other(format!("{} is empty: remove it", path.display()))),
        password => Ok(password.to_owned()),
    }
}

/// Where to listen: where it did before, if nobody else does, so that downstream services find it again.
pub(super) fn free_port(data_dir: &Path) -> io::Result<u16> {
    let before = address(data_dir).ok().and_then(|url| url.rsplit_once(':')?.1.trim().parse().ok());
    let others = iter::repeat_with(|| rand::random_range(PORTS)).take(PORT_ATTEMPTS);
    let mut error = None;
    for port in before.into_iter().chain(others) {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(refused) => error = Some(refused),
        }
    }
    Err(error.expect("at least one attempt"))
}

fn password_file(data_dir: &Path, user: &str) -> PathBuf {
    data_dir.join(format!("{user}.password"))
}

fn new_password() -> String {
    let bytes: [u8; PASSWORD_BYTES] = rand::rng().random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As a whole: a file of another mode that is there is not written to.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut file = NamedTempFile::new_in(path.parent().expect("it is in the server's folder"))?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

fn url(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

/// All but the accounts. The server keeps its streams in the folder `jetstream` within `store_dir`.
fn config(data_dir: &Path, port: u16, sync: SyncMode) -> String {
    let store_dir = data_dir.to_string_lossy();
    let sync_interval = match sync {
        SyncMode::Always => "always".to_owned(),
        SyncMode::Interval(interval) => format!("{}ms", interval.as_millis()),
    };
    format!(
        r#"# Written by emshop at each start.
listen: "127.0.0.1:{port}"

# What may wait for one connection before it is cut off. A reader that is far behind is sent up to 32 MB ahead.
max_pending: 256MB

jetstream {{
  store_dir: {store_dir:?}
  sync_interval: {sync_interval}
  # Each stream has its own limit. The default, three quarters of what is free at the start, would refuse every message
  # after a restart on a disk that is more than half full.
  max_file_store: 1024TB
}}

"#
    )
}
