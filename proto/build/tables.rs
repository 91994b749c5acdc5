//! The tables that are made of the protos: who may call what, and what commands there are.

use std::fmt::Write;

use protox::prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MethodDescriptor, Value};

const API_PACKAGE: &str = "emshop.v1";
const COMMAND: &str = "emshop.v1.Command";

/// Rust source of the methods by ascending path, and of which of them says who may give a command.
///
/// # Errors
/// When an RPC does not say who may call it, or how it is known whose something is; or when it is not plain who may give a command.
pub fn access(pool: &DescriptorPool) -> Result<String, Box<dyn std::error::Error>> {
    let methods = methods(pool);
    let mut table = String::from("/// Every RPC, by ascending path.\npub const METHODS: &[Method] = &[\n");
    for method in &methods {
        let Rule { access, owner, roles } = Rule::of(pool, method)?;
        let (path, roles) = (path_of(method), roles.iter().map(|role| format!("Role::{role}, ")).collect::<String>());
        let user_id_field = method.input().get_field_by_name("user_id").map(|field| field.number());
        let fields =
            format!("access: Access::{access}, owner: Owner::{owner}, roles: &[{roles}], user_id_field: {user_id_field:?}");
        writeln!(table, "    Method {{ path: {path:?}, {fields} }},")?;
    }
    let mut arms = String::new();
    for command in fields(pool)? {
        let path = path_of(&rpc_of(pool, &methods, &command)?);
        let place = methods.iter().position(|method| path_of(method) == path).expect("one of the methods");
        writeln!(arms, "        Body::{}(_) => &METHODS[{place}],", in_camel_case(command.name()))?;
    }
    write!(
        table,
        "];\n\n/// The RPC that does what a command does: who may call it, may give the command.\n\
         pub fn of_command(body: &Body) -> &'static Method {{\n    match body {{\n{arms}    }}\n}}\n"
    )?;
    Ok(table)
}

/// All RPCs by ascending path.
fn methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    let services = pool.services().filter(|service| service.package_name() == API_PACKAGE);
    let mut methods: Vec<_> = services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    methods.sort_by_key(path_of);
    methods
}

fn path_of(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// What an RPC says of who may call it, in the names of the variants.
#[derive(PartialEq)]
struct Rule {
    access: String,
    owner: String,
    roles: Vec<String>,
}

impl Rule {
    fn of(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<Self, String> {
        let [access, owner, roles] = ["access", "owner", "roles"].map(|name| option(pool, method, name));
        let [access, owner] = [access, owner].map(|names| names.into_iter().next().unwrap_or_else(|| "Unspecified".to_owned()));
        let is_user_id = |field: &FieldDescriptor| field.kind() == Kind::Uint64 && !field.is_list();
        let has_user_id = method.input().get_field_by_name("user_id").is_some_and(|field| is_user_id(&field));
        let wrong = match (access.as_str(), owner.as_str()) {
            ("Unspecified", _) => "has no option (access)",
            ("Self", "Unspecified") => "is for ACCESS_SELF, but has no option (owner)",
            ("Self", "RequestUserId") if !has_user_id => "has OWNER_REQUEST_USER_ID, but its request has no uint64 user_id",
            // One message is looked at, before its service begins.
            ("Self", _) if method.is_client_streaming() => "is for ACCESS_SELF, but takes a stream",
            ("Self", _) => "",
            (_, "Unspecified") if matches!(access.as_str(), "Public" | "Super") && !roles.is_empty() => "is for no roles",
            (_, "Unspecified") => "",
            _ => "has an option (owner), but is not for ACCESS_SELF",
        };
        match wrong {
            // The name that prost gives it, `Self` being a word of Rust.
            "" => Ok(Self { access: if access == "Self" { "Self_".to_owned() } else { access }, owner, roles }),
            wrong => Err(format!("{} {wrong}", method.full_name())),
        }
    }
}

/// The names of the variants that an option of an RPC has.
fn option(pool: &DescriptorPool, method: &MethodDescriptor, name: &str) -> Vec<String> {
    let extension = pool.get_extension_by_name(&format!("{API_PACKAGE}.{name}")).expect("an option of access.proto");
    let Kind::Enum(listed) = extension.kind() else { panic!("{name} is of an enum") };
    match method.options().get_extension(&extension).as_ref() {
        Value::List(values) => values.iter().map(|value| variant(&listed, value)).collect(),
        value => vec![variant(&listed, value)],
    }
}

/// `RequestUserId` of `OWNER_REQUEST_USER_ID`.
fn variant(listed: &EnumDescriptor, value: &Value) -> String {
    let number = value.as_enum_number().expect("the value of an enum");
    let value = listed.get_value(number).expect("protox knows it");
    let prefix = format!("{}_", listed.name().to_uppercase());
    in_camel_case(&value.name().trim_start_matches(&prefix).to_lowercase())
}

/// The RPC that takes a command's message, or is named with it.
fn rpc_of(pool: &DescriptorPool, methods: &[MethodDescriptor], command: &FieldDescriptor) -> Result<MethodDescriptor, String> {
    let extension = pool.get_extension_by_name("emshop.v1.rpc").expect("an option of access.proto");
    let named = format!("{API_PACKAGE}.{}", command.options().get_extension(&extension).as_str().unwrap_or_default());
    let takes = |method: &&MethodDescriptor| Kind::Message(method.input()) == command.kind() || method.full_name() == named;
    let mut found = methods.iter().filter(takes);
    let first = found.next().ok_or_else(|| format!("no RPC says who may give {}: it needs the option (rpc)", command.name()))?;
    let rule = Rule::of(pool, first)?;
    match found.map(|other| Rule::of(pool, other)).all(|other| other.as_ref() == Ok(&rule)) {
        true => Ok(first.clone()),
        false => Err(format!("two RPCs take the message of {}, and are not for the same callers", command.name())),
    }
}

/// All commands, in the order of their numbers.
fn fields(pool: &DescriptorPool) -> Result<Vec<FieldDescriptor>, Box<dyn std::error::Error>> {
    let message = pool.get_message_by_name(COMMAND).ok_or("there are no commands")?;
    let mut fields: Vec<_> = message.oneofs().next().ok_or("a command has no body")?.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    Ok(fields)
}

/// Rust source of the names of all commands, in the order of their numbers, and of which name a command has.
pub fn commands(pool: &DescriptorPool) -> Result<String, Box<dyn std::error::Error>> {
    let (mut all, mut arms) = (String::new(), String::new());
    for (place, command) in fields(pool)?.into_iter().enumerate() {
        let name = command.name();
        writeln!(all, "    {name:?},")?;
        writeln!(arms, "        Body::{}(_) => {place},", in_camel_case(name))?;
    }
    Ok(format!(
        "/// Every command, in the order of the numbers.\npub const NAMES: &[&str] = &[\n{all}];\n\n\
         /// Where a command stands among [`NAMES`].\npub fn place_of(body: &Body) -> usize {{\n    match body {{\n{arms}    }}\n}}\n"
    ))
}

/// `AdjustStock` of `adjust_stock`.
fn in_camel_case(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(word).collect()
}
