//! Compiles the .proto files with protox, so that no protoc has to be installed, and makes the tables of who may call what and of what
//! commands there are.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use protox::Compiler;
use protox::prost_reflect::{DescriptorPool, MethodDescriptor};

const FILES: [&str; 16] = [
    "emshop/v1/access.proto",
    "emshop/v1/common.proto",
    "emshop/v1/goods.proto",
    "emshop/v1/catalogue.proto",
    "emshop/v1/inventory.proto",
    "emshop/v1/order.proto",
    "emshop/v1/cart.proto",
    "emshop/v1/payment.proto",
    "emshop/v1/tcc.proto",
    "emshop/v1/logistics.proto",
    "emshop/v1/user.proto",
    "emshop/v1/user_operation.proto",
    "emshop/v1/pipeline.proto",
    "emshop/v1/admin.proto",
    "emshop/v1/events.proto",
    "emshop/internal/v1/state.proto",
];

/// Large ones among records, outcomes and events, which are moved about by the thousand.
const BOXED: [&str; 7] = [
    ".emshop.internal.v1.OrderRow.destination",
    ".emshop.internal.v1.OrderRow.refusal",
    ".emshop.internal.v1.OrderRow.parcel",
    ".emshop.v1.Outcome.result.goods",
    ".emshop.v1.Outcome.result.logistics_order",
    ".emshop.v1.Event.body.goods",
    ".emshop.v1.Event.body.parcel",
];

/// Bytes that are shared with what they came in, instead of copied.
const SHARED: [&str; 3] =
    [".emshop.internal.v1.Record.command", ".emshop.internal.v1.OrderCommand", ".emshop.internal.v1.TicketOutcome.outcome"];

const ACCESS_OPTION: &str = "emshop.v1.access";
const API_FOLDER: &str = "emshop/v1/";
const API_PACKAGE: &str = "emshop.v1";
const COMMAND: &str = "emshop.v1.Command";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut compiler = Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    // Encoded by protox, since prost's own types forget the options of our making.
    std::fs::write(out.join("emshop.bin"), compiler.encode_file_descriptor_set())?;
    let mut public = Compiler::new(["proto"])?;
    public.include_imports(true).include_source_info(true).open_files(FILES.iter().filter(|file| file.starts_with(API_FOLDER)))?;
    std::fs::write(out.join("public.bin"), public.encode_file_descriptor_set())?;
    std::fs::write(out.join("access.rs"), access_table(&compiler.descriptor_pool())?)?;
    std::fs::write(out.join("commands.rs"), command_table(&compiler.descriptor_pool())?)?;
    let services = "#[cfg(feature = \"services\")]";
    let builder = tonic_prost_build::configure().client_mod_attribute(".", services);
    let builder = builder.btree_map(".emshop.internal");
    let builder = SHARED.iter().fold(builder, |builder, path| builder.bytes(*path));
    let builder = BOXED.iter().fold(builder, |builder, path| builder.boxed(*path));
    builder.build_server(false).compile_fds(compiler.file_descriptor_set())?;
    compile_servers(&compiler, &out.join("servers"))
}

/// Servers apart: they say of a request that cannot be decoded whose fault that is, which clients must not say of an answer.
fn compile_servers(compiler: &Compiler, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(out)?;
    let builder = tonic_prost_build::configure().build_client(false).out_dir(out).codec_path("crate::codec::RequestCodec");
    let builder = builder.extern_path(".emshop.v1", "crate::v1").extern_path(".emshop.internal.v1", "crate::internal");
    builder.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Rust source of the methods by ascending path.
///
/// # Errors
/// When an RPC does not say who may call it.
fn access_table(pool: &DescriptorPool) -> Result<String, Box<dyn std::error::Error>> {
    let services = pool.services().filter(|service| service.package_name() == API_PACKAGE);
    let mut methods: Vec<_> = services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    methods.sort_by_key(path_of);
    let mut table = String::from("/// Every RPC, by ascending path.\npub const METHODS: &[Method] = &[\n");
    for method in methods {
        let access = access_of(pool, &method).ok_or_else(|| format!("{} has no option (access)", method.full_name()))?;
        let user_id_field = method.input().get_field_by_name("user_id").map(|field| field.number());
        let path = path_of(&method);
        writeln!(table, "    Method {{ path: {path:?}, access: Access::{access}, user_id_field: {user_id_field:?} }},")?;
    }
    table.push_str("];\n");
    Ok(table)
}

fn path_of(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// The name of the variant, such as `Admin`.
fn access_of(pool: &DescriptorPool, method: &MethodDescriptor) -> Option<&'static str> {
    let option = pool.get_extension_by_name(ACCESS_OPTION)?;
    match method.options().get_extension(&option).as_enum_number()? {
        1 => Some("Public"),
        2 => Some("Self_"),
        3 => Some("Admin"),
        4 => Some("Super"),
        _ => None,
    }
}

/// Rust source of the names of all commands, in the order of their numbers, and of which name a command has.
fn command_table(pool: &DescriptorPool) -> Result<String, Box<dyn std::error::Error>> {
    let message = pool.get_message_by_name(COMMAND).ok_or("there are no commands")?;
    let bodies = message.oneofs().next().ok_or("a command has no body")?;
    let mut names: Vec<_> = bodies.fields().map(|field| (field.number(), field.name().to_owned())).collect();
    names.sort();
    let (mut all, mut arms) = (String::new(), String::new());
    for (_, name) in names {
        writeln!(all, "    {name:?},")?;
        writeln!(arms, "        Body::{}(_) => {name:?},", in_camel_case(&name))?;
    }
    Ok(format!(
        "/// Every command, in the order of the numbers.\npub const NAMES: &[&str] = &[\n{all}];\n\n\
         /// The name of a command, such as `adjust_stock`.\npub fn name_of(body: &Body) -> &'static str {{\n    match body {{\n{arms}    }}\n}}\n"
    ))
}

/// `AdjustStock` of `adjust_stock`.
fn in_camel_case(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(word).collect()
}
