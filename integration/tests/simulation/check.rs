//! What must hold at every moment, and in the end.

use std::net::{IpAddr, Ipv4Addr};

use cnnf_controller::simulation::Simulated;
use cnnf_core::net::Protocol;
use cnnf_core::ruleset::{LocalEnd, Opening, Verdict};
use cnnf_core::time::Timestamp;
use cnnf_defender::simulation::failsafes;

use crate::host::Host;

/// The controller's address.
const CONTROLLER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 250));
/// Where an operator sits.
const OPERATOR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));

/// Looks at a host's table, if it or the policy is another one than when it was looked at last.
pub(crate) fn the_table(host: &mut Host) {
    let generation = host.defender.as_ref().map(|defender| defender.policy().generation);
    let known = host.checked.as_ref();
    if known.is_none_or(|(table, of)| table != host.kernel.table.ruleset() || *of != generation) {
        failsafes_are_open(host);
        is_the_policys(host);
        host.checked = Some((host.kernel.table.ruleset().clone(), generation));
    }
}

/// Whatever the policy says, ssh comes in and the controller and DNS are reached.
fn failsafes_are_open(host: &Host) {
    let opening = |client: IpAddr, server: IpAddr, port: u16, ends: (Option<LocalEnd>, Option<LocalEnd>)| Opening {
        client,
        server,
        protocol: Protocol::Tcp,
        client_port: 40_000,
        server_port: port,
        local_client: ends.0,
        local_server: ends.1,
    };
    for (service, _) in &host.kernel.listening {
        let here = || Some(host.end(service));
        let passes = [
            opening(OPERATOR, host.address, 22, (None, here())),
            opening(host.address, CONTROLLER, 7443, (here(), None)),
            opening(host.address, OPERATOR, 53, (here(), None)),
        ];
        for opening in passes {
            let verdict = host.judge(&opening).verdict;
            assert_eq!(verdict, Verdict::Accept, "{}: {service} and {opening:?}", host.name);
        }
    }
    let ports = failsafes();
    assert!(ports.pass(true, Protocol::Tcp, 7443) && ports.pass(false, Protocol::Tcp, 22), "the check means failsafes");
}

/// The kernel has what the policy in force amounts to.
fn is_the_policys(host: &Host) {
    let Some(defender) = &host.defender else { return };
    let table = defender.table_of(defender.policy());
    assert_eq!(*host.kernel.table.ruleset(), table, "{}: another table than its policy's", host.name);
}

/// What was put into spools is counted once: in memory and in the store.
pub(crate) fn reports_count_once(hosts: &[Host], controller: &Simulated) {
    let said = hosts.iter().fold((0, 0), |sum, host| (sum.0 + host.reported.0, sum.1 + host.reported.1));
    assert_eq!(controller.counted(), said, "connections and bytes, counted and reported");
    assert_eq!(controller.stored(), said, "connections and bytes, stored and reported");
}

/// Every host has what follows from all that is known.
pub(crate) fn states_have_converged(hosts: &[Host], controller: &Simulated, now: u64) {
    for host in hosts {
        let defender = host.defender.as_ref().expect("it runs");
        let wanted = controller.wanted(&host.id, Timestamp(now));
        assert_eq!(*defender.policy(), wanted, "{}: another policy than is meant for it", host.name);
    }
}
