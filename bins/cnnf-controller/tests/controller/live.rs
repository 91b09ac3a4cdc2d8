//! What hosts say that a draft would cut.

use cnnf_rpc::v1;
use cnnf_rpc::v1::defender_message::Body as Up;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;

use crate::place::{Place, inventory, now_ms, rule};

#[tokio::test]
async fn a_draft_says_what_each_host_would_cut_and_which_hosts_do_not_say() {
    let place = Place::new();
    let (app, web) = (place.enrol("app").await, place.enrol("web").await);
    let (old, hung, wrong) = (place.enrol("old").await, place.enrol("hung").await, place.enrol("wrong").await);
    place.enrol("away").await;
    let mut web = web.attach_for_deltas(&place).await;
    web.deliver(1, inventory("10.9.0.2", &[("unit:nginx", 80)])).await;
    let mut app = app.attach_for_deltas(&place).await;
    app.deliver(1, inventory("10.9.0.1", &[("unit:client", 0)])).await;
    let _old = old.attach(&place).await;
    let _hung = hung.attach_for_deltas(&place).await;
    let mut wrong = wrong.attach_for_deltas(&place).await;

    let client = place.admin().await;
    let draft = vec![rule("no client", "unit:client", "nginx", "prevent")];
    let simulate = {
        let (mut client, rules) = (PolicyServiceClient::new(client.clone()), draft.clone());
        let ask = v1::SimulatePolicyRequest { rules, live: true, ..Default::default() };
        tokio::spawn(async move { client.simulate_policy(ask).await.expect("simulated").into_inner() })
    };
    let answer = |question: &v1::Preview, connections, server: &str| {
        let record = v1::FlowRecord {
            client_service: "unit:client".to_owned(),
            client_address: "10.9.0.1".to_owned(),
            server_address: server.to_owned(),
            protocol: "tcp".to_owned(),
            port: 80,
            connections,
            first_ms: now_ms(),
            last_ms: now_ms(),
            ..Default::default()
        };
        let number = question.number;
        Up::PreviewAnswer(v1::PreviewAnswer { number, connections, cut: vec![record], ..Default::default() })
    };
    let question = app.question().await;
    let policy = question.policy.clone().expect("a policy");
    assert!(policy.egress.iter().any(|entry| entry.rule_name == "no client" && entry.effect == "prevent"));
    // an answer to no question is none
    app.say(answer(&v1::Preview { number: question.number ^ 1, policy: None }, 7, "10.9.0.2")).await;
    app.say(answer(&question, 12, "10.9.0.2")).await;
    let question = web.question().await;
    web.say(Up::PreviewAnswer(v1::PreviewAnswer { number: question.number, ..Default::default() })).await;
    let question = wrong.question().await;
    wrong.say(answer(&question, 3, "nowhere")).await;

    let live = simulate.await.expect("answered").live.expect("it was asked for");
    assert_eq!((live.connections, live.hosts), (12, 2), "{live:?}");
    let cuts: Vec<_> = live.cuts.iter().map(|cut| (cut.host.as_str(), cut.connections)).collect();
    assert_eq!(cuts, [("app", 12)]);
    let edge = live.cuts[0].edge.clone().expect("an edge");
    assert_eq!(edge.client.expect("a client").service, "unit:client");
    assert_eq!(edge.server.expect("a server").service, "unit:nginx");
    let silent: Vec<_> = live.silent.iter().map(|silent| (silent.host.as_str(), silent.why.as_str())).collect();
    assert_eq!(
        silent[..3],
        [
            ("away", "it is not connected"),
            ("hung", "it did not answer within 4 s"),
            ("old", "its defender is too old to say"),
        ]
    );
    assert!(silent[3].1.starts_with("its answer cannot be read: flows[0]."), "{silent:?}");

    let mut client = PolicyServiceClient::new(client);
    let ask = v1::SimulatePolicyRequest { live: true, ..Default::default() };
    let live = client.simulate_policy(ask).await.expect("simulated").into_inner().live.expect("it was asked for");
    assert_eq!((live.hosts, live.connections), (6, 0), "hosts whose policy does not change are not asked: {live:?}");
    let plan = v1::ApplyPolicyRequest { rules: draft, dry_run: true, live: true, ..Default::default() };
    let plan = tokio::spawn(async move { client.apply_policy(plan).await.expect("planned").into_inner() });
    let question = app.question().await;
    app.say(answer(&question, 5, "10.9.0.2")).await;
    assert_eq!(plan.await.expect("answered").live.expect("it was asked for").connections, 5);
}
