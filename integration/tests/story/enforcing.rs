//! Rules do what they say, on every kind of path.

use std::time::{Duration, Instant};

use cnnf_lab::{Placement, World};

use crate::bed::{OFFICE, SOON, dns_query, events, known, list, number, page, ping, requests, rule, within};

#[test]
fn root_rules_alert_then_prevent_then_go() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    page(&world, "app1", "shop", "http://web1/").text();

    rule(&world, "watch", "unit:shop", "nginx", "tcp/80", "alert");
    let mut asked = 0;
    within(SOON * 2, "an alert", || {
        asked += 1;
        page(&world, "app1", "shop", "http://web1/").text();
        !events(&world, "rule_alert").is_empty()
    });
    let start = Instant::now();
    let before = number(&events(&world, "rule_alert")[0]["count"]);
    let seen = requests(&world);
    page(&world, "app1", "shop", "http://web1/").text();
    assert_eq!(requests(&world), seen + 1, "an alerted page passes");
    within(SOON, "the alert counts", || number(&events(&world, "rule_alert")[0]["count"]) == before + 1);
    println!("an event is listed {} ms after its connection began", start.elapsed().as_millis());

    let event = &events(&world, "rule_alert")[0];
    assert_eq!(event["rule"], "watch");
    assert_eq!((&event["client"]["service"], &event["client"]["host"]), (&"unit:shop".into(), &"app1".into()));
    assert_eq!((&event["server"]["service"], &event["server"]["host"]), (&"unit:nginx".into(), &"web1".into()));
    assert_eq!((event["protocol"].as_str(), event["port"].as_u64()), (Some("tcp"), Some(80)));

    let start = Instant::now();
    let output = world.ctl(&["rules", "set", "watch", "--effect", "prevent"]);
    assert!(output.success(), "{output:?}");
    let took = within(SOON, "the page is refused", || !page(&world, "app1", "shop", "http://web1/").success());
    println!(
        "a rule is enforced {} ms after it was sent, {} ms after it was answered",
        start.elapsed().as_millis(),
        took.as_millis()
    );
    let seen = requests(&world);
    let refused = page(&world, "app1", "shop", "http://web1/");
    assert_eq!(refused.code, 7, "curl is refused at once: {refused:?}");
    assert_eq!(requests(&world), seen, "nginx has logged a page that was prevented");
    page(&world, "app1", "other", "http://web1/").text();

    within(SOON, "a prevent event with the process", || {
        events(&world, "rule_prevent").iter().any(|e| {
            e["client"]["service"] == "unit:shop"
                && e["process"]["exe"].as_str().is_some_and(|exe| exe.ends_with("/curl"))
                && e["process"]["cmdline"].as_str().is_some_and(|line| line.contains("http://web1/"))
                && e["process"]["unit"] == "shop.service"
                && e["process"]["user"] == "root"
        })
    });
    assert!(world.ctl(&["rules", "delete", "watch", "--yes"]).success());
    within(SOON, "the page is back", || page(&world, "app1", "shop", "http://web1/").success());
}

#[test]
fn root_two_services_of_one_host_and_both_families_are_told_apart() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    known(&world, "unit:redis");
    rule(&world, "no redis", "unit:shop", "redis", "any", "prevent");
    within(SOON, "redis is refused", || !ping(&world, "app1", "shop", "10.86.0.1").success());
    assert!(!ping(&world, "app1", "shop", "fd86::1").success(), "over IPv6 too");
    page(&world, "app1", "shop", "http://10.86.0.1/").text();
    page(&world, "app1", "shop", "http://[fd86::1]/").text();
    assert_eq!(ping(&world, "app1", "other", "10.86.0.1").text(), "PONG");
    assert_eq!(ping(&world, "app1", "other", "fd86::1").text(), "PONG");

    within(Duration::from_secs(3), "both edges are there, over both families", || {
        let edges = list(&world, &["edges", "list", "--from", "unit:shop"], "edges");
        edges.iter().any(|e| e["server"]["service"] == "unit:nginx" && number(&e["connections"]) >= 2)
    });
}

#[test]
fn root_loopback_is_judged_like_any_other_path() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    page(&world, "web1", "cache", "http://127.0.0.1/").text();
    rule(&world, "not from the cache", "unit:cache", "nginx", "tcp/80", "prevent");
    within(SOON, "loopback is refused", || !page(&world, "web1", "cache", "http://127.0.0.1/").success());
    for url in ["http://[::1]/", "http://10.86.0.1/", "http://[fd86::1]/"] {
        assert_eq!(page(&world, "web1", "cache", url).code, 7, "{url}");
    }
    for url in ["http://127.0.0.1/", "http://[::1]/", "http://10.86.0.1/"] {
        page(&world, "web1", "metrics", url).text();
    }
    within(SOON * 3, "the edge over loopback is seen with both services", || {
        let edges = list(&world, &["edges", "list", "--from", "unit:metrics"], "edges");
        edges.iter().any(|e| e["server"]["service"] == "unit:nginx")
    });
}

#[test]
fn root_udp_is_alerted_and_prevented() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:dnsmasq");
    let ask = |unit: &str, server: &str| world.exec("app1", Placement::Unit(unit), &["bash", "-c", &dns_query(server)]);
    assert!(ask("resolver", "10.86.0.1").success(), "the DNS server answers: {:?}", ask("resolver", "10.86.0.1"));
    rule(&world, "watch names", "unit:resolver", "dnsmasq", "udp/5353", "alert");
    within(SOON * 2, "an alert over UDP", || {
        assert!(ask("resolver", "10.86.0.1").success(), "alerting holds nothing");
        events(&world, "rule_alert").iter().any(|e| e["protocol"] == "udp" && e["server"]["service"] == "unit:dnsmasq")
    });
    assert!(world.ctl(&["rules", "set", "watch names", "--effect", "prevent"]).success());
    within(SOON, "UDP is refused", || !ask("resolver", "10.86.0.1").success());
    assert!(!ask("resolver", "fd86::1").success(), "over IPv6 too");
    assert!(ask("other", "10.86.0.1").success() && ask("other", "fd86::1").success());
    within(SOON, "a prevent event over UDP", || events(&world, "rule_prevent").iter().any(|e| e["protocol"] == "udp"));
}

#[test]
fn root_a_machine_without_a_defender_is_stopped_at_the_server() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    let old = |url: &str| world.exec("old", Placement::Session, &["curl", "-sS", "-m", "1", url]);
    old("http://10.86.0.1/").text();
    within(SOON * 3, "its edge is an address", || {
        list(&world, &["edges", "list", "--to", "nginx"], "edges").iter().any(|e| e["client"]["address"] == "10.86.0.3")
    });
    rule(&world, "not the old one", "10.86.0.3", "nginx", "tcp/80", "prevent");
    within(SOON, "it gets no page", || !old("http://10.86.0.1/").success());
    let seen = requests(&world);
    assert_eq!(old("http://10.86.0.1/").code, 28, "what comes from outside is dropped, not answered");
    assert_eq!(requests(&world), seen);
    page(&world, "app1", "shop", "http://web1/").text();
    within(SOON, "the server's side tells of it", || {
        events(&world, "rule_prevent").iter().any(|e| e["side"] == "server" && e["client"]["address"] == "10.86.0.3")
    });
}

#[test]
fn root_observing_hosts_drop_nothing_and_say_what_they_would() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    for host in ["app1", "web1"] {
        assert!(world.ctl(&["defenders", "mode", host, "observe"]).success());
    }
    rule(&world, "nobody", "any", "nginx", "any", "prevent");
    within(SOON * 2, "an event says what would have happened", || {
        page(&world, "app1", "shop", "http://web1/").text();
        events(&world, "would_rule_prevent").iter().any(|e| e["client"]["service"] == "unit:shop")
    });
    assert!(events(&world, "rule_prevent").is_empty());
}

#[test]
fn root_a_session_program_is_known_by_its_executable() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    rule(&world, "no curl by hand", "exe:/usr/bin/curl", "nginx", "any", "prevent");
    let by_hand = || world.exec("app1", Placement::Session, &["curl", "-sS", "-m", "2", "http://web1/"]);
    within(SOON, "curl of a session is refused", || !by_hand().success());
    page(&world, "app1", "shop", "http://web1/").text();
    within(SOON, "the event names curl", || {
        events(&world, "rule_prevent").iter().any(|e| {
            e["client"]["service"] == "exe:/usr/bin/curl"
                && e["process"]["exe"] == "/usr/bin/curl"
                && number(&e["process"]["pid"]) > 0
        })
    });
}

#[test]
fn root_rules_say_how_often_and_when_they_decided_over_kills_and_changes() {
    let world = World::up(OFFICE).expect("the world comes up");
    known(&world, "unit:nginx");
    known(&world, "unit:redis");
    // the server's side learns from the controller where services run that may call
    for unit in ["shop", "watched"] {
        page(&world, "app1", unit, "http://10.86.0.1/").text();
    }
    within(SOON * 3, "the clients are known", || {
        let known = list(&world, &["services", "list"], "services");
        ["unit:shop", "unit:watched"].iter().all(|key| known.iter().any(|service| service["key"] == *key))
    });
    rule(&world, "shop may", "unit:shop", "nginx", "tcp/80", "allow");
    rule(&world, "anybody may", "any", "redis", "tcp/6379", "allow");
    rule(&world, "watch", "unit:watched", "nginx", "tcp/80", "alert");
    rule(&world, "nobody else", "any", "nginx", "tcp/80", "prevent");
    // on both hosts: a refusal of the server's side would count each attempt
    std::thread::sleep(SOON);
    let hits = |name: &str| {
        let rules = list(&world, &["rules", "list"], "rules");
        let rule = rules.iter().find(|rule| rule["name"] == name).expect("the rule").clone();
        (number(&rule["hits"]), rule["lastUsed"].as_str().unwrap_or_default().to_owned())
    };
    let counted = |times: u64| {
        let wanted = vec![times; 4];
        let mut seen = Vec::new();
        let start = Instant::now();
        while seen != wanted {
            assert!(start.elapsed() < SOON * 10, "hits are {seen:?} and should be {wanted:?}");
            seen = ["shop may", "anybody may", "watch", "nobody else"].iter().map(|name| hits(name).0).collect();
        }
    };
    let round = || {
        page(&world, "app1", "shop", "http://10.86.0.1/").text();
        page(&world, "app1", "watched", "http://10.86.0.1/").text();
        assert_eq!(ping(&world, "app1", "shop", "10.86.0.1").text(), "PONG");
        assert!(!page(&world, "app1", "evil", "http://10.86.0.1/").success());
    };
    round();
    counted(1);
    let first = hits("shop may").1;
    assert!(!first.is_empty() && hits("watch").1 <= hits("nobody else").1);

    // not told of yet: by whoever comes after
    for _ in 0..2 {
        round();
        for host in ["app1", "web1"] {
            world.unit(host, "cnnf-defender").kill(nix::sys::signal::Signal::SIGKILL);
        }
        // until the streams are seen to have ended
        std::thread::sleep(SOON * 2);
        within(Duration::from_secs(20), "the defenders are back", || {
            let defenders = list(&world, &["defenders", "list"], "defenders");
            defenders.iter().all(|d| d["connected"] == true)
        });
    }
    counted(3);
    rule(&world, "something else", "unit:x", "nginx", "tcp/81", "prevent");
    round();
    counted(4);
    assert!(hits("shop may").1 > first, "last used later");
    let text = world.ctl(&["rules", "list"]).text().to_owned();
    assert!(text.contains("HITS  LAST USED"), "{text}");
}
