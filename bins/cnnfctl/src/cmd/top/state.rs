//! What the person at the terminal wants to see, and what there is.

use std::cell::Cell;

use cnnf_rpc::v1;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tokio::time::Instant;

use super::feed::{Answer, News};
use super::rows::{Rates, Row, View, about, rows};

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Stay,
    Quit,
}

/// What lies over the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Nothing.
    Table,
    /// What the keys do.
    Help,
    /// All of the chosen row, from this line on.
    Details(usize),
    /// The filter is being written; what it was before.
    Filter(String),
}

/// How a view is looked at.
#[derive(Debug)]
struct Look {
    sort: usize,
    descending: bool,
    /// The chosen row, by what it is of and by where it is: it is followed when others come and go.
    chosen: Option<String>,
    at: usize,
}

/// All of it.
pub(super) struct App {
    pub(super) server: String,
    pub(super) color: bool,
    view: View,
    looks: [Look; View::ALL.len()],
    pub(super) filter: String,
    pub(super) over: Over,
    pub(super) paused: bool,
    pub(super) status: Option<Box<v1::Status>>,
    answer: Option<Answer>,
    rates: Rates,
    counted: Option<Instant>,
    /// Why the connection is lost, and when it is tried again.
    pub(super) lost: Option<(String, Instant)>,
    /// What is shown, in order.
    rows: Vec<Row>,
    /// Rows that the filter leaves out.
    pub(super) hidden: usize,
    /// Rows that fit the screen, as far as it is known: how far a page goes.
    pub(super) page: Cell<usize>,
    /// The last line that a text over the table can begin with: likewise.
    pub(super) last: Cell<usize>,
}

impl App {
    pub(super) fn new(server: &str, view: View, filter: String, color: bool) -> Self {
        let look = |view: View| {
            let (sort, descending) = view.order();
            Look { sort, descending, chosen: None, at: 0 }
        };
        Self {
            server: server.to_owned(),
            color,
            view,
            looks: View::ALL.map(look),
            filter,
            over: Over::Table,
            paused: false,
            status: None,
            answer: None,
            rates: Rates::default(),
            counted: None,
            lost: None,
            rows: Vec::new(),
            hidden: 0,
            page: Cell::new(10),
            last: Cell::new(0),
        }
    }

    pub(super) fn view(&self) -> View {
        self.view
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Where the chosen row is.
    pub(super) fn at(&self) -> usize {
        self.look().at
    }

    /// The column it is sorted by, and whether the largest is first.
    pub(super) fn order(&self) -> (usize, bool) {
        (self.look().sort, self.look().descending)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Whether the view has been answered.
    pub(super) fn knows(&self) -> bool {
        matches!(
            (self.view, &self.answer),
            (View::Services | View::Edges, Some(Answer::Picture(_)))
                | (View::Events, Some(Answer::Events(_)))
                | (View::Hosts, Some(Answer::Hosts(_)))
        )
    }

    /// All of the chosen row, in lines of this width.
    pub(super) fn about(&self, width: u16) -> Option<String> {
        about(self.view, self.answer.as_ref()?, &self.rows.get(self.look().at)?.id, width)
    }

    fn look(&self) -> &Look {
        &self.looks[self.view as usize]
    }

    fn look_mut(&mut self) -> &mut Look {
        &mut self.looks[self.view as usize]
    }

    /// Sorts by the column of this title; `-` before it turns the order around.
    pub(super) fn sort_by(&mut self, title: &str) -> Result<(), String> {
        let (turned, name) = title.strip_prefix('-').map_or((false, title), |name| (true, name));
        let columns = self.view.columns();
        let Some(sort) = columns.iter().position(|column| column.title.eq_ignore_ascii_case(name)) else {
            let all = columns.iter().map(|column| column.title).collect::<Vec<_>>().join(", ");
            return Err(format!("there is no column '{name}': {} have {all}", self.view.title().to_lowercase()));
        };
        let (first, descending) = self.view.order();
        let natural = if sort == first { descending } else { numeric(self.view, sort) };
        (self.look_mut().sort, self.look_mut().descending) = (sort, natural != turned);
        self.arrange();
        Ok(())
    }

    /// Takes in what was heard just now.
    pub(super) fn hear(&mut self, news: News) {
        self.hear_at(news, Instant::now());
    }

    /// Takes in what was heard then.
    pub(super) fn hear_at(&mut self, news: News, now: Instant) {
        match news {
            News::Lost { why, next } => self.lost = Some((why, next)),
            News::End(_) => {}
            News::Answer(status, answer) => {
                self.lost = None;
                // The numbers go on while it is paused, so that the rates are right afterwards; what is shown stays.
                if let Answer::Picture(radar) = &answer {
                    let elapsed = self.counted.replace(now).map(|before| now - before);
                    self.rates.count(radar, elapsed.unwrap_or_default());
                }
                if !self.paused || !self.knows() {
                    (self.status, self.answer) = (Some(status), Some(answer));
                    self.arrange();
                }
            }
        }
    }

    /// Makes the rows anew, and finds the chosen one again.
    fn arrange(&mut self) {
        let all = self.answer.as_ref().map(|answer| rows(self.view, answer, &self.rates)).unwrap_or_default();
        let wanted = self.filter.to_lowercase();
        let total = all.len();
        let has = |row: &Row| row.fields.iter().any(|field| field.text.to_lowercase().contains(&wanted));
        let mut shown: Vec<Row> = all.into_iter().filter(|row| wanted.is_empty() || has(row)).collect();
        let (sort, descending) = self.order();
        let order = |a: &Row, b: &Row| {
            let (a, b) = (&a.fields[sort], &b.fields[sort]);
            let order = match (a.number, b.number) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                _ => a.text.cmp(&b.text),
            };
            if descending { order.reverse() } else { order }
        };
        shown.sort_by(order);
        self.hidden = total - shown.len();
        self.rows = shown;
        let last = self.rows.len().saturating_sub(1);
        let look = &self.looks[self.view as usize];
        let found = look.chosen.as_ref().and_then(|id| self.rows.iter().position(|row| row.id == *id));
        let at = found.unwrap_or(look.at.min(last));
        self.look_mut().at = at;
    }

    fn go(&mut self, to: usize) {
        let at = to.min(self.rows.len().saturating_sub(1));
        let chosen = self.rows.get(at).map(|row| row.id.clone());
        // At the top it stays at the top: there the newest and the busiest are.
        let look = self.look_mut();
        (look.at, look.chosen) = (at, chosen.filter(|_| at > 0));
    }

    fn show(&mut self, view: View) {
        self.view = view;
        self.arrange();
    }

    /// Does what a key says.
    pub(super) fn key(&mut self, key: KeyEvent) -> After {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(key.code, KeyCode::Char('c')) {
            return After::Quit;
        }
        match &mut self.over {
            Over::Filter(_) => self.write(key, control),
            Over::Help => self.over = Over::Table,
            Over::Details(line) => {
                let (page, last) = (self.page.get(), self.last.get());
                match key.code {
                    KeyCode::Up | KeyCode::Char('k') => *line = line.saturating_sub(1),
                    KeyCode::Down | KeyCode::Char('j') => *line = (*line + 1).min(last),
                    KeyCode::PageUp => *line = line.saturating_sub(page),
                    KeyCode::PageDown | KeyCode::Char(' ') => *line = (*line + page).min(last),
                    KeyCode::Home => *line = 0,
                    _ => self.over = Over::Table,
                }
            }
            Over::Table => return self.at_table(key.code),
        }
        After::Stay
    }

    fn at_table(&mut self, code: KeyCode) -> After {
        let (at, page) = (self.look().at, self.page.get().max(1));
        match code {
            KeyCode::Char('q') => return After::Quit,
            KeyCode::Esc if self.filter.is_empty() => return After::Quit,
            KeyCode::Esc => {
                self.filter.clear();
                self.arrange();
            }
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.over = Over::Help,
            KeyCode::Char('/') => self.over = Over::Filter(self.filter.clone()),
            KeyCode::Enter if !self.rows.is_empty() => {
                // From now on it is this one, wherever it moves to.
                self.go(at);
                self.look_mut().chosen = self.rows.get(at).map(|row| row.id.clone());
                self.over = Over::Details(0);
            }
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('1') => self.show(View::Services),
            KeyCode::Char('2') => self.show(View::Edges),
            KeyCode::Char('3') => self.show(View::Events),
            KeyCode::Char('4') => self.show(View::Hosts),
            KeyCode::Tab | KeyCode::Right => self.show(View::ALL[(self.view as usize + 1) % View::ALL.len()]),
            KeyCode::BackTab | KeyCode::Left => {
                self.show(View::ALL[(self.view as usize + View::ALL.len() - 1) % View::ALL.len()]);
            }
            KeyCode::Up | KeyCode::Char('k') => self.go(at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.go(at + 1),
            KeyCode::PageUp => self.go(at.saturating_sub(page)),
            KeyCode::PageDown => self.go(at + page),
            KeyCode::Home | KeyCode::Char('g') => self.go(0),
            KeyCode::End | KeyCode::Char('G') => self.go(usize::MAX),
            KeyCode::Char('s') => self.sort_beside(1),
            KeyCode::Char('S') => self.sort_beside(self.view.columns().len() - 1),
            KeyCode::Char('r') => {
                self.look_mut().descending = !self.look().descending;
                self.arrange();
            }
            _ => {}
        }
        After::Stay
    }

    /// Sorts by the column that is so many to the right.
    fn sort_beside(&mut self, step: usize) {
        let sort = (self.look().sort + step) % self.view.columns().len();
        (self.look_mut().sort, self.look_mut().descending) = (sort, numeric(self.view, sort));
        self.arrange();
    }

    fn write(&mut self, key: KeyEvent, control: bool) {
        match key.code {
            KeyCode::Enter => self.over = Over::Table,
            KeyCode::Esc => {
                if let Over::Filter(before) = std::mem::replace(&mut self.over, Over::Table) {
                    self.filter = before;
                }
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char('u') if control => self.filter.clear(),
            KeyCode::Char(letter) if !control => self.filter.push(letter),
            _ => {}
        }
        self.arrange();
    }
}

/// Whether a column is of numbers, or of times: the largest and the newest are what one looks for.
fn numeric(view: View, column: usize) -> bool {
    matches!(
        view.columns()[column].title,
        "IN/S" | "OUT/S" | "IN" | "OUT" | "BYTES" | "CONN/S" | "CONNECTIONS" | "ID" | "×" | "NOT COVERED" | "LAST SEEN"
    )
}
