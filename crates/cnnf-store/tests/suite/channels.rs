//! How far alert channels are.

use cnnf_core::time::Timestamp;
use cnnf_store::{ChannelProgress, ChannelRow, StoreError};

use crate::place::{Place, audit, event};

fn row(name: &str, body: &str) -> ChannelRow {
    ChannelRow {
        name: name.to_owned(),
        body: body.to_owned(),
        changed_by: "jo".to_owned(),
        changed: Timestamp(7),
        progress: ChannelProgress::default(),
    }
}

#[test]
fn a_channel_begins_with_what_is_new_and_keeps_its_place_over_changes() {
    let (place, store) = Place::new();
    store.add_events(vec![event(1000, 1)]).wait().expect("added");
    store.put_channel(row("ops", "{}"), false, audit()).wait().expect("put");
    let begin = store.channel_progress("ops".to_owned()).wait().expect("there");
    assert_eq!(begin, ChannelProgress { told: 1, ..ChannelProgress::default() });
    let far = 10_000_000;
    let added = store.add_events(vec![event(far, 1), event(2 * far, 1)]).wait().expect("added");
    let ids: Vec<u64> = store.events_after(begin.told, 10).expect("read").iter().map(|event| event.id).collect();
    assert_eq!(ids, added.iter().map(|event| event.id).collect::<Vec<_>>());
    assert_eq!(store.events_after(begin.told, 1).expect("read").len(), 1);

    let tried = ChannelProgress { tried: ids[0], ..begin };
    store.try_channel("ops".to_owned(), tried.clone()).wait().expect("kept");
    let failed = ChannelProgress { last_error: "away".to_owned(), last_failure: Some(Timestamp(9)), ..tried };
    store.note_channel("ops".to_owned(), failed.clone()).wait().expect("kept");
    store.put_channel(row("ops", "{\"a\":1}"), false, audit()).wait().expect("put");
    drop(store);
    let store = place.reopen();
    assert_eq!(store.channels().expect("read"), [ChannelRow { progress: failed.clone(), ..row("ops", "{\"a\":1}") }]);
    store.put_channel(row("ops", "{}"), true, audit()).wait().expect("put");
    let skipped = store.channel_progress("ops".to_owned()).wait().expect("there");
    assert_eq!(skipped, ChannelProgress { told: ids[1], ..failed });

    store.delete_channel("ops".to_owned(), audit()).wait().expect("deleted");
    for gone in [store.try_channel("ops".to_owned(), skipped.clone()), store.note_channel("ops".to_owned(), skipped)] {
        assert!(matches!(gone.wait(), Err(StoreError::NotFound(_))), "a pump that ends makes no channel");
    }
    assert!(matches!(store.delete_channel("ops".to_owned(), audit()).wait(), Err(StoreError::NotFound(_))));
}
