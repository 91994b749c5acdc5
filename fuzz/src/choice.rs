//! Bytes as choices: messages of any type that are well-formed, and say what the bytes decide.
//!
//! Ids are few, so that commands meet; numbers are mostly small, and else those at which something ends.

use arbitrary::Unstructured;
use emshop_proto::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use std::sync::LazyLock;

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("our own descriptors"));

/// Limits of the shop and of the formats, and their neighbours.
const EDGES: [u64; 14] = [
    100,
    200,
    255,
    256,
    86_400,
    1_000_000,
    1_000_001,
    u32::MAX as u64,
    1_000_000_000_000,
    1_000_000_000_001,
    1_000_000_000_000_000,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX,
];

/// Elements of a list.
const LIST_MAX: usize = 3;
/// Messages within messages.
const DEPTH_MAX: u32 = 4;

/// Reads choices; when the bytes are used up, each is the first of its kind.
pub struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    /// Of an input.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    /// No choice is left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end - 1).unwrap_or(0)
    }

    /// True once in `times`, about.
    pub fn once_in(&mut self, times: u8) -> bool {
        self.0.arbitrary::<u8>().unwrap_or(u8::MAX) < u8::MAX / times
    }

    /// One of these.
    pub fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// All bytes that are left, as they are.
    pub fn bytes(&mut self) -> &'a [u8] {
        self.0.bytes(self.0.len()).expect("as many as there are")
    }

    /// Mostly small.
    pub fn number(&mut self) -> u64 {
        match self.below(16) {
            0..=11 => self.below(8) as u64,
            12 | 13 => self.one_of(&EDGES),
            14 => self.0.arbitrary::<u16>().unwrap_or(0).into(),
            _ => self.0.arbitrary().unwrap_or(0),
        }
    }

    fn signed(&mut self) -> i64 {
        match self.below(8) {
            0..=4 => self.number() as i64,
            5 | 6 => (self.number() as i64).wrapping_neg(),
            _ => i64::MIN,
        }
    }

    /// Text such as a field of this name has, or text that it should not have.
    pub fn text(&mut self, field: &str) -> String {
        let few = self.below(4);
        match self.below(32) {
            0 => return String::new(),
            1 => return "x".repeat(65 + few * 1_000),
            2 => return ["中文", "a b", "\u{0}", "pay-"][few].to_owned(),
            3 => return String::from_utf8_lossy(self.0.bytes(few.min(self.0.len())).unwrap_or_default()).into_owned(),
            _ => {}
        }
        match field {
            "order_id" => format!("o{few}"),
            "business_id" => format!("r{few}"),
            "payment_id" | "logistics_id" if few > 0 => String::new(),
            "payment_id" => "pay-o1".to_owned(),
            "logistics_id" => "lg-o1".to_owned(),
            "idempotency_key" => ["", "", "k1", "k2"][few].to_owned(),
            "currency" => ["CNY", "CNY", "CNY", "USD"][few].to_owned(),
            "mobile" => format!("1380000000{few}"),
            "key" | "code_key" | "budget_key" => {
                ["sms:register:v:13800000000", "sms:register:13800000000", "sms:login:v:13800000000", "captcha:c"][few].to_owned()
            }
            "tracking_number" => "SF000000002560".to_owned(),
            _ => ["", "a", "b", "c"][few].to_owned(),
        }
    }

    /// Any message of a type that prost made; none of its fields is unknown to it.
    ///
    /// # Panics
    /// When there is no such type.
    pub fn made<M: Message + Default>(&mut self, name: &str) -> M {
        let descriptor = POOL.get_message_by_name(name).unwrap_or_else(|| panic!("there is no message {name}"));
        M::decode(self.message(&descriptor, 0).encode_to_vec().as_slice()).expect("one that was made by its descriptor")
    }

    fn message(&mut self, of: &MessageDescriptor, depth: u32) -> DynamicMessage {
        let mut message = DynamicMessage::new(of.clone());
        for oneof in of.oneofs() {
            let fields: Vec<_> = oneof.fields().collect();
            // Mostly something, since a command without body is soon refused.
            if !self.once_in(16) {
                let field = self.one_of(&fields);
                self.fill(&mut message, &field, depth);
            }
        }
        for field in of.fields().filter(|field| field.containing_oneof().is_none()) {
            // Whoever expects a total by chance is refused.
            let is_there = if field.name() == "expected_total" { self.once_in(8) } else { !self.once_in(8) };
            if is_there {
                self.fill(&mut message, &field, depth);
            }
        }
        message
    }

    fn fill(&mut self, message: &mut DynamicMessage, field: &FieldDescriptor, depth: u32) {
        if depth >= DEPTH_MAX && matches!(field.kind(), Kind::Message(_)) {
            return;
        }
        let value = if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            let count = self.below(LIST_MAX + 1);
            Value::Map((0..count).map(|_| (self.map_key(&key), self.value(&value, depth))).collect())
        } else if field.cardinality() == Cardinality::Repeated {
            let count = self.below(LIST_MAX + 1);
            Value::List((0..count).map(|_| self.value(field, depth)).collect())
        } else {
            self.value(field, depth)
        };
        message.set_field(field, value);
    }

    fn map_key(&mut self, field: &FieldDescriptor) -> MapKey {
        match self.value(field, DEPTH_MAX) {
            Value::U32(number) => MapKey::U32(number),
            Value::U64(number) => MapKey::U64(number),
            other => panic!("no map of ours has keys like {other:?}"),
        }
    }

    fn value(&mut self, field: &FieldDescriptor, depth: u32) -> Value {
        match field.kind() {
            Kind::Bool => Value::Bool(self.below(2) == 1),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(self.number() as u32),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(self.number()),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(self.signed() as i32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(self.signed()),
            Kind::Float => Value::F32(self.number() as f32),
            Kind::Double => Value::F64(self.number() as f64),
            Kind::String => Value::String(self.text(field.name())),
            Kind::Bytes => Value::Bytes(self.text(field.name()).into_bytes().into()),
            // One more than there are, too.
            Kind::Enum(of) => Value::EnumNumber(self.below(of.values().len() + 1) as i32),
            Kind::Message(of) => Value::Message(self.message(&of, depth + 1)),
        }
    }
}
