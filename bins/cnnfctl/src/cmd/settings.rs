//! `cnnfctl settings`.

use clap::Subcommand;
use cnnf_rpc::v1;

use super::Asker;
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Sheet, printable};

#[derive(Debug, Subcommand)]
pub(super) enum Settings {
    /// All settings, or one.
    Get {
        /// Its name.
        name: Option<String>,
    },
    /// Set one.
    Set {
        /// Its name, such as learn_for.
        name: String,
        /// Its value, such as 1h.
        value: String,
    },
}

impl Settings {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let session = asker.connect().await?;
        let out = &asker.out;
        match self {
            Self::Get { name } => {
                let mut settings =
                    session.answer(session.settings().get_settings(request(v1::GetSettingsRequest {}))).await?;
                if let Some(name) = &name {
                    let there = settings.values.keys().cloned().collect::<Vec<_>>().join(", ");
                    settings.values.retain(|key, _| key == name);
                    if settings.values.is_empty() {
                        return Err(Failure::No(format!("there is no setting '{name}': there are {there}")));
                    }
                }
                out.show(&settings, || match (&name, settings.values.values().next()) {
                    (Some(_), Some(value)) => printable(value).into_owned(),
                    _ => {
                        let mut sheet = Sheet::new(out, &["SETTING", "VALUE"]);
                        for (key, value) in &settings.values {
                            sheet.row(vec![Cell::from(key), Cell::word(value)]);
                        }
                        sheet.render()
                    }
                })
            }
            Self::Set { name, value } => {
                let ask = v1::SetSettingRequest { name: name.clone(), value };
                let settings = session.answer(session.settings().set_setting(request(ask))).await?;
                out.done(&settings, || {
                    let value = settings.values.get(&name).map(String::as_str).unwrap_or_default();
                    format!("{} is {}", printable(&name), printable(value))
                })
            }
        }
    }
}
