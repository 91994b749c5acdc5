//! Idempotency keys of calls and of streams, and what is read before it is changed.

use emshop_ingress::{Algorithm, Caller, Options, Tokens, new_key};
use emshop_proto::commands::{KEY_METADATA, call};
use emshop_proto::v1::command::Body;
use emshop_proto::v1::goods_service_client::GoodsServiceClient;
use emshop_proto::v1::inventory_service_client::InventoryServiceClient;
use emshop_proto::v1::pipeline_service_client::PipelineServiceClient;
use emshop_proto::v1::user_service_client::UserServiceClient;
use emshop_proto::v1::{
    AdjustStockRequest, BatchSetStockRequest, ChangePasswordRequest, Command, CommandBatch, DeleteGoodsRequest, Role,
    SetStockRequest, outcome,
};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::engine::PASSWORD;
use crate::shop::{PATIENCE, Shop, reason};

fn told_key(status: &Status) -> String {
    status.get_details_error_info().expect("ErrorInfo").metadata["idempotency_key"].clone()
}

/// The field that a call is refused for.
fn violated(status: &Status) -> String {
    assert_eq!((status.code(), reason(status).as_str()), (Code::InvalidArgument, "VALIDATION_FAILED"));
    status.get_details_bad_request().expect("BadRequest").field_violations[0].field.clone()
}

/// With the metadata that a call is made with.
fn with(keys: &[&str]) -> Request<DeleteGoodsRequest> {
    let mut request = Request::new(DeleteGoodsRequest { goods_id: 1 });
    keys.iter().for_each(|key| _ = request.metadata_mut().append(KEY_METADATA, key.parse().expect("ASCII")));
    request
}

/// The stand-in refuses to delete goods, so that the key comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_the_clients_or_made_and_told_with_an_error() {
    let shop = Shop::open(1, Options::default()).await;
    let mut goods = GoodsServiceClient::new(shop.channel.clone());
    let given = goods.delete_goods(with(&["k"])).await.expect_err("not played");
    assert_eq!((reason(&given).as_str(), told_key(&given).as_str()), ("UNKNOWN", "k"));
    let mut made = Vec::new();
    for keys in [&[][..], &[""]] {
        made.push(told_key(&goods.delete_goods(with(keys)).await.expect_err("not played")));
    }
    assert!(made[0].len() == 32 && made[1].len() == 32 && made[0] != made[1], "{made:?}");

    let commands = shop.commands();
    for bad in [&["k", "k"][..], &[&"x".repeat(65)]] {
        assert_eq!(violated(&goods.delete_goods(with(bad)).await.expect_err("no such key")), "idempotency_key");
    }
    assert_eq!(shop.commands(), commands);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_changes_stock_under_a_key() {
    let tokens = Tokens::new(Algorithm::EdDsa, &new_key(Algorithm::EdDsa), PATIENCE).expect("a new key");
    let shop = Shop::guarded(1, Options { tokens: tokens.clone(), ..Options::default() }).await;
    let token = format!("Bearer {}", tokens.sign(Caller { user_id: 7, role: Role::Admin }, None).token);
    let authorized =
        |metadata: &mut tonic::metadata::MetadataMap| _ = metadata.insert("authorization", token.parse().expect("ASCII"));
    let mut inventory = InventoryServiceClient::new(shop.channel.clone());
    let adjust = AdjustStockRequest { goods_id: 1, delta: 1 };
    let batch = BatchSetStockRequest { entries: vec![SetStockRequest { goods_id: 1, on_hand: 1 }] };

    for (key, expected) in [("", Err("idempotency_key".to_owned())), ("k", Ok(()))] {
        let mut request = call(key, adjust);
        authorized(request.metadata_mut());
        let adjusted = inventory.adjust_stock(request).await;
        assert_eq!(adjusted.map(drop).map_err(|status| violated(&status)), expected, "under {key:?}");

        let mut request = call(key, batch.clone());
        authorized(request.metadata_mut());
        let set = inventory.batch_set_stock(request).await;
        assert_eq!(set.map(drop).map_err(|status| violated(&status)), expected, "under {key:?}");

        let command = Command { idempotency_key: key.to_owned(), ..Body::AdjustStock(adjust).into() };
        let mut request = Request::new(tokio_stream::once(CommandBatch { commands: vec![command] }));
        authorized(request.metadata_mut());
        let answers = PipelineServiceClient::new(shop.channel.clone()).submit(request).await;
        let batch = answers.expect("a stream").into_inner().message().await.expect("an answer").expect("one batch");
        let refused = match &batch.outcomes[0].result {
            Some(outcome::Result::Refusal(refusal)) => Err(refusal.violations[0].field.clone()),
            _ => Ok(()),
        };
        assert_eq!(refused, expected, "under {key:?}");
    }
    assert_eq!(shop.commands(), 3, "the log has only what has a key");
    shop.close().await;
}

/// Both are right when they are looked at; the engine says which of them still is when its password is set.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_of_a_password_at_once_one_is_done() {
    let shop = Shop::open(1, Options::default()).await;
    let mut users = UserServiceClient::new(shop.channel.clone());
    let change = |old_password: &str, new_password: &str| ChangePasswordRequest {
        user_id: 7,
        old_password: old_password.to_owned(),
        new_password: new_password.to_owned(),
    };
    let names = ["the other one", "another one"];
    let calls = names.map(|new_password| {
        let mut users = users.clone();
        async move { users.change_password(change(PASSWORD, new_password)).await }
    });
    let results = futures::future::join_all(calls).await;
    let refused: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).map(reason).collect();
    assert_eq!(refused, ["PASSWORD_INCORRECT"]);
    let new_password = names[usize::from(results[0].is_err())];
    let refused = users.change_password(change(PASSWORD, "one more")).await.expect_err("not in force any more");
    assert_eq!(reason(&refused), "PASSWORD_INCORRECT");
    users.change_password(change(new_password, "the last one")).await.expect("it is in force");
    shop.close().await;
}
