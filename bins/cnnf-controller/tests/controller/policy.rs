//! Rules, settings and explanations.

use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::common::time_text;
use cnnf_rpc::v1;
use cnnf_rpc::v1::event_service_client::EventServiceClient;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;
use cnnf_rpc::v1::report::Body;
use cnnf_rpc::v1::settings_service_client::SettingsServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::place::{Place, flow, inventory, now_ms, rule, until};

async fn add(client: &mut PolicyServiceClient<Channel>, rule: v1::Rule) -> Result<v1::Rule, Status> {
    client
        .add_rule(v1::AddRuleRequest { rule: Some(rule), ..Default::default() })
        .await
        .map(tonic::Response::into_inner)
}

async fn list(client: &mut PolicyServiceClient<Channel>) -> v1::ListRulesResponse {
    client.list_rules(v1::ListRulesRequest::default()).await.expect("rules").into_inner()
}

fn names(list: &v1::ListRulesResponse) -> Vec<&str> {
    list.rules.iter().map(|rule| rule.name.as_str()).collect()
}

#[tokio::test]
async fn bad_rules_are_refused_and_nothing_changes() {
    let place = Place::new();
    let mut client = PolicyServiceClient::new(place.admin().await);
    add(&mut client, rule("one", "unit:a", "any", "alert")).await.expect("added");
    let with = |change: &dyn Fn(&mut v1::Rule)| {
        let mut rule = rule("two", "unit:a", "any", "alert");
        change(&mut rule);
        rule
    };
    for (bad, part) in [
        (with(&|r| r.from = "any".to_owned()), "from: rule 'two' has no service on either side"),
        (with(&|r| r.effect = "block".to_owned()), "effect: 'block' is none of: allow, alert, prevent"),
        (with(&|r| r.ports = vec!["tcp/70000".to_owned()]), "ports: '70000' is not a port"),
        (with(&|r| r.from = "nobody".to_owned()), "from: no service is named 'nobody'"),
        (with(&|r| r.name = "one".to_owned()), "name: two rules are named 'one'"),
        (with(&|r| r.expires = "soon".to_owned()), "expires: 'soon'"),
        (with(&|r| r.learned = "yes".to_owned()), "learned: 'yes'"),
    ] {
        let error = add(&mut client, bad).await.expect_err(part);
        assert_eq!(error.code(), Code::InvalidArgument, "{part}");
        assert!(error.message().starts_with(part), "{}", error.message());
    }
    let after = list(&mut client).await;
    assert_eq!((names(&after), after.revision), (vec!["one"], 1));
}

#[tokio::test]
async fn an_ambiguous_name_lists_its_keys() {
    let place = Place::new();
    let host = place.enrol("web").await;
    host.attach(&place).await.deliver(1, inventory("10.9.0.1", &[("unit:app", 80), ("exe:/opt/app", 81)])).await;
    let mut client = PolicyServiceClient::new(place.admin().await);
    let error = add(&mut client, rule("r", "app", "any", "alert")).await.expect_err("ambiguous");
    assert!(error.message().contains("exe:/opt/app, unit:app"), "{}", error.message());
    let error = add(&mut client, rule("glob", "app*", "any", "alert")).await.expect_err("no known prefix");
    assert!(error.message().contains("matches no key"), "{}", error.message());
    add(&mut client, rule("glob", "unit:*", "any", "alert")).await.expect("a glob");
}

#[tokio::test]
async fn rules_are_changed_moved_and_deleted() {
    let place = Place::new();
    let mut client = PolicyServiceClient::new(place.admin().await);
    for name in ["a", "b", "c"] {
        add(&mut client, rule(name, "unit:a", "any", "alert")).await.expect("added");
    }
    add(&mut client, v1::Rule { position: 1, ..rule("first", "unit:a", "any", "allow") }).await.expect("added");
    let update = |rule: &str, values: v1::Rule, fields: &[&str]| v1::UpdateRuleRequest {
        rule: rule.to_owned(),
        values: Some(values),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        ..Default::default()
    };
    let values = v1::Rule { effect: "prevent".to_owned(), notes: "x".to_owned(), ..Default::default() };
    let changed = client.update_rule(update("b", values.clone(), &["effect"])).await.expect("changed").into_inner();
    assert_eq!((changed.effect.as_str(), changed.notes.as_str(), changed.revision), ("prevent", "", 5));
    assert_eq!(changed.id, 2);
    let again = client.update_rule(update("2", values, &["effect"])).await.expect("by number").into_inner();
    assert_eq!(again.revision, 5, "what changes nothing is no revision");
    let error = client.update_rule(update("b", v1::Rule::default(), &["hits"])).await.expect_err("not to be changed");
    assert!(error.message().starts_with("fields: 'hits'"), "{}", error.message());
    let error = client.update_rule(update("none", v1::Rule::default(), &["notes"])).await.expect_err("none");
    assert_eq!(error.code(), Code::NotFound);
    client
        .move_rule(v1::MoveRuleRequest { rule: "c".to_owned(), position: 1, ..Default::default() })
        .await
        .expect("moved");
    client
        .delete_rule(v1::DeleteRuleRequest { rule: "a".to_owned(), reason: "not needed".to_owned() })
        .await
        .expect("deleted");
    let after = list(&mut client).await;
    assert_eq!((names(&after), after.revision), (vec!["c", "first", "b"], 7));
    assert_eq!(
        after.rules.iter().map(|rule| rule.revision).collect::<Vec<_>>(),
        [3, 4, 5],
        "moving is no change of a rule"
    );
    add(&mut client, rule("a", "unit:a", "any", "alert")).await.expect("added");
    assert_eq!(list(&mut client).await.rules[3].id, 5, "a number is never used again");
}

#[tokio::test]
async fn a_policy_is_applied_whole_or_not_at_all() {
    let place = Place::new();
    let mut client = PolicyServiceClient::new(place.admin().await);
    let object = |name: &str, net: &str| v1::AddressObject {
        name: name.to_owned(),
        addresses: vec![net.to_owned()],
        used_by: Vec::new(),
    };
    let request = |rules: Vec<v1::Rule>, base_revision| v1::ApplyPolicyRequest {
        rules,
        objects: vec![object("office", "10.8.0.0/16")],
        base_revision,
        ..Default::default()
    };
    let two = vec![rule("a", "unit:a", "office", "alert"), rule("b", "unit:b", "any", "alert")];
    let dry = v1::ApplyPolicyRequest { dry_run: true, ..request(two.clone(), 0) };
    let would = client.apply_policy(dry).await.expect("it would").into_inner();
    assert_eq!((would.added, would.revision), (vec!["a".to_owned(), "b".to_owned()], 0));
    assert!(list(&mut client).await.rules.is_empty());

    let done = client.apply_policy(request(two.clone(), 0)).await.expect("applied").into_inner();
    assert_eq!((done.objects, done.revision), (vec!["office".to_owned()], 1));
    let same = client.apply_policy(request(two.clone(), 1)).await.expect("applied").into_inner();
    assert_eq!(
        (same.added.len() + same.changed.len() + same.deleted.len() + same.objects.len(), same.revision),
        (0, 1)
    );

    let mut bad = two.clone();
    bad.push(rule("c", "any", "any", "alert"));
    let error = client.apply_policy(request(bad, 1)).await.expect_err("no service");
    assert!(error.message().starts_with("rules[2].from:"), "{}", error.message());
    let stale = client.apply_policy(request(two, 7)).await.expect_err("another revision");
    assert_eq!(stale.code(), Code::Aborted);
    let missing =
        v1::ApplyPolicyRequest { objects: Vec::new(), ..request(vec![rule("a", "unit:a", "office", "alert")], 0) };
    client.apply_policy(missing).await.expect_err("the object is gone");
    assert_eq!(list(&mut client).await.revision, 1);

    let swapped = vec![rule("b", "unit:b", "any", "prevent"), rule("d", "unit:d", "any", "alert")];
    let done = client.apply_policy(request(swapped, 1)).await.expect("applied").into_inner();
    assert_eq!(
        (done.added, done.changed, done.deleted),
        (vec!["d".to_owned()], vec!["b".to_owned()], vec!["a".to_owned()])
    );
    let after = list(&mut client).await;
    assert_eq!((names(&after), after.rules[0].id, after.rules[0].revision), (vec!["b", "d"], 2, 2));
}

#[tokio::test]
async fn a_renamed_rule_that_carries_its_number_is_the_same_rule() {
    let place = Place::new();
    let mut client = PolicyServiceClient::new(place.admin().await);
    let apply = |rules| v1::ApplyPolicyRequest { rules, ..Default::default() };
    let named = |id, name: &str| v1::Rule { id, ..rule(name, "unit:a", "unit:b", "alert") };
    client.apply_policy(apply(vec![named(0, "one"), named(0, "two")])).await.expect("applied");
    // the last two carry a number that is another rule's by name, and one that nobody has
    let rules = vec![named(1, "first"), named(0, "two"), named(2, "copy"), named(77, "new")];
    client.apply_policy(apply(rules)).await.expect("applied");
    let ids: Vec<_> = list(&mut client).await.rules.into_iter().map(|rule| (rule.name, rule.id)).collect();
    let ids: Vec<_> = ids.iter().map(|(name, id)| (name.as_str(), *id)).collect();
    assert_eq!(ids, [("first", 1), ("two", 2), ("copy", 3), ("new", 4)]);
}

#[tokio::test]
async fn every_change_is_in_the_history_and_can_be_undone() {
    let place = Place::new();
    let mut client = PolicyServiceClient::new(place.admin().await);
    let object = |net: &str| v1::AddressObject {
        name: "office".to_owned(),
        addresses: vec![net.to_owned()],
        ..Default::default()
    };
    let put =
        |net: &str, replace| v1::AddObjectRequest { object: Some(object(net)), replace, reason: "moved in".into() };
    client.add_object(put("10.8.0.0/16", false)).await.expect("added");
    let twice = client.add_object(put("10.9.0.0/16", false)).await.expect_err("there is one");
    assert_eq!(twice.code(), Code::AlreadyExists);
    for name in ["a", "b", "c"] {
        add(&mut client, rule(name, "unit:a", "office", "alert")).await.expect("added");
    }
    let used = client.delete_object(v1::DeleteObjectRequest { name: "office".into(), ..Default::default() }).await;
    let used = used.expect_err("rules use it");
    assert_eq!(used.code(), Code::FailedPrecondition);
    assert!(used.message().contains("is used by 'a', 'b', 'c'"), "{}", used.message());
    client.add_object(put("10.9.0.0/16", true)).await.expect("replaced");
    let objects = client.list_objects(v1::ListObjectsRequest {}).await.expect("objects").into_inner().objects;
    assert_eq!((objects[0].addresses[0].as_str(), objects[0].used_by.len()), ("10.9.0.0/16", 3));
    let before = list(&mut client).await;
    client
        .delete_rule(v1::DeleteRuleRequest { rule: "b".to_owned(), reason: "OPS-7".to_owned() })
        .await
        .expect("deleted");

    let page = Some(v1::PageRequest { size: 3, token: String::new() });
    let kept = client.list_revisions(v1::ListRevisionsRequest { page }).await.expect("history").into_inner();
    let newest = &kept.revisions[0];
    assert_eq!((newest.revision, newest.reason.as_str(), newest.summary.as_str()), (6, "OPS-7", "1 deleted"));
    assert!(newest.who.starts_with("admin "), "{}", newest.who);
    assert_eq!((kept.revisions.len(), kept.next_token.as_str()), (3, "3"));
    let replaced = client.get_revision(v1::GetRevisionRequest { revision: 5 }).await.expect("kept").into_inner();
    let field = &replaced.changes[0].fields[0];
    assert_eq!(
        (replaced.changes[0].kind.as_str(), field.before.as_str(), field.after.as_str()),
        ("object", "10.8.0.0/16", "10.9.0.0/16")
    );

    let back = |revision, base_revision, dry_run| v1::RollbackPolicyRequest {
        revision,
        base_revision,
        dry_run,
        reason: "undo".to_owned(),
        ..Default::default()
    };
    let plan = client.rollback_policy(back(5, 0, true)).await.expect("would").into_inner();
    assert_eq!((plan.added, plan.revision), (vec!["b".to_owned()], 6));
    let stale = client.rollback_policy(back(5, 5, false)).await.expect_err("somebody was faster");
    assert_eq!(stale.code(), Code::Aborted);
    assert_eq!(client.rollback_policy(back(9, 0, false)).await.expect_err("never was").code(), Code::NotFound);
    client.rollback_policy(back(5, 6, false)).await.expect("undone");
    let after = list(&mut client).await;
    let stampless = |list: &v1::ListRulesResponse| -> Vec<v1::Rule> {
        list.rules.iter().map(|rule| v1::Rule { revision: 0, ..rule.clone() }).collect()
    };
    assert_eq!((stampless(&after), &after.objects, after.revision), (stampless(&before), &before.objects, 7));
    client.rollback_policy(back(0, 0, false)).await.expect("to before the first");
    let empty = list(&mut client).await;
    assert_eq!((empty.rules.len(), empty.objects.len(), empty.revision), (0, 0, 8));
    client.rollback_policy(back(7, 0, false)).await.expect("and back");
    assert_eq!(stampless(&list(&mut client).await), stampless(&before));
}

#[tokio::test]
async fn settings_say_what_there_is() {
    let place = Place::new();
    let mut client = SettingsServiceClient::new(place.admin().await);
    let set = |name: &str, value: &str| v1::SetSettingRequest { name: name.to_owned(), value: value.to_owned() };
    let after = client.set_setting(set("learn_for", "90m")).await.expect("set").into_inner();
    assert_eq!(after.values["learn_for"], "1h 30m");
    for (name, value, part) in [("learn", "1h", "there are learn_for"), ("learn_for", "x", "write for example")] {
        let error = client.set_setting(set(name, value)).await.expect_err(name);
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains(part), "{}", error.message());
    }
    client.set_setting(set("default_mode", "enforce")).await.expect("set");
    assert_eq!(place.enrol("web").await.attach(&place).await.policy().await.mode, "enforce");
}

#[tokio::test]
async fn a_connection_is_explained() {
    let place = Place::new();
    let (app, web) = (place.enrol("app").await, place.enrol("web").await);
    app.attach(&place).await.deliver(1, inventory("10.9.0.1", &[("unit:client", 0)])).await;
    web.attach(&place).await.deliver(1, inventory("10.9.0.2", &[("unit:nginx", 80)])).await;
    let mut client = PolicyServiceClient::new(place.admin().await);
    add(&mut client, rule("other", "unit:x", "any", "allow")).await.expect("added");
    add(&mut client, rule("stop", "client", "nginx", "prevent")).await.expect("added");
    let ask = |from: &str, to: &str, port: &str| v1::ExplainRequest {
        from: from.to_owned(),
        to: to.to_owned(),
        port: port.to_owned(),
        host: String::new(),
    };
    let answer = client.explain(ask("client", "nginx", "tcp/80")).await.expect("explained").into_inner();
    assert_eq!((answer.effect.as_str(), answer.rule.as_str()), ("prevent", "stop"));
    assert_eq!((answer.side.as_str(), answer.host.as_str(), answer.mode.as_str()), ("client", "app", "observe"));
    assert_eq!(answer.steps.iter().map(|step| step.matched).collect::<Vec<_>>(), [false, true]);
    let answer = client.explain(ask("192.0.2.7", "10.9.0.2", "tcp/81")).await.expect("explained").into_inner();
    assert_eq!((answer.effect.as_str(), answer.side.as_str(), answer.host.as_str()), ("allow", "server", "web"));
    for (from, port) in [("client", "tcp/70000"), ("client", "tcp"), ("client", "quic/1"), ("", "tcp/80")] {
        let error = client.explain(ask(from, "nginx", port)).await.expect_err(port);
        assert_eq!(error.code(), Code::InvalidArgument, "{port}");
    }
}

#[tokio::test]
async fn what_rules_would_do_is_known_before_they_do_it() {
    let place = Place::new();
    let (app, web) = (place.enrol("app").await, place.enrol("web").await);
    web.attach(&place).await.deliver(1, inventory("10.9.0.2", &[("unit:nginx", 80)])).await;
    let mut stream = app.attach(&place).await;
    stream.deliver(1, inventory("10.9.0.1", &[("unit:client", 0)])).await;
    stream.deliver(2, flow("unit:client", "10.9.0.1", "10.9.0.2", 80)).await;
    let mut client = PolicyServiceClient::new(place.admin().await);
    let simulate = |rules: Vec<v1::Rule>, since_ms| v1::SimulatePolicyRequest {
        rules,
        time: Some(v1::TimeRange { since_ms, until_ms: 0 }),
        ..Default::default()
    };
    let no_client = vec![rule("no client", "client", "nginx", "prevent")];
    let answer = client.simulate_policy(simulate(no_client.clone(), 0)).await.expect("simulated").into_inner();
    let prevented = answer.prevented.expect("a tally");
    assert_eq!((answer.edges, prevented.edges, prevented.connections, prevented.recent_edges), (1, 1, 1, 1));
    assert_eq!(prevented.services, ["unit:client", "unit:nginx"]);
    let (before, after) =
        (answer.shifts[0].before.clone().expect("fate"), answer.shifts[0].after.clone().expect("fate"));
    assert_eq!((before.effect.as_str(), after.effect.as_str(), after.rule.as_str()), ("allow", "prevent", "no client"));
    assert_eq!((after.side.as_str(), after.host.as_str(), after.mode.as_str()), ("client", "app", "observe"));
    let later = crate::place::now_ms() + 3_600_000;
    assert_eq!(client.simulate_policy(simulate(no_client, later)).await.expect("simulated").into_inner().edges, 0);
    let bad =
        client.simulate_policy(simulate(vec![rule("r", "any", "any", "alert")], 0)).await.expect_err("no service");
    assert!(bad.message().starts_with("rules[0].from:"), "{}", bad.message());
    assert!(list(&mut client).await.rules.is_empty(), "a simulation changes nothing");

    let owned = |name: &str, from: &str, effect: &str| v1::Rule {
        owner: "ann".to_owned(),
        ..rule(name, from, "nginx", effect)
    };
    add(&mut client, owned("all", "any", "alert")).await.expect("added");
    add(&mut client, owned("one", "client", "prevent")).await.expect("added");
    let findings = client.lint_policy(v1::LintPolicyRequest::default()).await.expect("linted").into_inner().findings;
    let short: Vec<_> = findings.iter().map(|f| (f.rule.as_str(), f.fault.as_str(), f.other.as_str())).collect();
    assert_eq!(short, [("one", "shadowed", "all")]);
    let draft =
        v1::LintPolicyRequest { draft: true, rules: vec![owned("one", "client", "prevent")], ..Default::default() };
    assert!(client.lint_policy(draft).await.expect("linted").into_inner().findings.is_empty());
    let lint = |since_ms| v1::LintPolicyRequest {
        draft: true,
        rules: vec![owned("used", "client", "allow")],
        time: Some(v1::TimeRange { since_ms, until_ms: 0 }),
        ..Default::default()
    };
    let used = client.lint_policy(lint(0)).await.expect("linted").into_inner();
    assert_eq!((used.findings.len(), used.edges, used.edges_since.is_empty()), (0, 1, false), "{used:?}");
    let unused = client.lint_policy(lint(later)).await.expect("linted").into_inner();
    assert_eq!((unused.edges, unused.edges_since.as_str()), (0, ""));
    let why: Vec<_> = unused.findings.iter().map(|f| (f.fault.as_str(), f.why.as_str())).collect();
    assert_eq!(why, [("wide", "nothing that it allows was seen in that time")]);

    let ask =
        |service: &str, rest: &str| v1::SuggestRulesRequest { service: service.to_owned(), rest: rest.to_owned() };
    let answer = client.suggest_rules(ask("nginx", "prevent")).await.expect("suggested").into_inner();
    let rules: Vec<v1::Rule> = answer.suggestions.iter().filter_map(|suggestion| suggestion.rule.clone()).collect();
    let short: Vec<_> = rules.iter().map(|r| (r.from.as_str(), r.to.as_str(), r.effect.as_str())).collect();
    assert_eq!(
        short,
        [("unit:client", "unit:nginx", "allow"), ("unit:nginx", "any", "prevent"), ("any", "unit:nginx", "prevent")]
    );
    assert_eq!(answer.suggestions[0].witnesses[0].connections, 1);
    let apply = v1::ApplyPolicyRequest { rules: rules.clone(), ..Default::default() };
    client.apply_policy(apply).await.expect("what is suggested can be applied");
    let after = client.simulate_policy(simulate(rules, 0)).await.expect("simulated").into_inner();
    assert!(after.shifts.is_empty());
    let party = |service: &str, address: &str, port| {
        Some(v1::EventParty { service: service.into(), host: String::new(), address: address.into(), port })
    };
    let prevented = v1::ConnectionEvent {
        at_ms: crate::place::now_ms(),
        kind: "rule_prevent".into(),
        client: party("unit:other", "10.9.0.1", 40_000),
        server: party("", "10.9.0.2", 80),
        protocol: "tcp".into(),
        rule_name: "closed".into(),
        side: "client".into(),
        count: 3,
        ..Default::default()
    };
    stream.deliver(3, Body::Events(v1::EventReport { events: vec![prevented] })).await;
    let open = client.simulate_policy(simulate(Vec::new(), 0)).await.expect("simulated").into_inner();
    let allowed = open.allowed.expect("a tally");
    assert_eq!((open.edges, allowed.edges, allowed.connections), (2, 1, 3), "what was prevented is on no edge");
    assert_eq!(client.suggest_rules(ask("none", "")).await.expect_err("none").code(), Code::NotFound);
    assert_eq!(client.suggest_rules(ask("nginx", "allow")).await.expect_err("no").code(), Code::InvalidArgument);
}

/// Kinds, messages and counts of the events about rules that end.
async fn told(place: &Place) -> Vec<(String, String, u64)> {
    let mut client = EventServiceClient::new(place.admin().await);
    let all = client.list_events(v1::ListEventsRequest::default()).await.expect("events").into_inner().events;
    let all = all.into_iter().filter(|event| event.kind.starts_with("rule_exp"));
    let mut all: Vec<_> = all.map(|event| (event.kind, event.message, event.count)).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_rule_ends_at_its_moment_and_is_told_of_once() {
    let mut place = Place::new();
    let host = place.enrol("app").await;
    let mut stream = host.attach(&place).await;
    stream.deliver(1, inventory("10.9.0.1", &[("unit:client", 0)])).await;
    let mut client = PolicyServiceClient::new(place.admin().await);
    let ending = |name: &str, from: &str, effect: &str, at_ms: u64| v1::Rule {
        expires: time_text(Timestamp(at_ms)),
        ..rule(name, from, "any", effect)
    };
    let (day, start) = (86_400_000, now_ms());
    let end = start + 1_300;
    add(&mut client, ending("stop", "unit:client", "prevent", end)).await.expect("added");
    add(&mut client, ending("soon", "unit:other", "allow", start + day + 700)).await.expect("added");
    let does = |policy: &v1::HostPolicy, effect: &str| {
        policy.egress.iter().any(|entry| entry.rule_name == "stop" && entry.effect == effect)
    };
    stream.policy_with(|policy| does(policy, "prevent")).await;
    stream.policy_with(|policy| does(policy, "alert")).await;
    let late = now_ms().saturating_sub(end);
    assert!(now_ms() >= end && late < 500, "it came {late} ms after the rule's end");
    let all = until(|| told(&place), |all| all.len() == 2).await;
    assert_eq!(all[0], ("rule_expired".into(), "rule 'stop' has expired and only alerts from now on".into(), 1));
    assert!(all[1].1.starts_with("rule 'soon' expires at 2") && all[1].1.ends_with("matches nothing from then on"));
    place.kill();
    place.start();
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(told(&place).await, all, "not again after a restart");
}
