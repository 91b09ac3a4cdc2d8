//! Models.

use cnnf_core::id::ServiceKey;
use cnnf_core::model::{Model, Origin, Phase, Seen};
use cnnf_core::policy::Effect;
use cnnf_core::time::Timestamp;
use cnnf_store::ModelPatch;

use crate::place::{Place, audit, edge};

#[test]
fn models_come_back_as_they_were() {
    let (place, store) = Place::new();
    let key = ServiceKey::unit("nginx");
    let seen = |n| Seen { first: Timestamp(n), last: Timestamp(n + 1), connections: n, origin: Origin::WouldAlert };
    let mut model = Model {
        phase: Phase::Archived,
        observed_ms: 1234,
        runs: 3,
        live: true,
        connections: 9,
        anomaly_effect: Some(Effect::Prevent),
        resume: Phase::DryRun,
        manual: true,
        live_since: Timestamp(7),
        exposed_ms: 4321,
        ..Model::new(Timestamp(50))
    };
    model.edges = [(edge("unit:a", "unit:nginx", 80), seen(1)), (edge("unit:b", "unit:nginx", 80), seen(2))].into();
    let save = |store: &cnnf_store::Store, old: Option<&Model>, new: Option<&Model>| {
        let edges = old.into_iter().chain(new).flat_map(|model| model.edges.keys());
        let patch = ModelPatch::of(&key, new, edges);
        store.decide_model(patch, audit()).wait().expect("saved");
    };
    save(&store, None, Some(&model));
    let mut later = Model { phase: Phase::Active, anomaly_effect: None, ..model.clone() };
    later.edges.remove(&edge("unit:a", "unit:nginx", 80));
    later.edges.insert(edge("unit:c", "unit:nginx", 80), seen(3));
    later.edges.insert(edge("unit:b", "unit:nginx", 80), seen(4));
    save(&store, Some(&model), Some(&later));
    drop(store);
    let store = place.reopen();
    assert_eq!(store.models().expect("models")[&key], later);
    let ticked = Model { observed_ms: 99_999, ..later.clone() };
    store.patch_models(vec![ModelPatch::head(&key, &ticked)]).wait().expect("saved");
    assert_eq!(store.models().expect("models")[&key], ticked, "a head leaves the edges alone");
    store.patch_models(vec![ModelPatch::removal(&key)]).wait().expect("saved");
    assert!(store.models().expect("models").is_empty());
    save(&store, None, Some(&Model::new(Timestamp(1))));
    assert!(store.models().expect("models")[&key].edges.is_empty(), "nothing of the old one comes back");
}
