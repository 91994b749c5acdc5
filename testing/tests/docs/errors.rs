//! docs/ERRORS.md: the table of refusals.

use emshop_proto::errors::Code;
use emshop_testing::docs::{assert_page, table};

#[test]
fn the_page_is_fresh() {
    let head = "# Error codes\n\nGenerated from the table in `proto/src/errors.rs`; `make docs` writes it again.\n\n\
        Every refusal carries its code, name and message: unary RPCs in the gRPC status with `google.rpc.ErrorInfo`\n\
        (reason = name, domain = `emshop`, metadata `code` and more), the pipeline in `Outcome.refusal`.\n\n";
    let rows = Code::ALL.iter().map(|code| {
        vec![code.number().to_string(), code.name().to_owned(), format!("{:?}", code.grpc()), code.message().to_owned()]
    });
    assert_page("docs/ERRORS.md", &format!("{head}{}", table(&["code", "name", "gRPC status", "message"], rows)));
}
