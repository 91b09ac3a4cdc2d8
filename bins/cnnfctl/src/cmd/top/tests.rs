//! What the screen shows after what was heard and typed.

use std::time::Duration;

use cnnf_rpc::v1;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::time::Instant;

use super::feed::{Answer, News};
use super::rows::View;
use super::state::{After, App};
use super::{draw, interval};

fn peer(service: &str) -> Option<v1::Peer> {
    Some(v1::Peer { service: service.into(), ..v1::Peer::default() })
}

fn edge(client: &str, server: &str, connections: u64, status: &str) -> v1::ObservedEdge {
    v1::ObservedEdge {
        client: peer(client),
        server: peer(server),
        protocol: "tcp".into(),
        port: 80,
        status: status.into(),
        connections,
        bytes: connections * 1000,
        first_seen: "2026-11-24T06:00:00Z".into(),
        last_seen: "2026-11-24T06:30:00Z".into(),
    }
}

/// The counts of three edges.
fn picture(counts: [u64; 3]) -> News {
    let node = |id: &str, phase: &str, worst: &str| v1::RadarNode {
        id: id.into(),
        kind: "service".into(),
        instances: 1,
        hosts: vec!["web1".into()],
        phase: phase.into(),
        mode: "enforce".into(),
        worst: worst.into(),
        ..v1::RadarNode::default()
    };
    let radar = v1::Radar {
        nodes: vec![
            node("unit:fetch", "active", "prevented"),
            node("unit:nginx", "learning", "prevented"),
            node("unit:\u{1b}[2J\u{202e}evil", "", "alerted"),
        ],
        edges: vec![
            edge("unit:fetch", "unit:nginx", counts[0], "prevented"),
            edge("unit:nginx", "unit:\u{1b}[2J\u{202e}evil", counts[1], "alerted"),
            edge("unit:fetch", "unit:\u{1b}[2J\u{202e}evil", counts[2], "learned"),
        ],
    };
    News::Answer(Box::new(status()), Answer::Picture(radar))
}

fn status() -> v1::Status {
    v1::Status { defenders: 3, connected: 2, rules: 1, revision: 7, open_events: 5, ..v1::Status::default() }
}

fn hosts(number: usize) -> News {
    let host = |n: usize| v1::Defender {
        id: format!("id-{n}"),
        host: format!("host{n:03}"),
        connected: n.is_multiple_of(2),
        mode: "observe".into(),
        desired_generation: 5,
        applied_generation: 5,
        last_seen: format!("2026-11-24T06:{:02}:00Z", n % 60),
        not_covered: if n == 1 { vec!["the rest".into()] } else { Vec::new() },
        ..v1::Defender::default()
    };
    News::Answer(Box::new(status()), Answer::Hosts((0..number).map(host).collect()))
}

fn shown(app: &App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("terminal");
    terminal.draw(|frame| draw::frame(app, frame.area(), frame.buffer_mut())).expect("draw");
    terminal.backend().to_string()
}

fn app(view: View) -> App {
    App::new("controller.example:7443", view, String::new(), false)
}

fn press(app: &mut App, keys: &[KeyCode]) -> After {
    keys.iter().map(|key| app.key(KeyEvent::new(*key, KeyModifiers::NONE))).last().unwrap_or(After::Stay)
}

fn letters(text: &str) -> Vec<KeyCode> {
    text.chars().map(KeyCode::Char).collect()
}

fn names(app: &App) -> Vec<&str> {
    app.rows().iter().map(|row| row.fields[0].text.as_str()).collect()
}

#[test]
fn the_busiest_is_first_and_rates_are_counted() {
    let start = Instant::now();
    let at = |second| start + Duration::from_secs(second);
    let mut app = app(View::Edges);
    app.hear_at(picture([1000, 10, 5]), at(0));
    assert_eq!(app.rows()[0].fields[4].text, "1000", "without rates the most used is first");
    for second in 1..=60 {
        app.hear_at(picture([1000, 10 + 20 * second, 5]), at(second));
    }
    let first = &app.rows()[0].fields;
    assert_eq!((first[0].text.as_str(), first[3].text.as_str()), ("unit:nginx", "20"));
    // A controller that counts anew is no negative rate.
    app.hear_at(picture([0, 0, 0]), at(61));
    assert!(app.rows().iter().all(|row| row.fields[3].number.is_some_and(|rate| rate >= 0.0)));
    (62..130).for_each(|second| app.hear_at(picture([0, 0, 0]), at(second)));
    assert!(app.rows().iter().all(|row| row.fields[3].text == "–"), "what has ended is not shown as if it went on");
}

#[test]
fn the_screen_in_full_and_with_less_and_less_room() {
    let mut app = app(View::Services);
    app.hear(picture([1000, 10, 5]));
    let mut all = String::new();
    for (width, height) in [(110, 10), (80, 9), (40, 8), (24, 5), (12, 3), (1, 1)] {
        all.push_str(&format!("{width} x {height}\n{}\n", shown(&app, width, height)));
    }
    press(&mut app, &letters("?"));
    all.push_str(&format!("help\n{}\n", shown(&app, 60, 22)));
    press(&mut app, &[KeyCode::Esc, KeyCode::Enter]);
    all.push_str(&format!("details\n{}", shown(&app, 100, 14)));
    insta::assert_snapshot!(all);
    for (width, height) in (0..50).flat_map(|width| (0..12).map(move |height| (width, height))) {
        let area = Rect::new(0, 0, width, height);
        draw::frame(&app, area, &mut Buffer::empty(area));
    }
}

#[test]
fn a_row_is_followed_and_the_top_is_not_left() {
    let mut app = app(View::Hosts);
    app.hear(hosts(100));
    shown(&app, 80, 20);
    press(&mut app, &[KeyCode::PageDown, KeyCode::Down]);
    let chosen = names(&app)[app.at()].to_owned();
    app.hear(hosts(200));
    press(&mut app, &letters("r"));
    assert_eq!(names(&app)[app.at()], chosen, "it is where it moved to");
    assert!(shown(&app, 80, 20).contains(&chosen), "and on the screen");
    press(&mut app, &[KeyCode::End]);
    assert_eq!(app.at(), 199);
    app.hear(hosts(3));
    assert!(app.at() < 3);
    press(&mut app, &[KeyCode::Home]);
    let newest = |app: &App| names(app)[app.at()].to_owned();
    assert_eq!(newest(&app), "host002");
    app.hear(hosts(50));
    assert_eq!(newest(&app), "host049", "who stands at the top sees what comes there");
}

#[test]
fn it_is_sorted_by_any_column_and_turned_around() {
    let mut app = app(View::Hosts);
    app.hear(hosts(5));
    let columns = View::Hosts.columns().len();
    let start = names(&app).join(" ");
    press(&mut app, &letters(&"s".repeat(5)));
    assert_eq!(names(&app)[0], "host001", "the one that is not covered");
    press(&mut app, &letters("r"));
    assert_ne!(names(&app)[0], "host001");
    press(&mut app, &letters(&"s".repeat(columns - 5)));
    assert_eq!(names(&app).join(" "), start, "round and round");
    press(&mut app, &letters("S"));
    assert_eq!(app.order().0, columns - 1);
    app.sort_by("-host").expect("column");
    assert_eq!(names(&app)[0], "host004");
}

#[test]
fn a_filter_is_written_kept_and_taken_back() {
    let mut app = app(View::Hosts);
    app.hear(hosts(20));
    press(&mut app, &letters("/HOST01q"));
    assert!(shown(&app, 80, 12).contains("/HOST01q"), "a letter is no key while a text is written");
    assert!(shown(&app, 80, 12).contains("none has this text: Esc shows all"));
    press(&mut app, &[KeyCode::Backspace, KeyCode::Enter]);
    assert!(names(&app).len() == 10 && app.hidden == 10);
    assert!(shown(&app, 80, 12).contains("10 of 20 with 'HOST01'"));
    press(&mut app, &letters("/5"));
    assert_eq!(names(&app), ["host015"]);
    press(&mut app, &[KeyCode::Esc]);
    assert_eq!(names(&app).len(), 10, "as before");
    assert_eq!(press(&mut app, &[KeyCode::Esc]), After::Stay);
    assert_eq!(names(&app).len(), 20);
    assert_eq!(press(&mut app, &[KeyCode::Esc]), After::Quit);
}

#[test]
fn views_are_gone_through_and_a_wrong_answer_is_not_shown() {
    let mut app = app(View::Services);
    app.hear(picture([1, 2, 3]));
    press(&mut app, &[KeyCode::Tab]);
    assert_eq!((app.view(), app.rows().len()), (View::Edges, 3), "the same answer");
    press(&mut app, &[KeyCode::Tab, KeyCode::Right]);
    assert!(app.view() == View::Hosts && shown(&app, 80, 12).contains("waiting for the controller"));
    app.hear(picture([1, 2, 3]));
    assert_eq!(app.rows().len(), 0, "an answer that was under way");
    app.hear(hosts(0));
    assert!(shown(&app, 80, 12).contains("none yet"));
    press(&mut app, &[KeyCode::Tab]);
    assert_eq!(app.view(), View::Services);
    press(&mut app, &[KeyCode::BackTab]);
    assert_eq!(app.view(), View::Hosts);
}

#[test]
fn pausing_keeps_what_is_shown() {
    let mut app = app(View::Hosts);
    app.hear(hosts(2));
    press(&mut app, &letters("p"));
    app.hear(hosts(9));
    assert!(names(&app).len() == 2 && shown(&app, 80, 12).contains("PAUSED"));
    press(&mut app, &letters("p"));
    app.hear(hosts(9));
    assert_eq!(names(&app).len(), 9);
}

#[test]
fn a_lost_connection_is_said_and_what_was_known_stays() {
    let mut app = app(View::Hosts);
    app.hear(hosts(2));
    let next = Instant::now() + Duration::from_secs(500);
    app.hear(News::Lost { why: "connection refused \u{1b}[2J".into(), next });
    let screen = shown(&app, 80, 12);
    assert!(screen.contains(": connection refused \\x1b[2J"), "{screen}");
    assert!(screen.contains("NOT CONNECTED, trying again in 49") && screen.contains("host001"), "{screen}");
    app.hear(hosts(2));
    assert!(!app.is_lost() && shown(&app, 80, 12).contains("3 hosts, 1 not connected"));
}

#[test]
fn a_long_text_is_scrolled_no_further_than_its_end() {
    let mut app = app(View::Services);
    app.hear(picture([1, 2, 3]));
    press(&mut app, &[KeyCode::Enter]);
    let top = shown(&app, 80, 9);
    assert!(top.contains("more"), "{top}");
    press(&mut app, &[KeyCode::Down; 50]);
    let end = shown(&app, 80, 9);
    assert!(end != top && !end.contains("more"), "{end}");
    press(&mut app, &[KeyCode::Up]);
    assert_ne!(shown(&app, 80, 9), end, "at once");
    press(&mut app, &[KeyCode::Esc]);
    assert!(shown(&app, 80, 9).contains("unit:nginx"));
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    for color in [true, false] {
        let mut app = App::new("c", View::Services, String::new(), color);
        app.hear(picture([1, 2, 3]));
        let mut terminal = Terminal::new(TestBackend::new(80, 12)).expect("terminal");
        terminal.draw(|frame| draw::frame(&app, frame.area(), frame.buffer_mut())).expect("draw");
        let cells = &terminal.backend().buffer().content;
        assert_eq!(cells.iter().any(|cell| cell.fg == ratatui::style::Color::Red), color);
        let plain = ratatui::style::Color::Reset;
        assert!(color || cells.iter().all(|cell| cell.fg == plain && cell.bg == plain));
    }
}

#[test]
fn an_interval_is_a_time_of_some_seconds() {
    assert!(interval("5s").is_ok() && interval("100ms").is_err() && interval("2h").is_err() && interval("x").is_err());
}
