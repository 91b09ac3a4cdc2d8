//! The index is of one mind with the plain loop.

use proptest::prelude::*;

use crate::net::{PortRange, Ports, Protocol};
use crate::policy::{Index, PolicySet, Resolver, Rule, Vantage, evaluate, resolve};
use crate::ruleset::tests::world::{NOW, meetings};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn an_index_judges_as_the_plain_loop_does((world, meetings) in meetings()) {
        let index = Index::new(&world.policy, &world.directory);
        for connection in &meetings {
            for vantage in [Vantage::Client, Vantage::Server] {
                let plain = evaluate(&world.policy, &world.directory, connection, vantage, NOW);
                prop_assert_eq!(index.evaluate(connection, vantage, NOW), plain, "{:?} {:?}", vantage, connection);
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn hosts_resolved_together_get_what_each_gets_alone((world, _) in meetings()) {
        let together = Resolver::new(&world.policy, &world.directory);
        for host in world.directory.ids() {
            let alone = resolve(&world.policy, &world.directory, host, NOW, 1);
            prop_assert_eq!(together.resolve(host, NOW, 1), alone, "{:?}", host);
        }
    }

    // so many rules that there are several blocks, and several words of blocks
    #[test]
    fn so_it_does_among_many_rules((world, meetings) in meetings(), filler in 60_usize..9_000, every in 1_usize..70) {
        let Some(template) = world.policy.rules.get(0).cloned() else { return Ok(()) };
        let nowhere = Ports::only([PortRange { protocol: Protocol::Sctp, low: 1, high: 1 }]);
        let dull = Rule { ports: nowhere, ..template };
        let mut rules: Vec<Rule> = vec![dull; filler];
        for (n, rule) in world.policy.rules.iter().enumerate() {
            rules.insert((n * every).min(rules.len()), rule.clone());
        }
        let policy = PolicySet { rules: rules.into(), ..world.policy.clone() };
        let index = Index::new(&policy, &world.directory);
        for connection in meetings.iter().take(4) {
            let plain = evaluate(&policy, &world.directory, connection, Vantage::Client, NOW);
            prop_assert_eq!(index.evaluate(connection, Vantage::Client, NOW), plain, "{:?}", connection);
        }
    }
}
