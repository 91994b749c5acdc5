//! Who may do what on a nats-server: its users, with the subjects that each publishes to and hears, and the account of downstream services.
//!
//! A user may do what the code of its part does, and no more. Lists of subjects alone confine nobody who may have requests answered: the
//! server answers on whatever subject a request names, also on one that deletes a log. So parts trust each other, and downstream services
//! are in an account of their own, where no subject of the shop exists but those few that are let through.

use std::fmt::Write;

use emshop_proto::subjects::{
    self, ACCESS_STREAM, AUDIT_ENTRIES, AUDIT_STREAM, CATALOGUE_STREAM, EVENT_STREAMS, INBOXES, LEASE_BUCKET, SETTINGS,
    SETTINGS_STREAM,
};

/// The account of the shop.
pub(super) const SHOP_ACCOUNT: &str = "SHOP";
/// The account of downstream services.
const CONSUMER_ACCOUNT: &str = "CONSUMERS";
/// The user of all downstream services.
pub const CONSUMER: &str = "consumer";
/// What the subjects of JetStream's API begin with in their account, instead of `$JS.API`.
pub const CONSUMER_API: &str = "EMSHOP.API";

/// Whom a process of the shop logs in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// A process that is both of the next.
    Shop,
    /// Engines.
    Engine,
    /// An ingress.
    Ingress,
    /// Commands: backup, restore, repair, void, consume, status, config; and people who put things in order.
    Operator,
}

/// Subjects, with wildcards.
struct Permissions {
    publish: Vec<String>,
    /// Out of these.
    not_publish: Vec<String>,
    subscribe: Vec<String>,
}

impl User {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Shop, Self::Engine, Self::Ingress, Self::Operator];

    /// In the configuration of the server.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Engine => "engine",
            Self::Ingress => "ingress",
            Self::Operator => "operator",
        }
    }

    /// What the subjects begin with that its answers come on. Nobody else hears them.
    pub fn inbox(self) -> String {
        format!("{INBOXES}{}", self.name())
    }

    /// Whether it makes streams, and makes them as large as its settings say.
    pub(super) fn makes_streams(self) -> bool {
        self != Self::Ingress
    }

    fn permissions(self) -> Permissions {
        let inbox = format!("{}.>", self.inbox());
        match self {
            Self::Engine => Permissions {
                publish: [engine_publishes(), writers_publish()].concat(),
                not_publish: engine_does_not_publish(),
                subscribe: vec![inbox, subjects::QUERIES.to_owned()],
            },
            Self::Ingress => Permissions {
                publish: [ingress_publishes(), writers_publish()].concat(),
                not_publish: Vec::new(),
                subscribe: vec![inbox, subjects::OUTCOMES.to_owned(), subjects::ALL_PROGRESS.to_owned()],
            },
            Self::Shop => Permissions {
                publish: [engine_publishes(), ingress_publishes(), writers_publish()].concat(),
                not_publish: engine_does_not_publish(),
                subscribe: [vec![inbox], owned([subjects::QUERIES, subjects::OUTCOMES, subjects::ALL_PROGRESS])].concat(),
            },
            Self::Operator => Permissions {
                publish: operator_publishes(),
                not_publish: Vec::new(),
                subscribe: vec![inbox, subjects::ALL_PROGRESS.to_owned()],
            },
        }
    }
}

/// What whoever writes to logs does; and reads the settings that all share, which only an operator writes.
fn writers_publish() -> Vec<String> {
    let settings = format!("$JS.API.DIRECT.GET.{SETTINGS_STREAM}");
    owned(["emshop.*.log.*", "$JS.API.STREAM.INFO.*", &settings])
}

fn engine_publishes() -> Vec<String> {
    let answers = [User::Shop, User::Ingress, User::Operator].map(|user| format!("{}.>", user.inbox()));
    let own = owned([
        "emshop.*.log.*.*",
        "emshop.*.event.>",
        subjects::OUTCOMES,
        subjects::ALL_PROGRESS,
        "$JS.API.STREAM.CREATE.*",
        "$JS.API.STREAM.UPDATE.*",
        "$JS.API.STREAM.PURGE.*",
        "$JS.API.STREAM.MSG.GET.*",
        "$JS.API.CONSUMER.CREATE.*",
        "$JS.API.CONSUMER.CREATE.*.>",
        "$JS.FC.>",
    ]);
    let leases = [format!("$KV.{LEASE_BUCKET}.>"), format!("$JS.API.DIRECT.GET.{}.>", subjects::lease_stream())];
    [own, answers.to_vec(), leases.to_vec()].concat()
}

/// Only logs are trimmed, only an operator declares entries void, and an engine has no use for the audit trail.
fn engine_does_not_publish() -> Vec<String> {
    let kept =
        EVENT_STREAMS.into_iter().chain([AUDIT_STREAM, SETTINGS_STREAM]).map(str::to_owned).chain([subjects::lease_stream()]);
    let kept = kept.map(|stream| format!("$JS.API.STREAM.PURGE.{stream}"));
    let reads = ["STREAM.MSG.GET.{}", "CONSUMER.CREATE.{}", "CONSUMER.CREATE.{}.>"];
    let reads = reads.map(|request| format!("$JS.API.{}", request.replace("{}", AUDIT_STREAM)));
    owned(["emshop.*.log.*.void"]).into_iter().chain(kept).chain(reads).collect()
}

/// It follows the events of goods, for search, and those that revoke tokens, and writes and reads the audit trail.
fn ingress_publishes() -> Vec<String> {
    let follows = |stream: &str| {
        // The client asks about its consumer when it has been disconnected.
        let requests = ["CREATE.{}", "CREATE.{}.>", "INFO.{}.*", "MSG.NEXT.{}.*"];
        requests.map(|request| format!("$JS.API.CONSUMER.{}", request.replace("{}", stream)))
    };
    let audit = [AUDIT_ENTRIES.to_owned(), format!("$JS.API.DIRECT.GET.{AUDIT_STREAM}")];
    [owned([subjects::QUERIES]), [CATALOGUE_STREAM, ACCESS_STREAM].map(follows).concat(), audit.to_vec()].concat()
}

fn operator_publishes() -> Vec<String> {
    let leases = format!("$KV.{LEASE_BUCKET}.>");
    owned(["emshop.*.log.>", "emshop.*.event.>", AUDIT_ENTRIES, "$JS.API.>", &leases, SETTINGS, subjects::QUERIES])
}

fn owned<const N: usize>(subjects: [&str; N]) -> Vec<String> {
    subjects.map(str::to_owned).to_vec()
}

/// What of the shop's account downstream services see, with what a request begins with here and there.
struct Service {
    subject: String,
    /// In the account of downstream services.
    seen_as: String,
    /// A request has many answers.
    is_stream: bool,
}

/// They pull from consumers that were made for them, and say what they have, or read by position. They make no consumers: one delivers to
/// whatever subject its maker names.
fn services() -> Vec<Service> {
    let of_stream = |stream: &str| {
        let api = |request: &str, is_stream| {
            let request = request.replace("{}", stream);
            Service { subject: format!("$JS.API.{request}"), seen_as: format!("{CONSUMER_API}.{request}"), is_stream }
        };
        let acknowledgements = format!("$JS.ACK.{stream}.>");
        let acknowledgements = Service { subject: acknowledgements.clone(), seen_as: acknowledgements, is_stream: false };
        let pull = api("CONSUMER.MSG.NEXT.{}.*", true);
        let read = api("DIRECT.GET.{}", true);
        [api("STREAM.INFO.{}", false), api("CONSUMER.INFO.{}.*", false), pull, acknowledgements, read]
    };
    EVENT_STREAMS.into_iter().flat_map(of_stream).collect()
}

/// The block of a nats-server's configuration that has its users and what each may do. `password` is what stands there as the password of
/// the user of this name.
pub fn accounts(password: impl Fn(&str) -> String) -> String {
    let mut text = format!("accounts {{\n  {SHOP_ACCOUNT} {{\n    jetstream: enabled\n    users: [\n");
    for user in User::ALL {
        write_user(&mut text, user.name(), &password(user.name()), &user.permissions());
    }
    text += "    ]\n    exports: [\n";
    for Service { subject, is_stream, .. } in services() {
        let response = if is_stream { ", response_type: stream" } else { "" };
        writeln!(text, "      {{ service: \"{subject}\"{response}, accounts: [{CONSUMER_ACCOUNT}] }}").expect("a string grows");
    }
    text += &format!("    ]\n  }}\n\n  {CONSUMER_ACCOUNT} {{\n    users: [\n");
    let publish = services().into_iter().map(|service| service.seen_as).collect();
    let subscribe = vec![format!("{INBOXES}>")];
    write_user(&mut text, CONSUMER, &password(CONSUMER), &Permissions { publish, not_publish: Vec::new(), subscribe });
    text += "    ]\n    imports: [\n";
    for Service { subject, seen_as, .. } in services() {
        let seen_as = if seen_as == subject { String::new() } else { format!(", to: \"{seen_as}\"") };
        let service = format!("{{ account: {SHOP_ACCOUNT}, subject: \"{subject}\" }}");
        writeln!(text, "      {{ service: {service}{seen_as} }}").expect("a string grows");
    }
    text + "    ]\n  }\n}\n"
}

fn write_user(text: &mut String, name: &str, password: &str, permissions: &Permissions) {
    let Permissions { publish, not_publish, subscribe } = permissions;
    let list = |name: &str, subjects: &[String]| {
        let lines = subjects.iter().map(|subject| format!("            \"{subject}\"\n"));
        format!("          {name}: [\n{}          ]\n", lines.collect::<String>())
    };
    let denied = if not_publish.is_empty() { String::new() } else { list("deny", not_publish) };
    let (publish, subscribe) = (list("allow", publish) + &denied, list("allow", subscribe));
    *text += &format!(
        "      {{
        user: {name}, password: {password}
        permissions: {{
          publish: {{\n{publish}          }}
          subscribe: {{\n{subscribe}          }}
        }}
      }}\n"
    );
}
