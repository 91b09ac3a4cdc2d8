//! A power cut, simulated: the write-ahead log is cut where the disk may have ended. At or after what a sync covered nothing that was acknowledged
//! as synced is lost; before it the database is what it was at an earlier moment, whole.
//!
//! The format: <https://sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::path::Path;

use cnnf_core::id::HostId;
use cnnf_store::Store;

use crate::place::{Place, audit, enrol, report};

/// Bytes before the first frame, and before each frame's page.
const WAL_HEAD: u64 = 32;
const FRAME_HEAD: u64 = 24;

/// A moment: how long the log was right after a decision was acknowledged, and what had been acknowledged until then.
#[derive(Clone, Copy)]
struct Moment {
    wal: u64,
    decisions: u64,
    reports: u64,
}

fn wal(path: &Path) -> std::path::PathBuf {
    path.with_extension("db-wal")
}

/// Decisions and reports one after the other, without a checkpoint in between: few enough for the log to be the only copy.
fn load(store: &Store, path: &Path) -> Vec<Moment> {
    let mut moments = Vec::new();
    let mut seq = 0;
    for round in 1..=20u64 {
        // Reports of the same batch as the decision, and some that are not synced by anything yet.
        let waiting: Vec<_> = (0..round % 4)
            .map(|_| {
                seq += 1;
                store.take_in(report("h-1", "a", seq))
            })
            .collect();
        let value = format!("{round}s");
        store.set_setting("learn_for".to_owned(), value, audit()).wait().expect("set");
        for taken in waiting {
            taken.wait().expect("taken in");
        }
        moments.push(Moment { wal: wal(path).metadata().expect("a log").len(), decisions: round, reports: seq });
    }
    moments
}

/// What is there after the log was cut: decisions and reports. Whatever was done, it is whole.
fn after_a_cut(original: &Path, folder: &Path, length: u64) -> (u64, u64) {
    let path = folder.join("cnnf.db");
    for old in ["cnnf.db", "cnnf.db-wal", "cnnf.db-shm"] {
        let _ = std::fs::remove_file(folder.join(old));
    }
    std::fs::copy(original, &path).expect("copied");
    let log = std::fs::read(wal(original)).expect("a log");
    std::fs::write(wal(&path), &log[..usize::try_from(length).expect("small")]).expect("cut");
    let store = Store::open(&path).expect("it opens");
    store.check().expect("whole");
    let record = store.check_audit().expect("read");
    assert_eq!(record.bad, None, "the record is a beginning of what was recorded");
    let decisions = store
        .settings()
        .expect("settings")
        .get("learn_for")
        .map_or(0, |value| value.trim_end_matches('s').parse().expect("a number"));
    let reports = store.cursors().expect("cursors").get(&HostId::new("h-1")).map_or(0, |cursor| cursor.seq);
    let counted = store.edges().expect("edges").first().map_or(0, |(_, stats)| stats.connections);
    assert_eq!(counted, reports, "a report is there whole or not at all");
    // The host and its token were there before the log began.
    assert_eq!((store.hosts().expect("hosts").len(), record.entries), (1, 2 + decisions), "each change has its record");
    (decisions, reports)
}

#[test]
fn a_power_cut_loses_nothing_that_was_synced_and_leaves_a_whole_beginning() {
    let (place, store) = Place::new();
    enrol(&store, "h-1");
    drop(store);
    // All so far is in the database now, and the log is empty.
    let store = place.reopen();
    let moments = load(&store, &place.path());
    let page = u64::from_be_bytes({
        let head = std::fs::read(wal(&place.path())).expect("a log");
        let mut bytes = [0; 8];
        bytes[4..].copy_from_slice(&head[8..12]);
        bytes
    });
    let frame = FRAME_HEAD + page;
    let end = wal(&place.path()).metadata().expect("a log").len();
    assert_eq!((end - WAL_HEAD) % frame, 0, "nothing but frames");
    let folder = tempfile::tempdir().expect("folder");
    let (mut cuts, mut last) = (0, (0, 0));
    let borders = (0..=(end - WAL_HEAD) / frame).map(|n| WAL_HEAD + n * frame);
    // In the log's head, at every border, and within every frame: in its head, in its page, and a byte before its end.
    let within = |border: u64| [0, 1, FRAME_HEAD, frame / 2, frame - 1].map(|more| border + more);
    for length in [0, 1, WAL_HEAD - 1].into_iter().chain(borders.flat_map(within)).filter(|length| *length <= end) {
        let found = after_a_cut(&place.path(), folder.path(), length);
        let synced = moments.iter().rfind(|moment| moment.wal <= length);
        let (decisions, reports) = synced.map_or((0, 0), |moment| (moment.decisions, moment.reports));
        assert!(
            found.0 >= decisions && found.1 >= reports,
            "{length} of {end}: {found:?} is there, {decisions} and {reports} were synced"
        );
        assert!(
            found.0 >= last.0 && found.1 >= last.1,
            "{length} of {end}: {found:?}, and less of the log had {last:?}"
        );
        (cuts, last) = (cuts + 1, found);
    }
    let all = moments.last().expect("some");
    assert_eq!(last, (all.decisions, all.reports), "the whole log has all");
    println!(
        "{cuts} cuts of {} frames, {} decisions and {} reports: nothing lost",
        (end - WAL_HEAD) / frame,
        last.0,
        last.1
    );
    drop(store);
}

/// Blocks of a disk need not arrive in their order: a frame that is torn, with good ones after it, is an end too.
#[test]
fn a_torn_frame_is_an_end() {
    let (place, store) = Place::new();
    enrol(&store, "h-1");
    drop(store);
    let store = place.reopen();
    let moments = load(&store, &place.path());
    let log = wal(&place.path());
    let good = std::fs::read(&log).expect("a log");
    let folder = tempfile::tempdir().expect("folder");
    for moment in moments.iter().step_by(3) {
        let mut torn = good.clone();
        let at = usize::try_from(moment.wal).expect("small") + 100;
        let Some(byte) = torn.get_mut(at) else { continue };
        *byte ^= 0xff;
        // `after_a_cut` copies what stands beside the database.
        let other = tempfile::tempdir().expect("folder");
        let path = other.path().join("cnnf.db");
        std::fs::copy(place.path(), &path).expect("copied");
        std::fs::write(wal(&path), &torn).expect("torn");
        let found = after_a_cut(&path, folder.path(), torn.len() as u64);
        assert_eq!(found, (moment.decisions, moment.reports), "what was before it, and nothing after it");
    }
    drop(store);
}
