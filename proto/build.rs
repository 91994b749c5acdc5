//! Compiles the .proto files with protox, so that no protoc has to be installed.

use std::path::PathBuf;

use prost::Message;

const FILES: [&str; 10] = [
    "emshop/v1/common.proto",
    "emshop/v1/goods.proto",
    "emshop/v1/inventory.proto",
    "emshop/v1/order.proto",
    "emshop/v1/payment.proto",
    "emshop/v1/logistics.proto",
    "emshop/v1/pipeline.proto",
    "emshop/v1/admin.proto",
    "emshop/v1/events.proto",
    "emshop/internal/v1/state.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let descriptors = protox::compile(FILES, ["proto"])?;
    std::fs::write(out.join("emshop.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().btree_map(".emshop.internal").compile_fds(descriptors)?;
    Ok(())
}
