//! `cnnfctl tokens`.

use clap::Subcommand;
use cnnf_core::access::check_name;
use cnnf_rpc::convert::common::stamp_text;
use cnnf_rpc::v1;

use super::{Asker, Role};
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, confirm, printable};
use crate::since::parse_within;

#[derive(Debug, Subcommand)]
pub(super) enum Tokens {
    /// All API tokens; never their secrets.
    List,
    /// Make an API token and print it; it is shown only once. Programs send it as 'authorization: Bearer TOKEN'; a context takes it as
    /// 'token' instead of certificate and key.
    Create {
        /// What to call it, after who uses it.
        name: String,
        /// What it may do.
        #[arg(long, value_enum)]
        role: Role,
        /// How long it can be used.
        #[arg(long, default_value = "90d", value_parser = parse_within, value_name = "TIME")]
        ttl: u32,
    },
    /// End an API token at once.
    Revoke {
        /// Which.
        name: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

impl Tokens {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        match self {
            Self::List => {
                let session = asker.connect().await?;
                let answer = session.answer(session.tokens().list_tokens(request(v1::ListTokensRequest {}))).await?;
                out.show(&answer, || list(&answer.tokens, out))
            }
            Self::Create { name, role, ttl } => {
                check_name(&name).map_err(|error| Failure::Usage(format!("the name {error}")))?;
                let session = asker.connect().await?;
                let ask = v1::CreateApiTokenRequest { name, role: role.word(), ttl_seconds: ttl };
                let made = session.answer(session.tokens().create_token(request(ask))).await?;
                out.show(&made, || printable(&made.secret).into_owned())?;
                if let Some(token) = made.token.filter(|_| !out.for_programs()) {
                    let until = stamp_text(token.expires.as_ref());
                    out.note(&format!("token '{}' counts as {} until {until}", printable(&token.name), token.role));
                }
                Ok(())
            }
            Self::Revoke { name, yes } => {
                confirm(&format!("revoke API token '{}'", printable(&name)), yes)?;
                let session = asker.connect().await?;
                let ask = v1::RevokeTokenRequest { name: name.clone() };
                let answer = session.answer(session.tokens().revoke_token(request(ask))).await?;
                out.done(&answer, || format!("API token '{}' is revoked", printable(&name)))
            }
        }
    }
}

fn list(tokens: &[v1::ApiToken], out: &Output) -> String {
    let mut header = vec!["NAME", "ROLE", "EXPIRES", "LAST USED"];
    if out.wide() {
        header.extend(["MADE BY", "MADE"]);
    }
    let mut sheet = Sheet::new(out, &header);
    for token in tokens {
        let time = |at| Cell::from(stamp_text(at));
        let (expires, used) = (time(token.expires.as_ref()), time(token.last_used.as_ref()));
        let mut row = vec![Cell::from(&token.name), Cell::from(&token.role), expires, used];
        if out.wide() {
            row.extend([Cell::from(&token.created_by), time(token.created.as_ref())]);
        }
        sheet.row(row);
    }
    sheet.render()
}
