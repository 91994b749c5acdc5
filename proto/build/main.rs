//! Compiles the .proto files with protox, so that no protoc has to be installed, and makes the tables of who may call what and of what
//! commands there are.

mod tables;

use std::path::{Path, PathBuf};

use protox::Compiler;

const FILES: [&str; 17] = [
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
    "emshop/v1/audit.proto",
    "emshop/v1/admin.proto",
    "emshop/v1/events.proto",
    "emshop/internal/v1/state.proto",
];

/// Large ones among records, outcomes and events, which are moved about by the thousand.
const BOXED: [&str; 8] = [
    ".emshop.internal.v1.OrderRow.destination",
    ".emshop.internal.v1.OrderRow.refusal",
    ".emshop.internal.v1.OrderRow.parcel",
    ".emshop.v1.Operator.subject",
    ".emshop.v1.Outcome.result.goods",
    ".emshop.v1.Outcome.result.logistics_order",
    ".emshop.v1.Event.body.goods",
    ".emshop.v1.Event.body.parcel",
];

/// Bytes that are shared with what they came in, instead of copied.
const SHARED: [&str; 3] =
    [".emshop.internal.v1.Record.command", ".emshop.internal.v1.OrderCommand", ".emshop.internal.v1.TicketOutcome.outcome"];

const API_FOLDER: &str = "emshop/v1/";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut compiler = Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    // Encoded by protox, since prost's own types forget the options of our making.
    std::fs::write(out.join("emshop.bin"), compiler.encode_file_descriptor_set())?;
    let mut public = Compiler::new(["proto"])?;
    public
        .include_imports(true)
        .include_source_info(true)
        .open_files(FILES.iter().filter(|file| file.starts_with(API_FOLDER)))?;
    std::fs::write(out.join("public.bin"), public.encode_file_descriptor_set())?;
    std::fs::write(out.join("access.rs"), tables::access(&compiler.descriptor_pool())?)?;
    std::fs::write(out.join("commands.rs"), tables::commands(&compiler.descriptor_pool())?)?;
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
