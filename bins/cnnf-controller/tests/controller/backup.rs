//! Everything goes into one file and comes back.

use std::time::Duration;

use cnnf_rpc::v1;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;

use crate::place::{Place, controller, flow, inventory, mode_of, rule, until};
use crate::restart::picture;

/// What an administrator sees once nothing is on its way any more.
async fn at_rest(place: &Place) -> String {
    let mut last = picture(place).await;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = picture(place).await;
        if now == last {
            return now;
        }
        last = now;
    }
}

#[tokio::test]
async fn a_controller_comes_back_from_a_backup_taken_while_it_ran() {
    let mut place = Place::new();
    let host = place.enrol("app").await;
    let mut stream = host.attach(&place).await;
    let mut rules = PolicyServiceClient::new(place.admin().await);
    let add =
        |name: &str| v1::AddRuleRequest { rule: Some(rule(name, "unit:client", "any", "alert")), ..Default::default() };
    rules.add_rule(add("watch")).await.expect("added");
    stream.deliver(1, inventory("10.9.0.1", &[("unit:client", 0), ("unit:server", 80)])).await;
    stream.deliver(2, flow("unit:client", "10.9.0.1", "10.9.0.1", 80)).await;
    let before = at_rest(&place).await;

    let folder = tempfile::tempdir().expect("folder");
    let (file, data) = (folder.path().join("backup"), place.path().display().to_string());
    let backup = || controller(&["backup", &file.display().to_string(), "--data-dir", &data]);
    assert!(backup().status.success());
    assert_eq!(mode_of(&file), 0o600, "it holds the CA's key");
    assert_eq!(backup().status.code(), Some(1), "an older backup is not overwritten");
    // What comes after it is not in it.
    rules.add_rule(add("later")).await.expect("added");
    let output = controller(&["restore", &file.display().to_string(), "--data-dir", &data]);
    assert_eq!(output.status.code(), Some(1), "a controller's data are not overwritten");
    place.kill();

    let place = Place::restored(&file);
    assert_eq!(picture(&place).await, before);
    // The host knows a newer generation: it is gone on from.
    let newer = 1000;
    let mut stream = host.attach_having(&place, newer).await;
    let policy = stream.policy_with(|policy| policy.generation > newer).await;
    assert!(policy.generation > newer);
    stream.deliver(3, flow("unit:client", "10.9.0.1", "10.9.0.1", 80)).await;
    let list = || async {
        let mut rules = PolicyServiceClient::new(place.admin().await);
        rules.list_rules(v1::ListRulesRequest::default()).await.expect("rules").into_inner().rules
    };
    until(list, |rules| rules.len() == 1 && rules[0].name == "watch").await;
}
