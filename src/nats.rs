//! The nats-server of a process, and the way into it: that of the settings, or the one that is started in the data folder.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use emshop_log::jetstream::{Access, Login, NatsServer, ServerOptions, Tls, User};

use crate::config::{Nats, Role, Unacceptable};
use crate::folder::Layout;
use crate::secret;

/// As whom a process of this role logs in.
pub fn user(role: Role) -> User {
    match role {
        Role::All => User::Shop,
        Role::Engine => User::Engine,
        Role::Ingress => User::Ingress,
    }
}

/// The server of the settings, which is started in this process's data folder unless they name one. In a folder of a shop whose logs are
/// not there none is: an empty one looks like a loss of all of them.
///
/// # Errors
/// Why it does not start, or what of the settings is wrong.
pub async fn start(nats: &Nats, layout: &Layout, user: User) -> Result<(Option<NatsServer>, Access)> {
    if let Some(access) = of_settings(nats, user)? {
        return Ok((None, access));
    }
    check_here(layout)?;
    if let (Some(id), false) = (layout.cluster()?, layout.has_nats()) {
        bail!(
            "{} is of cluster {id}, but has no nats-server: if the shop has one elsewhere, name it (--nats, nats.url). Otherwise its \
             storage was lost: keep the data folder, whose state may be the last copy, and restore {}, or all of one backup",
            layout.path().display(),
            layout.nats().display()
        );
    }
    let server = NatsServer::start(ServerOptions { data_dir: layout.nats(), sync: nats.sync_interval }).await?;
    let access = server.access(user)?;
    Ok((Some(server), access))
}

/// The way into the server of the settings, or into the one that another process has started in this folder and that runs.
///
/// # Errors
/// When there is none, or what of the settings is wrong.
pub fn running(nats: &Nats, layout: &Layout, user: User) -> Result<Access> {
    if let Some(access) = of_settings(nats, user)? {
        return Ok(access);
    }
    check_here(layout)?;
    NatsServer::access_of(&layout.nats(), user)
        .with_context(|| format!("{} has no nats-server: name that of the shop (--nats)", layout.nats().display()))
}

/// What a data folder notes of the server that its cluster was opened on; nothing of one that was started in it.
pub fn elsewhere(server: Option<&NatsServer>, access: &Access) -> Option<String> {
    server.is_none().then(|| access.to_string())
}

/// Settings that name no server mean the one in the folder, which has nothing of a shop whose logs are on another one.
///
/// # Errors
/// When the folder is of such a shop.
pub fn check_here(layout: &Layout) -> Result<()> {
    let Some(url) = layout.nats_elsewhere()? else { return Ok(()) };
    let data = layout.path().display();
    Err(anyhow!("the logs of {data} are on a NATS server of your own, at {url} the last time: name it (--nats, nats.url)")
        .context(Unacceptable))
}

/// `None` when the settings name no server.
fn of_settings(nats: &Nats, user: User) -> Result<Option<Access>> {
    let Some(url) = &nats.url else { return Ok(None) };
    with_login_of(nats, url.in_clear(), user).map(Some)
}

/// The way into the server at this address, with the login and the certificates of the settings.
///
/// # Errors
/// What is wrong with them.
pub fn with_login_of(nats: &Nats, url: &str, user: User) -> Result<Access> {
    let access = Access::new(url, user).context("nats.url").context(Unacceptable)?;
    let access = match login(nats).context(Unacceptable)? {
        Some(login) => access.with_login(login),
        None => access,
    };
    let identity = nats.tls_cert.clone().zip(nats.tls_key.clone());
    if let Some((_, key)) = &identity {
        secret::read(key).context("nats.tls_key").context(Unacceptable)?;
    }
    Ok(access.with_tls(Tls { ca: nats.tls_ca.clone(), identity }))
}

/// What the files of the settings have; `None` when they name none.
fn login(nats: &Nats) -> Result<Option<Login>> {
    let Nats { user, password_file, nkey_file, credentials_file, .. } = nats;
    Ok(match (user.clone().zip(password_file.as_ref()), nkey_file, credentials_file) {
        (Some((user, file)), ..) => Some(Login::Password { user, password: text("nats.password_file", file)? }),
        (_, Some(file), _) => Some(Login::Nkey(text("nats.nkey_file", file)?)),
        (.., Some(file)) => Some(Login::Credentials(text("nats.credentials_file", file)?)),
        _ => None,
    })
}

/// What the file of a setting has, without white space at either end.
fn text(setting: &'static str, file: &Path) -> Result<String> {
    let text = String::from_utf8(secret::read(file).context(setting)?).with_context(|| format!("{setting}: it is no text"))?;
    Ok(text.trim().to_owned())
}
