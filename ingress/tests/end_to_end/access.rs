use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use emshop_ingress::{Algorithm, Caller, LogLines, Options, Plain, Tokens, Verification, new_key};
use emshop_proto::access::{Access, METHODS, Method};
use emshop_proto::v1::Role;
use emshop_proto::v1::admin_service_client::AdminServiceClient;
use emshop_proto::v1::command::Body;
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::{Command, CommandBatch, InspectRequest, SetUserRoleRequest, outcome};
use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::shop::{PATIENCE, Shop, reason};

const USER: u64 = 7;
const OTHER: u64 = 8;
/// Nobody waits for what a call answers that was let in.
const LET_IN_WAIT: Duration = Duration::from_secs(2);

/// Messages as they are on the wire, so that one client calls every RPC.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

async fn call(
    channel: &Channel,
    path: &'static str,
    token: Option<&str>,
    message: Bytes,
    wait: Duration,
) -> Result<Bytes, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("it serves");
    let mut request = Request::new(message);
    request.set_timeout(wait);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("ASCII"));
    }
    client.unary(request, PathAndQuery::from_static(path), Raw).await.map(tonic::Response::into_inner)
}

/// A request that names a user, if it can.
fn naming(field: Option<u32>, user_id: u64) -> Bytes {
    let mut message = Vec::new();
    if let Some(field) = field {
        encode_key(field, WireType::Varint, &mut message);
        encode_varint(user_id, &mut message);
    }
    message.into()
}

async fn guarded() -> (Shop, impl Fn(Role) -> String) {
    let tokens = Tokens::new(Algorithm::EdDsa, &new_key(Algorithm::EdDsa), PATIENCE).expect("a new key");
    let verification = Verification { sms: Some(Arc::new(LogLines)), captcha: Some(Arc::new(Plain)) };
    let shop = Shop::guarded(1, Options { tokens: tokens.clone(), verification, ..Options::default() }).await;
    (shop, move |role| tokens.sign(Caller { user_id: USER, role }, None).token)
}

fn told(result: Result<Bytes, Status>) -> (Code, String) {
    let status = result.expect_err("refused");
    (status.code(), reason(&status))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_that_is_served_is_guarded() {
    let (shop, token) = guarded().await;
    let [user, admin] = [Role::User, Role::Admin].map(&token);
    for Method { path, access, user_id_field, .. } in METHODS {
        let refused = async |token: Option<&str>, user_id| {
            told(call(&shop.channel, path, token, naming(*user_id_field, user_id), PATIENCE).await)
        };
        let denied = (Code::PermissionDenied, "PERMISSION_DENIED".to_owned());
        if *access == Access::Public {
            let let_in = call(&shop.channel, path, None, Bytes::new(), LET_IN_WAIT).await;
            let code = let_in.map_or_else(|status| status.code(), |_| Code::Ok);
            assert!(!matches!(code, Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented), "{path}: {code:?}");
            continue;
        }
        assert_eq!(refused(None, USER).await, (Code::Unauthenticated, "AUTH_HEADER_MISSING".to_owned()), "{path}");
        assert_eq!(refused(Some("x"), USER).await, (Code::Unauthenticated, "TOKEN_INVALID".to_owned()), "{path}");
        match access {
            Access::Self_ if user_id_field.is_some() => assert_eq!(refused(Some(&user), OTHER).await, denied, "{path}"),
            // Whose the order is, the engine knows.
            Access::Self_ => {}
            Access::Admin => assert_eq!(refused(Some(&user), USER).await, denied, "{path}"),
            _ => assert_eq!(refused(Some(&admin), USER).await, denied, "{path}"),
        }
    }
    shop.close().await;
}

/// Codes that everybody knows were the default, so whoever asked was let in as anybody.
#[tokio::test(flavor = "multi_thread")]
async fn without_providers_there_are_no_codes() {
    let shop = Shop::guarded(1, Options::default()).await;
    let users = ["SendSmsCode", "GetCaptcha", "Register", "LoginBySms"].map(|name| format!("/emshop.v1.UserService/{name}"));
    for Method { path, .. } in METHODS.iter().filter(|method| users.iter().any(|path| path == method.path)) {
        let refused = told(call(&shop.channel, path, None, Bytes::new(), PATIENCE).await);
        assert_eq!(refused, (Code::Unimplemented, "VERIFICATION_MISSING".to_owned()), "{path}");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_let_in_is_served() {
    let (shop, token) = guarded().await;
    let mut request = Request::new(InspectRequest {});
    request.metadata_mut().insert("authorization", format!("Bearer {}", token(Role::Admin)).parse().expect("ASCII"));
    AdminServiceClient::new(shop.channel.clone()).inspect(request).await.expect("an admin may");
    shop.close().await;
}

/// A stream takes any command, so it must not be a way around what a call is refused.
#[tokio::test(flavor = "multi_thread")]
async fn an_admin_makes_nobody_an_admin_by_stream() {
    let (shop, token) = guarded().await;
    for (role, expected) in [(Role::Admin, "PERMISSION_DENIED"), (Role::Super, "UNKNOWN")] {
        let set_role = SetUserRoleRequest { user_id: USER, role: Role::Super.into() };
        let commands = vec![Command { tag: 1, ..Body::SetUserRole(set_role).into() }];
        let mut request = Request::new(tokio_stream::once(CommandBatch { commands }));
        request.metadata_mut().insert("authorization", format!("Bearer {}", token(role)).parse().expect("ASCII"));
        let answers = PipelineServiceClient::new(shop.channel.clone()).submit(request).await;
        let batch = answers.expect("a stream").into_inner().message().await.expect("an answer").expect("one batch");
        let Some(outcome::Result::Refusal(refusal)) = &batch.outcomes[0].result else { panic!("{batch:?}") };
        assert_eq!(refusal.reason, expected);
    }
    assert_eq!(shop.commands(), 1, "the log has only what was allowed");
    shop.close().await;
}
