//! Bytes of calls. The requests of one order after the other use the same memory, so none costs an allocation.

use bytes::BufMut;
use emshop_proto::v1::{ConfirmPaymentRequest, SubmitOrderRequest};
use prost::Message;

use crate::workload::{Step, Workload};

/// A gRPC message begins with one byte that says whether it is compressed, and four of its length.
pub const PREFIX_BYTES: usize = 5;

/// Writes requests.
#[derive(Debug)]
pub struct Encoder {
    submit: SubmitOrderRequest,
    confirm: ConfirmPaymentRequest,
    message: Vec<u8>,
}

impl Encoder {
    pub fn new(workload: &Workload) -> Self {
        let (submit, confirm) = (workload.submit_order(0), workload.confirm_payment(0));
        Self { submit, confirm, message: Vec::new() }
    }

    /// The request of a step, as a whole gRPC message.
    pub fn call(&mut self, workload: &Workload, step: Step, number: u64) -> &[u8] {
        match step {
            Step::Submit => {
                workload.write_order_id(&mut self.submit.order_id, number);
                self.submit.user_id = workload.user_id(number);
                self.submit.lines.clear();
                self.submit.lines.extend(workload.lines(number));
                write(&self.submit, &mut self.message)
            }
            Step::Confirm => {
                workload.write_order_id(&mut self.confirm.order_id, number);
                self.confirm.third_party_sn.clone_from(&self.confirm.order_id);
                write(&self.confirm, &mut self.message)
            }
        }
        &self.message
    }
}

fn write(message: &impl Message, out: &mut Vec<u8>) {
    out.clear();
    out.put_u8(0);
    out.put_u32(message.encoded_len() as u32);
    message.encode(out).expect("a buffer that grows");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Kind;

    /// An order that is submitted again must be the same to the byte.
    #[test]
    fn the_bytes_are_those_of_the_messages() {
        for kind in [Kind::Checkout, Kind::Flash] {
            let workload = Workload::new(kind, 0xABCD, 1, 10_000, 10_000);
            let mut encoder = Encoder::new(&workload);
            for number in [7, 0, 123_456_789] {
                let call = encoder.call(&workload, Step::Submit, number);
                assert_eq!(call[0], 0, "not compressed");
                assert_eq!(call[1..PREFIX_BYTES], ((call.len() - PREFIX_BYTES) as u32).to_be_bytes());
                assert_eq!(call[PREFIX_BYTES..], workload.submit_order(number).encode_to_vec());
                let call = encoder.call(&workload, Step::Confirm, number);
                assert_eq!(call[PREFIX_BYTES..], workload.confirm_payment(number).encode_to_vec());
            }
        }
    }
}
