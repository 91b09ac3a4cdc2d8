//! Reports on their way to the controller: kept on disk until it says that they are durable there.
//!
//! The file is a header line (`cnnf-spool 2 EPOCH BOOT NEXT PAST`) and then reports, each as its length (4 bytes, little-endian) and its
//! message. It survives `kill -9`; after a power cut its end may be torn and is left out, and the epoch is a new one, so that no
//! (epoch, seq) ever names two different reports. What a report was called in earlier epochs is kept as [`Past`], so that the controller
//! counts none twice that it had taken in before the cut.

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::flow::Gap;
use cnnf_rpc::v1;
use cnnf_rpc::v1::report::Body;
use prost::Message;
use tokio::sync::Notify;

/// The file is written anew once it is this large and less than half of it is still needed.
const COMPACT_AT: u64 = 256 * 1024;

/// The spool. Shared between who reports and who sends.
#[derive(Debug)]
pub(crate) struct Spool {
    inner: Mutex<Inner>,
    more: Notify,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: fs::File,
    file_bytes: u64,
    epoch: String,
    boot: String,
    next: u64,
    past: Vec<Past>,
    queue: VecDeque<(u64, Vec<u8>)>,
    bytes: u64,
    max: u64,
    /// Since when how many reports were dropped that nobody was told of.
    dropped: Option<(Timestamp, u64)>,
    dropped_ever: u64,
}

/// What reports of this spool were called in an earlier epoch: of the first `count` numbers, `seq` was `seq + offset` there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) epoch: String,
    pub(crate) offset: u64,
    pub(crate) count: u64,
}

/// Earlier epochs that are remembered at most: boots without a word to the controller.
const MAX_PAST: usize = 8;

impl Spool {
    /// Opens the spool in `state_dir`, with what it still holds. `fresh_epoch` names it if it is new, or of another boot.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn open(state_dir: &Path, max: u64, boot: &str, fresh_epoch: &str) -> io::Result<Self> {
        let path = state_dir.join("spool");
        let (epoch, next, past, queue) = match fs::read(&path).ok().and_then(|bytes| parse(&bytes)) {
            Some(kept) if kept.boot == boot => (kept.epoch, kept.next, kept.past, kept.reports),
            Some(kept) => {
                let past = kept.renamed();
                let reports: VecDeque<_> = (1..).zip(kept.reports.into_iter().map(|(_, bytes)| bytes)).collect();
                (fresh_epoch.to_owned(), reports.len() as u64 + 1, past, renumbered(reports))
            }
            None => (fresh_epoch.to_owned(), 1, Vec::new(), VecDeque::new()),
        };
        let bytes = queue.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let mut inner = Inner {
            file: create(&path)?,
            path,
            file_bytes: 0,
            epoch,
            boot: boot.to_owned(),
            next,
            past,
            queue,
            bytes,
            max,
            dropped: None,
            dropped_ever: 0,
        };
        inner.rewrite()?;
        Ok(Self { inner: Mutex::new(inner), more: Notify::new() })
    }

    /// When a defender last wrote a spool in `state_dir`: it was alive then.
    pub(crate) fn last_written(state_dir: &Path) -> Option<Timestamp> {
        let modified = fs::metadata(state_dir.join("spool")).and_then(|spool| spool.modified()).ok()?;
        let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Timestamp(u64::try_from(since.as_millis()).ok()?))
    }

    /// Appends a report. If the spool is full, its oldest ones make room; a gap report says how many.
    pub(crate) fn push(&self, body: Body, now: Timestamp) {
        let mut inner = self.lock();
        if let Some((from, lost)) = inner.dropped.filter(|_| inner.bytes < inner.max / 2) {
            inner.dropped = None;
            let gap = Gap { from, until: now, lost, what: "spooled reports".into() };
            inner.append(Body::Gap((&gap).into()), now);
        }
        inner.append(body, now);
        drop(inner);
        self.more.notify_waiters();
    }

    /// At most `limit` reports after `seq`, oldest first.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> Vec<v1::Report> {
        let inner = self.lock();
        let start = inner.queue.partition_point(|(n, _)| *n <= seq);
        // what is in the queue was encoded or checked here
        inner
            .queue
            .iter()
            .skip(start)
            .take(limit)
            .filter_map(|(_, bytes)| v1::Report::decode(bytes.as_slice()).ok())
            .collect()
    }

    /// The controller has everything up to `seq`.
    pub(crate) fn acknowledge(&self, epoch: &str, seq: u64) {
        let mut inner = self.lock();
        if epoch != inner.epoch {
            return;
        }
        while let Some((_, bytes)) = inner.queue.pop_front_if(|(n, _)| *n <= seq) {
            inner.bytes -= bytes.len() as u64;
        }
        if inner.file_bytes > COMPACT_AT
            && inner.bytes < inner.file_bytes / 2
            && let Err(error) = inner.rewrite()
        {
            tracing::warn!("cannot shorten the spool {}: {error}", inner.path.display());
        }
    }

    /// The epoch from which sequence numbers count.
    pub(crate) fn epoch(&self) -> String {
        self.lock().epoch.clone()
    }

    /// What its first reports were called in earlier epochs.
    pub(crate) fn past(&self) -> Vec<Past> {
        self.lock().past.clone()
    }

    /// Waits until there may be a new report.
    pub(crate) async fn changed(&self) {
        self.more.notified().await;
    }

    /// Reports that wait, and reports that were dropped since the start.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.queue.len() as u64, inner.dropped_ever)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn append(&mut self, body: Body, now: Timestamp) {
        let seq = self.next;
        self.next += 1;
        let bytes = v1::Report { seq, body: Some(body) }.encode_to_vec();
        let written = framed(&bytes).and_then(|frame| self.file.write_all(&frame).map(|()| frame.len() as u64));
        match written {
            Ok(len) => self.file_bytes += len,
            // it is still sent from memory
            Err(error) => tracing::warn!("cannot write to the spool {}: {error}", self.path.display()),
        }
        self.bytes += bytes.len() as u64;
        self.queue.push_back((seq, bytes));
        while self.bytes > self.max {
            let Some((_, bytes)) = self.queue.pop_front() else { break };
            self.bytes -= bytes.len() as u64;
            self.dropped_ever += 1;
            let (from, lost) = self.dropped.unwrap_or((now, 0));
            self.dropped = Some((from, lost + 1));
        }
        if self.file_bytes > self.max.saturating_mul(2)
            && let Err(error) = self.rewrite()
        {
            tracing::warn!("cannot shorten the spool {}: {error}", self.path.display());
        }
    }

    /// Writes the file anew with what is still needed.
    fn rewrite(&mut self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = create(&new)?;
        let past: Vec<String> = self.past.iter().map(ToString::to_string).collect();
        let (epoch, boot, next) = (&self.epoch, &self.boot, self.next);
        let mut text = format!("cnnf-spool 2 {epoch} {boot} {next} {}\n", past.join(",")).into_bytes();
        for (_, bytes) in &self.queue {
            text.extend(framed(bytes)?);
        }
        file.write_all(&text)?;
        fs::rename(&new, &self.path)?;
        self.file = file;
        self.file_bytes = text.len() as u64;
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).and_then(|file| {
        if path.extension().is_some() {
            file.set_len(0)?;
        }
        Ok(file)
    })
}

fn framed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let mut frame = len.to_le_bytes().to_vec();
    frame.extend(bytes);
    Ok(frame)
}

fn renumbered(reports: VecDeque<(u64, Vec<u8>)>) -> VecDeque<(u64, Vec<u8>)> {
    let again = |(seq, bytes): (u64, Vec<u8>)| {
        let report = v1::Report::decode(bytes.as_slice()).unwrap_or_default();
        (seq, v1::Report { seq, ..report }.encode_to_vec())
    };
    reports.into_iter().map(again).collect()
}

/// What a spool's file holds.
pub(crate) struct Kept {
    epoch: String,
    boot: String,
    pub(crate) next: u64,
    pub(crate) reports: VecDeque<(u64, Vec<u8>)>,
    /// What the first of them were called earlier.
    past: Vec<Past>,
}

impl Kept {
    /// What its reports are called once they are numbered anew from 1.
    fn renamed(&self) -> Vec<Past> {
        let Some((first, _)) = self.reports.front() else { return Vec::new() };
        let offset = first.saturating_sub(1);
        let in_order = self.reports.iter().zip(*first..).take_while(|((seq, _), n)| seq == n).count() as u64;
        let own = Past { epoch: self.epoch.clone(), offset, count: in_order };
        let older = self.past.iter().filter(|past| past.count > offset).map(|past| Past {
            epoch: past.epoch.clone(),
            offset: past.offset.saturating_add(offset),
            count: (past.count - offset).min(in_order),
        });
        std::iter::once(own).chain(older).take(MAX_PAST).collect()
    }
}

impl fmt::Display for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.epoch, self.offset, self.count)
    }
}

impl FromStr for Past {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let [epoch, offset, count] = text.split(':').collect::<Vec<_>>()[..] else { return Err(()) };
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Self { epoch: epoch.to_owned(), offset: number(offset)?, count: number(count)? })
    }
}

impl From<Past> for v1::SpoolPast {
    fn from(past: Past) -> Self {
        Self { spool_epoch: past.epoch, offset: past.offset, count: past.count }
    }
}

/// A report's number as it can be; the controller's store counts in 63 bits, and one more must fit.
fn number(seq: u64) -> Option<u64> {
    i64::try_from(seq).is_ok_and(|seq| seq < i64::MAX).then_some(seq)
}

/// Reads a spool's bytes up to the first that make no sense.
pub(crate) fn parse(bytes: &[u8]) -> Option<Kept> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let header = std::str::from_utf8(&bytes[..end]).ok()?;
    let (epoch, boot, next, past) = match header.split(' ').collect::<Vec<_>>()[..] {
        ["cnnf-spool", "1", epoch, boot, next] => (epoch, boot, next, ""),
        ["cnnf-spool", "2", epoch, boot, next, past] => (epoch, boot, next, past),
        _ => return None,
    };
    let mut kept = Kept {
        past: past.split(',').filter_map(|text| text.parse().ok()).take(MAX_PAST).collect(),
        epoch: epoch.to_owned(),
        boot: boot.to_owned(),
        next: number(next.parse().ok()?)?,
        reports: VecDeque::new(),
    };
    let mut rest = &bytes[end + 1..];
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let Some(message) = usize::try_from(u32::from_le_bytes(*len)).ok().and_then(|len| after.get(..len)) else {
            break;
        };
        let Ok(report) = v1::Report::decode(message) else { break };
        let after_last = kept.reports.back().is_none_or(|(seq, _)| *seq < report.seq);
        let Some(seq) = number(report.seq).filter(|_| after_last) else { break };
        kept.next = kept.next.max(seq + 1);
        kept.reports.push_back((report.seq, message.to_vec()));
        rest = &after[message.len()..];
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Body {
        Body::Gap(v1::GapReport { what: text.into(), ..v1::GapReport::default() })
    }

    fn open(dir: &Path, max: u64, boot: &str) -> Spool {
        Spool::open(dir, max, boot, "fresh").expect("spool")
    }

    fn seqs(spool: &Spool) -> Vec<u64> {
        spool.after(0, 1000).iter().map(|r| r.seq).collect()
    }

    #[test]
    fn what_was_not_acknowledged_is_there_after_a_restart() {
        let dir = tempfile::tempdir().expect("directory");
        let spool = open(dir.path(), 1 << 20, "b1");
        for n in 0..5 {
            spool.push(body(&n.to_string()), Timestamp(n));
        }
        spool.acknowledge("other", 5);
        spool.acknowledge("fresh", 2);
        assert_eq!(seqs(&spool), [3, 4, 5]);
        drop(spool);
        let spool = Spool::open(dir.path(), 1 << 20, "b1", "another").expect("spool");
        assert_eq!(spool.epoch(), "fresh");
        spool.acknowledge("fresh", 3);
        spool.push(body("6"), Timestamp(6));
        assert_eq!(seqs(&spool), [4, 5, 6], "a number is never given twice");
        assert_eq!(spool.after(4, 1)[0].seq, 5);
    }

    #[test]
    fn another_boot_is_another_epoch() {
        let dir = tempfile::tempdir().expect("directory");
        let spool = open(dir.path(), 1 << 20, "b1");
        for n in 0..3 {
            spool.push(body("x"), Timestamp(n));
        }
        spool.acknowledge("fresh", 1);
        drop(spool);
        let spool = Spool::open(dir.path(), 1 << 20, "b2", "second").expect("spool");
        assert_eq!(spool.epoch(), "second");
        assert_eq!(seqs(&spool), [1, 2, 3], "what was acknowledged may still be in the file");
        let past = |epoch: &str, offset, count| Past { epoch: epoch.into(), offset, count };
        assert_eq!(spool.past(), [past("fresh", 0, 3)]);
        spool.acknowledge("second", 2);
        spool.push(body("y"), Timestamp(4));
        spool.lock().rewrite().expect("rewritten");
        drop(spool);
        let again = Spool::open(dir.path(), 1 << 20, "b2", "unused").expect("spool");
        assert_eq!((again.epoch(), again.past()), ("second".into(), vec![past("fresh", 0, 3)]));
        drop(again);
        let third = Spool::open(dir.path(), 1 << 20, "b3", "third").expect("spool");
        assert_eq!(seqs(&third), [1, 2], "the third of the first boot and the first of the second");
        assert_eq!(third.past(), [past("second", 2, 2), past("fresh", 2, 1)]);
    }

    #[test]
    fn a_torn_end_is_left_out() {
        let dir = tempfile::tempdir().expect("directory");
        let spool = open(dir.path(), 1 << 20, "b1");
        for n in 0..3 {
            spool.push(body("x"), Timestamp(n));
        }
        drop(spool);
        let path = dir.path().join("spool");
        let whole = fs::read(&path).expect("read");
        for cut in 0..whole.len() {
            if let Some(kept) = parse(&whole[..cut]) {
                assert!(kept.reports.len() < 3);
                assert!(kept.reports.iter().map(|(seq, _)| *seq).eq(1..=kept.reports.len() as u64));
            }
        }
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let dir = tempfile::tempdir().expect("directory");
        let spool = open(dir.path(), 2000, "b1");
        for n in 0..100 {
            spool.push(body(&"y".repeat(90)), Timestamp(n));
        }
        let (waiting, dropped) = spool.counts();
        assert_eq!(waiting + dropped, 100);
        assert!(dropped > 50 && fs::metadata(dir.path().join("spool")).expect("file").len() < 6000);
        spool.acknowledge("fresh", 95);
        spool.push(body("z"), Timestamp(200));
        let reports = spool.after(0, 1000);
        let gap = reports.iter().find_map(|r| match &r.body {
            Some(Body::Gap(gap)) if gap.what == "spooled reports" => Some(gap.lost),
            _ => None,
        });
        assert_eq!(gap, Some(dropped));
    }
}
