//! What hosts fetch to become defended.

use std::process::Command;

use cnnf_rpc::v1;
use cnnf_rpc::v1::fleet_service_client::FleetServiceClient;
use cnnf_rpc::v1::status_service_client::StatusServiceClient;

use crate::place::Place;
use crate::web::ask;

const DEB: &str = "cnnf-defender_0.1.0-1_amd64.deb";

async fn token(place: &Place) -> v1::CreateTokenResponse {
    let request = v1::CreateTokenRequest::default();
    FleetServiceClient::new(place.admin().await).create_token(request).await.expect("made").into_inner()
}

#[tokio::test]
async fn a_host_fetches_the_package_with_a_command_that_knows_what_it_will_get() {
    let mut place = Place::new();
    assert_eq!(token(&place).await.install_command, "", "without packages");
    assert_eq!(ask(&place, "/install.sh", &[], b"").status, 404);

    std::fs::create_dir(place.packages()).expect("a folder");
    let package: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(place.packages().join(DEB), &package).expect("written");
    std::fs::write(place.packages().join("secret"), "s").expect("written");
    place.terminate();
    place.start();
    let served = ask(&place, &format!("/packages/{DEB}"), &[], b"");
    assert!(served.status == 200 && served.body == package, "{}", served.status);
    for path in ["/packages/secret", "/packages/../data/admin.toml", "/packages/%2e%2e/data/admin.toml", "/packages/"] {
        assert_eq!(ask(&place, path, &[], b"").status, 404, "{path}");
    }

    // The line as it is copied, but for what would change this machine: the script is read, not run.
    let answer = token(&place).await;
    let enrol = format!("--controller {} --token {}", place.grpc, answer.token);
    assert!(answer.install_command.ends_with(&format!("sh install.sh --from https://{} {enrol})", place.web)));
    let reads = answer.install_command.replace("sh install.sh", "true");
    let run = |line: &str| Command::new("bash").arg("-c").arg(line).output().expect("bash runs");
    let output = run(&reads);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("install.sh: OK\n"), "{said} {}", String::from_utf8_lossy(&output.stderr));
    let script = String::from_utf8(ask(&place, "/install.sh", &[], b"").body).expect("text");
    assert!(script.lines().any(|line| line.ends_with(&format!("  {DEB}"))), "{script}");

    // Somebody in between: another script than the one that the operator was shown.
    place.terminate();
    std::fs::write(place.packages().join(DEB), b"another").expect("written");
    let web = place.web;
    place.start();
    let output = run(&reads.replace(&web.to_string(), &place.web.to_string()));
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stdout).starts_with("install.sh: FAILED"));
}

#[tokio::test]
async fn who_is_older_than_the_controller_is_said() {
    let place = Place::new();
    let (old, new) = (place.enrol("old").await, place.enrol("new").await);
    let (_old, _new) = (old.attach_as(&place, "0.0.9").await, new.attach_as(&place, env!("CARGO_PKG_VERSION")).await);
    place.enrol("absent").await;
    let all = FleetServiceClient::new(place.admin().await).list_defenders(v1::ListDefendersRequest::default()).await;
    let outdated = all.expect("listed").into_inner().defenders.into_iter().filter(|one| one.outdated);
    assert_eq!(outdated.map(|one| one.host).collect::<Vec<_>>(), ["old"]);
    let status = StatusServiceClient::new(place.admin().await).get_status(v1::GetStatusRequest {}).await;
    assert_eq!(status.expect("told").into_inner().outdated, 1);
}
