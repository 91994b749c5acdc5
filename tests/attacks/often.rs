//! Too many calls of one.

use emshop_proto::v1::LoginRequest;
use emshop_proto::v1::user_service_client::UserServiceClient;
use std::net::IpAddr;
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;

use crate::process::{PATIENCE, Process, Starting, path};
use crate::reason;

/// From another address of this machine.
async fn channel_from(process: &Process, address: [u8; 4]) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", process.address())).expect("an address").timeout(PATIENCE);
    endpoint.local_address(Some(IpAddr::from(address))).connect().await.expect("it serves")
}

/// Each try costs the server a hash, and anybody can send it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_tries_passwords_is_slowed_down_and_others_are_not() {
    let data = TempDir::new().unwrap();
    let rates = [("EMSHOP__RATES__ACCOUNTS_PER_ADDRESS", "20/s"), ("EMSHOP__RATES__ATTEMPTS_PER_MOBILE", "20/m")];
    let process = Starting::spawn_with(&["--data", path(data.path())], &rates).serves();
    let channel = channel_from(&process, [127, 0, 0, 2]).await;
    let attempt = |channel: &Channel, number: u32| {
        let mobile = format!("138{number:08}");
        let request = LoginRequest { mobile, password: "a wrong password".to_owned(), ..LoginRequest::default() };
        let mut users = UserServiceClient::new(channel.clone());
        async move { users.login(request).await.expect_err("nobody has it") }
    };
    let tries = (0..200).map(|number| attempt(&channel, number));
    let told = futures::future::join_all(tries).await;
    let (slowed, looked_at): (Vec<_>, Vec<_>) = told.iter().partition(|status| reason(status) == "RATE_LIMITED");
    assert!(slowed.len() >= 100, "{} of 200 are slowed down", slowed.len());
    assert!(looked_at.iter().all(|status| reason(status) == "PASSWORD_INCORRECT"), "{looked_at:?}");
    for status in slowed {
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        assert!(details.retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
        assert_eq!(details.quota_failure().expect("whose").violations[0].subject, "address:127.0.0.2");
    }
    let other = channel_from(&process, [127, 0, 0, 3]).await;
    assert_eq!(reason(&attempt(&other, 0).await), "PASSWORD_INCORRECT");

    // One number is guarded from all addresses.
    let mut seen = Vec::new();
    for last in 10..40 {
        let channel = channel_from(&process, [127, 0, 0, last]).await;
        seen.push(reason(&attempt(&channel, 99_999_999).await));
    }
    assert_eq!(seen.iter().filter(|reason| *reason == "PASSWORD_INCORRECT").count(), 20, "{seen:?}");
}
