//! `emshop config`: settings that may change while processes run stand in a bucket of the cluster, for all of its processes.
//!
//! [`live`] is how a process goes by them, and which ones they are; [`document`] is what the bucket holds; this file is what people do.

mod document;
mod live;

use std::env;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};
use console::style;
use emshop_log::audit::AuditLog;
use emshop_log::jetstream::{Cluster, Connection, JetStreamAudit, NatsServer, SettingsBucket, User};
use emshop_proto::v1::{AuditEvent, AuditKind, AuditOutcome, SettingChange};
use prost::Message;
use serde::Serialize;
use tokio::time::{sleep, timeout};

use self::document::{Change, Contents, Document};
pub use self::live::Live;
use crate::cli::{ChangeFlags, ConfigCommand, Form, GetFlags, SetFlags, UnsetFlags};
use crate::config::{Origin, SERVE_LOG, Settings, Shared, Sources, Unacceptable};
use crate::exit::ExitCode;
use crate::folder::{DataFolder, Layout};
use crate::{cluster_key, nats, node, table};

/// So that an entry of the audit trail has room for the value of before and the one of after.
const VALUE_BYTES_MAX: usize = 256;
/// Likewise for who it was, whatever a machine calls them.
const MACHINE_MAX: usize = 100;
/// How soon `watch` sees a change.
const POLL: Duration = Duration::from_millis(250);
/// Between two attempts to find a server again.
const RETRY: Duration = Duration::from_secs(1);
/// For who only prints settings, a server that is away is no reason to wait.
const LOOK_WAIT: Duration = Duration::from_secs(3);

/// # Errors
/// When the shop cannot be reached, or what is asked for is not acceptable.
pub async fn run(command: &ConfigCommand, sources: &Sources, settings: &Settings) -> Result<ExitCode> {
    match command {
        ConfigCommand::Set(SetFlags { name, .. }) => check_name(name)?,
        ConfigCommand::Get(GetFlags { name: Some(name), .. }) => check_name(name)?,
        ConfigCommand::Watch(_) => return watch(settings).await.map(|()| ExitCode::SUCCESS),
        _ => {}
    }
    let shop = Shop::open(settings).await?;
    let done = match command {
        ConfigCommand::Get(flags) => get(&shop, sources, flags.name.as_deref(), flags.output).await,
        ConfigCommand::History(flags) => history(&shop, flags.name.as_deref(), flags.output).await,
        ConfigCommand::Set(SetFlags { name, value, change }) => alter(&shop, sources, name, Some(value), change).await,
        ConfigCommand::Unset(UnsetFlags { name, change }) => alter(&shop, sources, name, None, change).await,
        ConfigCommand::Watch(_) => unreachable!("it opens the shop as often as it takes"),
    };
    shop.close().await;
    done.map(|()| ExitCode::SUCCESS)
}

/// What the cluster of these settings has for all of its processes: nothing, where there is no cluster yet.
///
/// # Errors
/// Why that is not known.
pub async fn look(settings: &Settings) -> Result<Shared> {
    let layout = Layout::of(&settings.data);
    let user = match settings.nats.url {
        Some(_) => nats::user(settings.role),
        None if !layout.has_nats() => return Ok(Shared::new()),
        None if !is_served(settings)? => bail!("no process serves {}", settings.data.display()),
        None => User::Operator,
    };
    let key = cluster_key::find(settings.cluster.key_file.as_deref(), &layout)?;
    let access = nats::running(&settings.nats, &layout, user)?;
    let looked = async {
        let connection = Connection::open(&access).await?;
        connection.expect_end();
        let (bucket, _) = Cluster::settings_of(&connection, &key).await?;
        anyhow::Ok(live::known(&Contents::of(&bucket).await?.shared()).0)
    };
    timeout(LOOK_WAIT, looked).await.with_context(|| format!("{access} does not answer"))?
}

/// Whether a process may have the shop: one on a NATS server of its own is not seen from here.
fn is_served(settings: &Settings) -> Result<bool> {
    Ok(settings.nats.url.is_some() || DataFolder::try_open(&settings.data)?.is_none())
}

/// The way to the bucket of a shop, also of one that does not run: a value that keeps it from running can be taken back.
struct Shop {
    bucket: SettingsBucket,
    audit: JetStreamAudit,
    connection: Connection,
    /// Of a shop that does not run.
    server: Option<NatsServer>,
    _folder: Option<DataFolder>,
}

impl Shop {
    async fn open(settings: &Settings) -> Result<Self> {
        let layout = Layout::of(&settings.data);
        let key = cluster_key::find(settings.cluster.key_file.as_deref(), &layout)?;
        let folder = match settings.nats.url {
            Some(_) => None,
            None => DataFolder::try_open(&settings.data)?,
        };
        let (server, access) = match &folder {
            Some(folder) => nats::start(&settings.nats, folder, User::Operator).await?,
            None => (None, nats::running(&settings.nats, &layout, User::Operator)?),
        };
        let connection = Connection::open(&access).await?;
        connection.expect_end();
        match Cluster::settings_of(&connection, &key).await {
            Ok((bucket, audit)) => Ok(Self { bucket, audit, connection, server, _folder: folder }),
            Err(error) => {
                if let Some(server) = server {
                    server.stop().await;
                }
                Err(error.into())
            }
        }
    }

    async fn close(self) {
        drop(self.connection);
        if let Some(server) = self.server {
            server.stop().await;
        }
    }
}

/// Whether there is a setting of this name that may change.
fn check_name(name: &str) -> Result<()> {
    if live::names().any(|live| live == name) {
        return Ok(());
    }
    let told = match Settings::default().value(name) {
        Some(_) => anyhow!(
            "{name} cannot change while a process runs: set it in its file, environment or flags (docs/OPERATIONS.md#settings), and start \
             it again"
        ),
        None => anyhow!("there is no setting {name:?}: `emshop config get` shows those that may change"),
    };
    Err(told.context(Unacceptable))
}

/// Sets a value for all processes, or leaves it to each of them.
async fn alter(shop: &Shop, sources: &Sources, name: &str, value: Option<&str>, flags: &ChangeFlags) -> Result<()> {
    ensure!(
        shop.bucket.is_there().await?,
        "the cluster has no bucket of settings yet: an engine of this release makes it when it starts"
    );
    let contents = Contents::of(&shop.bucket).await?;
    let newest = contents.newest().map_or(0, |(number, _)| number);
    if let Some(seen) = flags.revision {
        ensure!(
            seen == newest,
            "the settings are at revision {newest}, and not at {seen} any more: look at them again (emshop config history)"
        );
    }
    let mut shared = contents.shared();
    let before = match value {
        Some(value) => shared.insert(name.to_owned(), value.to_owned()),
        None => shared.remove(name),
    };
    if before.as_deref() == value {
        let is = value.map_or_else(|| "not set for all processes".to_owned(), |value| format!("{value:?} already"));
        println!("{name} is {is}, at revision {newest}");
        return Ok(());
    }
    check_value(&shared, sources, name, value)?;
    let change = Change { name: name.to_owned(), before, after: value.map(str::to_owned) };
    let at_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let document = Document { settings: shared, change, by: by(flags.by.as_deref())?, at_ms };
    let put = shop.bucket.put(contents.last(), &serde_json::to_vec(&document)?).await;
    let put = put.context("it is not known whether that is in force now: look (emshop config history)")?;
    let number =
        put.context("somebody else has changed settings meanwhile: look at what (emshop config history), and say it again")?;
    let told = tell(shop, number, &document).await;
    println!("{} revision {number}: {}", style("✓").green(), document.says());
    told.with_context(|| format!("revision {number} is in force, but the audit trail did not take it"))
}

/// Whether all settings together are acceptable with a new value: by themselves, and with those that this command is given.
fn check_value(shared: &Shared, sources: &Sources, name: &str, value: Option<&str>) -> Result<()> {
    let length = value.map_or(0, str::len);
    if length > VALUE_BYTES_MAX {
        return Err(anyhow!("a value has up to {VALUE_BYTES_MAX} bytes, and this one {length}").context(Unacceptable));
    }
    let (known, _) = live::known(shared);
    Sources::bare(&[], SERVE_LOG)?.settings(&known).with_context(|| format!("{name} stays as it is"))?;
    let here = sources.settings(&known);
    here.with_context(|| format!("{name} stays as it is, since it does not go together with the other settings here")).map(drop)
}

/// Who gives the command, as far as this machine knows; and who they say they are.
fn by(said: Option<&str>) -> Result<String> {
    let user = env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    let machine: String = format!("{user} on {}", node::kernel("hostname")?).chars().take(MACHINE_MAX).collect();
    Ok(match said {
        Some(said) => format!("{said} ({machine})"),
        None => machine,
    })
}

/// Has the audit trail tell of a change.
async fn tell(shop: &Shop, number: u64, document: &Document) -> Result<()> {
    let Document { change: Change { name, before, after }, by, at_ms, .. } = document.clone();
    let setting = Some(SettingChange { name, before, after, by, revision: number });
    let (kind, outcome) = (AuditKind::Setting, AuditOutcome::Done.into());
    let event = AuditEvent { kind: kind.into(), at_ms: at_ms as i64, outcome, setting, ..AuditEvent::default() };
    Ok(shop.audit.append(kind, &format!("setting-{number}"), event.encode_to_vec().into()).await?)
}

/// A setting as a process would have it that is started like this command.
#[derive(Serialize)]
struct Shown {
    setting: &'static str,
    value: String,
    from: String,
    /// What the bucket has, where something else wins over it.
    hidden: Option<String>,
}

async fn get(shop: &Shop, sources: &Sources, name: Option<&str>, form: Form) -> Result<()> {
    let contents = Contents::of(&shop.bucket).await?;
    let (shared, unknown) = live::known(&contents.shared());
    let settings = sources.settings(&shared)?;
    if let Some(name) = name {
        println!("{}", settings.value(name).unwrap_or_default());
        return Ok(());
    }
    let shown: Vec<_> = live::names()
        .map(|setting| {
            let value = settings.value(setting).unwrap_or_default();
            let from = sources.origin(setting, &shared);
            let hidden = shared.get(setting).filter(|_| from != Origin::Bucket).cloned();
            Shown { setting, value, from: from.to_string(), hidden }
        })
        .collect();
    match form {
        Form::Table => {
            let mut table = table::with_header(["setting", "value", "from"], []);
            for Shown { setting, value, from, hidden } in &shown {
                let from =
                    hidden.as_ref().map_or_else(|| from.clone(), |hidden| format!("{from}, wins over {hidden} in the bucket"));
                table.add_row([(*setting).to_owned(), value.clone(), from]);
            }
            println!("{}", table.trim_fmt());
            if let Some((number, document)) = contents.newest() {
                println!("revision {number}, {}: {}", document.at(), document.says());
            }
        }
        Form::Json => println!("{}", serde_json::to_string_pretty(&shown)?),
        Form::Yaml => print!("{}", serde_saphyr::to_string(&shown)?),
    }
    for name in unknown {
        eprintln!("{} {name} is of a newer release: this one does not know it", style("!").for_stderr().yellow());
    }
    Ok(())
}

/// What was changed, and by whom; `null` is what each process has of its own.
#[derive(Serialize)]
struct Changed {
    revision: u64,
    at: Option<String>,
    by: Option<String>,
    setting: Option<String>,
    before: Option<String>,
    after: Option<String>,
    /// Why it counts for nothing.
    strange: Option<String>,
}

impl Changed {
    fn of(revision: u64, document: Result<Document, document::Strange>) -> Self {
        match document {
            Ok(document) => Self {
                revision,
                at: Some(document.at()),
                by: Some(document.by),
                setting: Some(document.change.name),
                before: document.change.before,
                after: document.change.after,
                strange: None,
            },
            Err(strange) => {
                let strange = Some(strange.to_string());
                Self { revision, at: None, by: None, setting: None, before: None, after: None, strange }
            }
        }
    }

    fn row(self) -> [String; 6] {
        let value = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        let setting = self.setting.or_else(|| self.strange.map(|strange| format!("counts for nothing: {strange}")));
        [self.revision.to_string(), value(self.at), value(setting), value(self.before), value(self.after), value(self.by)]
    }
}

async fn history(shop: &Shop, name: Option<&str>, form: Form) -> Result<()> {
    let revisions = Contents::of(&shop.bucket).await?.revisions.into_iter().rev();
    let changes = revisions.map(|(number, document)| Changed::of(number, document));
    let changes: Vec<_> = changes.filter(|change| name.is_none() || change.setting.as_deref() == name).collect();
    match form {
        Form::Table => {
            let mut table = table::with_header(["revision", "at", "setting", "before", "after", "by"], [0]);
            table.add_rows(changes.into_iter().map(Changed::row));
            println!("{}", table.trim_fmt());
        }
        Form::Json => println!("{}", serde_json::to_string_pretty(&changes)?),
        Form::Yaml => print!("{}", serde_saphyr::to_string(&changes)?),
    }
    Ok(())
}

/// Prints each change as it comes, until it is stopped or nobody reads it.
async fn watch(settings: &Settings) -> Result<()> {
    ensure!(is_served(settings)?, "no process serves {}: nothing changes that could be watched", settings.data.display());
    let mut shop = Shop::open(settings).await?;
    let mut seen = Contents::of(&shop.bucket).await?.last();
    loop {
        sleep(POLL).await;
        let revisions = match shop.bucket.since(seen).await {
            Ok(revisions) => revisions,
            // The passwords of a server that emshop starts are new each time.
            Err(_) => {
                sleep(RETRY).await;
                if is_served(settings)?
                    && let Ok(again) = Shop::open(settings).await
                {
                    std::mem::replace(&mut shop, again).close().await;
                }
                continue;
            }
        };
        for revision in revisions {
            seen = revision.number;
            let line = match document::read(&revision) {
                Ok(document) => format!("{} {seen} {}", document.at(), document.says()),
                Err(strange) => format!("- {seen} counts for nothing: {strange}"),
            };
            let mut out = io::stdout().lock();
            if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                return Ok(());
            }
        }
    }
}

/// Prints the settings of a process, and where each comes from.
///
/// # Errors
/// When they cannot be printed.
pub async fn print(sources: &Sources, settings: &Settings) -> Result<()> {
    let shared = look(settings).await.unwrap_or_else(|error| {
        eprintln!("{} what the cluster has for all processes is not shown: {error:#}", style("!").for_stderr().yellow());
        Shared::new()
    });
    let (settings, shared) = match sources.settings(&shared) {
        Ok(settings) => (settings, shared),
        // As a process does.
        Err(error) => {
            eprintln!("{} what the cluster has for all processes is left out: {error:#}", style("!").for_stderr().yellow());
            (settings.clone(), Shared::new())
        }
    };
    print!("{}", sources.print(&settings, &shared)?);
    Ok(())
}
