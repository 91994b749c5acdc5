//! An RPC that does not say who may call it, or whose something is, does not get through the build.

#[path = "../build/tables.rs"]
mod tables;

use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

/// A file that is not on the disk.
struct Written(String);

impl FileResolver for Written {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "written.proto" => File::from_source(name, &self.0),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// What the build makes of one RPC with these options, whose request has this field, and of one command.
fn build(options: &str, request: &str, command: &str) -> Result<String, String> {
    build_of("Request", options, request, command)
}

/// As [`build`], of an RPC that takes perhaps a stream.
fn build_of(input: &str, options: &str, request: &str, command: &str) -> Result<String, String> {
    let text = format!(
        "syntax = \"proto3\"; package emshop.v1; import \"emshop/v1/access.proto\";
         service S {{ rpc Call({input}) returns (Request) {{ {options} }} }}
         message Request {{ {request} }} message Other {{}}
         message Command {{ oneof body {{ {command} }} }}"
    );
    let mut resolver = ChainFileResolver::new();
    resolver.add(Written(text));
    resolver.add(IncludeFileResolver::new("proto".into()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("written.proto").expect("it is a proto");
    let pool = compiler.descriptor_pool();
    tables::commands(&pool).expect("there are commands");
    tables::access(&pool).map_err(|error| error.to_string())
}

#[test]
fn what_is_not_said_fails_the_build() {
    let (own, by_engine) = ("option (owner) = OWNER_REQUEST_USER_ID;", "option (owner) = OWNER_ENGINE;");
    let of = |access: &str, rest: &str| format!("option (access) = ACCESS_{access}; {rest}");
    let (user, call) = ("uint64 user_id = 1;", "Request call = 1;");
    let wrong = [
        (String::new(), user, call, "has no option (access)"),
        (of("SELF", ""), user, call, "has no option (owner)"),
        (of("SELF", own), "", call, "its request has no uint64 user_id"),
        (of("SELF", own), "string user_id = 1;", call, "its request has no uint64 user_id"),
        (of("SELF", own), "repeated uint64 user_id = 1;", call, "its request has no uint64 user_id"),
        (of("ADMIN", own), user, call, "is not for ACCESS_SELF"),
        (of("PUBLIC", "option (roles) = ROLE_FINANCE;"), user, call, "is for no roles"),
        (of("SELF", own), user, "Other other = 1;", "no RPC says who may give other"),
    ];
    for (options, request, command, said) in wrong {
        let error = build(&options, request, command).expect_err(said);
        assert!(error.contains(said), "{error}");
    }
    // One message is looked at, before its service begins.
    let stream = build_of("stream Request", &of("SELF", own), user, call).expect_err("a stream");
    assert!(stream.contains("takes a stream"), "{stream}");
    for (options, request) in [(of("SELF", own), user), (of("SELF", by_engine), ""), (of("ADMIN", ""), "")] {
        build(&options, request, call).expect("all is said");
    }
    let table = build(&of("ADMIN", "option (roles) = ROLE_FINANCE;"), "", "Other other = 1 [(rpc) = \"S.Call\"];");
    let table = table.expect("all is said");
    assert!(table.contains("roles: &[Role::Finance, ]") && table.contains("Body::Other(_) => &METHODS[0]"), "{table}");
}
