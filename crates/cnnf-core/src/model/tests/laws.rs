//! What holds for every history of a model.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Something that happens to `unit:web`.
#[derive(Clone, Debug)]
enum Act {
    /// So many seconds with so many instances.
    Pass(u64, u32),
    See(usize, u64),
    Rename(usize, usize),
    Relearn,
    Start,
    Stop,
    Activate,
    Approve(usize),
}

const PEERS: [&str; 9] =
    ["unit:a", "unit:b", "10.0.0.1", "10.0.0.2", "8.8.8.0/24", "9.9.9.0/24", "private", "internet", "object:office"];

fn known(n: usize) -> Edge {
    edge(PEERS[n % PEERS.len()], "unit:web")
}

fn act() -> impl Strategy<Value = Act> {
    let n = 0..PEERS.len();
    prop_oneof![
        6 => (1u64..150, select(&[0u32, 1, 2, 9][..])).prop_map(|(s, n)| Act::Pass(s, n)),
        6 => (n.clone(), 1u64..4).prop_map(|(n, c)| Act::See(n, c)),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Act::Rename(a, b)),
        1 => Just(Act::Relearn),
        1 => Just(Act::Start),
        1 => Just(Act::Stop),
        1 => Just(Act::Activate),
        1 => n.prop_map(Act::Approve),
    ]
}

/// Does it; returns the changes that time made.
fn apply(models: &mut BTreeMap<ServiceKey, Model>, act: &Act, clock: &mut u64) -> Vec<Change> {
    let web = ServiceKey::unit("web");
    let now = Timestamp(*clock * 1000);
    if let Act::Pass(seconds, instances) = act {
        let live = BTreeMap::from([(web.clone(), *instances)]);
        let mut changes = Vec::new();
        for _ in 0..*seconds {
            *clock += 1;
            let all = tick(models, &live, SECOND, &settings(), Timestamp(*clock * 1000));
            changes.extend(all.into_iter().filter_map(|(key, change)| (key == web).then_some(change)));
        }
        return changes;
    }
    let Some(model) = models.get_mut(&web) else { return Vec::new() };
    match act {
        Act::Pass(..) => {}
        Act::See(n, connections) => {
            let seen = FlowStats { connections: *connections, bytes: 0, first: now, last: now };
            absorb(models, &known(*n), &seen, now);
        }
        Act::Rename(old, new) => {
            rename(models, &known(*old), &known(*new), now);
        }
        Act::Relearn => model.relearn(now),
        Act::Start => model.start_learning(now),
        Act::Stop => {
            let manual = model.manual;
            assert_eq!(model.stop_learning(now).is_ok(), manual);
        }
        Act::Activate => model.activate(now),
        Act::Approve(n) => {
            model.approve(&web, &known(*n), now).expect("at an end, and there is room");
        }
    }
    Vec::new()
}

/// Whether time may move a model so.
fn may(from: Phase, to: Phase, resume: Phase) -> bool {
    match (from, to) {
        (Phase::Learning, Phase::DryRun) | (Phase::DryRun, Phase::Active) => true,
        (Phase::Archived, to) => to == resume,
        (_, Phase::Archived) => true,
        _ => false,
    }
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// Only forgetting, reset and deletion take anything away; renaming keeps it under its new name.
    #[test]
    fn more_evidence_never_withdraws_anything(acts in vec(act(), 1..40)) {
        let web = ServiceKey::unit("web");
        let mut models = BTreeMap::from([(web.clone(), Model::new(Timestamp(0)))]);
        let mut clock = 1;
        for act in &acts {
            let before = models.get(&web).cloned();
            let changes = apply(&mut models, act, &mut clock);
            let Some(after) = models.get(&web) else {
                prop_assert!(changes.contains(&Change::Deleted));
                return Ok(());
            };
            for n in 0..PEERS.len() {
                let knew = before.as_ref().is_some_and(|model| model.knows(&known(n)));
                let renamed = matches!(act, Act::Rename(old, _) if known(*old).covers(&known(n)));
                let deleted = changes.contains(&Change::Deleted);
                prop_assert!(!knew || renamed || deleted || after.knows(&known(n)), "{act:?} took {} away", known(n).client);
                if let (Act::Rename(old, new), Some(before)) = (act, &before)
                    && before.edges.contains_key(&known(*old)) {
                    prop_assert!(after.knows(&known(*new)));
                }
            }
            let total: u64 = after.edges.values().map(|seen| seen.connections).sum();
            prop_assert_eq!(after.connections, total, "what is counted is what its edges have");
        }
    }

    /// Time moves phases only as specified, one at a time, and never while learning is by hand.
    #[test]
    fn phases_move_only_as_specified(acts in vec(act(), 1..40)) {
        let web = ServiceKey::unit("web");
        let mut models = BTreeMap::from([(web.clone(), Model::new(Timestamp(0)))]);
        let mut clock = 1;
        for act in &acts {
            let Some(mut before) = models.get(&web).cloned() else { return Ok(()) };
            for change in apply(&mut models, act, &mut clock) {
                let Change::Entered(to) = change else { return Ok(()) };
                prop_assert!(may(before.phase, to, before.resume), "{:?} → {to:?}", before.phase);
                prop_assert!(!before.manual || to == Phase::Archived || before.phase == Phase::Archived);
                if to == Phase::Archived {
                    before.resume = before.phase;
                }
                before.phase = to;
            }
            if matches!(act, Act::See(..) | Act::Rename(..) | Act::Approve(_)) {
                prop_assert_eq!(models[&web].phase, before.phase, "what is seen moves no phase");
            }
        }
    }

    /// Learning ends at the first tick at which enough was observed, the dry run at the first at which it has lasted.
    #[test]
    fn durations_end_at_the_exact_moment(learn in 1u64..50, dry in 0u64..50, instances in 1u32..9) {
        let settings = LearnSettings {
            learn_for: Duration::from_secs(learn),
            dry_run_for: Duration::from_secs(dry),
            ..settings()
        };
        let live = BTreeMap::from([(ServiceKey::unit("web"), instances)]);
        let mut models = BTreeMap::new();
        let mut entered = Vec::new();
        for second in 1..=200 {
            for (_, change) in tick(&mut models, &live, SECOND, &settings, Timestamp(second * 1000)) {
                entered.extend(matches!(change, Change::Entered(_)).then_some(second));
            }
        }
        let learned = learn.div_ceil(u64::from(instances.min(MAX_OBSERVERS)));
        prop_assert_eq!(entered, [learned, learned + dry.max(1)]);
    }

    /// Whatever order edges are seen in while learning, the model is the same.
    #[test]
    fn order_does_not_matter(mut seen in vec((0..PEERS.len(), 1u64..4, 1u64..1000), 1..20), seed: u64) {
        let learn = |seen: &[(usize, u64, u64)]| {
            let mut models = BTreeMap::new();
            for (n, connections, at) in seen {
                let at = Timestamp(*at);
                let stats = FlowStats { connections: *connections, bytes: 0, first: at, last: at };
                absorb(&mut models, &known(*n), &stats, Timestamp(1000));
            }
            models
        };
        let one = learn(&seen);
        let length = seen.len();
        seen.rotate_left(usize::try_from(seed % length as u64).expect("small"));
        seen.reverse();
        prop_assert_eq!(learn(&seen), one);
    }
}
