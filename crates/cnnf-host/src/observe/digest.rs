//! SHA-256 of executables (FIPS 180-4), each file once.
//!
//! Reading a file of a hundred megabytes takes longer than a packet may wait. One thread reads, the cache is the whole process's, and who asks
//! waits as long as it may: what is not there in time is there for the next event of this program.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// A larger file is not read.
const SIZE_MAX: u64 = 512 << 20;
/// Files whose digests are kept.
const KEPT: usize = 512;
/// Files that wait to be read.
const QUEUED: usize = 16;

/// Device, inode, size, and the time of the last change of content with nanoseconds.
type Key = (u64, u64, u64, i64, i64);

/// A digest in hexadecimal, or why there is none; absent while it is computed.
type Answer = Option<Result<String, &'static str>>;

static DIGESTS: LazyLock<Digests> = LazyLock::new(Digests::start);

struct Digests {
    known: Mutex<HashMap<Key, Answer>>,
    changed: Condvar,
    work: SyncSender<(Key, File)>,
}

/// The digest of an open executable, in hexadecimal; waits for it at most so long.
///
/// # Errors
/// Why there is none, in words for a person.
pub(super) fn digest(file: File, wait: Duration) -> Result<String, &'static str> {
    let metadata = file.metadata().map_err(|_| "the executable cannot be read")?;
    if metadata.len() > SIZE_MAX {
        return Err("the executable is too large for a digest");
    }
    let key = (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    let mut known = DIGESTS.lock();
    if !known.contains_key(&key) {
        if known.len() >= KEPT {
            // what is being computed now comes back by itself
            known.clear();
        }
        if DIGESTS.work.try_send((key, file)).is_err() {
            return Err("too many digests are wanted at once");
        }
        known.insert(key, None);
    }
    let computing = |known: &mut HashMap<Key, Answer>| matches!(known.get(&key), Some(None));
    let waited = DIGESTS.changed.wait_timeout_while(known, wait, computing);
    let known = waited.unwrap_or_else(PoisonError::into_inner).0;
    known.get(&key).cloned().flatten().unwrap_or(Err("the executable's digest is still being computed"))
}

impl Digests {
    fn start() -> Self {
        let (work, files) = sync_channel(QUEUED);
        // without the thread nobody takes what is sent, and who asks is told so
        let started = std::thread::Builder::new().name("digests".into()).spawn(move || compute(&files));
        drop(started);
        Self { known: Mutex::default(), changed: Condvar::new(), work }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Answer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn compute(files: &Receiver<(Key, File)>) {
    // packets come before it; if that is not allowed it is as urgent as others
    let _ = rustix::process::nice(10);
    for (key, file) in files {
        let answer = read(file).map_err(|_| "the executable cannot be read");
        DIGESTS.lock().insert(key, Some(answer));
        DIGESTS.changed.notify_all();
    }
}

fn read(file: File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    // it may have grown since it was looked at
    let mut file = file.take(SIZE_MAX);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn digests_are_those_of_the_standard_and_follow_the_file() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("program");
        std::fs::write(&path, "abc").expect("write");
        let of = |wait| digest(File::open(&path).expect("open"), wait);
        // FIPS 180-4's example
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(LONG).as_deref(), Ok(abc));
        assert_eq!(of(Duration::ZERO).as_deref(), Ok(abc), "it is remembered");
        let mut file = File::options().append(true).open(&path).expect("open");
        file.write_all(b"d").expect("write");
        assert_ne!(of(LONG).as_deref(), Ok(abc));
        let none = File::open(dir.path()).expect("open");
        assert_eq!(digest(none, LONG), Err("the executable cannot be read"));
    }

    #[test]
    fn nobody_waits_for_a_large_file() {
        let file = tempfile::tempfile().expect("file");
        file.set_len(64 << 20).expect("size");
        let began = std::time::Instant::now();
        let said = digest(file.try_clone().expect("file"), Duration::from_millis(1));
        assert!(began.elapsed() < Duration::from_millis(50), "{:?}", began.elapsed());
        assert_eq!(said, Err("the executable's digest is still being computed"));
        file.set_len(SIZE_MAX + 1).expect("size");
        assert_eq!(digest(file, LONG), Err("the executable is too large for a digest"));
    }
}
