//! Alert channels, each with a real receiver.

mod receiver;
mod rsyslog;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cnnf_rpc::v1;
use cnnf_rpc::v1::audit_service_client::AuditServiceClient;
use cnnf_rpc::v1::channel::To;
use cnnf_rpc::v1::channel_service_client::ChannelServiceClient;
use cnnf_rpc::v1::report::Body;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, UdpSocket};
use tonic::Code;
use tonic::transport::Channel as Grpc;

use crate::place::{PATIENCE, Place, Stream, now_ms, until};
use receiver::{Smtp, Web, certificate, collector};

const SECRET: &str = "a secret of 16 bytes or more";

async fn client(place: &Place) -> ChannelServiceClient<Grpc> {
    ChannelServiceClient::new(place.admin().await)
}

fn webhook(url: &str) -> To {
    let headers = [("Authorization".to_owned(), "Bearer hidden".to_owned())].into();
    To::Webhook(v1::Webhook { url: url.to_owned(), secret: SECRET.to_owned(), headers, ..Default::default() })
}

fn channel(name: &str, to: To) -> v1::Channel {
    let route = v1::ChannelRoute { kinds: vec!["tamper".to_owned()], ..Default::default() };
    v1::Channel { name: name.to_owned(), route: Some(route), to: Some(to), ..Default::default() }
}

async fn add(place: &Place, channel: v1::Channel) -> v1::Channel {
    let request = v1::AddChannelRequest { channel: Some(channel) };
    client(place).await.add_channel(request).await.expect("added").into_inner()
}

async fn list(place: &Place) -> Vec<v1::Channel> {
    client(place).await.list_channels(v1::ListChannelsRequest {}).await.expect("listed").into_inner().channels
}

async fn test(place: &Place, name: &str) -> v1::TestChannelResponse {
    let request = v1::TestChannelRequest { name: name.to_owned(), channel: None };
    client(place).await.test_channel(request).await.expect("tested").into_inner()
}

fn notice(kind: &str, message: &str) -> Body {
    Body::Notice(v1::Notice {
        at_ms: now_ms(),
        kind: kind.to_owned(),
        message: message.to_owned(),
        process: None,
        count: 1,
    })
}

async fn tamper(stream: &mut Stream, seq: u64) {
    stream.deliver(seq, notice("tamper", &format!("tamper {seq}"))).await;
}

/// Whether the signature is that of the body, by the channel's secret.
fn is_signed(posted: &receiver::Posted) -> bool {
    let header = |name: &str| posted.headers[name].to_str().expect("text");
    let signed = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), posted.text);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    header("webhook-signature") == format!("v1,{}", BASE64_STANDARD.encode(tag))
}

#[tokio::test]
async fn nothing_is_lost_over_failures_and_kills_and_what_may_come_twice_says_so() {
    let mut place = Place::new();
    let host = place.enrol("web").await;
    let mut stream = host.attach(&place).await;
    let mut web = Web::start(None).await;
    tamper(&mut stream, 1).await;
    add(&place, channel("ops", webhook(&format!("http://{}/hook?key=hidden", web.address)))).await;
    web.answer(&[503]);
    // what happened before there was the channel, and what its route does not mean, is not told
    stream.deliver(2, notice("fail_open", "no tamper")).await;
    tamper(&mut stream, 3).await;
    let (first, again) = (web.next().await, web.next().await);
    for (posted, repeat) in [(&first, false), (&again, true)] {
        assert!(is_signed(posted), "{:?}", posted.headers);
        assert_eq!(posted.headers["authorization"], "Bearer hidden");
        assert_eq!(posted.headers["host"], web.address.to_string());
        assert_eq!(posted.json["event"]["message"], "tamper 3");
        assert_eq!((&posted.json["event"]["host"], &posted.json["severity"]), (&"web".into(), &"critical".into()));
        assert_eq!(posted.json["possibleRepeat"], repeat);
    }
    assert_eq!(first.headers["webhook-id"], again.headers["webhook-id"]);
    until(|| list(&place), |list| list[0].state.as_ref().is_some_and(|state| state.sent == 1)).await;

    // killed between a try and the next
    web.answer(&[503]);
    tamper(&mut stream, 4).await;
    assert_eq!(web.next().await.json["event"]["message"], "tamper 4");
    let shown = until(|| list(&place), |list| list[0].state.as_ref().is_some_and(|state| !state.last_error.is_empty()));
    let state = shown.await[0].state.clone().expect("a state");
    assert!(state.last_error.contains("503") && state.pending >= 1, "{state:?}");
    place.kill();
    place.start();
    let posted = web.next().await;
    assert_eq!((&posted.json["event"]["message"], &posted.json["possibleRepeat"]), (&"tamper 4".into(), &true.into()));
    let mut stream = host.attach(&place).await;
    tamper(&mut stream, 5).await;
    let posted = web.next().await;
    assert_eq!((&posted.json["event"]["message"], &posted.json["possibleRepeat"]), (&"tamper 5".into(), &false.into()));
    let all = until(|| list(&place), |list| list[0].state.as_ref().is_some_and(|state| state.sent == 3)).await;
    let state = all[0].state.clone().expect("a state");
    assert_eq!((state.pending, state.last_error.as_str(), state.last_success.is_some()), (0, "", true));
    assert!(web.is_empty());
}

#[tokio::test]
async fn what_is_too_much_is_folded_and_says_how_much() {
    let place = Place::new();
    let mut stream = place.enrol("web").await.attach(&place).await;
    let mut web = Web::start(None).await;
    let rate = Some(v1::ChannelRate { messages: 1, seconds: 1 });
    add(&place, v1::Channel { rate, ..channel("ops", webhook(&format!("http://{}/", web.address))) }).await;
    for seq in 1..=8 {
        tamper(&mut stream, seq).await;
    }
    let (mut told, mut folded) = (0, 0);
    while told < 8 {
        let posted = web.next().await;
        assert!(is_signed(&posted));
        if posted.json["type"] == "folded" {
            let events = posted.json["folded"]["events"].as_u64().expect("a number");
            assert_eq!(posted.json["folded"]["kinds"]["tamper"], events);
            assert!(posted.json["title"].as_str().expect("text").starts_with(&format!("{events} more events")));
            (told, folded) = (told + events, folded + events);
        } else {
            told += 1;
        }
    }
    assert!(told == 8 && folded >= 2, "{told} told, {folded} folded");
    let all = until(|| list(&place), |list| list[0].state.as_ref().is_some_and(|state| state.pending == 0)).await;
    assert_eq!(all[0].state.as_ref().expect("a state").folded, folded);
}

#[tokio::test]
async fn a_change_of_some_fields_leaves_what_others_have_changed() {
    let place = Place::new();
    let url = "http://127.0.0.1:9/hook?key=hidden";
    let seen = add(&place, channel("ops", webhook(url))).await;
    let mut client = client(&place).await;
    let update = |channel, fields: &[&str]| v1::UpdateChannelRequest {
        channel: Some(channel),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let rate = Some(v1::ChannelRate { messages: 9, seconds: 9 });
    client.update_channel(update(v1::Channel { rate, ..seen.clone() }, &["rate"])).await.expect("changed");
    // Of somebody who has not seen that.
    let route = Some(v1::ChannelRoute { kinds: vec!["gap".to_owned()], ..Default::default() });
    let theirs = v1::Channel { name: "ops".to_owned(), route: route.clone(), disabled: true, ..Default::default() };
    let changed = client.update_channel(update(theirs, &["route", "disabled"])).await.expect("changed").into_inner();
    assert_eq!((changed.rate, changed.route, changed.disabled), (rate, route, true));
    assert_eq!(changed.to, seen.to);
    let slack = Some(To::Slack(v1::Slack { url: "http://127.0.0.1:9/x".to_owned(), ..Default::default() }));
    let moved = v1::Channel { name: "ops".to_owned(), to: slack, ..Default::default() };
    let changed = client.update_channel(update(moved.clone(), &["to"])).await.expect("changed").into_inner();
    assert!(matches!(changed.to, Some(To::Slack(_))) && changed.disabled && changed.rate == rate, "{changed:?}");
    for (fields, part) in [(&["state"][..], "fields: 'state' cannot be changed"), (&["to", "webhook"], "'webhook'")] {
        let refused = client.update_channel(update(moved.clone(), fields)).await.expect_err(part);
        assert!(refused.code() == Code::InvalidArgument && refused.message().contains(part), "{refused:?}");
    }
    let nobody = v1::Channel { name: "nobody".to_owned(), ..moved };
    assert_eq!(client.update_channel(update(nobody, &["to"])).await.expect_err("none").code(), Code::NotFound);
}

#[tokio::test]
async fn secrets_go_in_and_never_come_out() {
    let place = Place::new();
    let mut web = Web::start(None).await;
    let made = add(&place, channel("ops", webhook(&format!("http://{}/hook?key=hidden", web.address)))).await;
    let To::Webhook(shown) = made.to.clone().expect("where to") else { panic!("{made:?}") };
    assert_eq!(shown.url, format!("http://{}/hook?(kept)", web.address));
    assert_eq!((shown.secret.as_str(), shown.headers["authorization"].as_str()), ("(kept)", "(kept)"));
    // as it was shown, with another rate: the secrets stay
    let rate = Some(v1::ChannelRate { messages: 9, seconds: 9 });
    let update = |channel| v1::UpdateChannelRequest { channel: Some(channel), fields: vec![] };
    let changed = client(&place).await.update_channel(update(v1::Channel { rate, ..made.clone() })).await;
    assert_eq!(changed.expect("changed").into_inner().rate, rate);
    assert!(test(&place, "ops").await.delivered);
    let posted = web.next().await;
    assert!(is_signed(&posted) && posted.headers["authorization"] == "Bearer hidden");
    assert_eq!(posted.json["type"], "test");
    // but they go nowhere else
    let elsewhere = To::Webhook(v1::Webhook { url: "http://127.0.0.1:9/".to_owned(), ..shown });
    let refused = client(&place).await.update_channel(update(v1::Channel { to: Some(elsewhere), ..made })).await;
    let refused = refused.expect_err("refused");
    assert!(refused.code() == Code::InvalidArgument && refused.message().contains("webhook.secret"), "{refused:?}");
    let slack = To::Slack(v1::Slack { url: format!("http://{}/hidden", web.address), ..Default::default() });
    assert!(
        add(&place, channel("chat", slack)).await.to
            == Some(To::Slack(v1::Slack { url: "(kept)".into(), ..Default::default() }))
    );
    let request = v1::ListAuditRequest { action: "channel".to_owned(), ..Default::default() };
    let audit = AuditServiceClient::new(place.admin().await).list_audit(request).await.expect("listed").into_inner();
    assert_eq!(audit.entries.len(), 3);
    let all = format!("{audit:?}{:?}", list(&place).await);
    assert!(!all.contains("hidden") && !all.contains(SECRET), "{all}");
    assert!(all.contains("(kept)"));
}

#[tokio::test]
async fn what_cannot_be_a_channel_says_why() {
    let place = Place::new();
    let to = |url: &str| channel("x", webhook(url));
    let mut odd = to("https://h.example/");
    if let Some(To::Webhook(webhook)) = &mut odd.to {
        webhook.template = "{\"a\": \"{{evnt.kind}}\"}".to_owned();
    }
    let mut twice = to("https://h.example/");
    if let Some(To::Webhook(webhook)) = &mut twice.to {
        webhook.headers.insert("authorization".to_owned(), "Bearer another".to_owned());
    }
    let email = |server: &str, to: &[&str]| {
        let to = to.iter().map(|one| (*one).to_owned()).collect();
        let (server, from) = (server.to_owned(), "cnnf@example.org".to_owned());
        channel(
            "x",
            To::Email(v1::Email { server, from, to, user: "u".into(), password: "p".into(), ..Default::default() }),
        )
    };
    let syslog =
        |server: &str| channel("x", To::Syslog(v1::Syslog { server: server.to_owned(), ..Default::default() }));
    for (wrong, part) in [
        (v1::Channel { to: None, ..to("") }, "to: is missing"),
        (to("ftp://h.example/"), "webhook.url: is no URL"),
        (to("https://u:p@h.example/"), "without user and password"),
        (odd, "webhook.template: names 'evnt.kind'"),
        (to("https://h.example:0/"), "webhook.url: is no URL"),
        (twice, "webhook.headers[authorization]: is given twice"),
        (syslog("h.example:514"), "syslog.server: is no server"),
        (syslog("udp://h.example:0"), "syslog.server: is no server"),
        (syslog("tcp://h.example/path"), "syslog.server: is no server"),
        (email("smtp+insecure://h.example", &["jo@example.org"]), "in the open"),
        (email("smtp://h.example", &["jo"]), "email.to[0]: is no address"),
        (v1::Channel { name: "a/b".into(), ..to("https://h.example/") }, "name"),
    ] {
        let shown = format!("{wrong:?}");
        let request = v1::AddChannelRequest { channel: Some(wrong) };
        let status = client(&place).await.add_channel(request).await.expect_err(&shown);
        assert!(status.code() == Code::InvalidArgument && status.message().contains(part), "{status:?}");
    }
    assert!(list(&place).await.is_empty());
    let answer = client(&place).await.delete_channel(v1::DeleteChannelRequest { name: "x".to_owned() }).await;
    assert_eq!(answer.expect_err("none").code(), Code::NotFound);
}

#[tokio::test]
async fn slack_and_templates_over_tls_with_a_ca_of_ones_own() {
    let place = Place::new();
    let certificate = certificate();
    let mut web = Web::start(Some(certificate.acceptor.clone())).await;
    let url = format!("https://{}/hook", web.address);
    let slack = |ca_pem: &str| To::Slack(v1::Slack { url: url.clone(), ca_pem: ca_pem.to_owned() });
    add(&place, channel("chat", slack(&certificate.pem))).await;
    let answer = test(&place, "chat").await;
    assert!(answer.delivered, "{answer:?}");
    assert_eq!(
        web.next().await.json["text"].as_str().expect("text").lines().next(),
        Some("*info* test of alert channel 'chat'")
    );
    // whom the system does not know is not believed
    add(&place, channel("doubt", slack(""))).await;
    let answer = test(&place, "doubt").await;
    assert!(!answer.delivered && answer.error.contains("certificate"), "{answer:?}");
    let template = "{\"summary\": \"{{severity}}: {{title}}\", \"source\": \"{{channel}}\"}".to_owned();
    let made = v1::Webhook { url, template, ca_pem: certificate.pem, ..Default::default() };
    let request = v1::TestChannelRequest { channel: Some(channel("pager", To::Webhook(made))), ..Default::default() };
    let answer = client(&place).await.test_channel(request).await.expect("tested").into_inner();
    assert!(answer.delivered, "{answer:?}");
    let wanted = serde_json::json!({"summary": "info: test of alert channel 'pager'", "source": "pager"});
    assert_eq!(web.next().await.json, wanted);
    assert_eq!(list(&place).await.len(), 2, "what is only tested is not kept");
    // a receiver that does not want it
    web.answer(&[404]);
    let answer = test(&place, "chat").await;
    assert!(!answer.delivered && answer.error.contains("nothing at its URL"), "{answer:?}");
}

#[tokio::test]
async fn syslog_arrives_over_udp_tcp_and_tls_and_as_cef() {
    let place = Place::new();
    let mut stream = place.enrol("web").await.attach(&place).await;
    let certificate = certificate();
    let (tcp, mut by_tcp) = collector(None).await;
    let (tls, mut by_tls) = collector(Some(certificate.acceptor.clone())).await;
    let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let at = udp.local_addr().expect("an address");
    let to = |server: String, ca_pem: &str| v1::Syslog { server, ca_pem: ca_pem.to_owned() };
    add(&place, channel("udp", To::Cef(to(format!("udp://{at}"), "")))).await;
    add(&place, channel("tcp", To::Syslog(to(format!("tcp://{tcp}"), "")))).await;
    add(&place, channel("tls", To::Cef(to(format!("tls://{tls}"), &certificate.pem)))).await;
    stream.deliver(1, notice("tamper", "a ] \"quote\" = | ä\u{1b}[2J")).await;
    let mut datagram = [0; 4096];
    let length = tokio::time::timeout(PATIENCE, udp.recv(&mut datagram)).await.expect("in time").expect("a datagram");
    let datagram = String::from_utf8(datagram[..length].to_vec()).expect("text");
    let streamed = tokio::time::timeout(PATIENCE, by_tls.recv()).await.expect("in time").expect("a message");
    for cef in [datagram, streamed] {
        assert!(
            cef.starts_with("<130>1 ") && cef.contains(" cnnf ") && cef.contains("|tamper|tamper on web: "),
            "{cef}"
        );
        let (_, extension) = cef.rsplit_once("|10|").expect("a severity");
        assert!(extension.contains("dvchost=web msg=a ] \"quote\" \\= | ä\\\\u{1b}[2J"), "{extension}");
    }
    let message = tokio::time::timeout(PATIENCE, by_tcp.recv()).await.expect("in time").expect("a message");
    let (head, text) = message.split_once("] \u{feff}").expect("structured data and UTF-8");
    assert!(head.starts_with("<130>1 ") && head.contains(" tamper [cnnf@32473 id=\"tcp-"), "{head}");
    assert!(head.contains(" channel=\"tcp\" ") && head.contains(" host=\"web\" "), "{head}");
    assert_eq!(text, "tamper on web: a ] \"quote\" = | ä\\u{1b}[2J");
    let gone = To::Syslog(to("tcp://127.0.0.1:9".to_owned(), ""));
    add(&place, channel("gone", gone)).await;
    let answer = test(&place, "gone").await;
    assert!(!answer.delivered && answer.error.contains("cannot connect to 127.0.0.1:9"), "{answer:?}");
}

#[tokio::test]
async fn mail_goes_over_tls_with_a_password_and_says_what_happened() {
    let place = Place::new();
    let mut stream = place.enrol("web").await.attach(&place).await;
    let (folder, certificate) = (tempfile::tempdir().expect("folder"), certificate());
    let servers = ["starttls", "tls"].map(|mode| Smtp::start(mode, folder.path(), &certificate));
    for (server, (name, scheme)) in servers.iter().zip([("first", "smtp"), ("second", "smtps")]) {
        let email = v1::Email {
            server: format!("{scheme}://127.0.0.1:{}", server.port),
            user: "cnnf".to_owned(),
            password: "correct horse".to_owned(),
            from: "cnnf <cnnf@example.org>".to_owned(),
            to: vec!["Jo <jo@example.org>".to_owned(), "ops@example.org".to_owned()],
            ca_pem: certificate.pem.clone(),
        };
        let mut wrong = channel("wrong", To::Email(v1::Email { password: "battery".to_owned(), ..email.clone() }));
        add(&place, channel(name, To::Email(email))).await;
        wrong.name.push_str(name);
        let request = v1::TestChannelRequest { channel: Some(wrong), ..Default::default() };
        let answer = client(&place).await.test_channel(request).await.expect("tested").into_inner();
        let said = "the mail was not taken: the server answered 535: its user or password is not accepted";
        assert_eq!((answer.delivered, answer.error.as_str()), (false, said));
    }
    tamper(&mut stream, 1).await;
    for server in servers {
        let mail = server.next().await;
        assert_eq!((&mail["from"], &mail["user"]), (&"cnnf@example.org".into(), &"cnnf".into()));
        assert_eq!(mail["to"], serde_json::json!(["jo@example.org", "ops@example.org"]));
        let text = mail["text"].as_str().expect("text");
        for part in [
            "Subject: [cnnf] tamper on web: tamper 1\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "host: web\r\n",
            "Message-ID: <",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[tokio::test]
async fn nothing_is_told_of_what_answers_instead_of_a_mail_server() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = format!("smtp+insecure://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        // The test looks at what is made of it.
        let _ = stream.write_all(b"SSH-2.0-hidden\r\n").await;
    });
    let (from, to) = ("cnnf@example.org".to_owned(), vec!["jo@example.org".to_owned()]);
    let email = To::Email(v1::Email { server, from, to, ..Default::default() });
    let request = v1::TestChannelRequest { channel: Some(channel("odd", email)), ..Default::default() };
    let answer = client(&place).await.test_channel(request).await.expect("tested").into_inner();
    let said = "the mail was not taken: what the server answers is no SMTP";
    assert_eq!((answer.delivered, answer.error.as_str()), (false, said));
}
