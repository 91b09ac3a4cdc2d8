//! `cnnfctl users`.

use std::io::{BufRead as _, Read as _};

use clap::{Args, Subcommand};
use cnnf_core::access::{check_name, check_password};
use cnnf_rpc::convert::common::stamp_text;
use cnnf_rpc::v1;

use super::{Asker, Role};
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, Tone, confirm, printable};

#[derive(Debug, Subcommand)]
pub(super) enum Users {
    /// All users.
    List,
    /// Add a user. Their first password is drawn and printed unless it is given; they must change it when they sign in.
    Add {
        /// The name to sign in with.
        name: String,
        /// What they may do.
        #[arg(long, value_enum)]
        role: Role,
        #[command(flatten)]
        password: Password,
    },
    /// Change a user. A new password or disabling ends their sessions.
    Set {
        /// Whom.
        name: String,
        /// What they may do.
        #[arg(long, value_enum)]
        role: Option<Role>,
        /// They cannot sign in any more.
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        /// They can sign in again.
        #[arg(long)]
        enable: bool,
        /// Draw a new password and print it; they must change it when they sign in.
        #[arg(long)]
        new_password: bool,
        #[command(flatten)]
        password: Password,
    },
    /// Delete a user; their sessions end.
    Delete {
        /// Whom.
        name: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

/// Where a password comes from.
#[derive(Debug, Args)]
pub(super) struct Password {
    /// Read the password from the first line of the standard input.
    #[arg(long)]
    password_stdin: bool,
}

impl Password {
    /// The one that is given, or a new one, and whether it is new.
    fn get(&self, name: &str) -> Result<(String, bool), Failure> {
        if !self.password_stdin {
            return draw().map(|drawn| (drawn, true));
        }
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.map_err(|error| Failure::Usage(format!("cannot read the password: {error}")))?;
        let password = line.trim_end_matches(['\r', '\n']).to_owned();
        check_password(name, &password).map_err(|error| Failure::Usage(format!("the password {error}")))?;
        Ok((password, false))
    }
}

/// 100 random bits, as `abcde-fghij-klmno-pqrst`.
fn draw() -> Result<String, Failure> {
    let mut random = [0; 20];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
    read.map_err(|error| Failure::Usage(format!("cannot draw a password: /dev/urandom: {error}")))?;
    let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
    let letters: Vec<char> = random.iter().map(|byte| char::from(alphabet[usize::from(byte & 31)])).collect();
    Ok(letters.chunks(5).map(|five| five.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

impl Users {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        match self {
            Self::List => {
                let session = asker.connect().await?;
                let answer = session.answer(session.users().list_users(request(v1::ListUsersRequest {}))).await?;
                out.show(&answer, || list(&answer.users, out))
            }
            Self::Add { name, role, password } => {
                check_name(&name).map_err(|error| Failure::Usage(format!("the name {error}")))?;
                for_people(out, &password)?;
                let (password, drawn) = password.get(&name)?;
                let session = asker.connect().await?;
                let ask = v1::AddUserRequest { name, role: role.word(), password: password.clone() };
                let user = session.answer(session.users().add_user(request(ask))).await?;
                said(out, &user, "is added", drawn.then_some(password))
            }
            Self::Set { name, role, disable, enable, new_password, password } => {
                let wanted = new_password || password.password_stdin;
                if role.is_none() && !disable && !enable && !wanted {
                    return Err(Failure::Usage("nothing is to be changed: say what, see --help".into()));
                }
                if wanted {
                    for_people(out, &password)?;
                }
                let (password, drawn) = match wanted {
                    true => password.get(&name).map(|(password, drawn)| (Some(password), drawn))?,
                    false => (None, false),
                };
                let session = asker.connect().await?;
                let ask = v1::UpdateUserRequest {
                    name,
                    role: role.map(Role::word),
                    disabled: (disable || enable).then_some(disable),
                    password: password.clone(),
                };
                let user = session.answer(session.users().update_user(request(ask))).await?;
                said(out, &user, "is changed", password.filter(|_| drawn))
            }
            Self::Delete { name, yes } => {
                confirm(&format!("delete user '{}'", printable(&name)), yes)?;
                let session = asker.connect().await?;
                let ask = v1::DeleteUserRequest { name: name.clone() };
                let answer = session.answer(session.users().delete_user(request(ask))).await?;
                out.done(&answer, || format!("user '{}' is deleted", printable(&name)))
            }
        }
    }
}

/// A password that is drawn is printed, and the answer's JSON has no place for it.
fn for_people(out: &Output, password: &Password) -> Result<(), Failure> {
    if out.for_programs() && !password.password_stdin {
        return Err(Failure::Usage("a program gives the password itself: use --password-stdin".into()));
    }
    Ok(())
}

/// Says what was done; a drawn password is all there is on the standard output.
fn said(out: &Output, user: &v1::User, done: &str, drawn: Option<String>) -> Result<(), Failure> {
    let text = format!("user '{}' {done}: {}", printable(&user.name), user.role);
    match drawn {
        None => out.done(user, || text),
        Some(password) => {
            out.note(&format!("{text}; the password is for the first sign-in only"));
            crate::output::print(&password)
        }
    }
}

fn list(users: &[v1::User], out: &Output) -> String {
    let mut header = vec!["NAME", "ROLE", "SIGN-IN", "LAST SIGN-IN"];
    if out.wide() {
        header.push("ADDED");
    }
    let mut sheet = Sheet::new(out, &header);
    for user in users {
        let state = match (user.disabled, user.must_change_password) {
            (true, _) => Cell::from("disabled").tone(Tone::Warn),
            (false, true) => Cell::from("must change password"),
            (false, false) => Cell::from("yes").tone(Tone::Good),
        };
        let last = Cell::from(stamp_text(user.last_sign_in.as_ref()));
        let mut row = vec![Cell::from(&user.name), Cell::from(&user.role), state, last];
        if out.wide() {
            row.push(Cell::from(stamp_text(user.created.as_ref())));
        }
        sheet.row(row);
    }
    sheet.render()
}
