//! docs/API.md: the API as its protos and their comments say it.

use std::collections::HashMap;
use std::fmt::Write;

use emshop_proto::FILE_DESCRIPTOR_SET;
use emshop_proto::access::{self, Access};
use emshop_testing::docs::assert_page;
use prost_reflect::{
    DescriptorPool, EnumDescriptor, FileDescriptor, Kind, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};

const PACKAGE: &str = "emshop.v1";

#[test]
fn the_page_is_fresh() {
    assert_page("docs/API.md", &page());
}

/// Whoever reads the page finds a sentence on every RPC's service and on every message that is not just a request or an answer.
#[test]
fn every_service_is_explained() {
    let pool = pool();
    for service in services(&pool) {
        let comments = Comments::of(&service.parent_file());
        assert!(!comments.get(service.path()).is_empty(), "{} has no comment", service.name());
    }
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("our own descriptors")
}

fn services(pool: &DescriptorPool) -> Vec<ServiceDescriptor> {
    let mut services: Vec<_> = pool.services().filter(|service| service.package_name() == PACKAGE).collect();
    services.sort_by(|one, other| one.name().cmp(other.name()));
    services
}

fn page() -> String {
    let pool = pool();
    let services = services(&pool);
    let mut page = String::from(
        "# The API\n\nGenerated from `proto/proto/emshop/v1`; `make docs` writes it again. The server offers reflection on the same port\n\
         where `ingress.reflection` is set, so `grpcurl` knows all of this too. Refusals are in [ERRORS.md](ERRORS.md), tokens in [ACCESS.md](ACCESS.md).\n\n\
         Every call that changes something takes an idempotency key: metadata `idempotency-key`, up to 64 characters, and\n\
         `Command.idempotency_key` in a stream. The same call again under the same key answers as the first time did, with `repeated`, for\n\
         24 hours and whatever happened in between; another one under it is `IDEMPOTENCY_KEY_REUSED`. A key is one of a kind of command, of\n\
         whoever gives it, and of what it is about, so one key may serve for all that a client does at once. Where none is given the server\n\
         makes one, and tells it in the metadata of an error: to be given with the same call again.\n\n\
         A refusal by the rules of the shop is an answer, and is remembered: what was `BALANCE_INSUFFICIENT` stays so under its key, however much is\n\
         deposited since. Not remembered is what decides nothing: a refusal by ABORTED (`…_IN_PROGRESS`), which asks to come again; by\n\
         UNAUTHENTICATED (`PASSWORD_INCORRECT`), which asks for another proof; and whatever did not get into a log (`VALIDATION_FAILED`,\n\
         `OVERLOADED`, `RATE_LIMITED` and the like). Accounts answer by their own state instead: of `Register`, `CreateServiceAccount` and\n\
         `DeleteUser` a repeat finds what was done, and what was refused is decided anew (`USER_HAS_BALANCE`, until the money is paid out).\n\
         `RefreshToken` answers a repeat by the same refresh token, as long as that was not used, and by an access token that is signed anew.\n\n\
         [service_config.json](service_config.json) is a gRPC service config: reads, and calls that name what they are about, are tried again\n\
         by the client's library when it is told that the service is unavailable, also by a connection that broke on the way. Others are safe\n\
         to be tried again under a key of the client's.\n\n\
         | service | calls |\n|---|---|\n",
    );
    for service in &services {
        let calls: Vec<_> =
            service.methods().map(|method| format!("[{0}](#{1})", method.name(), anchor(method.name()))).collect();
        line(&mut page, &format!("| [{0}](#{1}) | {2} |", service.name(), anchor(service.name()), calls.join(", ")));
    }
    let homes = Homes::of(&services);
    for service in &services {
        write_service(&mut page, service, &homes);
    }
    write_shared(&mut page, &pool, &homes);
    page
}

fn write_service(page: &mut String, service: &ServiceDescriptor, homes: &Homes) {
    let comments = Comments::of(&service.parent_file());
    line(page, &format!("\n## {}\n\n{}", service.name(), comments.get(service.path())));
    for method in service.methods() {
        write_method(page, &method, &comments.get(method.path()), homes);
    }
}

fn write_method(page: &mut String, method: &MethodDescriptor, comment: &str, homes: &Homes) {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let method_access = access::method(&path).expect("every RPC is in the table");
    let mut access = match method_access.access {
        Access::Public => "anyone",
        Access::Self_ => "the user themself",
        Access::Admin => "an admin",
        Access::Super => "a super admin",
        Access::Unspecified => panic!("{path} does not say who may call it"),
    }
    .to_owned();
    method_access.roles.iter().for_each(|role| access += &format!(", {}", role.name()));
    let stream = |streams: bool| if streams { "stream of " } else { "" };
    let (input, output) = (method.input(), method.output());
    line(page, &format!("\n### {}\n", method.name()));
    if !comment.is_empty() {
        line(page, &format!("{comment}\n"));
    }
    line(
        page,
        &format!(
            "For {access}. {}`{}` → {}`{}`",
            stream(method.is_client_streaming()),
            input.name(),
            stream(method.is_server_streaming()),
            output.name()
        ),
    );
    for message in [input, output] {
        if homes.anchor(message.full_name()) == Some(anchor(method.name())) {
            write_message(page, &message, homes);
        }
    }
}

/// Messages and enums that several calls share, or that are parts of others.
fn write_shared(page: &mut String, pool: &DescriptorPool, homes: &Homes) {
    line(page, "\n## Messages");
    let mut messages: Vec<_> = pool.all_messages().filter(|message| message.package_name() == PACKAGE).collect();
    messages.sort_by(|one, other| one.name().cmp(other.name()));
    for message in messages.iter().filter(|message| homes.anchor(message.full_name()).is_none()) {
        line(page, &format!("\n### {}\n", message.name()));
        let comment = Comments::of(&message.parent_file()).get(message.path());
        if !comment.is_empty() {
            line(page, &comment);
        }
        write_message(page, message, homes);
    }
    line(page, "\n## Enums");
    let mut enums: Vec<_> = pool.all_enums().filter(|listed| listed.package_name() == PACKAGE).collect();
    enums.sort_by(|one, other| one.name().cmp(other.name()));
    enums.iter().for_each(|listed| write_enum(page, listed));
}

fn write_message(page: &mut String, message: &MessageDescriptor, homes: &Homes) {
    if message.fields().len() == 0 {
        return;
    }
    let comments = Comments::of(&message.parent_file());
    line(page, &format!("\n| `{}` | type | |\n|---|---|---|", message.name()));
    for field in message.fields() {
        let kind = match field.kind() {
            Kind::Message(kind) => {
                format!("[{0}](#{1})", kind.name(), homes.anchor(kind.full_name()).unwrap_or_else(|| anchor(kind.name())))
            }
            Kind::Enum(kind) => format!("[{0}](#{1})", kind.name(), anchor(kind.name())),
            other => format!("{other:?}").to_lowercase(),
        };
        let kind = if field.is_list() { format!("list of {kind}") } else { kind };
        let comment = comments.get(field.path());
        let choice = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        let choice = choice.map(|oneof| format!("one of `{}`. ", oneof.name())).unwrap_or_default();
        line(page, &format!("| {} | {kind} | {choice}{} |", field.name(), comment.replace('\n', " ").replace('|', "\\|")));
    }
}

fn write_enum(page: &mut String, listed: &EnumDescriptor) {
    let comments = Comments::of(&listed.parent_file());
    line(page, &format!("\n### {}\n", listed.name()));
    let comment = comments.get(listed.path());
    if !comment.is_empty() {
        line(page, &format!("{comment}\n"));
    }
    line(page, "| value | number | |\n|---|---|---|");
    for value in listed.values() {
        let comment = comments.get(value.path());
        line(page, &format!("| {} | {} | {} |", value.name(), value.number(), comment.replace('\n', " ")));
    }
}

/// Requests and answers are told with the first call that has them: its anchor, by the full name of the message.
struct Homes(HashMap<String, String>);

impl Homes {
    fn of(services: &[ServiceDescriptor]) -> Self {
        let mut homes = HashMap::new();
        for method in services.iter().flat_map(ServiceDescriptor::methods) {
            for message in [method.input(), method.output()] {
                homes.entry(message.full_name().to_owned()).or_insert_with(|| anchor(method.name()));
            }
        }
        Self(homes)
    }

    fn anchor(&self, message: &str) -> Option<String> {
        self.0.get(message).cloned()
    }
}

/// What is said of a file's parts, by their paths.
struct Comments(HashMap<Vec<i32>, String>);

impl Comments {
    fn of(file: &FileDescriptor) -> Self {
        let info = file.file_descriptor_proto().source_code_info.clone().unwrap_or_default();
        let told = |text: String| text.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned();
        let locations = info.location.into_iter();
        Self(locations.filter_map(|at| Some((at.path, told(at.leading_comments?)))).collect())
    }

    fn get(&self, path: &[i32]) -> String {
        self.0.get(path).cloned().unwrap_or_default()
    }
}

fn anchor(name: &str) -> String {
    name.to_lowercase()
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("a String grows as needed");
}
