//! `emshop consumer-credentials`: what a downstream service needs to read the events, as a context of the `nats` command has it.

use std::path::Path;

use anyhow::{Context, Result};
use emshop_log::jetstream::users::{CONSUMER, CONSUMER_API};
use emshop_log::jetstream::{API, Access, Connection, Login, NatsServer, User, make_consumers};
use serde::{Deserialize, Serialize};

use crate::cli::ConsumerFlags;
use crate::config::{Nats, Settings};
use crate::exit::ExitCode;
use crate::folder::{DataFolder, Layout};
use crate::{nats, secret};

/// What a downstream service is given.
#[derive(Serialize, Deserialize)]
pub struct Credentials {
    description: String,
    url: String,
    /// Of a server of one's own, whoever has set it up knows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    jetstream_api_prefix: String,
    /// Its name on all streams. The `nats` command has no use for it.
    consumer: String,
}

impl Credentials {
    /// As they were printed into a file.
    ///
    /// # Errors
    /// When they cannot be read, or can be by others than their owner.
    pub fn read(file: &Path) -> Result<Self> {
        let text = secret::read(file).context("the credentials")?;
        let sentence = || format!("{} does not have what `emshop consumer-credentials` prints", file.display());
        serde_json::from_slice(&text).with_context(sentence)
    }

    /// The way to the events, with what the subjects of JetStream's API begin with there. Where no login is given, that of the settings is shown.
    ///
    /// # Errors
    /// What of them is wrong.
    pub fn access(self, settings: &Nats) -> Result<(Access, String)> {
        let Self { url, user, password, jetstream_api_prefix, .. } = self;
        // Its answers come on whatever subject it names, so the operator's will do.
        let access = match user.zip(password) {
            Some((user, password)) => Access::new(&url, User::Operator)?.with_login(Login::Password { user, password }),
            None => nats::with_login_of(settings, &url, User::Operator)?,
        };
        Ok((access, jetstream_api_prefix))
    }
}

/// # Errors
/// When the nats-server cannot be reached, or has no shop.
pub async fn run(flags: &ConsumerFlags, settings: &Settings) -> Result<ExitCode> {
    let layout = Layout::of(&settings.data);
    if settings.nats.url.is_some() {
        let access = nats::running(&settings.nats, &layout, User::Operator)?;
        let api = make(&access, &flags.name).await?;
        print(&flags.name, access.to_string(), None, api)?;
        return Ok(ExitCode::SUCCESS);
    }
    let api = match DataFolder::try_open(&settings.data)? {
        Some(folder) => {
            let (server, access) = nats::start(&settings.nats, &folder, User::Operator).await?;
            let made = make(&access, &flags.name).await;
            if let Some(server) = server {
                server.stop().await;
            }
            made?
        }
        None => make(&nats::running(&settings.nats, &layout, User::Operator)?, &flags.name).await?,
    };
    let (url, password) = NatsServer::consumer_login_of(&layout.nats()).context("the login of downstream services")?;
    print(&flags.name, url, Some(password), api)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes its consumers, and tells what its requests of JetStream's API begin with.
async fn make(access: &Access, name: &str) -> Result<&'static str> {
    let connection = Connection::open(access).await?;
    let made = make_consumers(&connection, name).await;
    // Where nobody logs in, nobody has an account of their own.
    let api = if connection.core().server_info().auth_required { CONSUMER_API } else { API };
    connection.expect_end();
    made?;
    Ok(api)
}

fn print(name: &str, url: String, password: Option<String>, api: &str) -> Result<()> {
    let credentials = Credentials {
        description: format!("events of emshop for {name}"),
        url,
        user: password.is_some().then(|| CONSUMER.to_owned()),
        password,
        jetstream_api_prefix: api.to_owned(),
        consumer: name.to_owned(),
    };
    println!("{}", serde_json::to_string_pretty(&credentials)?);
    Ok(())
}
