//! Who changed rules and objects, when and why.

use cnnf_core::policy::{Effect, Rule};
use cnnf_core::time::Timestamp;
use cnnf_store::{Author, PolicyState};

use crate::place::{Place, audit, author};
use crate::policy::{rule, state};

fn by(who: &str, at: u64) -> Author {
    Author { at: Timestamp(at), who: who.to_owned(), why: format!("{who}'s reason") }
}

#[test]
fn every_change_is_kept_and_leads_back() {
    let (place, store) = Place::new();
    let states = [
        PolicyState::default(),
        state(1, vec![rule(1, "a"), rule(2, "b"), rule(3, "c")]),
        state(2, vec![rule(3, "c"), Rule { effect: Effect::Allow, ..rule(1, "a") }, rule(4, "d")]),
        state(3, vec![rule(4, "d")]),
    ];
    for (n, pair) in states.windows(2).enumerate() {
        store
            .save_policy(&pair[0], &pair[1], by(["ann", "bob", "eve"][n], n as u64), Vec::new(), audit())
            .wait()
            .expect("saved");
    }
    drop(store);
    let store = place.reopen();
    let kept = store.revisions().expect("revisions");
    let short: Vec<_> = kept.iter().map(|r| (r.revision, r.author.who.as_str(), r.summary.as_str())).collect();
    assert_eq!(
        short,
        [(3, "eve", "2 deleted"), (2, "bob", "1 added, 1 changed, 1 moved, 1 deleted"), (1, "ann", "3 added")]
    );
    let (second, delta) = store.revision(2).expect("read").expect("kept");
    assert_eq!((second.author, delta.rules.len()), (by("bob", 1), 4));
    assert_eq!(store.revision(4).expect("read"), None);
    for back_to in 0..3_u64 {
        let PolicyState { mut rules, mut objects, .. } = states[3].clone();
        for delta in store.changes_after(back_to).expect("read").expect("kept") {
            delta.reversed().apply(&mut rules, &mut objects).expect("fits");
        }
        let then = &states[usize::try_from(back_to).expect("few")];
        assert_eq!((&rules, &objects), (&then.rules, &then.objects), "back to {back_to}");
    }
    assert_eq!(store.changes_after(9).expect("read"), None, "what never was");
}

#[test]
fn what_is_refused_leaves_no_trace() {
    let (_place, store) = Place::new();
    let one = state(1, vec![rule(1, "a")]);
    store.save_policy(&PolicyState::default(), &one, author(), Vec::new(), audit()).wait().expect("saved");
    store.save_policy(&PolicyState::default(), &one, author(), Vec::new(), audit()).wait().expect_err("stale");
    assert_eq!(store.revisions().expect("revisions").len(), 1);
}
