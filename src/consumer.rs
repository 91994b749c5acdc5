//! `emshop consumer-credentials`: what a downstream service needs to read the events, as a context of the `nats` command has it.

use anyhow::{Context, Result};
use emshop_log::jetstream::users::{CONSUMER, CONSUMER_API};
use emshop_log::jetstream::{Access, Connection, NatsServer, User, make_consumers};
use serde::Serialize;

use crate::cli::ConsumerFlags;
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::folder::{DataFolder, Layout};
use crate::nats;

/// What requests of JetStream's API begin with for who is in the account of the streams.
const API: &str = "$JS.API";

#[derive(Serialize)]
struct Credentials<'a> {
    description: String,
    url: String,
    /// Of a server of one's own, whoever has set it up knows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    jetstream_api_prefix: &'a str,
    /// Its name on each stream. The `nats` command has no use for it.
    consumer: &'a str,
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
        user: password.is_some().then_some(CONSUMER),
        password,
        jetstream_api_prefix: api,
        consumer: name,
    };
    println!("{}", serde_json::to_string_pretty(&credentials)?);
    Ok(())
}
