//! docs/service_config.json: what gRPC clients may try again by themselves.

use emshop_proto::FILE_DESCRIPTOR_SET;
use emshop_proto::commands::names_itself;
use emshop_proto::v1::Command;
use emshop_testing::docs::assert_page;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use serde_json::{Value as Json, json};

/// What begins like this changes nothing.
const READS: [&str; 5] = ["Get", "List", "BatchGet", "Calculate", "Inspect"];

#[test]
fn the_service_config_is_fresh() {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("our own descriptors");
    let mut names: Vec<_> = pool
        .services()
        .filter(|service| service.package_name() == "emshop.v1")
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter(|method| is_safe(&pool, method))
        .map(|method| (method.parent_service().full_name().to_owned(), method.name().to_owned()))
        .collect();
    names.sort();
    let names: Vec<_> = names.into_iter().map(|(service, method)| json!({"service": service, "method": method})).collect();
    let text = serde_json::to_string_pretty(&config(&names)).expect("JSON");
    assert_page("docs/service_config.json", &format!("{text}\n"));
}

/// Whether a second try does no more than the first one did, whatever became of that: a read, or a command that names what it is about. All
/// others need an idempotency key of the client's for that.
fn is_safe(pool: &DescriptorPool, method: &MethodDescriptor) -> bool {
    let is_read = READS.iter().any(|prefix| method.name().starts_with(prefix));
    is_read || command(pool, method).is_some_and(|command| names_itself(command.body.as_ref().expect("a body")))
}

/// The command that has the request of this method for its body.
fn command(pool: &DescriptorPool, method: &MethodDescriptor) -> Option<Command> {
    let descriptor = pool.get_message_by_name("emshop.v1.Command").expect("there are commands");
    let input = method.input();
    let field = descriptor.fields().find(|field| field.kind().as_message() == Some(&input))?;
    let mut message = DynamicMessage::new(descriptor);
    message.set_field(&field, Value::Message(DynamicMessage::new(input)));
    Some(Command::decode(message.encode_to_vec().as_slice()).expect("a command"))
}

fn config(names: &[Json]) -> Json {
    json!({
        "methodConfig": [{
            "name": names,
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"]
            }
        }],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}
    })
}
