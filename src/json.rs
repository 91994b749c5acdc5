//! Messages of the API as JSON.

use std::sync::LazyLock;

use anyhow::{Context, Result};
use emshop_proto::API_DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

/// By the names of the protos. Numbers of 64 bits are strings, as JSON has them of protobuf: many programs read numbers of 53 bits only.
pub const BY_PROTO: SerializeOptions = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);

/// Every message of the API.
pub static MESSAGES: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(API_DESCRIPTOR_SET).expect("descriptors that the build has made"));

/// A message by its name, such as `Order`.
///
/// # Errors
/// When the API has no message of that name.
pub fn of(name: &str, message: &impl Message) -> Result<Value> {
    let descriptor = MESSAGES.get_message_by_name(&format!("emshop.v1.{name}"));
    let descriptor = descriptor.with_context(|| format!("the API has no message {name}"))?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    Ok(message.serialize_with_options(serde_json::value::Serializer, &BY_PROTO)?)
}
