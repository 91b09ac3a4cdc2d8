//! What operators call services.

use cnnf_rpc::v1;
use cnnf_rpc::v1::definition_service_client::DefinitionServiceClient;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;
use cnnf_rpc::v1::report::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::place::{Place, inventory, rule};

type Client = DefinitionServiceClient<Channel>;

fn definition(name: &str, units: &[&str]) -> v1::ServiceDefinition {
    let units = units.iter().map(|unit| (*unit).to_owned()).collect();
    v1::ServiceDefinition { name: name.to_owned(), units, ..v1::ServiceDefinition::default() }
}

async fn set(client: &mut Client, definition: v1::ServiceDefinition) -> Result<v1::ServiceDefinition, Status> {
    let request = v1::SetDefinitionRequest { definition: Some(definition), base_revision: 0 };
    client.set_definition(request).await.map(tonic::Response::into_inner)
}

async fn list(client: &mut Client) -> (Vec<String>, u64) {
    let list = client.list_definitions(v1::ListDefinitionsRequest {}).await.expect("list").into_inner();
    (list.definitions.into_iter().map(|definition| definition.name).collect(), list.revision)
}

async fn preview(client: &mut Client, definition: v1::ServiceDefinition) -> v1::PreviewDefinitionResponse {
    let request = v1::PreviewDefinitionRequest { definition: Some(definition), delete: String::new() };
    client.preview_definition(request).await.expect("a preview").into_inner()
}

#[tokio::test]
async fn definitions_are_set_in_order_and_outlive_a_kill() {
    let mut place = Place::new();
    let mut client = DefinitionServiceClient::new(place.admin().await);
    let first = set(&mut client, definition("web", &["nginx.service"])).await.expect("set");
    assert_eq!((first.units.as_slice(), first.position), (&["nginx".to_owned()][..], 1));
    assert!(first.changed_by.contains("admin"), "{first:?}");
    assert!(first.changed.ends_with('Z'), "{first:?}");
    set(&mut client, definition("db", &["postgresql@*"])).await.expect("set");
    let early = v1::ServiceDefinition { position: 1, ..definition("cache", &["redis"]) };
    set(&mut client, early).await.expect("set");
    assert_eq!(list(&mut client).await, (vec!["cache".into(), "web".into(), "db".into()], 3));

    let again = set(&mut client, definition("svc:web", &["nginx"])).await.expect("set");
    assert_eq!((again.position, again.changed), (2, first.changed), "what changes nothing is no change");
    assert_eq!(list(&mut client).await.1, 3);
    let wider = set(&mut client, definition("web", &["nginx", "apache2"])).await.expect("set");
    assert_eq!((wider.position, list(&mut client).await.1), (2, 4), "a changed one keeps its place");

    place.kill();
    place.start();
    let mut client = DefinitionServiceClient::new(place.admin().await);
    assert_eq!(list(&mut client).await, (vec!["cache".into(), "web".into(), "db".into()], 4));
    let delete = |name: &str, base_revision| v1::DeleteDefinitionRequest { name: name.into(), base_revision };
    let stale = client.delete_definition(delete("web", 3)).await.expect_err("stale");
    assert_eq!(stale.code(), Code::Aborted);
    assert!(stale.message().contains("revision 4, not 3"), "{}", stale.message());
    assert_eq!(client.delete_definition(delete("svc:web", 4)).await.expect("deleted").into_inner().revision, 5);
    let gone = client.delete_definition(delete("web", 0)).await.expect_err("gone");
    assert_eq!(gone.code(), Code::NotFound);
    assert_eq!(list(&mut client).await.0, ["cache", "db"]);
}

#[tokio::test]
async fn bad_definitions_are_refused_and_nothing_changes() {
    let place = Place::new();
    let mut client = DefinitionServiceClient::new(place.admin().await);
    let with = |change: &dyn Fn(&mut v1::ServiceDefinition)| {
        let mut bad = definition("web", &["nginx"]);
        change(&mut bad);
        bad
    };
    for (bad, part) in [
        (with(&|d| d.units.clear()), "definition: the definition of 'web' has no condition"),
        (with(&|d| d.name = "a b".into()), "definition.name: 'a b' is no name for a service"),
        (with(&|d| d.name = "a\u{1b}]0;x".into()), r"definition.name: 'a\u{1b}]0;x' is no name for a service"),
        (with(&|d| d.ports = vec!["tcp/99999".into()]), "definition.ports: '99999' is not a port"),
        (with(&|d| d.ports = vec!["icmp".into()]), "definition.ports: a service listens on tcp, udp or sctp ports"),
        (
            with(&|d| d.executables = vec!["nginx".into()]),
            "definition.executables: the executable 'nginx' is not usable",
        ),
        (with(&|d| d.labels = [(String::new(), "x".to_owned())].into()), "definition.labels"),
    ] {
        let error = set(&mut client, bad).await.expect_err(part);
        assert_eq!(error.code(), Code::InvalidArgument, "{part}");
        assert!(error.message().starts_with(part), "{}", error.message());
    }
    let nothing = client.set_definition(v1::SetDefinitionRequest::default()).await.expect_err("nothing");
    assert_eq!(nothing.message(), "definition: is missing");
    assert_eq!(list(&mut client).await, (vec![], 0));
}

#[tokio::test]
async fn hosts_get_the_definitions_that_fit_them() {
    let place = Place::new();
    let host = place.enrol("web").await;
    let mut stream = host.attach(&place).await;
    let mut client = DefinitionServiceClient::new(place.admin().await);
    set(&mut client, definition("web", &["nginx"])).await.expect("set");
    let elsewhere = v1::ServiceDefinition {
        labels: [("env".to_owned(), "other".to_owned())].into(),
        ..definition("elsewhere", &["nginx"])
    };
    set(&mut client, elsewhere).await.expect("set");
    let here = v1::ServiceDefinition {
        labels: [("env".to_owned(), "test".to_owned())].into(),
        position: 1,
        ..definition("here", &["apache2"])
    };
    set(&mut client, here).await.expect("set");
    let policy = stream.policy_with(|policy| policy.definitions.len() == 2).await;
    let names: Vec<&str> = policy.definitions.iter().map(|definition| definition.name.as_str()).collect();
    assert_eq!(names, ["here", "web"]);
    let request = v1::DeleteDefinitionRequest { name: "web".into(), base_revision: 0 };
    client.delete_definition(request).await.expect("deleted");
    let next = stream.policy_with(|policy| policy.definitions.len() == 1).await;
    assert!(next.generation > policy.generation);
}

#[tokio::test]
async fn a_preview_tells_what_would_be_and_changes_nothing() {
    let place = Place::new();
    let (web, db) = (place.enrol("web").await, place.enrol("db").await);
    let mut stream = web.attach(&place).await;
    stream.deliver(1, inventory("10.9.0.1", &[("unit:nginx", 80), ("exe:/usr/bin/curl", 0)])).await;
    let Body::Inventory(mut renamed) = inventory("10.9.0.2", &[("svc:store", 5432)]) else { panic!("an inventory") };
    renamed.instances[0].natural = vec!["unit:postgresql@15-main".into()];
    db.attach(&place).await.deliver(1, Body::Inventory(renamed)).await;
    let mut policy = PolicyServiceClient::new(place.admin().await);
    let named = v1::AddRuleRequest { rule: Some(rule("to nginx", "any", "unit:nginx", "alert")), ..Default::default() };
    policy.add_rule(named).await.expect("added");
    let mut client = DefinitionServiceClient::new(place.admin().await);
    set(&mut client, definition("store", &["postgresql@*"])).await.expect("set");

    let would = preview(&mut client, definition("front", &["nginx"])).await;
    let [renaming] = &would.renamings[..] else { panic!("{would:?}") };
    assert_eq!((renaming.host.as_str(), renaming.old.as_str()), ("web", "unit:nginx"));
    assert_eq!((renaming.new.as_str(), renaming.certainty.as_str(), renaming.live), ("svc:front", "yes", true));
    let [lost] = &would.lost[..] else { panic!("{would:?}") };
    assert_eq!((lost.service.as_str(), lost.rules.as_slice()), ("unit:nginx", &["to nginx".to_owned()][..]));
    assert_eq!((would.hosts.as_slice(), would.revision), (&["db".to_owned(), "web".to_owned()][..], 1));
    assert!(would.by_process.is_empty());
    assert!(would.unknown.iter().any(|text| text.ends_with("not connected: db")), "{would:?}");

    let by_user = v1::ServiceDefinition { users: vec!["www-data".into()], ..definition("front", &["nginx"]) };
    let would = preview(&mut client, by_user).await;
    assert_eq!((would.renamings[0].certainty.as_str(), would.by_process[0].service.as_str()), ("maybe", "unit:nginx"));
    assert!(would.unknown.iter().any(|text| text.starts_with("command lines and users")), "{would:?}");

    let request = v1::PreviewDefinitionRequest { definition: None, delete: "store".into() };
    let would = client.preview_definition(request).await.expect("a preview").into_inner();
    let [renaming] = &would.renamings[..] else { panic!("{would:?}") };
    assert_eq!((renaming.old.as_str(), renaming.new.as_str()), ("svc:store", "unit:postgresql@15-main"));
    let request = v1::PreviewDefinitionRequest { definition: None, delete: "none".into() };
    assert_eq!(client.preview_definition(request).await.expect_err("none").code(), Code::NotFound);
    assert_eq!(list(&mut client).await, (vec!["store".into()], 1));

    // a name that is defined can be used before anything has it
    set(&mut client, definition("later", &["later"])).await.expect("set");
    let by_name = v1::AddRuleRequest { rule: Some(rule("short", "later", "any", "alert")), ..Default::default() };
    assert_eq!(policy.add_rule(by_name).await.expect("added").into_inner().from, "svc:later");
}
