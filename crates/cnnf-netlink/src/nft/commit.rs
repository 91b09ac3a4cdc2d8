//! Sending a batch, and reading what the kernel says about each of its messages.

use std::io;

use super::abi;
use super::batch::Batch;
use super::channel::Channel;
use crate::attr::{Attrs, Writer};
use crate::message::{Answer, HEADER, Messages, NFGEN};
use crate::socket::Port;

/// Kernel memory that one acknowledgement takes, generously.
const ACK_ROOM: usize = 1024;
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;

/// Why a batch was not committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The batch says something that cannot be said. Nothing was sent.
    #[error("the batch cannot be encoded: {0}")]
    Invalid(String),
    /// Someone changed the ruleset since the expected generation. Nothing was applied.
    #[error("the ruleset has changed since the expected generation")]
    Stale,
    /// The kernel refused a message. Nothing was applied.
    #[error(
        "{subject}: {}{} (message {index}{})",
        io::Error::from_raw_os_error(*errno),
        text.as_deref().map(|t| format!(", {t}")).unwrap_or_default(),
        if *others == 0 { String::new() } else { format!(", and {others} more") }
    )]
    Refused {
        /// Index of the message in the batch, from 0.
        index: usize,
        /// What the message was about: "add rule to chain out (seal)".
        subject: String,
        /// Positive errno.
        errno: i32,
        /// The kernel's own words, where it has any.
        text: Option<String>,
        /// How many further messages were refused.
        others: usize,
    },
    /// The kernel refused the batch as a whole (no permission, no memory). Nothing was applied.
    #[error("the kernel refused the batch: {}", io::Error::from_raw_os_error(*errno))]
    RefusedWhole {
        /// Positive errno.
        errno: i32,
    },
    /// The batch could not be sent. Nothing was applied.
    #[error("send a batch of {size} bytes: {source}")]
    Send {
        /// Its size.
        size: usize,
        /// The error.
        source: io::Error,
    },
    /// It was sent, but some answers are missing: read the table to know.
    #[error("a batch was sent, but only {got} of {want} answers came; whether it was applied is unknown")]
    Unconfirmed {
        /// Answers that came.
        got: usize,
        /// Messages that were sent.
        want: usize,
    },
}

pub(super) fn commit(channel: &mut Channel, batch: &Batch, expected: Option<u32>) -> Result<(), CommitError> {
    if let Some(fault) = &batch.fault {
        return Err(CommitError::Invalid(fault.clone()));
    }
    let want = batch.subjects.len();
    if want == 0 {
        return Ok(());
    }
    let datagram = frame(batch, expected);
    let failed = |source| CommitError::Send { size: datagram.len(), source };
    channel.reserve(datagram.len(), want * ACK_ROOM).map_err(failed)?;
    channel.drain();
    channel.send(&datagram).map_err(failed)?;

    // The kernel answers before `send` returns, so what is not there now never comes; once each message has its answer nothing is left, and
    // packets wait for this.
    let mut got = 0;
    let mut first: Option<(usize, Answer)> = None;
    let mut refused = 0;
    while got < want {
        let datagram = match channel.recv() {
            Ok(datagram) => datagram,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for m in Messages(datagram) {
            let Some(answer) = m.answer() else { continue };
            if answer.errno == libc::ERESTART {
                return Err(CommitError::Stale);
            }
            match (m.seq as usize).checked_sub(1).filter(|i| *i < want) {
                _ if answer.errno == 0 => got += 1,
                None => return Err(CommitError::RefusedWhole { errno: answer.errno }),
                Some(index) => {
                    refused += 1;
                    first.get_or_insert((index, answer));
                }
            }
        }
    }
    if got == want {
        channel.all_answered();
    }
    match first {
        Some((index, answer)) => Err(CommitError::Refused {
            index,
            subject: subject(batch, index, answer.offset),
            errno: answer.errno,
            text: answer.text,
            others: refused - 1,
        }),
        None if got == want => Ok(()),
        None => Err(CommitError::Unconfirmed { got, want }),
    }
}

/// The batch between its begin, which names the generation, and its end.
fn frame(batch: &Batch, expected: Option<u32>) -> Vec<u8> {
    let mut w = Writer::new();
    w.buf.reserve(batch.size() + 64);
    let res_id = libc::NFNL_SUBSYS_NFTABLES as u16;
    w.begin(NFNL_MSG_BATCH_BEGIN, libc::NLM_F_REQUEST, 0).nfgen(libc::AF_UNSPEC as u8, res_id);
    if let Some(generation) = expected {
        w.be32(libc::NFNL_BATCH_GENID, generation);
    }
    w.end().raw(&batch.out.buf);
    let seq = batch.subjects.len() as u32 + 1;
    w.begin(NFNL_MSG_BATCH_END, libc::NLM_F_REQUEST, seq).nfgen(libc::AF_UNSPEC as u8, res_id).end();
    w.buf
}

/// What message `index` is about; `offset` is that of the attribute that the kernel blames.
fn subject(batch: &Batch, index: usize, offset: Option<usize>) -> String {
    let Some(s) = batch.subjects.get(index) else { return format!("message {index}") };
    let mut text = format!("{} {}", s.act, if s.name.is_empty() { batch.table() } else { &s.name });
    if let Some((at, key)) = offset.and_then(|o| blamed_element(batch.out.buf.get(s.at..)?, o)) {
        text.push_str(&format!(", element {at} of the message (key {key})"));
    }
    text
}

/// The element of an element message that contains the byte `offset`: its index and key in hex.
fn blamed_element(message: &[u8], offset: usize) -> Option<(usize, String)> {
    let m = Messages(message).next()?;
    let elements = [libc::NFT_MSG_NEWSETELEM, libc::NFT_MSG_DELSETELEM];
    if !elements.iter().any(|t| abi::message_type(*t) == m.ty) {
        return None;
    }
    let list = m.attrs(NFGEN).find(abi::NFTA_SET_ELEM_LIST_ELEMENTS)?;
    let begin = list.bytes.as_ptr() as usize - message.as_ptr() as usize;
    debug_assert!(begin > HEADER);
    let (at, element) = list.nested().enumerate().find(|(_, e)| {
        let end = e.bytes.as_ptr() as usize - message.as_ptr() as usize + e.bytes.len();
        offset >= begin && offset < end
    })?;
    let key = element.nested().find(abi::NFTA_SET_ELEM_KEY)?;
    let value = Attrs(key.bytes).find(abi::NFTA_DATA_VALUE)?;
    Some((at, value.bytes.iter().map(|b| format!("{b:02x}")).collect()))
}
