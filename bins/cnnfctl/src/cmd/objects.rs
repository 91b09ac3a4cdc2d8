//! `cnnfctl objects`.

use clap::Subcommand;
use cnnf_rpc::v1;

use super::Asker;
use super::rules::Reason;
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, confirm, count, printable};

#[derive(Debug, Subcommand)]
pub(super) enum Objects {
    /// All address objects, with the rules that use them.
    List,
    /// Add an address object.
    Add {
        /// Unique name; rules name it where they name addresses.
        name: String,
        /// Addresses, CIDRs or ranges.
        #[arg(required = true)]
        addresses: Vec<String>,
        /// Replace the object of this name.
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        reason: Reason,
    },
    /// Delete an address object that no rule uses.
    Delete {
        /// Its name.
        name: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        reason: Reason,
    },
}

impl Objects {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        match self {
            Self::List => {
                let session = asker.connect().await?;
                let ask = v1::ListObjectsRequest {};
                let answer = session.answer(session.policy().list_objects(request(ask))).await?;
                out.show(&answer, || list(&answer.objects, out))
            }
            Self::Add { name, addresses, replace, reason } => {
                let object = v1::AddressObject { name, addresses, ..v1::AddressObject::default() };
                cnnf_rpc::convert::policy::objects(vec![object.clone()])
                    .map_err(|error| Failure::Usage(error.message))?;
                let session = asker.connect().await?;
                let ask = v1::AddObjectRequest { object: Some(object), replace, reason: reason.text() };
                let object = session.answer(session.policy().add_object(request(ask))).await?;
                let done = if replace { "set" } else { "added" };
                out.done(&object, || match object.used_by.len() {
                    0 => format!("object '{}' is {done}", printable(&object.name)),
                    n => format!("object '{}' is {done}, for {}", printable(&object.name), count(n, "rule")),
                })
            }
            Self::Delete { name, yes, reason } => {
                confirm(&format!("delete object '{}'", printable(&name)), yes)?;
                let session = asker.connect().await?;
                let ask = v1::DeleteObjectRequest { name: name.clone(), reason: reason.text() };
                let answer = session.answer(session.policy().delete_object(request(ask))).await?;
                out.done(&answer, || format!("object '{}' is deleted, revision {}", printable(&name), answer.revision))
            }
        }
    }
}

fn list(objects: &[v1::AddressObject], out: &Output) -> String {
    let mut sheet = Sheet::new(out, &["NAME", "ADDRESSES", "USED BY"]);
    for object in objects {
        let used = object.used_by.join(", ");
        sheet.row(vec![Cell::from(&object.name), Cell::from(object.addresses.join(", ")), Cell::from(used)]);
    }
    sheet.render()
}
