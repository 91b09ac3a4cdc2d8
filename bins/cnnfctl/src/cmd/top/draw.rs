//! The picture of it, into a buffer of any size: what does not fit is left out, the least important first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Widget as _};
use tokio::time::Instant;

use super::rows::{Field, View};
use super::state::{App, Over};
use crate::output::{Tone, count, printable};

/// Names get at least this much before a column is left out for them. Times are shown whole: they are of no use without their end.
const LEAST: usize = 16;
/// What is said of the keys, in lines that fit 40 columns.
const HELP: [&str; 16] = [
    "1 2 3 4, Tab   services, edges, events, hosts",
    "↑ ↓ PgUp PgDn  choose a row (also j k)",
    "Home End       the first, the last (g G)",
    "Enter          all that is known of it",
    "/              filter: rows with this text",
    "Esc            no filter; leave",
    "s S            sort by the next column, the one before",
    "r              turn the order around",
    "p Space        pause, go on",
    "? h            these lines",
    "q Ctrl-C       leave",
    "",
    "IN/S OUT/S CONN/S: new connections a second, over some",
    "five seconds. IN OUT CONNECTIONS BYTES: since the edge",
    "was seen first.",
    "",
];

/// The whole and the table, with all its rows, this wide.
pub(super) fn all(app: &App, width: u16) -> Buffer {
    let rows = u16::try_from(app.rows().len().max(1)).unwrap_or(u16::MAX);
    let area = Rect::new(0, 0, width, rows.saturating_add(2));
    let mut buffer = Buffer::empty(area);
    summary(app, width).render(Rect { height: 1, ..area }, &mut buffer);
    table(app, Rect { y: 1, height: area.height - 1, ..area }, &mut buffer);
    buffer
}

/// The screen.
pub(super) fn frame(app: &App, area: Rect, buffer: &mut Buffer) {
    let Rect { x, y, width, height } = area;
    if width == 0 || height == 0 {
        return;
    }
    let line = |n: u16| Rect { x, y: y + n, width, height: 1 };
    // Of a small screen the table gets most: then the keys go, then the views, then the whole.
    let (keys, views, whole) = (height >= 8, height >= 5, height >= 4);
    let mut next = 0;
    let mut take = |wanted: bool| {
        let at = wanted.then_some(next);
        next += u16::from(wanted);
        at
    };
    if let Some(at) = take(whole) {
        summary(app, width).render(line(at), buffer);
    }
    if let Some(at) = take(views) {
        tabs(app, width).render(line(at), buffer);
    }
    let rest = Rect { x, y: y + next, width, height: height - next - u16::from(keys) };
    app.page.set(usize::from(rest.height.saturating_sub(1)));
    table(app, rest, buffer);
    if keys {
        bottom(app).render(line(height - 1), buffer);
    }
    match &app.over {
        Over::Help => panel(app, "Keys", &HELP.join("\n"), 0, rest, buffer),
        Over::Details(from) => {
            let text = app.about(width.saturating_sub(4)).unwrap_or_else(|| "It is not there any more.".to_owned());
            panel(app, "All that is known", &text, *from, rest, buffer);
        }
        Over::Table | Over::Filter(_) => {}
    }
}

fn style(app: &App, tone: Tone) -> Style {
    if !app.color {
        return Style::new();
    }
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Calm => Style::new().fg(Color::Cyan),
        Tone::Warn => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red),
        Tone::Faint => Style::new().fg(Color::DarkGray),
    }
}

/// Where it comes from and how it is; what is amiss first, as a narrow screen ends soon.
fn summary(app: &App, width: u16) -> Line<'_> {
    let mut parts = vec![Span::styled("cnnf", Style::new().add_modifier(Modifier::BOLD))];
    let mut add = |text: String, tone| {
        parts.push(Span::raw("  "));
        parts.push(Span::styled(printable(&text).into_owned(), style(app, tone)));
    };
    if let Some((why, next)) = &app.lost {
        let left = next.saturating_duration_since(Instant::now()).as_secs();
        let again = if left == 0 { "trying again".to_owned() } else { format!("trying again in {left} s") };
        add(format!("NOT CONNECTED, {again}: {why}"), Tone::Bad);
        return Line::from(parts);
    }
    if app.paused {
        add("PAUSED".into(), Tone::Warn);
    }
    let Some(status) = &app.status else {
        add(format!("asking {}", app.server), Tone::Faint);
        return Line::from(parts);
    };
    let missing = status.defenders.saturating_sub(status.connected);
    let hosts = count(status.defenders as usize, "host");
    match missing {
        0 => add(hosts, Tone::Plain),
        _ => add(format!("{hosts}, {missing} not connected"), Tone::Warn),
    }
    match status.open_events {
        0 => add("no open events".into(), Tone::Plain),
        open => add(count(usize::try_from(open).unwrap_or(usize::MAX), "open event"), Tone::Warn),
    }
    if let Some(change) = &status.unconfirmed {
        add(format!("revision {} waits to be confirmed", change.revision), Tone::Warn);
    }
    add(format!("{}, revision {}", count(status.rules as usize, "rule"), status.revision), Tone::Plain);
    if width >= 80 {
        add(app.server.clone(), Tone::Faint);
    }
    Line::from(parts)
}

fn tabs(app: &App, width: u16) -> Line<'_> {
    let mut parts = Vec::new();
    for (n, view) in View::ALL.into_iter().enumerate() {
        let chosen = Style::new().add_modifier(Modifier::REVERSED);
        let title = if width >= 44 { view.title() } else { &view.title()[..2] };
        let look = if view == app.view() { chosen } else { Style::new() };
        parts.push(Span::styled(format!(" {} {title} ", n + 1), look));
    }
    let shown = app.rows().len();
    let text = match (app.knows(), app.hidden) {
        (false, _) => "  …".to_owned(),
        (true, 0) => format!("  {shown}"),
        (true, hidden) => format!("  {shown} of {} with '{}'", shown + hidden, printable(&app.filter)),
    };
    parts.push(Span::styled(text, style(app, Tone::Faint)));
    Line::from(parts)
}

fn bottom(app: &App) -> Line<'_> {
    let faint = style(app, Tone::Faint);
    match &app.over {
        Over::Filter(_) => Line::from(vec![
            Span::raw(format!("/{}", printable(&app.filter))),
            Span::styled(" ", Style::new().add_modifier(Modifier::REVERSED)),
            Span::styled("  Enter: keep  Esc: as before", faint),
        ]),
        Over::Details(_) => Line::styled("↑↓ scroll  any other key: back", faint),
        Over::Help => Line::styled("any key: back", faint),
        Over::Table => {
            Line::styled("? help  1-4 view  / filter  s sort  r turn  Enter details  p pause  q leave", faint)
        }
    }
}

/// A column that is shown: which of the view's, and how wide.
struct Shown {
    index: usize,
    width: usize,
}

/// The columns that fit, each as wide as it needs to be or as there is room.
fn fit(app: &App, width: usize) -> Vec<Shown> {
    let columns = app.view().columns();
    let (sort, _) = app.order();
    let need = |index: usize| {
        let title = columns[index].title.chars().count() + usize::from(index == sort);
        app.rows().iter().map(|row| Span::raw(row.fields[index].text.as_str()).width()).fold(title, usize::max)
    };
    let mut shown: Vec<Shown> = (0..columns.len()).map(|index| Shown { index, width: need(index) }).collect();
    let gaps = |shown: &[Shown]| 2 * shown.len().saturating_sub(1);
    // What is longer than names have to be may be cut, so it does not push others out.
    let whole = |column: &Shown| columns[column.index].title == "LAST SEEN";
    let least = |shown: &[Shown]| -> usize {
        shown.iter().map(|column| if whole(column) { column.width } else { column.width.min(LEAST) }).sum()
    };
    while shown.len() > 1 && least(&shown) + gaps(&shown) > width {
        let lightest = (0..shown.len()).min_by_key(|at| columns[shown[*at].index].weight).unwrap_or(0);
        shown.remove(lightest);
    }
    let room = width.saturating_sub(gaps(&shown));
    while shown.iter().map(|column| column.width).sum::<usize>() > room {
        let cut = |column: &&mut Shown| if whole(column) { 0 } else { column.width };
        let Some(widest) = shown.iter_mut().max_by_key(cut).filter(|column| column.width > 0) else { break };
        widest.width -= 1;
    }
    shown
}

/// The text in exactly `width` columns.
fn padded(text: &str, width: usize, right: bool) -> String {
    let mut cut = text.to_owned();
    if Span::raw(text).width() > width {
        while !cut.is_empty() && Span::raw(cut.as_str()).width() + 1 > width {
            cut.pop();
        }
        if width > 0 {
            cut.push('…');
        }
    }
    let space = " ".repeat(width.saturating_sub(Span::raw(cut.as_str()).width()));
    if right { space + &cut } else { cut + &space }
}

fn table(app: &App, area: Rect, buffer: &mut Buffer) {
    let shown = fit(app, usize::from(area.width));
    let columns = app.view().columns();
    let (sort, descending) = app.order();
    let numbers = |index: usize| app.rows().first().is_some_and(|row| row.fields[index].number.is_some());
    let line = |n: u16| Rect { y: area.y + n, height: 1, ..area };
    if area.height == 0 {
        return;
    }
    let mut head = Vec::new();
    for column in &shown {
        let sign = match (column.index == sort, descending) {
            (false, _) => "",
            (true, true) => "▼",
            (true, false) => "▲",
        };
        let title = format!("{}{sign}", columns[column.index].title);
        head.push(padded(&title, column.width, numbers(column.index)));
    }
    Line::styled(head.join("  "), Style::new().add_modifier(Modifier::BOLD)).render(line(0), buffer);
    if app.rows().is_empty() && area.height > 1 {
        let text = match (app.knows(), app.hidden) {
            (false, _) => "waiting for the controller",
            (true, 0) => "none yet",
            (true, _) => "none has this text: Esc shows all",
        };
        Line::styled(text, style(app, Tone::Faint)).render(line(1), buffer);
        return;
    }
    let lines = usize::from(area.height - 1);
    // The chosen row is always on the screen.
    let first = (app.at() + 1).saturating_sub(lines);
    for (n, row) in app.rows().iter().enumerate().skip(first).take(lines) {
        let part = |column: &Shown| {
            let Field { text, tone, number } = &row.fields[column.index];
            Span::styled(padded(text, column.width, number.is_some()), style(app, *tone))
        };
        let mut parts = Vec::new();
        for column in &shown {
            if !parts.is_empty() {
                parts.push(Span::raw("  "));
            }
            parts.push(part(column));
        }
        let at = line(u16::try_from(n - first).unwrap_or(u16::MAX - 1) + 1);
        Line::from(parts).render(at, buffer);
        if n == app.at() {
            buffer.set_style(at, Style::new().add_modifier(Modifier::REVERSED));
        }
    }
}

/// Text over the table.
fn panel(app: &App, title: &str, text: &str, from: usize, area: Rect, buffer: &mut Buffer) {
    let lines: Vec<_> = text.lines().collect();
    let inside = usize::from(area.height.saturating_sub(2));
    app.last.set(lines.len().saturating_sub(inside));
    let from = from.min(app.last.get());
    let height = area.height.min(u16::try_from(lines.len() + 2).unwrap_or(u16::MAX));
    let area = Rect { height, ..area };
    Clear.render(area, buffer);
    let more = if from + inside < lines.len() { " ↓ more " } else { "" };
    let block = Block::bordered().title(format!(" {title} ")).title_bottom(more).border_style(style(app, Tone::Faint));
    let text: Vec<_> = lines.into_iter().skip(from).map(Line::raw).collect();
    Paragraph::new(text).block(block).render(area, buffer);
}
